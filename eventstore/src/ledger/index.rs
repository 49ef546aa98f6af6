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

use std::collections::BTreeSet;

use domain::{BookingId, Event, Handle, Position, Tag};
use rusqlite::{Connection, OptionalExtension, params};

use super::codec;
use crate::keyring::person::PersonId;
use crate::sqlite::{int, uint};

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
#[derive(Debug, Default)]
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

pub fn insert_tags(conn: &Connection, rows: &[(Tag, Position)]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO tag VALUES (?1, ?2)")?;
    for (tag, position) in rows {
        insert.execute((int(tag.0), int(position.0)))?;
    }
    Ok(())
}

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

/// What the index from persons must know to place an entry.
pub trait Links {
    /// Whose handle, and whether what the person sealed under it can still be opened.
    fn person(&self, handle: Handle) -> Option<PersonId>;

    /// How many seals of a handle would end with its person.
    fn live(&self, handle: Handle, seals: u32) -> u32;

    /// The parts of a booking, the booker's first.
    fn parts(&self, booking: BookingId) -> Vec<Handle>;
}

/// The rows that an entry brings to the index from persons.
pub fn rows_of(position: Position, event: &Event, links: &impl Links) -> Vec<PersonRow> {
    let row = |handle: Handle| {
        let person = links.person(handle)?;
        let (until, booking, seals, year, visits) = (0, None, 0, 0, 0);
        Some(PersonRow { person, until, position, handle, booking, seals, year, visits })
    };
    let matter = |handle: Handle| {
        row(handle)
            .map(|row| PersonRow { seals: links.live(handle, 1), ..row })
            .into_iter()
            .collect()
    };
    match event {
        Event::BookingRequested(event) => {
            let booker = event.booker();
            let booking = Some(BookingId(position.0));
            let (until, year) = (event.end.as_second(), event.facets.day.year());
            let parts = event.parts.iter().filter_map(|part| {
                let ending = part.seals().filter(|seal| seal.class.ends_with_person()).count();
                let ending = u32::try_from(ending).unwrap_or(u32::MAX);
                let seals = links.live(part.handle, ending);
                let visits = i8::from(Some(part.handle) == booker);
                row(part.handle).map(|row| PersonRow { until, booking, seals, year, visits, ..row })
            });
            parts.collect()
        }
        Event::BookingRescheduled(event) => {
            let booking = Some(event.booking);
            let until = event.end.as_second();
            let (before, year) = (event.facets_before.day.year(), event.facets.day.year());
            let mut rows = Vec::new();
            for (place, handle) in links.parts(event.booking).into_iter().enumerate() {
                let Some(row) = row(handle) else { continue };
                let moved = i8::from(place == 0 && before != year);
                rows.push(PersonRow { until, booking, year, visits: moved, ..row });
                if moved != 0 {
                    rows.push(PersonRow { booking, year: before, visits: -1, ..row });
                }
            }
            rows
        }
        Event::BookingCancelled(event) => {
            let handle = links.parts(event.booking).first().copied();
            let given_up = handle.and_then(row).map(|row| {
                let noted = event.note.is_some_and(|note| note.handle == row.handle);
                let seals = links.live(row.handle, u32::from(noted));
                let (booking, year) = (Some(event.booking), event.facets.day.year());
                PersonRow { booking, seals, year, visits: -1, ..row }
            });
            given_up.into_iter().collect()
        }
        Event::BookingDeclined(event) => {
            let handle = links.parts(event.booking).first().copied();
            let year = event.facets.day.year();
            let booking = Some(event.booking);
            let declined =
                handle.and_then(row).map(|row| PersonRow { booking, year, visits: -1, ..row });
            declined.into_iter().collect()
        }
        Event::PersonRegistered(event) => matter(event.contact.handle),
        Event::PersonRectified(event) => matter(event.contact.handle),
        Event::ConsentGiven(event) => matter(event.evidence.handle),
        Event::PolicyAccepted(event) => matter(event.evidence.handle),
        Event::BookingConfirmed(_)
        | Event::BookingCheckedIn(_)
        | Event::BookingCompleted(_)
        | Event::BookingMissed(_)
        | Event::BookingChanged(_)
        | Event::BookingContentErased(_)
        | Event::PersonErased(_)
        | Event::ConsentWithdrawn(_)
        | Event::GroupDefined(_)
        | Event::ResourceDefined(_)
        | Event::ResourceRevised(_)
        | Event::ResourceRetired(_)
        | Event::ServiceDefined(_)
        | Event::ServiceRevised(_)
        | Event::ServiceRetired(_)
        | Event::PolicySet(_)
        | Event::LedgerReopened(_)
        | Event::SealsOpened(_) => Vec::new(),
    }
}

/// Links as the tables hold them: for rebuilding, where nothing is in memory.
pub struct StoredLinks<'a>(pub &'a Connection);

impl StoredLinks<'_> {
    fn requested(&self, booking: BookingId) -> Option<Event> {
        let mut select =
            self.0.prepare_cached("SELECT bytes FROM entry WHERE position = ?1").ok()?;
        let bytes: Vec<u8> =
            select.query_row([int(booking.0)], |row| row.get(0)).optional().ok()??;
        codec::decode_event(&bytes).ok()
    }
}

impl Links for StoredLinks<'_> {
    fn person(&self, handle: Handle) -> Option<PersonId> {
        let mut select = self
            .0
            .prepare_cached(
                "SELECT person FROM data_key WHERE handle = ?1 AND person IS NOT NULL LIMIT 1",
            )
            .ok()?;
        let person: i64 = select.query_row([int(handle.0)], |row| row.get(0)).optional().ok()??;
        Some(PersonId(uint(person)))
    }

    fn live(&self, handle: Handle, seals: u32) -> u32 {
        let select = self.0.prepare_cached(
            "SELECT count(*) FROM data_key
             WHERE handle = ?1 AND year IS NULL AND wrapped IS NOT NULL",
        );
        let keys: rusqlite::Result<u32> =
            select.and_then(|mut select| select.query_row([int(handle.0)], |row| row.get(0)));
        if keys.unwrap_or(0) == 0 { 0 } else { seals }
    }

    fn parts(&self, booking: BookingId) -> Vec<Handle> {
        match self.requested(booking) {
            Some(Event::BookingRequested(event)) => {
                let booker = event.booker();
                let mut handles: Vec<Handle> = event.parts.iter().map(|part| part.handle).collect();
                handles.sort_by_key(|handle| Some(*handle) != booker);
                handles
            }
            Some(_) | None => Vec::new(),
        }
    }
}

/// Makes the rows again that are not in the tables yet: those of entries from `indexed` on.
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
    Ok(pending)
}
