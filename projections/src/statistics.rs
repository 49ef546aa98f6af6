//! Statistics: how many bookings there are of each combination of facets.
//!
//! Folded from facets alone, which stand in the events and are not personal. So no erasure changes
//! a count, and a rebuild after any number of them gives the same rows.

pub mod query;

use domain::booking::{Status, Step};
use domain::facet::Facets;
use domain::{Event, Recorded};
use rusqlite::Connection;

use crate::column::Number;
use crate::{FoldError, Projection};

pub use query::{StatFacet, Statistics, UnknownFacet, nested};

pub(crate) enum Fold {}

impl Projection for Fold {
    const NAME: &'static str = "statistics.v1";
    const SCHEMA: &'static str = include_str!("statistics/schema.sql");
    const TABLES: &'static [&'static str] = &["statistic"];

    fn apply(connection: &Connection, entry: &Recorded) -> Result<(), FoldError> {
        match &entry.event {
            Event::BookingRequested(event) => add(connection, &event.facets, event.status),
            Event::BookingConfirmed(step) => reached(connection, step, Status::Confirmed),
            Event::BookingCheckedIn(step) => reached(connection, step, Status::CheckedIn),
            Event::BookingCompleted(step) => reached(connection, step, Status::Completed),
            Event::BookingMissed(step) => reached(connection, step, Status::NoShow),
            Event::BookingDeclined(event) => {
                moved(connection, &event.facets, event.was, Status::Declined)
            }
            Event::BookingCancelled(event) => {
                moved(connection, &event.facets, event.was, Status::Cancelled)
            }
            Event::BookingRescheduled(event) => {
                remove(connection, &event.facets_before, event.status)?;
                add(connection, &event.facets, event.status)
            }
            Event::BookingChanged(_)
            | Event::BookingContentErased(_)
            | Event::PersonRegistered(_)
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

fn reached(connection: &Connection, step: &Step, now: Status) -> Result<(), FoldError> {
    moved(connection, &step.facets, step.was, now)
}

fn moved(
    connection: &Connection,
    facets: &Facets,
    was: Status,
    now: Status,
) -> Result<(), FoldError> {
    remove(connection, facets, was)?;
    add(connection, facets, now)
}

fn add(connection: &Connection, facets: &Facets, status: Status) -> Result<(), FoldError> {
    let sql = "INSERT INTO statistic (day, hour, resource_group, service, outcome, lead, party, \
         channel, nth, bookings) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1) \
         ON CONFLICT DO UPDATE SET bookings = bookings + 1";
    change(connection, sql, facets, status)?;
    Ok(())
}

fn remove(connection: &Connection, facets: &Facets, status: Status) -> Result<(), FoldError> {
    // Most combinations have one booking, so the row is usually the one to go.
    let last = "DELETE FROM statistic WHERE day = ?1 AND hour = ?2 AND resource_group = ?3 \
         AND service = ?4 AND outcome = ?5 AND lead = ?6 AND party = ?7 AND channel = ?8 \
         AND nth = ?9 AND bookings = 1";
    let one_of_many = "UPDATE statistic SET bookings = bookings - 1 WHERE day = ?1 AND hour = ?2 \
         AND resource_group = ?3 AND service = ?4 AND outcome = ?5 AND lead = ?6 AND party = ?7 \
         AND channel = ?8 AND nth = ?9";
    if change(connection, last, facets, status)? == 0
        && change(connection, one_of_many, facets, status)? == 0
    {
        return Err(FoldError::BelowZero);
    }
    Ok(())
}

fn change(
    connection: &Connection,
    sql: &str,
    facets: &Facets,
    status: Status,
) -> Result<usize, FoldError> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.execute((
        facets.day.to_string(),
        facets.hour,
        Number(facets.group.0),
        Number(facets.service.0),
        status.name(),
        facets.lead.name(),
        facets.party.name(),
        facets.channel.name(),
        facets.nth.name(),
    ))?)
}
