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
use domain::{
    Actor, BookingId, Command, Context, FenceId, Handle, Position, Refusal, RetentionClass,
};
use tokio::sync::oneshot;

use super::appender::{AppendError, Erasure};
use super::batch::Batch;
use super::index::PersonRow;
use super::log::ReadError;
use super::writer::{Reply, Writer};
use super::{codec, loader};
use crate::engine::Cleared;
use crate::keyring::KeyError;
use crate::keyring::person::{PersonId, PersonState};
use crate::keyring::provider::Mark;

/// Rows that one step clears.
const STEP: usize = 500;
/// How long a checkpoint that readers hold up is left alone.
const PAUSE: Duration = Duration::from_millis(20);
/// How long what failed is left alone.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// What is left of an erasure.
pub(super) struct Clearing {
    person: PersonId,
    /// Rows still to be cleared; none before they are first looked up.
    rows: Option<Vec<PersonRow>>,
    /// How many of them, from the end, the step under way clears; none where it cannot take part.
    step: Option<usize>,
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
        let (rows, step, unmarked, reply) = Default::default();
        Self { person, rows, step, is_deleted: false, unmarked, pause_until: Duration::ZERO, reply }
    }

    fn rows(&self) -> &[PersonRow] {
        self.rows.as_deref().unwrap_or_default()
    }

    /// The rows of the step under way.
    fn step_rows(&self) -> &[PersonRow] {
        let rows = self.rows();
        rows.get(rows.len() - self.step.unwrap_or_default()..).unwrap_or_default()
    }

    /// How many rows, from the end, a step clears that has room for so many: all of a handle's or none. A row
    /// that was never in its table is found by the link of its handle, and by nothing else.
    fn step_within(&self, room: usize) -> usize {
        let rows = self.rows();
        let step = rows.len().min(room);
        let (left, cleared) = rows.split_at(rows.len() - step);
        let Some(first) = cleared.first() else { return 0 };
        step + left.iter().rev().take_while(|row| row.handle == first.handle).count()
    }

    fn step_done(&mut self) {
        let (Some(step), Some(rows)) = (self.step.take(), &mut self.rows) else { return };
        rows.truncate(rows.len() - step);
        self.is_deleted = rows.is_empty();
    }

    /// Has it be tried again a while later.
    fn hold_up(&mut self, error: &AppendError, now: Duration) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "clearing after an erasure is held up; it is tried again"
        );
        self.step = None;
        self.pause_until = now + LONG_PAUSE;
    }
}

/// How it went with each of several.
type Each<T> = Vec<Result<T, AppendError>>;

/// A fence that is to be set.
#[derive(Clone, Copy)]
struct Fence {
    id: FenceId,
    /// How many seals it ends.
    ended: u64,
    /// Whose keys it ends, where they are known here.
    person: Option<PersonId>,
}

impl Writer {
    /// Erases persons together, or where that fails each alone; each who asked is told by themselves.
    pub(super) fn erase_all(&mut self, asked: Vec<(PersonId, Reply<Erasure>)>) {
        let persons: Vec<PersonId> = asked.iter().map(|(person, _)| *person).collect();
        let done = match self.alone(|writer| writer.erase(&persons)) {
            Ok(done) => done,
            Err(error) if persons.len() == 1 => vec![Err(error)],
            Err(_) => return asked.into_iter().for_each(|one| self.erase_all(vec![one])),
        };
        self.queue.look();
        for (done, (_, reply)) in done.into_iter().zip(asked) {
            // A caller that went away finds what was done all the same.
            drop(reply.send(done));
        }
    }

    /// Fences persons and destroys their keys. Nothing of them opens from here on.
    fn erase(&mut self, persons: &[PersonId]) -> Result<Each<Erasure>, AppendError> {
        let fences = persons.iter().map(|person| self.fence_for(*person)).collect();
        let set = self.fence(fences)?;
        let ids: Vec<FenceId> = set.iter().flatten().map(|(fence, _)| fence.id).collect();
        let marked = self.mark(&ids);
        let done = set.into_iter().map(|set| {
            let (fence, position) = set?;
            // Where not all could be marked at once some may be.
            let marked = if marked.is_ok() { Ok(()) } else { self.mark(&[fence.id]) };
            let (reply, cleared) = oneshot::channel();
            self.resting.store(false, Ordering::Release);
            self.clearings.extend(fence.person.map(|person| Clearing {
                unmarked: marked.is_err().then_some(fence.id),
                reply: Some(reply),
                ..Clearing::new(person)
            }));
            // Without its mark an erasure is not done: it is tried again before the clearing ends.
            marked?;
            Ok(Erasure { fence: position, ended: fence.ended, cleared })
        });
        Ok(done.collect())
    }

    /// The fence that ends a person's keys, if nothing stands against it.
    fn fence_for(&mut self, person: PersonId) -> Result<Fence, AppendError> {
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
        let id = info.fence.ok_or(KeyError::Missing)?;
        Ok(Fence { id, ended: self.seals_of(person)?, person: Some(person) })
    }

