//! Beside other nodes: catching up with what they commit, and deciding again where one was first.
//!
//! A commit names the size on which it was decided, and is refused where the ledger has grown
//! since. Then this node holds the head, takes in what is new, decides the same commands again and
//! commits them in the same transaction: no command loses more than once. What is new is not
//! folded into the state at hand but takes it off the shelves, to be loaded when it is needed.

use std::sync::Arc;

use domain::book::Shelf;
use domain::tag::TagKind;
use domain::{BookingId, Handle, Position};

use super::{Job, Recent, Reply, SHELF, Writer};
use crate::engine::EngineError;
use crate::ledger::appender::{Append, AppendError, Appended};
use crate::ledger::batch::Batch;
use crate::ledger::codec;
use crate::ledger::index;
use crate::ledger::loader::{self, Want};
use crate::ledger::log::{EntryBytes, ReadError};

/// How many entries of others are read at a time.
const STRETCH: usize = 1024;
/// Entries of others beyond which everything is made anew instead.
const FAR: u64 = 20_000;

/// What others' entries have made old.
#[derive(Default)]
struct Old {
    /// Something of the catalogue, the policy, fences, restrictions or legal holds.
    standing: bool,
    /// Whose visits may be counted differently now.
    handles: Vec<Handle>,
    /// Or everybody's.
    all_visits: bool,
    /// Keys that may not be used any more may be at hand.
    keys: bool,
}

impl Writer {
    /// Takes in what other nodes have committed, as far as it is known of, before anything is
    /// decided; makes everything anew after a failure.
    pub(super) fn keep_up(&mut self, needed: bool) -> Result<(), ReadError> {
        if !needed {
            return Ok(());
        }
        if self.stale {
            self.make_anew()?;
        } else if self.shared && self.log.size() > self.base {
            self.catch_up(false)?;
        }
        Ok(())
    }

