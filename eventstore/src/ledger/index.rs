//! What entries are found by, written late.
//!
//! Each entry carries its tags, so the index over them is derived and need not be in the commit.
//! The newest rows stay in memory, in key order, and move into the tables a slice at a time with
//! later commits: many rows then share a page, where each alone would dirty one of its own.
//! `indexed` in the head says up to where the tables are complete; after a crash the rows from
//! there on are made again from the entries.
//!
//! The index from persons to entries works the same, but only the keyring knows whose handle is
//! whose: its rows are made from entries and links, and end with the person.

mod persons;
mod waiting;

use std::ops::RangeInclusive;

use domain::{BookingId, Handle, Position, Tag};
use rusqlite::{Connection, params};

use super::codec;
use crate::keyring::person::PersonId;
use crate::sqlite::{int, uint};
pub use persons::{Links, StoredLinks, rows_of};
pub use waiting::{Slice, Waiting};

/// One row of the index from persons to entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonRow {
    pub person: PersonId,
    /// The end of the booking in seconds; 0 for other matters.
    pub until: i64,
    pub position: Position,
    pub handle: Handle,
    pub booking: Option<BookingId>,
    /// How many seals the person's erasure would end.
    pub seals: u32,
    pub year: i16,
    /// 1 for a booking, -1 where one was given up.
    pub visits: i8,
}

/// The rows that are in memory and not yet in the tables.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    pub tags: Waiting<(Tag, Position)>,
    pub persons: Waiting<PersonRow>,
}

impl Pending {
    /// The positions under a tag.
    pub fn positions(&self, tag: Tag) -> impl Iterator<Item = Position> {
        self.positions_within(tag..=tag)
    }

    /// The positions under a range of tags.
    pub fn positions_within(&self, tags: RangeInclusive<Tag>) -> impl Iterator<Item = Position> {
        let (first, last) = tags.into_inner();
        let range = (first, Position(0))..=(last, Position(u64::MAX));
        self.tags.range(range).map(|(_, position)| *position)
    }

    /// A person's rows whose booking ends at `until` or later.
    pub fn of_person(&self, person: PersonId, until: i64) -> impl Iterator<Item = &PersonRow> {
        let first = PersonRow {
            person,
            until,
            position: Position(0),
            handle: Handle(0),
            booking: None,
            seals: 0,
            year: i16::MIN,
            visits: i8::MIN,
        };
        let last = PersonRow {
            until: i64::MAX,
            position: Position(u64::MAX),
            handle: Handle(u64::MAX),
            booking: Some(BookingId(u64::MAX)),
            ..first
        };
        self.persons.range(first..=last)
    }

    /// Forgets a person's rows. Nothing brings them back: the links they were made from go too.
    pub fn drop_person(&mut self, person: PersonId) {
        self.persons.retain(|row| row.person != person);
    }
}

/// Writes rows of the index over tags; one that is there already stays.
///
/// # Errors
/// Where the file cannot be written.
pub fn insert_tags(conn: &Connection, rows: &[(Tag, Position)]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO tag VALUES (?1, ?2)")?;
    for (tag, position) in rows {
        insert.execute((int(tag.0), int(position.0)))?;
    }
    Ok(())
}

/// Writes rows of the index from persons.
///
/// # Errors
/// Where the file cannot be written.
pub fn insert_persons(conn: &Connection, rows: &[PersonRow]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO person_tag VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for row in rows {
        insert.execute(params![
            int(row.person.0),
            row.until,
            int(row.position.0),
            int(row.handle.0),
            row.booking.map(|booking| int(booking.0)),
            row.seals,
            row.year,
            row.visits,
        ])?;
    }
    Ok(())
}

/// A person's rows in the table whose booking ends after `until`.
///
/// # Errors
/// Where the file cannot be read.
pub fn person_rows(
    conn: &Connection,
    person: PersonId,
    until: i64,
) -> rusqlite::Result<Vec<PersonRow>> {
    let mut select = conn.prepare_cached(
        "SELECT until, position, handle, booking, seals, year, visits FROM person_tag
         WHERE person = ?1 AND until >= ?2",
    )?;
    let rows = select.query_map((int(person.0), until), |row| {
        Ok(PersonRow {
            person,
            until: row.get(0)?,
            position: Position(uint(row.get(1)?)),
            handle: Handle(uint(row.get(2)?)),
            booking: row.get::<_, Option<i64>>(3)?.map(|id| BookingId(uint(id))),
            seals: row.get(4)?,
            year: row.get(5)?,
            visits: row.get(6)?,
        })
    })?;
    rows.collect()
}

/// Makes the rows again that are not in the tables yet: those of entries from `indexed` on.
///
/// # Errors
/// Where the file cannot be read.
pub fn rebuild(conn: &Connection, indexed: u64) -> rusqlite::Result<Pending> {
    let (mut tags, mut persons) = (Vec::new(), Vec::new());
    let links = StoredLinks(conn);
    let mut select =
        conn.prepare("SELECT position, bytes FROM entry WHERE position >= ?1 ORDER BY position")?;
    let mut rows = select.query([int(indexed)])?;
    while let Some(row) = rows.next()? {
        let position = Position(uint(row.get(0)?));
        let Ok(entry) = codec::decode(row.get_ref(1)?.as_blob()?) else {
            // Unknown to this program: the audit names it, decisions that need it refuse.
            continue;
        };
        tags.extend(entry.tags.iter().map(|tag| (*tag, position)));
        persons.extend(rows_of(position, &entry.recorded.event, &links));
    }
    leave_out_stored(conn, &mut persons)?;
    let mut pending = Pending { tags: Waiting::new(indexed), persons: Waiting::new(indexed) };
    pending.tags.add(tags);
    pending.persons.add(persons);
    Ok(pending)
}

/// A round that was not over has moved some rows behind `indexed` already: what is counted, not
/// only found, must not be in memory as well.
fn leave_out_stored(conn: &Connection, rows: &mut Vec<PersonRow>) -> rusqlite::Result<()> {
    let mut select = conn.prepare_cached(
        "SELECT 1 FROM person_tag WHERE person = ?1 AND until = ?2 AND position = ?3 AND handle = ?4",
    )?;
    let mut waiting = Vec::with_capacity(rows.len());
    for row in rows.drain(..) {
        let place = (int(row.person.0), row.until, int(row.position.0), int(row.handle.0));
        if !select.exists(place)? {
            waiting.push(row);
        }
    }
    *rows = waiting;
    Ok(())
}
