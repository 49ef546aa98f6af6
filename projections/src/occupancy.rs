//! What is held of every resource, as availability needs it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use domain::booking::{Day, Hold, Occupied};
use domain::slot::Slot;
use domain::{BookingId, Event, Recorded, ResourceId};
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};
use rusqlite::{Connection, Row};

use crate::column::{At, Number};
use crate::{FoldError, Projection, ProjectionError};

const DAY_MICROSECONDS: i64 = 86_400_000_000;

pub(crate) enum Fold {}

impl Projection for Fold {
    const NAME: &'static str = "occupancy.v1";
    const SCHEMA: &'static str = include_str!("occupancy/schema.sql");
    const TABLES: &'static [&'static str] = &["held"];

    fn apply(connection: &Connection, entry: &Recorded) -> Result<(), FoldError> {
        match &entry.event {
            Event::BookingRequested(event) => {
                hold(connection, BookingId(entry.position.0), &event.held)
            }
            Event::BookingRescheduled(event) => {
                free(connection, event.booking)?;
                hold(connection, event.booking, &event.held)
            }
            Event::BookingDeclined(event) => free(connection, event.booking),
            Event::BookingCancelled(event) => free(connection, event.booking),
            Event::BookingConfirmed(_)
            | Event::BookingCheckedIn(_)
            | Event::BookingCompleted(_)
            | Event::BookingMissed(_)
            | Event::BookingChanged(_)
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

fn hold(connection: &Connection, booking: BookingId, held: &[Hold]) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO held (resource, reach, from_at, booking, until_at, units) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for hold in held {
        statement.execute((
            Number(hold.resource.0),
            Number(reach(hold)),
            At(hold.from),
            Number(booking.0),
            At(hold.until),
            hold.units,
        ))?;
    }
    Ok(())
}

/// The length in days, rounded up to a power of two.
fn reach(hold: &Hold) -> u64 {
    let length = hold.until.as_microsecond().abs_diff(hold.from.as_microsecond());
    length.div_ceil(DAY_MICROSECONDS.unsigned_abs()).next_power_of_two()
}

/// A booking that held nothing is no error: others judge whether it exists.
fn free(connection: &Connection, booking: BookingId) -> Result<(), FoldError> {
    let mut statement = connection.prepare_cached("DELETE FROM held WHERE booking = ?1")?;
    statement.execute([Number(booking.0)])?;
    Ok(())
}

/// What is held, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Occupancy<'r> {
    connection: &'r Connection,
}

impl<'r> Occupancy<'r> {
    pub(crate) fn of(connection: &'r Connection) -> Self {
        Self { connection }
    }

    /// What is held of a resource on each UTC day of a range, with an empty day where nothing is.
    /// For [`domain::availability::offers`] begin a day before the window and end a day after it.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn days(
        &self,
        resource: ResourceId,
        dates: RangeInclusive<Date>,
    ) -> Result<BTreeMap<Date, Day>, ProjectionError> {
        let (first, last) = (*dates.start(), *dates.end());
        let mut days: BTreeMap<Date, Day> = first
            .series(Span::new().days(1))
            .take_while(|date| *date <= last)
            .map(|date| (date, Day::default()))
            .collect();
        for (booking, occupied) in self.overlapping(resource, first, last)? {
            let Ok(slot) = Slot::new(occupied.from, occupied.until) else { continue };
            let touched = slot.days().skip_while(|date| *date < first);
            for date in touched.take_while(|date| *date <= last) {
                if let Some(day) = days.get_mut(&date) {
                    day.set(booking, Some(occupied));
                }
            }
        }
        Ok(days)
    }

    fn overlapping(
        &self,
        resource: ResourceId,
        first: Date,
        last: Date,
    ) -> Result<Vec<(BookingId, Occupied)>, ProjectionError> {
        let mut statement = self.connection.prepare_cached(
            "WITH reach (days) AS (VALUES (1), (2), (4), (8), (16), (32), (64), (128), (256), (512)) \
             SELECT held.booking, held.from_at, held.until_at, held.units \
             FROM reach CROSS JOIN held ON held.resource = ?1 AND held.reach = reach.days \
             AND held.from_at > ?2 - reach.days * ?4 AND held.from_at < ?3 \
             WHERE held.until_at > ?2",
        )?;
        let from = midnight(first).map_or(0, Timestamp::as_microsecond);
        let after = last.tomorrow().ok().and_then(midnight);
        let to = after.map_or(i64::MAX, Timestamp::as_microsecond);
        let rows =
            statement.query_map((Number(resource.0), from, to, DAY_MICROSECONDS), occupied)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many places of each resource are held at one instant, where any are.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn held_at(&self, at: Timestamp) -> Result<BTreeMap<ResourceId, u64>, ProjectionError> {
        let mut statement = self.connection.prepare_cached(
            "WITH RECURSIVE resource (id) AS (SELECT min(resource) FROM held UNION ALL \
             SELECT (SELECT min(resource) FROM held WHERE resource > id) FROM resource \
             WHERE id IS NOT NULL), \
             reach (days) AS (VALUES (1), (2), (4), (8), (16), (32), (64), (128), (256), (512)) \
             SELECT held.resource, sum(held.units) \
             FROM resource CROSS JOIN reach CROSS JOIN held \
             ON held.resource = resource.id AND held.reach = reach.days \
             AND held.from_at > ?1 - reach.days * ?2 AND held.from_at <= ?1 \
             WHERE held.until_at > ?1 GROUP BY held.resource",
        )?;
        let rows = statement.query_map((At(at), DAY_MICROSECONDS), |row| {
            let (Number(resource), Number(units)) = (row.get(0)?, row.get(1)?);
            Ok((ResourceId(resource), units))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn midnight(date: Date) -> Option<Timestamp> {
    Offset::UTC.to_timestamp(date.to_datetime(Time::midnight())).ok()
}

fn occupied(row: &Row<'_>) -> rusqlite::Result<(BookingId, Occupied)> {
    let (Number(booking), At(from), At(until)) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok((BookingId(booking), Occupied { from, until, units: row.get(3)? }))
}
