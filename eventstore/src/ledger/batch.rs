//! A batch: what several commands bring, committed once.
//!
//! One transaction holds entries, seals, keys, links, repeats, the head and a slice of the index
//! rows that were pending. Callers hear back after it is durable.

mod commit;
mod effect;
mod repeat;

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::Tagged;
use domain::sealed::{FieldSet, SealRef};
use domain::{Draft, Event, Handle, Kind, Position, Tag};
use smallvec::SmallVec;

use super::appender::{Append, AppendError, Appended};
use super::index::PersonRow;
use super::writer::Reply;
use crate::keyring::lookups::{self, stored_kind};
use crate::keyring::person::PersonId;
use crate::keyring::sealing::{Brought, NewDataKey, NewLookup, NewPerson, NewSeal};
use crate::tree::Hash;
use effect::Effect;
pub(super) use effect::Known;
pub(crate) use repeat::Repeat;
pub(super) use repeat::{Looked, Seen};

pub(crate) struct NewEntry {
    pub position: Position,
    pub bytes: Vec<u8>,
    pub leaf: Hash,
    pub seals: Vec<NewSeal>,
    effect: Option<Effect>,
}

/// What several commands bring.
#[derive(Default)]
pub(crate) struct Batch {
    pub entries: Vec<NewEntry>,
    pub persons: Vec<NewPerson>,
    pub data_keys: Vec<NewDataKey>,
    pub lookups: Vec<NewLookup>,
    pub replaced: Vec<(PersonId, FieldSet)>,
    /// Whose the new handles are, in the order of the commands.
    links: Vec<(Handle, PersonId)>,
    /// Seals of the command being decided that no entry has taken yet.
    loose: Vec<NewSeal>,
    tags: Vec<(Tag, Position)>,
    rows: Vec<PersonRow>,
    /// Whose rows count differently once it is committed.
    recounted: Vec<PersonId>,
    pub repeats: Vec<(Repeat, Appended)>,
    answers: Vec<(Reply<Appended>, Result<Appended, AppendError>)>,
    /// The commands behind the answers, where another node may be first.
    kept: Vec<Append>,
    spoilt: bool,
}

impl Batch {
    /// Whether seals and drafts belong together, each seal once.
    pub(super) fn fits(drafts: &[Draft], brought: &Brought) -> Result<(), AppendError> {
        // A decision may find that nothing needs to be appended; then nothing is kept either.
        if drafts.is_empty() {
            return Ok(());
        }
        let name = |kind: Kind, seal: &SealRef| (kind, seal.handle, seal.class.code(), seal.seal);
        let mut wanted: SmallVec<[_; 2]> = SmallVec::new();
        for draft in drafts {
            let kind = draft.event.kind();
            wanted.extend(draft.event.seals().iter().map(|seal| name(kind, seal)));
        }
        let mut brought: SmallVec<[_; 2]> =
            brought.seals.iter().map(|new| name(new.kind, &new.seal)).collect();
        wanted.sort_unstable();
        brought.sort_unstable();
        if wanted == brought { Ok(()) } else { Err(AppendError::SealsDiffer) }
    }

    /// Takes in what was sealed for a command that is accepted.
    pub(super) fn bring(&mut self, brought: Brought) {
        self.persons.extend(brought.persons);
        self.data_keys.extend(brought.data_keys);
        self.lookups.extend(brought.lookups);
        self.replaced.extend(brought.replaced);
        self.links.extend(brought.links);
    }

    /// Has seals at hand for the entries to come that have them.
    pub(super) fn loosen(&mut self, seals: Vec<NewSeal>) {
        self.loose = seals;
    }

    /// Lets go of a command that cannot be written; of everything, where a part of it is taken in.
    pub(super) fn let_go(&mut self, is_begun: bool) {
        self.loose = Vec::new();
        self.spoilt |= is_begun;
    }

    /// What is to be on each person's list of what they are found by.
    pub(crate) fn lists(&self) -> BTreeMap<PersonId, Vec<u8>> {
        let mut lists: BTreeMap<PersonId, Vec<u8>> = BTreeMap::new();
        for new in &self.lookups {
            let entry = (stored_kind(new.kind.code(), new.epoch), new.value);
            lookups::add(lists.entry(new.person).or_default(), entry);
        }
        lists
    }

    /// Whether the list of somebody who was there before changes.
    pub(crate) fn relists(&self) -> bool {
        let new: BTreeSet<PersonId> = self.persons.iter().map(|new| new.id).collect();
        !self.replaced.is_empty() || self.lookups.iter().any(|look| !new.contains(&look.person))
    }

