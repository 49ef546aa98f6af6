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

use super::codec;
use super::log::{EntryBytes, ReadError};
use crate::engine::Reader;
use crate::keyring::person::PersonId;
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

impl PersonRow {
    /// Between which rows all of a person's stand whose booking ends within a time.
    fn within(person: PersonId, until: RangeInclusive<i64>) -> RangeInclusive<Self> {
        let (first, last) = until.into_inner();
        let first = Self {
            person,
            until: first,
            position: Position(0),
            handle: Handle(0),
            booking: None,
            seals: 0,
            year: i16::MIN,
            visits: i8::MIN,
        };
        let last = Self {
            until: last,
            position: Position(u64::MAX),
            handle: Handle(u64::MAX),
            booking: Some(BookingId(u64::MAX)),
            ..first
        };
        first..=last
    }
}

/// How many rows of an index wait in memory before a round begins, by the size of the ledger: a
/// small one moves none while it runs. They grow with the index, whose pages would else each meet
/// fewer of them; more make the start after a crash longer.
pub fn enough(size: u64) -> usize {
    usize::try_from(size / 4).unwrap_or(usize::MAX).clamp(400_000, 1_000_000)
}

/// The rows that are in memory and not yet in the tables.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    pub tags: Waiting<TagRow>,
    pub persons: Waiting<PersonRow>,
    /// The rows of all entries before this one are here or in the tables.
    pub reach: u64,
}

impl Pending {
    /// Takes in the rows of entries up to a size, of which some may have been taken in before.
    pub fn take_in(&mut self, mut tags: Vec<TagRow>, size: u64) {
        tags.retain(|(_, position)| position.0 >= self.reach);
        self.tags.add(tags);
        self.reach = self.reach.max(size);
    }

    /// Takes what was made anew in the place of what is here; of that stays what is newer.
    pub fn replace(&mut self, new: Self) {
        let old = std::mem::replace(self, new);
        let newer = old.tags.iter().filter(|(_, position)| position.0 >= self.reach);
        self.tags.add(newer.copied().collect());
        self.reach = self.reach.max(old.reach);
    }

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

    /// The tags of a range that a row waits of, at most `limit` rows of them; in order.
    pub fn first_tags(&self, tags: RangeInclusive<Tag>, limit: usize) -> Vec<Tag> {
        let (first, last) = tags.into_inner();
        let range = (first, Position(0))..=(last, Position(u64::MAX));
        self.tags.first(range, limit).into_iter().map(|(tag, _)| tag).collect()
    }

    /// A person's rows whose booking ends at `until` or later.
    pub fn of_person(&self, person: PersonId, until: i64) -> impl Iterator<Item = &PersonRow> {
        self.persons.range(PersonRow::within(person, until..=i64::MAX))
    }

    /// A person's rows whose booking ends just then, to count other seals.
    pub fn of_person_mut(
        &mut self,
        person: PersonId,
        until: i64,
    ) -> impl Iterator<Item = &mut PersonRow> {
        self.persons.range_mut(PersonRow::within(person, until..=until))
    }

    /// Forgets a person's rows. Nothing brings them back: the links they were made from go too.
    pub fn drop_person(&mut self, person: PersonId) {
        self.persons.remove(PersonRow::within(person, i64::MIN..=i64::MAX));
    }
}

/// Makes the rows again that are not in the tables yet: those of entries from `indexed` on.
///
/// # Errors
/// Where the ledger cannot be read.
pub fn rebuild(reader: &dyn Reader, indexed: u64) -> Result<Pending, ReadError> {
    let (tags, persons, reach) = made_anew(reader, indexed)?;
    let mut pending =
        Pending { tags: Waiting::new(indexed), persons: Waiting::new(indexed), reach };
    pending.tags.add(tags);
    pending.persons.add(persons);
    Ok(pending)
}

/// A row of the index over tags.
pub type TagRow = (Tag, Position);
/// Rows of both indexes.
type Rows = (Vec<TagRow>, Vec<PersonRow>);

/// The rows that are not in the tables yet, in no order.
///
/// # Errors
/// As [`rebuild`].
pub fn missing(reader: &dyn Reader, indexed: u64) -> Result<Rows, ReadError> {
    let (tags, persons, _) = made_anew(reader, indexed)?;
    Ok((tags, persons))
}

/// The rows of entries from `indexed` on, and up to which entry.
fn made_anew(
    reader: &dyn Reader,
    indexed: u64,
) -> Result<(Vec<TagRow>, Vec<PersonRow>, u64), ReadError> {
    let (mut tags, mut persons) = (Vec::new(), Vec::new());
    if reader.is_shared() {
        let reach = read(reader, indexed, |stored| tags.extend(tags_of(stored)))?;
        return Ok((tags, persons, reach));
    }
    let links = StoredLinks::new(reader);
    let reach = read(reader, indexed, |stored| {
        // One unknown to this program the audit names, and decisions that need it refuse.
        let Ok(entry) = codec::decode(&stored.bytes) else { return };
        tags.extend(entry.tags.iter().map(|tag| (*tag, stored.position)));
        persons.extend(rows_of(stored.position, &entry.recorded.event, &links));
    })?;
    links.sound()?;
    // A round that was not over has moved some rows behind `indexed` already: what is counted, not
    // only found, must not be in memory as well.
    let persons = reader.unwritten(persons)?;
    Ok((tags, persons, reach))
}

/// An entry's rows of the index over tags.
pub(super) fn tags_of(stored: &EntryBytes) -> impl Iterator<Item = TagRow> {
    let tags = codec::decode_tags(&stored.bytes).unwrap_or_default();
    let position = stored.position;
    tags.into_iter().map(move |tag| (tag, position))
}

/// The positions of the entries from `indexed` on that have a tag in a range, in order.
///
/// # Errors
/// As [`rebuild`].
pub fn missing_within(
    reader: &dyn Reader,
    indexed: u64,
    range: &RangeInclusive<Tag>,
) -> Result<Vec<Position>, ReadError> {
    let mut positions = Vec::new();
    read(reader, indexed, |stored| {
        let within = tags_of(stored).any(|(tag, _)| range.contains(&tag));
        positions.extend(within.then_some(stored.position));
    })?;
    Ok(positions)
}

/// Reads the entries from `indexed` on; up to which.
fn read(
    reader: &dyn Reader,
    indexed: u64,
    mut each: impl FnMut(&EntryBytes),
) -> Result<u64, ReadError> {
    let mut from = Position(indexed);
    loop {
        let entries = reader.entries(from, STRETCH)?;
        entries.iter().for_each(&mut each);
        match entries.last() {
            Some(last) if entries.len() == STRETCH => from = Position(last.position.0 + 1),
            Some(last) => return Ok(last.position.0 + 1),
            None => return Ok(from.0),
        }
    }
}

/// How many entries are read at a time to make rows of them.
pub(super) const STRETCH: usize = 4096;
