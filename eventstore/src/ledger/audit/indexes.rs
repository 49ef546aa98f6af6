//! Both indexes held against the entries, in little memory.
//!
//! Rows come by position on one side and by key on the other, so sets of them are compared by
//! sums of hashes, which do not depend on the order: one pair of sums for each of a few thousand
//! stretches of the ledger. Only where a stretch differs are its rows listed.

use std::collections::BTreeSet;

use domain::{BookingId, Handle, Position, Tag};
use rusqlite::Connection;

use super::fault::Fault;
use super::{Findings, Report};
use crate::keyring::person::PersonId;
use crate::ledger::codec;
use crate::ledger::index::{self, Pending, PersonRow, StoredLinks};
use crate::ledger::log::ReadError;
use crate::sqlite::{int, uint};
use crate::tree;

/// Into how many stretches a ledger is divided.
const STRETCHES: u64 = 4096;
/// How many stretches that differ are looked at closely.
const LISTED: usize = 8;

/// What the entries say there should be less what there is, stretch by stretch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Balance {
    sum: u128,
    count: i64,
}

/// The balances of one index.
struct Balances {
    width: u64,
    stretches: Vec<Balance>,
}

impl Balances {
    fn new(size: u64) -> Self {
        let width = size.div_ceil(STRETCHES).max(1);
        let count = usize::try_from(size.div_ceil(width)).unwrap_or(0) + 1;
        Self { width, stretches: vec![Balance::default(); count] }
    }

    /// The last stretch takes whatever lies behind the end.
    fn at(&mut self, position: Position) -> Option<&mut Balance> {
        let last = self.stretches.len().saturating_sub(1);
        let place = usize::try_from(position.0 / self.width).unwrap_or(last);
        self.stretches.get_mut(place.min(last))
    }

    fn owed(&mut self, position: Position, hash: u128) {
        if let Some(balance) = self.at(position) {
            *balance = Balance {
                sum: balance.sum.wrapping_add(hash),
                count: balance.count.wrapping_add(1),
            };
        }
    }

    fn found(&mut self, position: Position, hash: u128) {
        if let Some(balance) = self.at(position) {
            *balance = Balance {
                sum: balance.sum.wrapping_sub(hash),
                count: balance.count.wrapping_sub(1),
            };
        }
    }

    /// The stretches that differ, as positions from one until before another.
    fn unbalanced(&self) -> Vec<(Position, Position)> {
        let last = self.stretches.len().saturating_sub(1);
        let stretches = self.stretches.iter().enumerate();
        let differ = stretches.filter(|(_, balance)| **balance != Balance::default());
        let bounds = differ.map(|(place, _)| {
            let first = u64::try_from(place).unwrap_or(0).saturating_mul(self.width);
            // As far as numbers reach in SQLite.
            let end = if place == last { i64::MAX.unsigned_abs() } else { first + self.width };
            (Position(first), Position(end))
        });
        bounds.collect()
    }
}

fn tag_hash(tag: Tag, position: Position) -> u128 {
    short(&[&tag.0.to_be_bytes(), &position.0.to_be_bytes()])
}

fn person_hash(row: &PersonRow) -> u128 {
    short(&[
        &row.person.0.to_be_bytes(),
        &row.until.to_be_bytes(),
        &row.position.0.to_be_bytes(),
        &row.handle.0.to_be_bytes(),
        &row.booking.map_or(u64::MAX, |booking| booking.0).to_be_bytes(),
        &row.seals.to_be_bytes(),
        &row.year.to_be_bytes(),
        &row.visits.to_be_bytes(),
    ])
}

fn short(pieces: &[&[u8]]) -> u128 {
    let hash = tree::hash(pieces);
    hash.first_chunk().map_or(0, |half| u128::from_be_bytes(*half))
}

/// What the walk found, as far as it is sums.
pub(super) struct Sums {
    tags: Balances,
    /// None where somebody is being erased: their rows go step by step.
    persons: Option<Balances>,
    pub(super) report: Report,
}

impl Sums {
    pub(super) fn new(size: u64, erasing: bool) -> Self {
        let report = Report::default();
        let persons = (!erasing).then(|| Balances::new(size));
        Self { tags: Balances::new(size), persons, report }
    }

    /// An entry carries these tags.
    pub(super) fn carried(&mut self, position: Position, tags: &[Tag]) {
        for tag in tags {
            self.tags.owed(position, tag_hash(*tag, position));
        }
    }

    /// An entry owes these rows to the index from persons.
    pub(super) fn owed(&mut self, rows: &[PersonRow]) {
        let Some(persons) = &mut self.persons else { return };
        for row in rows {
            persons.owed(row.position, person_hash(row));
        }
    }

