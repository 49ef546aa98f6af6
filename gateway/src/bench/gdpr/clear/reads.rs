//! Questions to the tables, each by an index of its own.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use domain::Position;
use eventstore::ledger::codec;
use eventstore::{EntryBytes, IdKind};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, params, params_from_iter};
use serde::Deserialize;
use serde_json::{Value, json};

use super::shown::{self, Booking};
use super::{Clear, Role, number, read_id, show};
use crate::answer::{Page, cursor, limit, read_cursor};
use crate::problem::{Code, Problem};
use crate::sent::{Asked, Sent};

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookingsQuery {
    status: Option<String>,
    service_id: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A page of bookings.
pub(super) async fn list(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Asked(query): Asked<BookingsQuery>,
) -> Answer<Page<Booking>> {
    clear.worker(&headers)?;
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(read_cursor).transpose()?;
    let after = after.and_then(|text| text.parse::<i64>().ok());
    let micros = |at: Option<Timestamp>| at.map(Timestamp::as_microsecond);
    // What was behind a cursor begins later than it: no two begin at once.
    let from = after.map(|at| at + 1).or(micros(query.from)).unwrap_or(i64::MIN);
    let to = micros(query.to).unwrap_or(i64::MAX);
    let mut values = vec![from.into(), to.into(), i64::from(limit + 1).into()];
    let mut which = String::new();
    if let Some(service) = &query.service_id {
        values.push(number(read_id(IdKind::Service, service)?).into());
        which.push_str(&format!("b.service = ?{} AND ", values.len()));
    }
    if let Some(status) = query.status {
        values.push(rusqlite::types::Value::Text(status));
        which.push_str(&format!("b.status = ?{} AND ", values.len()));
    }
    let rest = format!(
        "WHERE {which}b.start_at >= ?1 AND b.start_at < ?2 ORDER BY b.start_at, b.id LIMIT ?3"
    );
    let rows = clear
        .read(|reader| shown::bookings(reader, &rest, params_from_iter(values.iter()), true))?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    let last = rows.get(most - 1).filter(|_| more).map(|(start, ..)| cursor(&start.to_string()));
    let data = rows.into_iter().take(most).map(|(.., booking)| booking).collect();
    Ok(Json(Page { data, next_cursor: last }))
}

pub(super) async fn read(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer<Booking> {
    // Others' bookings do not exist for a client.
    let own = match clear.caller(&headers)? {
        Role::Client(person) => Some(number(person)),
        Role::Staff | Role::Admin => None,
        Role::Auditor => return Err(Code::Forbidden.into()),
    };
    let id = number(read_id(IdKind::Booking, &id)?);
    let rest = "WHERE b.id = ?1 AND (?2 IS NULL OR b.person = ?2)";
    let rows = clear.read(|reader| shown::bookings(reader, rest, params![id, own], true))?;
    Ok(Json(rows.into_iter().next().ok_or(Code::NotFound)?.2))
}

fn of_person(clear: &Clear, person: u64) -> Answer<Page<Booking>> {
    let rest = "WHERE b.person = ?1 ORDER BY b.start_at, b.id LIMIT 51";
    let rows = clear.read(|reader| shown::bookings(reader, rest, [number(person)], true))?;
    let next_cursor = rows.get(50).map(|(start, ..)| cursor(&start.to_string()));
    let data = rows.into_iter().take(50).map(|(.., booking)| booking).collect();
    Ok(Json(Page { data, next_cursor }))
}

pub(super) async fn of_client(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer<Page<Booking>> {
    clear.worker(&headers)?;
    of_person(&clear, read_id(IdKind::Client, &id)?)
}

pub(super) async fn own(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
) -> Answer<Page<Booking>> {
    of_person(&clear, clear.client(&headers)?)
}

pub(super) async fn own_consents(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
) -> Answer<Page<Value>> {
    let person = number(clear.client(&headers)?);
    let data =
        clear.read(|reader| shown::consents(reader, "WHERE person = ?1 ORDER BY id", [person]))?;
    Ok(Json(Page { data, next_cursor: None }))
}

pub(super) fn service_of(clear: &Clear, id: u64) -> Result<Value, Problem> {
    let found = clear.read(|reader| {
        let mut statement =
            reader.prepare_cached("SELECT body, version FROM c_service WHERE id = ?1")?;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?));
        statement.query_row([number(id)], row).optional()
    })?;
    let (body, version) = found.ok_or(Code::NotFound)?;
    let mut value: Value = serde_json::from_str(&body).map_err(|_| Code::Internal)?;
    if let Some(members) = value.as_object_mut() {
        members.insert("id".to_owned(), show(IdKind::Service, id).into());
        members.insert("version".to_owned(), version.into());
        members.insert("retired".to_owned(), false.into());
    }
    Ok(value)
}

pub(super) async fn service(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer<Value> {
    clear.caller(&headers)?;
    Ok(Json(service_of(&clear, read_id(IdKind::Service, &id)?)?))
}

pub(super) fn recipients_of(clear: &Clear, person: u64) -> Result<Vec<String>, Problem> {
    clear.read(|reader| {
        let sql = "SELECT recipient FROM c_given WHERE person = ?1 ORDER BY recipient";
        let mut statement = reader.prepare_cached(sql)?;
        statement.query_map([number(person)], |row| row.get(0))?.collect()
    })
}

#[derive(Deserialize)]
pub(super) struct Whom {
    client_id: String,
}

/// What there is of a person, for a regulator.
pub(super) async fn standing(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Sent(whom): Sent<Whom>,
) -> Answer<Value> {
    clear.worker(&headers)?;
    let person = read_id(IdKind::Client, &whom.client_id)?;
    let (state, open, notes) = clear.read(|reader| {
        let mut state = reader.prepare_cached("SELECT state FROM c_person WHERE id = ?1")?;
        let state = state.query_row([number(person)], |row| row.get::<_, String>(0)).optional()?;
        let sql = "SELECT id, status, note IS NOT NULL FROM c_booking WHERE person = ?1";
        let mut of = reader.prepare_cached(sql)?;
        let mut rows = of.query([number(person)])?;
        let (mut open, mut notes) = (Vec::new(), 0_u64);
        while let Some(row) = rows.next()? {
            notes += u64::from(row.get::<_, bool>(2)?);
            if matches!(row.get_ref(1)?.as_str()?, "confirmed" | "pending") {
                let id: i64 = row.get(0)?;
                open.push(show(IdKind::Booking, u64::try_from(id).unwrap_or(0)));
            }
        }
        Ok((state, open, notes))
    })?;
    if state.ok_or(Code::NotFound)? == "erased" {
        return Err(Code::Erased.into());
    }
    let recipients: Vec<String> = recipients_of(&clear, person)?
        .into_iter()
        .map(|slug| slug.replace("share-", "Recipient "))
        .collect();
    Ok(Json(json!({
        "open_bookings": open, "legal_holds": [], "seals": notes,
        "classes": ["contact", "booking", "consent"], "kept": [], "recipients": recipients,
        "needs_approval": false, "cooling_off_hours": 0,
    })))
}

/// That somebody was deleted: there is nothing to prove it with.
pub(super) async fn receipt(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer<Value> {
    clear.worker(&headers)?;
    let id = read_id(IdKind::PrivacyRequest, &id)?;
    let found = clear.read(|reader| {
        let mut statement =
            reader.prepare_cached("SELECT person, at FROM c_request WHERE id = ?1")?;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        statement.query_row([number(id)], row).optional()
    })?;
    let (person, at) = found.ok_or(Code::NotFound)?;
    let client = show(IdKind::Client, u64::try_from(person).unwrap_or(0));
    let at = Timestamp::from_microsecond(at).unwrap_or_default();
    Ok(Json(json!({ "client": client, "erased_at": at, "fence": id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    after: Option<u64>,
    limit: Option<u32>,
}

/// The history.
pub(super) async fn events(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Asked(query): Asked<EventsQuery>,
) -> Answer<Value> {
    if !matches!(clear.caller(&headers)?, Role::Auditor | Role::Admin) {
        return Err(Code::Forbidden.into());
    }
    let from = query.after.map_or(Position(0), |after| Position(after).next());
    let limit = query.limit.unwrap_or(100);
    let entries: Vec<EntryBytes> = clear.read(|reader| {
        let sql = "SELECT position, bytes FROM entry WHERE position >= ?1 \
                   ORDER BY position LIMIT ?2";
        let mut statement = reader.prepare_cached(sql)?;
        let entry = |row: &rusqlite::Row<'_>| {
            let position = Position(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0));
            Ok(EntryBytes { position, bytes: row.get(1)?, leaf: [0; 32] })
        };
        statement.query_map(params![number(from.0), limit], entry)?.collect()
    })?;
    let mut data = Vec::with_capacity(entries.len());
    for bytes in entries {
        let entry = codec::decode(&bytes.bytes).map_err(|_| Code::Internal)?;
        let recorded = entry.recorded;
        data.push(json!({
            "position": recorded.position.0,
            "kind": recorded.event.kind().name(),
            "version": entry.version,
            "recorded_at": recorded.recorded_at,
            "occurred_at": recorded.occurred_at,
            "actor": { "type": "system" },
        }));
    }
    Ok(Json(json!({ "data": data })))
}
