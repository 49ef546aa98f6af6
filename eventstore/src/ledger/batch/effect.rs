//! What an entry of a batch does to keys, links and seals that were there before.

use domain::{BookingId, Event, Handle, Position, RetentionClass};
use rusqlite::Connection;

use super::Batch;
use crate::ledger::erasure;
use crate::ledger::index::{PersonRow, Waiting};
use crate::sqlite::int;

/// What an entry means for keys and links that were there before.
pub(super) enum Effect {
    Registered { handle: Handle },
    Rectified { was: Handle, handle: Handle },
    ContentErased { booking: BookingId, handles: Vec<Handle>, positions: Vec<Position> },
}

impl Effect {
    /// What the event means for what was there; `positions` are the earlier entries it concerns.
    pub(super) fn of(event: Event, positions: Vec<Position>) -> Option<Self> {
        match event {
            Event::PersonRegistered(event) => {
                Some(Self::Registered { handle: event.contact.handle })
            }
            Event::PersonRectified(event) => {
                Some(Self::Rectified { was: event.was, handle: event.contact.handle })
            }
            Event::BookingContentErased(event) => {
                let (booking, handles) = (event.booking, event.handles);
                Some(Self::ContentErased { booking, handles, positions })
            }
            Event::BookingRequested(_)
            | Event::BookingConfirmed(_)
            | Event::BookingDeclined(_)
            | Event::BookingRescheduled(_)
            | Event::BookingCancelled(_)
            | Event::BookingCheckedIn(_)
            | Event::BookingCompleted(_)
            | Event::BookingMissed(_)
            | Event::BookingChanged(_)
            | Event::PersonErased(_)
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
            | Event::SealsOpened(_) => None,
        }
    }
}

pub(super) fn apply(
    conn: &Connection,
    batch: &Batch,
    position: Position,
    effect: &Effect,
) -> rusqlite::Result<()> {
    match effect {
        Effect::Registered { handle } => {
            let Some(person) = batch.person(*handle) else { return Ok(()) };
            conn.prepare_cached(
                "UPDATE person SET registration = ?2, contact_at = ?2, contact_handle = ?3
                 WHERE id = ?1",
            )?
            .execute((int(person.0), int(position.0), int(handle.0)))?;
        }
        Effect::Rectified { was, handle } => {
            let Some(person) = batch.person(*handle) else { return Ok(()) };
            let person = int(person.0);
            end_key(conn, *was, RetentionClass::Contact)?;
            conn.execute(
                "DELETE FROM seal WHERE id >= 65536 * (SELECT contact_at FROM person WHERE id = ?1)
                 AND id < 65536 * (1 + (SELECT contact_at FROM person WHERE id = ?1))",
                [person],
            )?;
            conn.execute(
                "UPDATE person SET contact_at = ?2, contact_handle = ?3 WHERE id = ?1",
                (person, int(position.0), int(handle.0)),
            )?;
            conn.execute(
                "UPDATE person_tag SET seals = 0 WHERE person = ?1 AND until = 0 AND handle = ?2",
                (person, int(was.0)),
            )?;
        }
        Effect::ContentErased { booking, handles, positions } => {
            erase_content(conn, *booking, handles)?;
            erasure::delete_seals(conn, positions, handles)?;
        }
    }
    Ok(())
}

/// Destroys a data key. The row stays as a tombstone: what was sealed is erased, not lost.
fn end_key(conn: &Connection, handle: Handle, class: RetentionClass) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE data_key SET wrapped = NULL WHERE id = ?1 * 8 + ?2")?
        .execute((int(handle.0), class.code()))?;
    Ok(())
}

fn erase_content(
    conn: &Connection,
    booking: BookingId,
    handles: &[Handle],
) -> rusqlite::Result<()> {
    for handle in handles {
        let rows: Vec<(i64, i64)> = {
            let mut select = conn.prepare_cached(
                "SELECT person, class FROM data_key WHERE id BETWEEN ?1 * 8 AND ?1 * 8 + 7 AND person IS NOT NULL",
            )?;
            let rows = select.query_map([int(handle.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for class in [RetentionClass::Booking, RetentionClass::Health] {
            end_key(conn, *handle, class)?;
        }
        for (person, _) in rows {
            conn.execute(
                "UPDATE person_tag SET seals = 0 WHERE person = ?1 AND booking = ?2",
                (person, int(booking.0)),
            )?;
        }
    }
    Ok(())
}

/// Pending rows of what an effect has ended count no seals any more.
pub(super) fn forget_seals(rows: &mut Waiting<PersonRow>, batch: &Batch, effect: &Effect) {
    let ended = |row: &PersonRow| match effect {
        Effect::Registered { .. } => false,
        Effect::Rectified { was, handle } => {
            row.handle == *was && Some(row.person) == batch.person(*handle)
        }
        Effect::ContentErased { booking, .. } => row.booking == Some(*booking),
    };
    if matches!(effect, Effect::Registered { .. }) {
        return;
    }
    rows.iter_mut().filter(|row| ended(row)).for_each(|row| row.seals = 0);
}