    /// Does something on the newest state, while no other node can commit.
    pub(in crate::ledger) fn alone<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, AppendError>,
    ) -> Result<T, AppendError> {
        if self.shared {
            self.engine.hold()?;
            if let Err(error) = self.catch_up(false) {
                self.engine.release();
                return Err(error.into());
            }
        }
        let done = work(self);
        self.engine.release();
        done
    }

    /// Decides a batch again that another node was faster than.
    pub(in crate::ledger) fn again(&mut self, mut behind: Batch) {
        let waiting = behind.give_back();
        let mut standing = false;
        for tag in behind.tags() {
            standing |= !self.book.forget(tag);
        }
        behind.entries.iter().for_each(|entry| self.book.forget_begun_at(entry.position));
        behind.visitors().for_each(|person| drop(self.visits.remove(&person)));
        let mut batch = Batch::default();
        let held = self.engine.hold().map_err(ReadError::from);
        let done = match held.and_then(|()| self.catch_up(standing)) {
            Ok(()) => {
                if let Err(error) = self.look_up(waiting.iter().map(|(append, _)| append)) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "requests are looked up one by one"
                    );
                }
                for (append, reply) in waiting {
                    self.take_now(&mut batch, Box::new(append), reply);
                }
                self.commit_with(&mut batch, &[])
            }
            Err(error) => {
                waiting.into_iter().for_each(|(_, reply)| {
                    drop(reply.send(Err(AppendError::Commit(Arc::new(EngineError::Behind)))));
                });
                Err(EngineError::of_reading(error))
            }
        };
        self.engine.release();
        if done.is_err() {
            // Also where the end of the transaction that held the head was lost.
            self.reset();
        }
        self.queue.look();
        batch.tell(done);
    }

    /// Decides a command, loading on this thread what it lacks: the others wait for it anyway.
    fn take_now(&mut self, batch: &mut Batch, append: Box<Append>, reply: Reply<Appended>) {
        loop {
            let (keys, booker) = self.missing(batch, &append);
            if keys.is_empty() && booker.is_none() {
                return self.take_known(batch, append, reply);
            }
            let want = Want { keys: &keys, booker };
            let loaded = loader::load(&self.log, &self.keyring, &[want]);
            let installed = loaded
                .and_then(|loaded| loaded.into_iter().try_for_each(|one| self.install(batch, one)));
            if let Err(error) = installed {
                drop(reply.send(Err(error.into())));
                return;
            }
        }
    }

    /// Takes in what was committed since. `standing` says that catalogue, policy, fences or what
    /// else is always at hand are not the committed ones.
    fn catch_up(&mut self, standing: bool) -> Result<(), ReadError> {
        let head = self.log.head()?;
        let size = head.frontier.size();
        if size.saturating_sub(self.base) > FAR {
            return self.make_anew();
        }
        let mut old = Old { standing, ..Old::default() };
        let mut from = self.base;
        while from < size {
            let limit = usize::try_from(size - from).unwrap_or(STRETCH).min(STRETCH);
            let entries = self.log.entries(Position(from), limit)?;
            if entries.is_empty() {
                return Err(ReadError::Head);
            }
            for entry in &entries {
                self.grow_old(entry, &mut old)?;
            }
            if std::mem::take(&mut old.keys) {
                self.keyring.evict_all();
            }
            from += u64::try_from(entries.len()).unwrap_or(u64::MAX);
            // Whoever finds them by their tags finds the keys gone that they end.
            let tags = entries.iter().flat_map(index::tags_of).collect();
            self.log.pending().take_in(tags, from);
        }
        if old.all_visits {
            self.visits = Shelf::partial(SHELF);
        } else {
            for person in self.log.reader().links(&old.handles)?.into_values() {
                self.visits.remove(&person);
            }
        }
        if old.standing {
            let book = loader::standing_book(&self.log, size, SHELF)?;
            self.book = book.with_shelves_of(std::mem::take(&mut self.book));
        }
        self.book.next = Position(size);
        self.frontier = head.frontier;
        self.recorded_at = self.recorded_at.max(head.recorded_at);
        self.origin = head.origin;
        self.base = size;
        self.recent = Recent::from(size);
        self.log.grown(size);
        Ok(())
    }

    fn grow_old(&mut self, stored: &EntryBytes, old: &mut Old) -> Result<(), ReadError> {
        let entry = codec::decode(&stored.bytes)
            .map_err(|error| ReadError::Entry(stored.position, error))?;
        let event = &entry.recorded.event;
        old.handles.extend(event.seals().iter().map(|seal| seal.handle));
        for tag in &entry.tags {
            if tag.kind() == Some(TagKind::Booking) {
                match self.book.bookings.get(&BookingId(tag.number())) {
                    Some(booking) => old.handles.extend(&booking.handles),
                    None => old.all_visits = true,
                }
            }
            old.standing |= !self.book.forget(*tag);
            // A person's key may be at hand, or a year's.
            let ends = [Some(TagKind::Fence), Some(TagKind::Standing), Some(TagKind::Ledger)];
            old.keys |= ends.contains(&tag.kind());
        }
        self.book.forget_begun_at(stored.position);
        Ok(())
    }
}

/// Answers everybody that the ledger cannot be used now; whether to stop.
pub(super) fn refuse(jobs: Vec<Job>, error: ReadError) -> bool {
    let error = Arc::new(EngineError::of_reading(error));
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "the ledger cannot be used now; commands are refused"
    );
    let refused = || AppendError::Commit(Arc::clone(&error));
    let mut stop = false;
    for job in jobs {
        // Who asked may be gone.
        match job {
            Job::Append(_, reply) | Job::Loaded(_, reply, _) => drop(reply.send(Err(refused()))),
            Job::Erase(_, reply) => drop(reply.send(Err(refused()))),
            Job::OpenBookings(_, reply) => drop(reply.send(Err(refused()))),
            Job::Refence(_, _, reply) | Job::Mark(reply) | Job::Period(_, _, reply) => {
                drop(reply.send(Err(refused())));
            }
            Job::Change(_, reply) => drop(reply.send(Err(refused()))),
            Job::Stop => stop = true,
        }
    }
    stop
}
