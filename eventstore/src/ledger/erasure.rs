//! Erasing a person: fence and keys in one commit, links and seals after it.
//!
//! From the first commit on nothing of the person opens. What follows is clearing, in small steps
//! between other commands, until the write-ahead log is empty of what was deleted. A crash anywhere
//! before that leaves the person's state at "being erased", and the next start goes on. Only then
//! does the row become a tombstone.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::person::PersonRefusal;
use domain::person::command::PersonCommand;
use domain::{Actor, BookingId, Command, Context, FenceId, Position, Refusal, RetentionClass};
use tokio::sync::oneshot;

use super::appender::{AppendError, Erasure};
use super::batch::Batch;
use super::index::PersonRow;
use super::writer::{Reply, Writer};
use super::{codec, loader};
use crate::engine::Cleared;
use crate::keyring::KeyError;
use crate::keyring::person::{PersonId, PersonState};
use crate::keyring::provider::Mark;

/// Rows that one step clears.
const STEP: usize = 500;
/// How long a checkpoint that readers hold up, or a mark that cannot be written, is left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// What is left of an erasure.
pub(super) struct Clearing {
    person: PersonId,
    /// Rows still to be cleared; none before they are first looked up.
    rows: Option<Vec<PersonRow>>,
    /// All rows are cleared; what was deleted is still to leave the write-ahead log.
    is_deleted: bool,
    /// What the provider could not be told of yet.
    unmarked: Option<FenceId>,
    /// Not before this time since boot.
    pause_until: Duration,
    reply: Option<Reply<()>>,
}

impl Clearing {
    fn new(person: PersonId) -> Self {
        let (rows, unmarked, reply) = Default::default();
        Self { person, rows, is_deleted: false, unmarked, pause_until: Duration::ZERO, reply }
    }
}

impl Writer {
    /// Fences a person and destroys their keys. Nothing opens from here on.
    pub(super) fn erase(&mut self, person: PersonId) -> Result<Erasure, AppendError> {
        let info = self.log.reader().person(person)?.ok_or(KeyError::Unknown)?;
        match info.state {
            PersonState::Live | PersonState::Restricted => (),
            PersonState::Erasing | PersonState::Erased => {
                return Err(Refusal::from(PersonRefusal::Erased).into());
            }
        }
        let held = info.registration.is_some_and(|id| self.book.legal_holds.contains_key(&id));
        if held {
            return Err(Refusal::from(PersonRefusal::Held).into());
        }
        let open = self.open_bookings(person)?;
        if !open.is_empty() {
            let open = u32::try_from(open.len()).unwrap_or(u32::MAX);
            return Err(AppendError::OpenBookings(open));
        }
        let fence = info.fence.ok_or(KeyError::Missing)?;
        let ended = self.seals_of(person)?;
        let position = self.fence(fence, ended, Some(person))?;
        let (reply, cleared) = oneshot::channel();
        let marked = self.mark(Some(fence));
        self.resting.store(false, Ordering::Release);
        self.clearings.push_back(Clearing {
            unmarked: marked.is_err().then_some(fence),
            reply: Some(reply),
            ..Clearing::new(person)
        });
        // Without its mark an erasure is not done: it is tried again before the clearing ends.
        marked?;
        Ok(Erasure { fence: position, ended, cleared })
    }

    /// Sets a fence again that an older copy of this ledger does not know, and ends whom it was
    /// set for, where the copy knows them. `ended` seals were ended by it of somebody it does not
    /// know.
    pub(super) fn refence(&mut self, fence: FenceId, ended: u64) -> Result<(), AppendError> {
        let info = self.log.reader().person_by_fence(fence)?;
        let person = info.map(|info| info.id);
        let ended = person.map_or(Ok(ended), |person| self.seals_of(person))?;
        // What was ended once stays so, whatever was lost since.
        self.fence(fence, ended, person)?;
        self.resting.store(false, Ordering::Release);
        self.clearings.extend(person.map(Clearing::new));
        Ok(())
    }

