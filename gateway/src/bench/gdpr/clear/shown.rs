//! Answers in the clear, with the members that our own have.

use domain::slot::Zone;
use eventstore::IdKind;
use jiff::Timestamp;
use rusqlite::{Connection, Params, Row};
use serde::Serialize;
use serde_json::{Value, json};

use super::show;

#[derive(Serialize)]
pub(super) struct Booking {
    id: String,
    version: u32,
    status: String,
    start: Timestamp,
    end: Timestamp,
    time_zone: &'static str,
    local_start: String,
    service_id: String,
    resource_ids: [String; 1],
    held: [Held; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    parts: [Part; 1],
    channel: String,
    party: &'static str,
    created_at: Timestamp,
    created_by: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled: Option<Value>,
    content_erased: bool,
}

#[derive(Serialize)]
struct Held {
    resource_id: String,
    units: u16,
    from: Timestamp,
    until: Timestamp,
}

#[derive(Serialize)]
struct Part {
    id: String,
    role: &'static str,
    client: Client,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Serialize)]
struct Client {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Contact>,
}

#[derive(Serialize)]
struct Contact {
    name: String,
    email: String,
    phone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

#[derive(Serialize)]
struct Details {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Fields>,
}

#[derive(Serialize)]
struct Fields {
    note: String,
}

/// Bookings with whose they are, by what follows in SQL.
pub(super) fn bookings(
    reader: &Connection,
    rest: &str,
    values: impl Params,
    whole: bool,
) -> rusqlite::Result<Vec<(i64, i64, Booking)>> {
    let sql = format!(
        "SELECT b.id, b.person, b.service, b.resource, b.status, b.start_at, b.end_at, b.channel, \
         b.note, b.created_at, b.cancelled_at, b.content_erased, b.version, p.state, p.name, \
         p.email, p.phone, p.address FROM c_booking AS b LEFT JOIN c_person AS p \
         ON p.id = b.person {rest}"
    );
    let mut statement = reader.prepare_cached(&sql)?;
    let shown = |row: &Row<'_>| Ok((row.get(5)?, row.get(0)?, booking(row, whole)?));
    statement.query_map(values, shown)?.collect()
}

fn booking(row: &Row<'_>, whole: bool) -> rusqlite::Result<Booking> {
    let (id, person, start, end) =
        (unsigned(row, 0)?, row.get::<_, Option<i64>>(1)?, instant(row, 5)?, instant(row, 6)?);
    let (service, resource) = (unsigned(row, 2)?, show(IdKind::Resource, unsigned(row, 3)?));
    let erased = row.get::<_, i64>(11)? != 0;
    let state = row.get::<_, Option<String>>(13)?.unwrap_or_else(|| "erased".to_owned());
    let is_live = state == "live";
    let client_id = person.map(|id| show(IdKind::Client, u64::try_from(id).unwrap_or(0)));
    let contact = match is_live && whole {
        true => Some(Contact {
            name: row.get(14)?,
            email: row.get(15)?,
            phone: row.get(16)?,
            address: row.get(17)?,
        }),
        false => None,
    };
    let note = row.get::<_, Option<String>>(8)?;
    let details = match (note, state.as_str()) {
        (Some(note), "live") => Details { state: "live", fields: Some(Fields { note }) },
        (Some(_), _) => Details { state: "restricted", fields: None },
        (None, _) => Details { state: "erased", fields: None },
    };
    let cancelled = row.get::<_, Option<i64>>(10)?;
    let held = Held { resource_id: resource.clone(), units: 1, from: start, until: end };
    Ok(Booking {
        id: show(IdKind::Booking, id),
        version: row.get(12)?,
        status: row.get(4)?,
        start,
        end,
        time_zone: "UTC",
        local_start: Zone::utc().local(start).to_string(),
        service_id: show(IdKind::Service, service),
        resource_ids: [resource],
        held: [held],
        parts: [Part {
            id: show(IdKind::Part, id),
            role: "booker",
            client: Client { id: client_id.clone(), state, contact },
            details: whole.then_some(details),
        }],
        client_id,
        channel: row.get(7)?,
        party: "1",
        created_at: instant(row, 9)?,
        created_by: json!({ "type": "key", "id": show(IdKind::Key, 1) }),
        cancelled: cancelled.map(|at| json!({ "at": at, "by": "staff", "reason": "other" })),
        content_erased: erased,
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0))
}

fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let micros = row.get(column)?;
    Ok(Timestamp::from_microsecond(micros).unwrap_or_default())
}

/// A person, as the answer to a change.
pub(super) fn person(reader: &Connection, id: u64, whole: bool) -> rusqlite::Result<Value> {
    let sql = "SELECT state, name, email, phone, address, version, registered_at, restricted_at \
               FROM c_person WHERE id = ?1";
    let mut statement = reader.prepare_cached(sql)?;
    statement.query_row([super::number(id)], |row| {
        let mut value =
            json!({ "id": show(IdKind::Client, id), "state": row.get::<_, String>(0)? });
        let Some(members) = value.as_object_mut() else { return Ok(value) };
        if whole {
            let contact = json!({
                "name": row.get::<_, Option<String>>(1)?, "email": row.get::<_, Option<String>>(2)?,
                "phone": row.get::<_, Option<String>>(3)?,
                "address": row.get::<_, Option<String>>(4)?,
            });
            members.insert("contact".to_owned(), contact);
            members.insert("registered_at".to_owned(), json!(instant(row, 6)?));
            members.insert("version".to_owned(), json!(row.get::<_, u32>(5)?));
            if row.get::<_, Option<i64>>(7)?.is_some() {
                let since = instant(row, 7)?;
                let why = json!({ "ground": "objection", "since": since });
                members.insert("restriction".to_owned(), why);
            }
        }
        Ok(value)
    })
}

/// Consents and acceptances, by what follows in SQL.
pub(super) fn consents(
    reader: &Connection,
    rest: &str,
    values: impl Params,
) -> rusqlite::Result<Vec<Value>> {
    let sql = format!(
        "SELECT id, purpose, medium, occasion, hash, locale, given_at, withdrawn_at \
         FROM c_consent {rest}"
    );
    let mut statement = reader.prepare_cached(&sql)?;
    statement.query_map(values, consent)?.collect()
}

fn consent(row: &Row<'_>) -> rusqlite::Result<Value> {
    let purpose = row.get::<_, Option<String>>(1)?;
    let mut value = json!({
        "id": show(IdKind::Consent, unsigned(row, 0)?),
        "kind": if purpose.is_some() { "consent" } else { "acceptance" },
        "occasion": row.get::<_, String>(3)?,
        "text": { "hash": row.get::<_, String>(4)?, "locale": row.get::<_, String>(5)? },
        "given_at": instant(row, 6)?,
    });
    if let (Some(purpose), Some(members)) = (purpose, value.as_object_mut()) {
        members.insert("purpose".to_owned(), purpose.into());
        members.insert("medium".to_owned(), json!(row.get::<_, Option<String>>(2)?));
        if row.get::<_, Option<i64>>(7)?.is_some() {
            members.insert("withdrawn_at".to_owned(), json!(instant(row, 7)?));
        }
    }
    Ok(value)
}
