//! What the writer has committed lately: whether something that was read a moment ago is still so.

use std::collections::VecDeque;

use domain::{Position, Tag};

use crate::keyring::person::PersonId;

/// How many rows of either kind are remembered.
const MOST: usize = 8192;

/// The newest tags and persons, complete from one position on.
pub(in crate::ledger) struct Recent {
    tags: Newest<Tag>,
    persons: Newest<PersonId>,
}

struct Newest<T> {
    from: u64,
    rows: VecDeque<(T, Position)>,
}

impl Recent {
    /// Nothing yet, from this size on.
    pub(super) fn from(size: u64) -> Self {
        Self { tags: Newest::from(size), persons: Newest::from(size) }
    }

    /// Takes note of what was committed.
    pub(in crate::ledger) fn add(
        &mut self,
        tags: impl Iterator<Item = (Tag, Position)>,
        persons: impl Iterator<Item = (PersonId, Position)>,
    ) {
        self.tags.add(tags);
        self.persons.add(persons);
    }

    /// Whether an entry under a tag was committed at this size or later, where that is known.
    pub(super) fn since(&self, tag: Tag, size: u64) -> Option<bool> {
        self.tags.since(tag, size)
    }

    /// The tags of what was committed at this size or later, where that is known.
    pub(super) fn all_since(&self, size: u64) -> Option<impl Iterator<Item = Tag>> {
        Some(self.tags.newer(size)?.map(|(tag, _)| *tag))
    }

    /// Whether an entry of a person was committed at this size or later, where that is known.
    pub(super) fn of_since(&self, person: PersonId, size: u64) -> Option<bool> {
        self.persons.since(person, size)
    }
}

impl<T: Copy + PartialEq> Newest<T> {
    fn from(size: u64) -> Self {
        Self { from: size, rows: VecDeque::new() }
    }

    fn add(&mut self, rows: impl Iterator<Item = (T, Position)>) {
        self.rows.extend(rows);
        while self.rows.len() > MOST
            && let Some((_, position)) = self.rows.pop_front()
        {
            self.from = self.from.max(position.0 + 1);
        }
    }

    fn since(&self, name: T, size: u64) -> Option<bool> {
        Some(self.newer(size)?.any(|(known, _)| *known == name))
    }

    fn newer(&self, size: u64) -> Option<impl Iterator<Item = &(T, Position)>> {
        let newer = self.rows.iter().rev().take_while(move |(_, position)| position.0 >= size);
        (size >= self.from).then_some(newer)
    }
}
