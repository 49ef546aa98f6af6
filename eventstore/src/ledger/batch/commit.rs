//! Committing a batch: everything in it and a slice of the pending index rows, or nothing.

use std::sync::Arc;

use domain::{Position, Tag};

use super::effect::{self, Effect};
use super::{Batch, NewEntry};
use crate::engine::{Commit, EngineError, NewHead, Outcome};
use crate::keyring::person::PersonId;
use crate::ledger::appender::AppendError;
use crate::ledger::index::{self, PersonRow, Slice};
use crate::ledger::writer::Writer;

/// Index rows that one commit moves at least, once too many are pending.
const SLICE: usize = 64;

/// Rows of both indexes that go into their tables with a commit.
struct Moves {
    tags: Slice<(Tag, Position)>,
    persons: Slice<PersonRow>,
    /// Up to where both tables are complete then.
    indexed: u64,
}

impl Batch {
    /// Tells everybody how it went.
    pub(in crate::ledger) fn tell(self, done: Result<(), EngineError>) {
        match done {
            Ok(()) => {
                for (reply, answer) in self.answers {
                    // A caller that went away finds the entries all the same.
                    drop(reply.send(answer));
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a commit failed; its commands were not carried out"
                );
                let error = Arc::new(error);
                for (reply, _) in self.answers {
                    drop(reply.send(Err(AppendError::Commit(Arc::clone(&error)))));
                }
            }
        }
    }
}

impl Writer {
    /// Commits a batch and answers everybody in it.
    pub(in crate::ledger) fn commit(&mut self, mut batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let done = match self.shared && batch.is_talk() {
            true => self.still_so(),
            false => self.commit_with(&mut batch, &[]),
        };
        match done {
            Err(EngineError::Behind) => self.again(batch),
            done => {
                self.queue.look();
                batch.tell(done);
            }
        }
    }

    /// Whether what was refused was refused on the newest state.
    fn still_so(&self) -> Result<(), EngineError> {
        if self.stale {
            return Err(EngineError::Spoilt);
        }
        let head = self.log.head().map_err(EngineError::of_reading)?;
        if head.frontier.size() == self.base { Ok(()) } else { Err(EngineError::Behind) }
    }

    /// Commits a batch that may fence some, or makes everything in memory anew.
    pub(in crate::ledger) fn commit_with(
        &mut self,
        batch: &mut Batch,
        fenced: &[(PersonId, Position)],
    ) -> Result<(), EngineError> {
        let moves = self.moves(batch);
        let touched: Vec<PersonId> = batch.replaced.iter().map(|(person, _)| *person).collect();
        // What was decided on a state that could not be made anew rests on nothing.
        let done = if batch.spoilt || self.stale {
            Err(EngineError::Spoilt)
        } else {
            self.write_all(batch, &moves, fenced)
        };
        match &done {
            Ok(()) => {
                self.committed(batch, &moves);
                touched.into_iter().for_each(|person| self.keyring.changed(person));
                batch.restricted().for_each(|person| self.keyring.evict(person));
                let ended = |entry: &NewEntry| matches!(entry.effect, Some(Effect::PeriodEnded(_)));
                if batch.entries.iter().any(ended) {
                    self.keyring.evict_all();
                }
            }
            // What it rests on is caught up with first.
            Err(EngineError::Behind) => (),
            Err(_) => self.reset(),
        }
        done
    }

    fn write_all(
        &mut self,
        batch: &Batch,
        moves: &Moves,
        fenced: &[(PersonId, Position)],
    ) -> Result<(), EngineError> {
        // The guard compares sizes. That entries begin where the ledger ends, and the tree has them and no others,
        // is for nobody else to notice.
        let count = u64::try_from(batch.entries.len()).unwrap_or(u64::MAX);
        let first = batch.entries.first().map_or(self.base, |entry| entry.position.0);
        if (first, self.frontier.size()) != (self.base, self.base.saturating_add(count)) {
            return Err(EngineError::Spoilt);
        }
        let commit = Commit {
            base: self.base,
            head: self.new_head(moves.indexed),
            batch,
            effects: batch.effects(),
            tags: &moves.tags.rows,
            persons: if self.shared { &batch.rows } else { &moves.persons.rows },
            fenced,
        };
        match self.engine.commit(&commit)? {
            Outcome::Done => Ok(()),
            Outcome::Behind => Err(EngineError::Behind),
        }
    }

    fn new_head(&self, indexed: u64) -> NewHead {
        let (next_handle, next_person) = self.keyring.counters();
        NewHead {
            size: self.frontier.size(),
            frontier: self.frontier.to_bytes(),
            recorded_at: self.recorded_at,
            indexed,
            next_handle,
            next_person,
        }
    }

    /// What this commit moves: about as many rows as it brings, once enough are pending.
    fn moves(&self, batch: &Batch) -> Moves {
        if self.shared {
            let indexed = self.log.pending().tags.complete_to();
            return Moves { tags: Slice::nothing(), persons: Slice::nothing(), indexed };
        }
        let size = self.log.size();
        let mut pending = self.log.pending();
        let enough = index::enough(size);
        let tags = pending.tags.next(batch.tags.len().max(SLICE), enough, size);
        let persons = pending.persons.next(batch.rows.len().max(SLICE), enough, size);
        let indexed =
            pending.tags.complete_after(&tags).min(pending.persons.complete_after(&persons));
        Moves { tags, persons, indexed }
    }

    fn committed(&mut self, batch: &mut Batch, moves: &Moves) {
        let persons = batch.rows.iter().map(|row| (row.person, row.position));
        self.recent.add(batch.tags.iter().copied(), persons);
        let size = self.frontier.size();
        let tags = std::mem::take(&mut batch.tags);
        if self.shared {
            self.log.pending().take_in(tags, size);
        } else {
            let mut pending = self.log.pending();
            pending.tags.written(&moves.tags);
            pending.persons.written(&moves.persons);
            pending.take_in(tags, size);
            pending.persons.add(std::mem::take(&mut batch.rows));
            for entry in &batch.entries {
                if let Some(effect) = &entry.effect {
                    effect::forget_seals(&mut pending, batch, effect);
                }
            }
        }
        for person in std::mem::take(&mut batch.recounted) {
            self.visits.remove(&person);
        }
        // What was looked up before knows nothing of this batch.
        self.looked.clear();
        self.base = size;
        self.has_written = true;
        self.log.grown(size);
        if let Some(mover) = self.log.mover() {
            mover.after_commit(&self.log);
        }
    }

    /// Moves all pending rows into their tables.
    pub(in crate::ledger) fn write_pending(&mut self) -> Result<(), AppendError> {
        if let Some(mover) = self.log.mover() {
            // What others have committed is for them to move.
            return if self.has_written { Ok(mover.work(0)?) } else { Ok(()) };
        }
        if self.stale {
            return Ok(());
        }
        let (tags, persons) = {
            let pending = self.log.pending();
            (pending.tags.sorted(), pending.persons.sorted())
        };
        let size = self.frontier.size();
        let commit = Commit {
            base: size,
            head: self.new_head(size),
            batch: &Batch::default(),
            effects: Vec::new(),
            tags: &tags,
            persons: &persons,
            fenced: &[],
        };
        self.engine.commit(&commit)?;
        let mut pending = self.log.pending();
        pending.tags.all_written(size);
        pending.persons.all_written(size);
        Ok(())
    }
}