    /// Appends the fence and destroys the keys, as one commit.
    fn fence(
        &mut self,
        fence: FenceId,
        ended: u64,
        person: Option<PersonId>,
    ) -> Result<Position, AppendError> {
        let classes = RetentionClass::ALL.into_iter().filter(|class| class.ends_with_person());
        let command =
            Command::Person(PersonCommand::Erase { fence, classes: classes.collect(), ended });
        let now = self.tick();
        let (actor, visits) = (Actor::System, Default::default());
        let context = Context { now, occurred_at: now, actor, visits, held: [].into() };
        let drafts = self.book.decide(&command, &context)?;
        let position = self.book.next;
        let mut batch = Batch::default();
        for draft in drafts {
            let cause = self.causes.mint();
            let (recorded_at, occurred_at, actor) = (now, now, Actor::System);
            let position = self.book.next;
            let header = codec::Header { position, recorded_at, occurred_at, actor, cause };
            self.write(&mut batch, &header, draft)?;
        }
        // In memory the person's rows would be written late; they go with the clearing instead.
        self.commit_with(&mut batch, person)?;
        if let Some(person) = person {
            self.keyring.evict(person);
            self.visits.remove(&person);
        }
        Ok(position)
    }

    /// Writes the ledger's present size and root into the provider's mark.
    pub(super) fn mark(&self, fence: Option<FenceId>) -> Result<(), AppendError> {
        let size = self.frontier.size();
        let last = self.log.entry(Position(size.saturating_sub(1)))?;
        let mark = Mark {
            fence,
            size,
            root: domain::ids::Hash(self.frontier.root()),
            last_leaf: domain::ids::Hash(last.map(|entry| entry.leaf).unwrap_or_default()),
            origin: self.origin,
        };
        Ok(self.provider.add_mark(self.keyring.tenant, &mark)?)
    }

    /// Which of the person's bookings are still to come or under way.
    pub(super) fn open_bookings(
        &mut self,
        person: PersonId,
    ) -> Result<Vec<BookingId>, AppendError> {
        let now = self.tick();
        let rows = self.rows_until(person, now.as_second() + 1)?;
        let mut bookings: Vec<BookingId> = rows.iter().filter_map(|row| row.booking).collect();
        bookings.sort_unstable();
        bookings.dedup();
        let mut open = Vec::new();
        for id in bookings {
            loader::ensure_booking(&mut self.book, &self.log, id)?;
            let booking = self.book.bookings.get(&id);
            if booking.is_some_and(|booking| booking.status.is_open() && booking.slot_end > now) {
                open.push(id);
            }
        }
        Ok(open)
    }

    fn rows_until(&self, person: PersonId, until: i64) -> Result<Vec<PersonRow>, AppendError> {
        let mut rows: Vec<PersonRow> =
            self.log.pending().of_person(person, until).copied().collect();
        rows.extend(self.log.reader().person_rows(person, until)?);
        Ok(rows)
    }

    /// How many seals of the person still open.
    fn seals_of(&self, person: PersonId) -> Result<u64, AppendError> {
        if let Some(known) = self.visits.get(&person) {
            return Ok(known.seals);
        }
        let pending: u64 =
            self.log.pending().of_person(person, 0).map(|row| u64::from(row.seals)).sum();
        let rows = self.log.reader().person_rows(person, 0)?;
        let stored: u64 = rows.iter().map(|row| u64::from(row.seals)).sum();
        Ok(pending + stored)
    }

    /// How long until there is clearing to do; none where nothing is left.
    pub(super) fn clearing_due(&self) -> Option<Duration> {
        let now = self.env.clock.since_boot();
        self.clearings.iter().map(|clearing| clearing.pause_until.saturating_sub(now)).min()
    }

    /// One step of clearing, of whoever is next.
    pub(super) fn clear(&mut self) {
        self.clear_next();
        self.resting.store(self.clearings.is_empty(), Ordering::Release);
    }

