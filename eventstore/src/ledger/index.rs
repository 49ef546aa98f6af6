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

use std::collections::BTreeSet;

use domain::{BookingId, Handle, Position, Tag};
use rusqlite::{Connection, params};

use super::codec;
use crate::keyring::person::PersonId;
use crate::sqlite::{int, uint};
pub use persons::{Links, StoredLinks, rows_of};

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
    pub tags: BTreeSet<(Tag, Position)>,
    pub persons: BTreeSet<PersonRow>,
}

impl Pending {
    /// The positions under a tag, in order.
    pub fn positions(&self, tag: Tag) -> impl Iterator<Item = Position> {
        let range = (tag, Position(0))..=(tag, Position(u64::MAX));
        self.tags.range(range).map(|(_, position)| *position)
    }

    /// A person's rows whose booking ends after `until`.
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
        self.persons.range(first..).take_while(move |row| row.person == person)
    }

    /// Forgets a person's rows. Nothing brings them back: the links they were made from go too.
    pub fn drop_person(&mut self, person: PersonId) {
        let rows: Vec<PersonRow> = self.of_person(person, 0).copied().collect();
        for row in &rows {
            self.persons.remove(row);
        }
    }
}

/// Moves rows of one table from memory, in rounds over the whole key space.
#[derive(Debug)]
pub struct Round<K> {
    cursor: Option<K>,
    /// The size of the ledger when the round began: all older rows are in the table when it ends.
    began_at: u64,
    pub complete_to: u64,
}

impl<K: Ord + Copy> Round<K> {
    pub fn new(indexed: u64, size: u64) -> Self {
        Self { cursor: None, began_at: size, complete_to: indexed }
    }

    /// The next `count` rows in key order, and whether the round ends with them.
    pub fn slice(&self, rows: &BTreeSet<K>, count: usize) -> (Vec<K>, bool) {
        let slice: Vec<K> = match self.cursor {
            None => rows.iter().take(count).copied().collect(),
            Some(cursor) => {
                let after = (std::ops::Bound::Excluded(cursor), std::ops::Bound::Unbounded);
                rows.range(after).take(count).copied().collect()
            }
        };
        let ended = slice.len() < count;
        (slice, ended)
    }

    /// Up to where the table is complete once a slice is in it.
    pub fn complete_after(&self, ended: bool) -> u64 {
        if ended { self.began_at } else { self.complete_to }
    }

    /// Takes note that a slice is in the table.
    pub fn moved(&mut self, slice: &[K], ended: bool, size: u64) {
        match slice.last() {
            Some(last) if !ended => self.cursor = Some(*last),
            Some(_) | None => {
                self.cursor = None;
                self.complete_to = self.began_at;
                self.began_at = size;
            }
        }
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
    let mut pending = Pending::default();
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
        pending.tags.extend(entry.tags.iter().map(|tag| (*tag, position)));
        pending.persons.extend(rows_of(position, &entry.recorded.event, &links));
    }
    leave_out_stored(conn, &mut pending.persons)?;
    Ok(pending)
}

/// A round that was not over has moved some rows behind `indexed` already: what is counted, not
/// only found, must not be in memory as well.
fn leave_out_stored(conn: &Connection, rows: &mut BTreeSet<PersonRow>) -> rusqlite::Result<()> {
    let mut select = conn.prepare_cached(
        "SELECT 1 FROM person_tag WHERE person = ?1 AND until = ?2 AND position = ?3 AND handle = ?4",
    )?;
    let mut stored = Vec::new();
    for row in rows.iter() {
        let place = (int(row.person.0), row.until, int(row.position.0), int(row.handle.0));
        if select.exists(place)? {
            stored.push(*row);
        }
    }
    for row in &stored {
        rows.remove(row);
    }
    Ok(())
}