    /// Sets a fence again that an older copy of this ledger does not know, and ends whom it was
    /// set for, where the copy knows them. `ended` seals were ended by it of somebody it does not
    /// know.
    pub(super) fn refence(&mut self, id: FenceId, ended: u64) -> Result<(), AppendError> {
        let info = self.log.reader().person_by_fence(id)?;
        let person = info.map(|info| info.id);
        let ended = person.map_or(Ok(ended), |person| self.seals_of(person))?;
        // What was ended once stays so, whatever was lost since.
        let set = self.fence(vec![Ok(Fence { id, ended, person })])?;
        set.into_iter().try_for_each(|set| set.map(drop))?;
        self.resting.store(false, Ordering::Release);
        self.clearings.extend(person.map(Clearing::new));
        Ok(())
    }

    /// Appends fences and destroys the keys, as one commit. Answers of each where it stands, or why it was
    /// not set.
    fn fence(&mut self, fences: Each<Fence>) -> Result<Each<(Fence, Position)>, AppendError> {
        let mut batch = Batch::default();
        let set: Each<(Fence, Position)> = fences
            .into_iter()
            .map(|fence| fence.and_then(|fence| Ok((fence, self.write_fence(&mut batch, fence)?))))
            .collect();
        let person = |(fence, position): &(Fence, Position)| Some((fence.person?, *position));
        let fenced: Vec<(PersonId, Position)> = set.iter().flatten().filter_map(person).collect();
        if !batch.is_empty() {
            // In memory their rows would be written late; they go with the clearing instead.
            if let Err(error) = self.commit_with(&mut batch, &fenced) {
                // Also where another node seems to have been first: the book has taken what does not stand.
                self.reset();
                return Err(error.into());
            }
        }
        for (person, _) in fenced {
            self.keyring.evict(person);
            self.visits.remove(&person);
        }
        Ok(set)
    }

    /// Takes a fence's entry into a batch; answers its position.
    fn write_fence(&mut self, batch: &mut Batch, fence: Fence) -> Result<Position, AppendError> {
        let classes = RetentionClass::ALL.into_iter().filter(|class| class.ends_with_person());
        let (classes, ended) = (classes.collect(), fence.ended);
        let command = Command::Person(PersonCommand::Erase { fence: fence.id, classes, ended });
        let now = self.tick();
        let (actor, visits) = (Actor::System, Default::default());
        let context = Context { now, occurred_at: now, actor, visits, held: [].into() };
        let drafts = self.book.decide(&command, &context)?;
        let first = self.book.next;
        for draft in drafts {
            let cause = self.causes.mint();
            let (recorded_at, occurred_at, actor) = (now, now, Actor::System);
            let position = self.book.next;
            let header = codec::Header { position, recorded_at, occurred_at, actor, cause };
            let entry = self.encode(batch, &header, draft)?;
            self.take_in(batch, entry)?;
        }
        Ok(first)
    }

    /// Writes the ledger's present size and root into the provider's marks, one for each fence, or one
    /// without any.
    pub(super) fn mark(&self, fences: &[FenceId]) -> Result<(), AppendError> {
        let size = self.frontier.size();
        let last = self.log.entry(Position(size.saturating_sub(1)))?;
        let (root, origin) = (domain::ids::Hash(self.frontier.root()), self.origin);
        let last_leaf = domain::ids::Hash(last.map(|entry| entry.leaf).unwrap_or_default());
        let mark = |fence| Mark { fence, size, root, last_leaf, origin };
        let mut marks: Vec<Mark> = fences.iter().map(|fence| mark(Some(*fence))).collect();
        if marks.is_empty() {
            marks.push(mark(None));
        }
        Ok(self.provider.add_marks(self.keyring.tenant, &marks)?)
    }

    /// Which of the bookings that the person has made are still to come or under way. Those of others in which
    /// they take part go on without them.
    pub(super) fn open_bookings(
        &mut self,
        person: PersonId,
    ) -> Result<Vec<BookingId>, AppendError> {
        let now = self.tick();
        let rows = self.rows_until(person, now.as_second() + 1)?;
        let part = |row: &PersonRow| Some((row.booking?, row.handle));
        let mut parts: Vec<(BookingId, Handle)> = rows.iter().filter_map(part).collect();
        parts.sort_unstable();
        parts.dedup();
        let mut open = Vec::new();
        for (id, handle) in parts {
            loader::ensure_booking(&mut self.book, &self.log, id)?;
            let Some(booking) = self.book.bookings.get(&id) else { continue };
            let is_theirs = booking.booker.is_none_or(|booker| booker == handle);
            if is_theirs && booking.status.is_open() && booking.slot_end > now {
                open.push(id);
            }
        }
        open.dedup();
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
        self.resting.store(self.clearings.is_empty() && !self.unresumed, Ordering::Release);
    }

