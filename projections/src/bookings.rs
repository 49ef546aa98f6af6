//! Bookings as they stand, found by number, by handle and by start.

pub mod query;

use domain::booking::{
    Cancelled, Declined, Hold, Part, Reason, Requested, Rescheduled, Side, Status, Step,
};
use domain::{BookingId, Event, Recorded, RetentionClass};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::column::{At, Json, Number};
use crate::{FoldError, Projection, SealAt};

pub use query::{BookingFilter, BookingRow, Bookings, PartRow};

/// That a booking was given up or turned down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub at: Timestamp,
    pub by: Side,
    pub reason: Reason,
    pub note: Option<SealAt>,
}

pub(crate) enum Fold {}

impl Projection for Fold {
    const NAME: &'static str = "bookings.v2";
    const SCHEMA: &'static str = include_str!("bookings/schema.sql");
    const TABLES: &'static [&'static str] = &["booking", "part", "booking_resource"];

    fn apply(connection: &Connection, entry: &Recorded) -> Result<(), FoldError> {
        match &entry.event {
            Event::BookingRequested(event) => requested(connection, entry, event),
            Event::BookingConfirmed(step) => reached(connection, *step, Status::Confirmed),
            Event::BookingCheckedIn(step) => reached(connection, *step, Status::CheckedIn),
            Event::BookingCompleted(step) => reached(connection, *step, Status::Completed),
            Event::BookingMissed(step) => reached(connection, *step, Status::NoShow),
            Event::BookingDeclined(event) => declined(connection, entry, *event),
            Event::BookingCancelled(event) => cancelled(connection, entry, event),
            Event::BookingRescheduled(event) => rescheduled(connection, event),
            Event::BookingChanged(event) => noted(connection, event.booking, &[]),
            Event::BookingContentErased(event) => noted(connection, event.booking, &event.classes),
            Event::PersonRegistered(_)
            | Event::PersonRectified(_)
            | Event::PersonErased(_)
            | Event::PersonRestricted(_)
            | Event::PersonUnrestricted(_)
            | Event::HoldPlaced(_)
            | Event::HoldLifted(_)
            | Event::ConsentGiven(_)
            | Event::ConsentWithdrawn(_)
            | Event::PolicyAccepted(_)
            | Event::GroupDefined(_)
            | Event::ResourceDefined(_)
            | Event::ResourceRevised(_)
            | Event::ResourceRetired(_)
            | Event::ServiceDefined(_)
            | Event::ServiceRevised(_)
            | Event::ServiceRetired(_)
            | Event::PolicySet(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_)
            | Event::SealsOpened(_) => Ok(()),
        }
    }
}

fn requested(
    connection: &Connection,
    entry: &Recorded,
    event: &Requested,
) -> Result<(), FoldError> {
    let id = BookingId(entry.position.0);
    let mut statement = connection.prepare_cached(
        "INSERT INTO booking (id, status, service, resource_group, start_at, end_at, zone, \
         version, held, parts, facets, price, policy, created_by, created_at, recorded_at, \
         content_erased, details, health) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 0, ?16, ?17)",
    )?;
    statement.execute(rusqlite::params![
        Number(id.0),
        event.status.name(),
        Number(event.service.0),
        Number(event.facets.group.0),
        At(event.start),
        At(event.end),
        event.zone.name(),
        Json(&event.held),
        Json(&event.parts),
        Json(event.facets),
        event.price.as_ref().map(Json),
        event.policy.map(|hash| hash.0),
        Json(entry.actor),
        At(entry.occurred_at),
        At(entry.recorded_at),
        !event.parts.is_empty(),
        event.parts.iter().any(|part| part.health.is_some()),
    ])?;
    insert_parts(connection, id, &event.parts)?;
    insert_resources(connection, id, event.start, &event.held)
}

fn insert_parts(connection: &Connection, id: BookingId, parts: &[Part]) -> Result<(), FoldError> {
    let mut statement =
        connection.prepare_cached("INSERT INTO part (handle, booking) VALUES (?1, ?2)")?;
    for part in parts {
        statement.execute((Number(part.handle.0), Number(id.0)))?;
    }
    Ok(())
}