    /// The seals of an entry, in order of their index.
    pub(super) fn seals_of(&mut self, event: &Event) -> Result<Vec<NewSeal>, AppendError> {
        let mut references = event.seals();
        references.sort_by_key(|seal| seal.seal);
        let kind = event.kind();
        // Most entries have all that was brought, as it was brought.
        let as_brought = references.iter().eq(self.loose.iter().map(|new| &new.seal));
        if as_brought && self.loose.iter().all(|new| new.kind == kind) {
            return Ok(std::mem::take(&mut self.loose));
        }
        let seals = references.iter().map(|seal| {
            let of_it = |new: &NewSeal| new.kind == kind && new.seal == *seal;
            let at = self.loose.iter().position(of_it).ok_or(AppendError::SealsDiffer)?;
            Ok(self.loose.swap_remove(at))
        });
        seals.collect()
    }

    /// Adds an entry.
    #[expect(clippy::too_many_arguments, reason = "an entry is made in one place, of all these")]
    pub(super) fn entry(
        &mut self,
        position: Position,
        bytes: Vec<u8>,
        leaf: Hash,
        seals: Vec<NewSeal>,
        tagged: Tagged,
        rows: Vec<PersonRow>,
        known: Known,
    ) {
        let effect = Effect::of(tagged.draft.event, known);
        self.tags.extend(tagged.tags.into_iter().map(|tag| (tag, position)));
        self.rows.extend(rows);
        self.entries.push(NewEntry { position, bytes, leaf, seals, effect });
    }

    /// The entries of this batch under a tag.
    pub(super) fn positions(&self, tag: Tag) -> impl Iterator<Item = Position> {
        self.tags.iter().filter(move |(known, _)| *known == tag).map(|(_, position)| *position)
    }

    /// The entries of this batch under a tag, as they are stored.
    pub(super) fn under(&self, tag: Tag) -> impl Iterator<Item = (Position, &[u8])> {
        self.positions(tag).filter_map(|position| {
            let at = self.entries.binary_search_by_key(&position, |entry| entry.position).ok()?;
            Some((position, self.entries.get(at)?.bytes.as_slice()))
        })
    }

    /// Has a person's visits counted anew, once they are asked for after it is committed.
    pub(super) fn recount(&mut self, person: PersonId) {
        self.recounted.push(person);
    }

    /// The index rows of a person that it brings.
    pub(super) fn rows_of(&self, person: PersonId) -> impl Iterator<Item = &PersonRow> {
        self.rows.iter().filter(move |row| row.person == person)
    }

    /// Has a caller hear this once the batch is durable.
    pub(super) fn answer(&mut self, reply: Reply<Appended>, answer: Result<Appended, AppendError>) {
        self.answers.push((reply, answer));
    }

    /// Keeps a command, to be decided again if need be.
    pub(super) fn keep(&mut self, append: Append) {
        self.kept.push(append);
    }

    /// Gives the commands back with who waits for them.
    pub(super) fn give_back(&mut self) -> Vec<(Append, Reply<Appended>)> {
        let replies = std::mem::take(&mut self.answers).into_iter().map(|(reply, _)| reply);
        std::mem::take(&mut self.kept).into_iter().zip(replies).collect()
    }

    /// The tags that it brings.
    pub(super) fn tags(&self) -> impl Iterator<Item = Tag> {
        self.tags.iter().map(|(tag, _)| *tag)
    }

    /// The persons that it brings index rows of.
    pub(super) fn visitors(&self) -> impl Iterator<Item = PersonId> {
        self.rows.iter().map(|row| row.person)
    }

    pub(super) fn remember(&mut self, repeat: Repeat, appended: &Appended) {
        self.repeats.push((repeat, appended.clone()));
    }

    /// Whose handle, if this batch brings it.
    pub(super) fn person(&self, handle: Handle) -> Option<PersonId> {
        self.links.iter().rev().find(|(linked, _)| *linked == handle).map(|(_, person)| *person)
    }

    pub(super) fn is_new(&self, person: PersonId) -> bool {
        self.persons.iter().rev().any(|new| new.id == person)
    }

    /// Nothing of this batch may be committed.
    pub(super) fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// Whether there is nothing to write, only to answer.
    fn is_talk(&self) -> bool {
        self.entries.is_empty() && self.repeats.is_empty() && !self.spoilt
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.answers.is_empty() && !self.spoilt
    }
}