    /// Holds tables and memory against what the entries owe.
    pub(super) fn compare(
        mut self,
        conn: &Connection,
        pending: &Pending,
        findings: &mut Findings,
    ) -> Result<Report, ReadError> {
        for_each_tag(conn, pending, |tag, position| {
            self.tags.found(position, tag_hash(tag, position));
        })?;
        for stretch in self.tags.unbalanced().into_iter().take(LISTED) {
            list_tags(conn, pending, stretch, findings)?;
        }
        if let Some(mut persons) = self.persons {
            for_each_person_row(conn, pending, |row| {
                persons.found(row.position, person_hash(&row));
            })?;
            for stretch in persons.unbalanced().into_iter().take(LISTED) {
                list_persons(conn, pending, stretch, findings)?;
            }
        }
        Ok(self.report)
    }
}

/// Every row of the index over tags, in the table and in memory, each once.
fn for_each_tag(
    conn: &Connection,
    pending: &Pending,
    mut take: impl FnMut(Tag, Position),
) -> Result<(), ReadError> {
    let mut waiting = pending.tags.sorted().into_iter().peekable();
    let mut select = conn.prepare("SELECT tag, position FROM tag ORDER BY tag, position")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let stored = (Tag(uint(row.get(0)?)), Position(uint(row.get(1)?)));
        while let Some((tag, position)) = waiting.next_if(|waiting| *waiting < stored) {
            take(tag, position);
        }
        waiting.next_if_eq(&stored);
        take(stored.0, stored.1);
    }
    waiting.for_each(|(tag, position)| take(tag, position));
    Ok(())
}

/// Every row of the index from persons, in the table and in memory, each once.
fn for_each_person_row(
    conn: &Connection,
    pending: &Pending,
    mut take: impl FnMut(PersonRow),
) -> Result<(), ReadError> {
    let mut waiting = pending.persons.sorted().into_iter().peekable();
    let mut select = conn.prepare(
        "SELECT person, until, position, handle, booking, seals, year, visits FROM person_tag
         ORDER BY person, until, position, handle",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let stored = PersonRow {
            person: PersonId(uint(row.get(0)?)),
            until: row.get(1)?,
            position: Position(uint(row.get(2)?)),
            handle: Handle(uint(row.get(3)?)),
            booking: row.get::<_, Option<i64>>(4)?.map(|id| BookingId(uint(id))),
            seals: row.get(5)?,
            year: row.get(6)?,
            visits: row.get(7)?,
        };
        while let Some(row) = waiting.next_if(|waiting| key(waiting) < key(&stored)) {
            take(row);
        }
        waiting.next_if(|waiting| key(waiting) == key(&stored));
        take(stored);
    }
    waiting.for_each(take);
    Ok(())
}

/// What tells one row of a person from another.
fn key(row: &PersonRow) -> (PersonId, i64, Position, Handle) {
    (row.person, row.until, row.position, row.handle)
}

type Stretch = (Position, Position);

fn within(position: Position, (first, end): Stretch) -> bool {
    (first..end).contains(&position)
}

/// The entries of a stretch that can be read.
fn entries(conn: &Connection, (first, end): Stretch) -> Result<Vec<codec::Entry>, ReadError> {
    let mut select = conn.prepare(
        "SELECT bytes FROM entry WHERE position >= ?1 AND position < ?2 ORDER BY position",
    )?;
    let mut rows = select.query((int(first.0), int(end.0)))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        entries.extend(codec::decode(bytes).ok());
    }
    Ok(entries)
}

fn list_tags(
    conn: &Connection,
    pending: &Pending,
    stretch: Stretch,
    findings: &mut Findings,
) -> Result<(), ReadError> {
    let mut owed = BTreeSet::new();
    for entry in entries(conn, stretch)? {
        let position = entry.recorded.position;
        owed.extend(entry.tags.iter().map(|tag| (position, *tag)));
    }
    let mut found = BTreeSet::new();
    for_each_tag(conn, pending, |tag, position| {
        if within(position, stretch) {
            found.insert((position, tag));
        }
    })?;
    for (position, tag) in owed.symmetric_difference(&found) {
        let missing = owed.contains(&(*position, *tag));
        let fault = if missing { Fault::TagMissing(*tag) } else { Fault::TagExtra(*tag) };
        findings.add(*position, &fault);
    }
    Ok(())
}

fn list_persons(
    conn: &Connection,
    pending: &Pending,
    stretch: Stretch,
    findings: &mut Findings,
) -> Result<(), ReadError> {
    let links = StoredLinks::new(conn);
    let mut owed = BTreeSet::new();
    for entry in entries(conn, stretch)? {
        let recorded = entry.recorded;
        let rows = index::rows_of(recorded.position, &recorded.event, &links);
        owed.extend(rows.into_iter().map(|row| (row.position, row)));
    }
    links.sound()?;
    let mut found = BTreeSet::new();
    for_each_person_row(conn, pending, |row| {
        if within(row.position, stretch) {
            found.insert((row.position, row));
        }
    })?;
    for (position, row) in owed.symmetric_difference(&found) {
        let missing = owed.contains(&(*position, *row));
        let handle = row.handle;
        let fault =
            if missing { Fault::PersonRowMissing(handle) } else { Fault::PersonRowExtra(handle) };
        findings.add(*position, &fault);
    }
    Ok(())
}