    fn clear_next(&mut self) {
        let now = self.env.clock.since_boot();
        let left = |clearing: &Clearing| clearing.pause_until <= now && !clearing.is_deleted;
        let gone = |clearing: &Clearing| clearing.pause_until <= now && clearing.is_deleted;
        if self.clearings.iter().any(left) {
            let (mut due, others): (Vec<Clearing>, Vec<Clearing>) =
                std::mem::take(&mut self.clearings).into_iter().partition(left);
            self.clear_step(&mut due, now);
            self.clearings = others;
            self.clearings.extend(due);
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
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what was erased stays in the log; it is tried again"
                );
                LONG_PAUSE
            }
        };
        for clearing in self.clearings.iter_mut().filter(|clearing| clearing.is_deleted) {
            clearing.pause_until = now + pause;
        }
    }

    /// Takes note of whom nothing is left of, and tells who waits for it.
    fn end_deleted(&mut self, now: Duration) {
        let (mut deleted, others): (Vec<Clearing>, Vec<Clearing>) =
            std::mem::take(&mut self.clearings).into_iter().partition(|one| one.is_deleted);
        self.clearings = others;
        let persons: Vec<PersonId> = deleted.iter().map(|clearing| clearing.person).collect();
        if let Err(error) = self.engine.cleared(&persons).map_err(AppendError::from) {
            deleted.iter_mut().for_each(|clearing| clearing.hold_up(&error, now));
            self.clearings.extend(deleted);
            return;
        }
        for clearing in deleted {
            self.keyring.changed(clearing.person);
            // Who asked may be gone.
            drop(clearing.reply.map(|reply| reply.send(Ok(()))));
        }
    }

    /// Clears a part of what is left of these persons in one transaction, or where that fails of each alone.
    fn clear_step(&mut self, due: &mut [Clearing], now: Duration) {
        let mut room = STEP;
        for clearing in due.iter_mut() {
            match self.find_rows(clearing) {
                Ok(()) => clearing.step = Some(clearing.step_within(room)),
                Err(error) => clearing.hold_up(&error, now),
            }
            room = room.saturating_sub(clearing.step.unwrap_or_default());
        }
        let rows: Vec<PersonRow> = due.iter().flat_map(Clearing::step_rows).copied().collect();
        let is_last = |clearing: &&Clearing| clearing.step == Some(clearing.rows().len());
        let last_of: Vec<PersonId> =
            due.iter().filter(is_last).map(|clearing| clearing.person).collect();
        let cleared = self.seals_in(&rows);
        let done = cleared.and_then(|cleared| Ok(self.engine.clear(&cleared, &last_of)?));
        match (done, due) {
            (Ok(()), due) => due.iter_mut().for_each(Clearing::step_done),
            (Err(error), [clearing]) => clearing.hold_up(&error, now),
            (Err(_), due) => due.chunks_mut(1).for_each(|one| self.clear_step(one, now)),
        }
    }

    /// Looks up what is to be cleared of a person, if it is not known yet.
    fn find_rows(&mut self, clearing: &mut Clearing) -> Result<(), AppendError> {
        if let Some(fence) = clearing.unmarked {
            self.mark(&[fence])?;
            clearing.unmarked = None;
        }
        if clearing.rows.is_none() {
            // Out of memory first, so that none is written late.
            let mut rows = loader::all_rows(&self.log, clearing.person)?;
            rows.sort_unstable_by_key(|row| row.handle);
            self.log.pending().drop_person(clearing.person);
            clearing.rows = Some(rows);
        }
        Ok(())
    }

    /// Takes the rows of persons who are being cleared out of memory again, where it was made anew.
    pub(super) fn drop_cleared(&self) {
        let mut pending = self.log.pending();
        for clearing in self.clearings.iter().filter(|clearing| clearing.rows.is_some()) {
            pending.drop_person(clearing.person);
        }
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

    /// Goes on with erasures that a crash interrupted, or whose commit stands though its answer was lost.
    pub(super) fn resume_erasures(&mut self) {
        let found = self.interrupted();
        self.unresumed = found.is_err();
        match found {
            Ok(clearings) => self.clearings.extend(clearings),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "interrupted erasures cannot go on yet"
            ),
        }
        self.resting.store(self.clearings.is_empty() && !self.unresumed, Ordering::Release);
    }

    fn interrupted(&self) -> Result<Vec<Clearing>, ReadError> {
        let mut found = Vec::new();
        for person in self.log.reader().persons_being_erased()? {
            if self.clearings.iter().any(|known| known.person == person) {
                continue;
            }
            // The key store may not have heard of it.
            let unmarked = self.log.reader().person(person)?.and_then(|info| info.fence);
            found.push(Clearing { unmarked, ..Clearing::new(person) });
        }
        Ok(found)
    }
}