fn insert_resources(
    connection: &Connection,
    id: BookingId,
    start: Timestamp,
    held: &[Hold],
) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO booking_resource (resource, start_at, booking) VALUES (?1, ?2, ?3)",
    )?;
    for hold in held {
        statement.execute((Number(hold.resource.0), At(start), Number(id.0)))?;
    }
    Ok(())
}

fn reached(connection: &Connection, step: Step, now: Status) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "UPDATE booking SET status = ?3, version = version + 1 WHERE id = ?1 AND status = ?2",
    )?;
    let id = Number(step.booking.0);
    one(step.booking, statement.execute((id, step.was.name(), now.name()))?)
}

fn declined(connection: &Connection, entry: &Recorded, event: Declined) -> Result<(), FoldError> {
    let (at, reason) = (entry.occurred_at, event.reason);
    let ended = Ended { at, by: Side::Staff, reason, note: None };
    end(connection, event.booking, event.was, Status::Declined, ended)
}

fn cancelled(
    connection: &Connection,
    entry: &Recorded,
    event: &Cancelled,
) -> Result<(), FoldError> {
    let position = entry.position;
    let note = event.note.map(|note| SealAt { position, seal: note.seal, handle: note.handle });
    let ended = Ended { at: entry.occurred_at, by: event.by, reason: event.reason, note };
    end(connection, event.booking, event.was, Status::Cancelled, ended)
}

fn end(
    connection: &Connection,
    id: BookingId,
    was: Status,
    now: Status,
    ended: Ended,
) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "UPDATE booking SET status = ?3, version = version + 1, cancelled = ?4 \
         WHERE id = ?1 AND status = ?2",
    )?;
    one(id, statement.execute((Number(id.0), was.name(), now.name(), Json(ended)))?)
}

fn rescheduled(connection: &Connection, event: &Rescheduled) -> Result<(), FoldError> {
    let id = event.booking;
    delete_resources(connection, id)?;
    insert_resources(connection, id, event.start, &event.held)?;
    let mut statement = connection.prepare_cached(
        "UPDATE booking SET status = ?2, resource_group = ?3, start_at = ?4, end_at = ?5, \
         zone = ?6, held = ?7, facets = ?8, version = version + 1 WHERE id = ?1",
    )?;
    let changed = statement.execute((
        Number(id.0),
        event.status.name(),
        Number(event.facets.group.0),
        At(event.start),
        At(event.end),
        event.zone.name(),
        Json(&event.held),
        Json(event.facets),
    ))?;
    one(id, changed)
}

fn delete_resources(connection: &Connection, id: BookingId) -> Result<(), FoldError> {
    let mut statement =
        connection.prepare_cached("SELECT start_at, held FROM booking WHERE id = ?1")?;
    let known: Option<(i64, Json<Vec<Hold>>)> =
        statement.query_row([Number(id.0)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (start, Json(held)) = known.ok_or(FoldError::Unknown { what: "booking", id: id.0 })?;
    let mut statement = connection.prepare_cached(
        "DELETE FROM booking_resource WHERE resource = ?1 AND start_at = ?2 AND booking = ?3",
    )?;
    for hold in held {
        statement.execute((Number(hold.resource.0), start, Number(id.0)))?;
    }
    Ok(())
}

fn noted(
    connection: &Connection,
    id: BookingId,
    ended: &[RetentionClass],
) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "UPDATE booking SET version = version + 1, content_erased = content_erased OR ?2 OR ?3, \
         details = details AND NOT ?2, health = health AND NOT ?3 WHERE id = ?1",
    )?;
    let [details, health] = [RetentionClass::Booking, RetentionClass::Health];
    one(id, statement.execute((Number(id.0), ended.contains(&details), ended.contains(&health)))?)
}

/// The entry continues a booking that stands where the entry says.
fn one(id: BookingId, changed: usize) -> Result<(), FoldError> {
    if changed == 1 { Ok(()) } else { Err(FoldError::OutOfStep(id)) }
}