    fn clear_next(&mut self) {
        let now = self.env.clock.since_boot();
        let left = |clearing: &Clearing| clearing.pause_until <= now && !clearing.is_deleted;
        let gone = |clearing: &Clearing| clearing.pause_until <= now && clearing.is_deleted;
        if let Some(next) = self.clearings.iter().position(left)
            && let Some(mut clearing) = self.clearings.remove(next)
        {
            if let Err(error) = self.clear_step(&mut clearing) {
                tracing::error!(%error, "clearing after an erasure is held up; it is tried again");
                clearing.pause_until = now + 50 * PAUSE;
            }
            self.clearings.push_back(clearing);
        }
        if self.clearings.iter().any(gone) && !self.clearings.iter().any(left) {
            self.let_go_of_deleted(now);
        }
    }

    /// Has what was deleted leave the write-ahead log, for all at once: as soon as no reader needs it.
    fn let_go_of_deleted(&mut self, now: Duration) {
        let pause = match self.engine.settle() {
            Ok(true) => return self.end_deleted(now),
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::error!(%error, "what was erased stays in the log; it is tried again");
                50 * PAUSE
            }
        };
        for clearing in self.clearings.iter_mut().filter(|clearing| clearing.is_deleted) {
            clearing.pause_until = now + pause;
        }
    }

    /// Takes note of whom nothing is left of, and tells who waits for it.
    fn end_deleted(&mut self, now: Duration) {
        for _ in 0..self.clearings.len() {
            let Some(mut clearing) = self.clearings.pop_front() else { return };
            let ended = clearing.is_deleted.then(|| self.engine.cleared(clearing.person));
            match ended {
                Some(Ok(())) => {
                    self.keyring.changed(clearing.person);
                    // Who asked may be gone.
                    drop(clearing.reply.map(|reply| reply.send(Ok(()))));
                    continue;
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "an erasure is not noted as done; it is tried again");
                    clearing.pause_until = now + 50 * PAUSE;
                }
                None => (),
            }
            self.clearings.push_back(clearing);
        }
    }

    /// Does a part of what is left.
    fn clear_step(&mut self, clearing: &mut Clearing) -> Result<(), AppendError> {
        let person = clearing.person;
        if let Some(fence) = clearing.unmarked {
            self.mark(Some(fence))?;
            clearing.unmarked = None;
        }
        let mut rows = match clearing.rows.take() {
            Some(rows) => rows,
            None => {
                // Out of memory first, so that none is written late.
                let rows = loader::all_rows(&self.log, person)?;
                self.log.pending().drop_person(person);
                rows
            }
        };
        let step = rows.split_off(rows.len().saturating_sub(STEP));
        let last = rows.is_empty();
        let step = self.seals_in(&step)?;
        self.engine.clear(person, &step, last)?;
        clearing.rows = Some(rows);
        clearing.is_deleted = last;
        Ok(())
    }

    /// Which seals go with each row: those of its handle at its position.
    fn seals_in(&self, rows: &[PersonRow]) -> Result<Vec<Cleared>, AppendError> {
        let positions: Vec<Position> = rows.iter().map(|row| row.position).collect();
        let mut events = BTreeMap::new();
        for entry in self.log.reader().entries_at(&positions)? {
            events.extend(
                codec::decode_event(&entry.bytes).ok().map(|event| (entry.position, event)),
            );
        }
        let cleared = rows.iter().map(|row| {
            let seals = events.get(&row.position).map(domain::Event::seals).unwrap_or_default();
            let of_it = seals
                .iter()
                .filter(|seal| seal.handle == row.handle && seal.class.ends_with_person());
            Cleared { row: *row, seals: of_it.map(|seal| seal.seal).collect() }
        });
        Ok(cleared.collect())
    }

    /// Goes on with erasures that a crash interrupted.
    pub(super) fn resume_erasures(&mut self) {
        match self.log.reader().persons_being_erased() {
            Ok(persons) => {
                self.resting.store(persons.is_empty(), Ordering::Release);
                self.clearings.extend(persons.into_iter().map(Clearing::new));
            }
            Err(error) => tracing::error!(%error, "interrupted erasures cannot go on yet"),
        }
    }
}
