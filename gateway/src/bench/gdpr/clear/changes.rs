//! What becomes of bookings and of what can be booked.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use domain::booking::{
    BookingCommand, Change, NewPart, Past, Reason, Request, Role as Part, Side, Wanted,
};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Service};
use domain::facet::Channel;
use domain::sealed::{FieldSet, Sealed};
use domain::slot::Slot;
use domain::{Actor, BookingId, Command, Field, ResourceId, ServiceId};
use eventstore::IdKind;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::rows::{self, NewBooking};
use super::shown::{self, Booking};
use super::{Ask, Clear, Role, Rows, fence, number, once, read_id, reads};
use crate::problem::{Code, Problem};
use crate::sent::Sent;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookingIn {
    service_id: String,
    resource_ids: Vec<String>,
    start: Timestamp,
    client_id: String,
    channel: Channel,
    fields: FieldsIn,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldsIn {
    note: String,
}

/// What a booking is decided by.
pub(super) struct Wish {
    pub person: u64,
    pub service: u64,
    pub resource: u64,
    pub slot: Slot,
    pub channel: Channel,
    pub past: Option<Past>,
}

/// The command of a booking, as ours has it but for what is sealed.
pub(super) fn request(clear: &Clear, wish: Wish) -> Command {
    let handle = clear.handle();
    let given = FieldSet::default().with(Field::Name).with(Field::Email);
    let part = NewPart {
        handle,
        role: Part::Booker,
        details: Sealed::new(handle, 0),
        health: None,
        accounting: None,
        fence: fence(wish.person),
        given: given.with(Field::Phone).with(Field::Note),
        registers: None,
    };
    let request = Request {
        service: ServiceId(wish.service),
        wanted: vec![Wanted { resource: ResourceId(wish.resource), units: 1 }],
        slot: wish.slot,
        parts: vec![part],
        party: 1,
        channel: wish.channel,
        policy: None,
        price: None,
        past: wish.past,
    };
    Command::Booking(BookingCommand::Request(Box::new(request)))
}

type Answer<T> = Result<Json<T>, Problem>;

pub(super) async fn create(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Sent(value): Sent<BookingIn>,
) -> Result<(StatusCode, Json<Booking>), Problem> {
    let actor = clear.worker(&headers)?;
    let service = read_id(IdKind::Service, &value.service_id)?;
    let resource = value.resource_ids.first().ok_or(Code::Validation)?;
    let resource = read_id(IdKind::Resource, resource)?;
    let person = read_id(IdKind::Client, &value.client_id)?;
    let end =
        value.start.checked_add(SignedDuration::from_mins(10)).map_err(|_| Code::Validation)?;
    let slot = Slot::new(value.start, end).map_err(|_| Code::Validation)?;
    let confirmation = reads::service_of(&clear, service)?;
    let is_instant = confirmation.get("confirmation").and_then(Value::as_str) == Some("instant");
    let wish = Wish { person, service, resource, slot, channel: value.channel, past: None };
    let new = NewBooking {
        person,
        service,
        resource,
        status: if is_instant { "confirmed" } else { "pending" },
        start: value.start.as_microsecond(),
        end: end.as_microsecond(),
        channel: value.channel.name(),
        note: value.fields.note,
    };
    let rows: Rows =
        Box::new(move |tx, told| rows::add_booking(tx, told.first, told.at.as_microsecond(), &new));
    let (ask, answer) = Ask::new(vec![request(&clear, wish)], rows);
    let ask = Ask { actor, person: Some(person), once: once(&headers)?, ..ask };
    let told = clear.append(ask, answer).await?;
    Ok((StatusCode::CREATED, Json(one(&clear, number(told.first))?)))
}

/// A booking as the answer to a change: without what was said.
fn one(clear: &Clear, id: i64) -> Result<Booking, Problem> {
    let rows = clear.read(|reader| shown::bookings(reader, "WHERE b.id = ?1", [id], false))?;
    Ok(rows.into_iter().next().ok_or(Code::NotFound)?.2)
}

async fn change(
    clear: &Clear,
    headers: &HeaderMap,
    (id, actor): (i64, Actor),
    change: Change,
    rows: Rows,
) -> Answer<Booking> {
    let booking = BookingId(u64::try_from(id).unwrap_or(0));
    let command = Command::Booking(BookingCommand::Change { booking, expected: None, change });
    let (ask, answer) = Ask::new(vec![command], rows);
    clear.append(Ask { actor, once: once(headers)?, ..ask }, answer).await?;
    Ok(Json(one(clear, id)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelIn {
    reason: Reason,
}

pub(super) async fn cancel(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Sent(CancelIn { reason }): Sent<CancelIn>,
) -> Answer<Booking> {
    let id = number(read_id(IdKind::Booking, &id)?);
    let (by, actor) = match clear.caller(&headers)? {
        Role::Client(person) => {
            let own: bool = clear.read(|reader| {
                let sql = "SELECT person = ?2 FROM c_booking WHERE id = ?1";
                reader.prepare_cached(sql)?.query_row([id, number(person)], |row| row.get(0))
            })?;
            if !own {
                return Err(Code::NotFound.into());
            }
            (Side::Client, Actor::Client(domain::Handle(person)))
        }
        Role::Staff | Role::Admin | Role::Auditor => (Side::Staff, clear.worker(&headers)?),
    };
    let cancel = Change::Cancel { by, reason, note: None, fence: None };
    let rows: Rows = Box::new(move |tx, told| rows::cancel(tx, id, told.at.as_microsecond()));
    change(&clear, &headers, (id, actor), cancel, rows).await
}

pub(super) async fn erase_content(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    _: Bytes,
) -> Answer<Booking> {
    let actor = clear.worker(&headers)?;
    let id = number(read_id(IdKind::Booking, &id)?);
    let rows: Rows = Box::new(move |tx, _| rows::end_content(tx, id));
    change(&clear, &headers, (id, actor), Change::EraseContent, rows).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceIn {
    name: String,
    length: Length,
    confirmation: Confirmation,
    requires: std::collections::BTreeSet<Field>,
}

/// A service as it is stored to be shown.
pub(super) fn body(service: &Service) -> String {
    serde_json::json!({
        "name": service.name, "length": service.length, "confirmation": service.confirmation,
        "requires": service.requires, "resource_ids": [],
        "buffer_before_minutes": service.buffer_before,
        "buffer_after_minutes": service.buffer_after,
    })
    .to_string()
}

pub(super) async fn revise(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Sent(value): Sent<ServiceIn>,
) -> Answer<Value> {
    let actor = clear.worker(&headers)?;
    let id = read_id(IdKind::Service, &id)?;
    let service = Service {
        buffer_after: 0,
        buffer_before: 0,
        confirmation: value.confirmation,
        length: value.length,
        name: value.name,
        price: None,
        requires: value.requires,
        resources: [].into(),
    };
    let body = body(&service);
    let rows: Rows = Box::new(move |tx, _| {
        let sql = "UPDATE c_service SET body = ?2, version = version + 1 WHERE id = ?1";
        tx.prepare_cached(sql)?.execute(rusqlite::params![number(id), body]).map(drop)
    });
    let revise = CatalogueCommand::ReviseService { id: ServiceId(id), expected: None, service };
    let (ask, answer) = Ask::new(vec![Command::Catalogue(revise)], rows);
    clear.append(Ask { actor, ..ask }, answer).await?;
    Ok(Json(reads::service_of(&clear, id)?))
}
