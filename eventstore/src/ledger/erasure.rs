//! Erasing a person: fence and keys in one commit, links and seals after it.
//!
//! From the first commit on nothing of the person opens. What follows is clearing, in small steps
//! between other commands, until the write-ahead log is empty of what was deleted. A crash anywhere
//! before that leaves the person's state at "being erased", and the next start goes on. Only then
//! does the row become a tombstone.

use std::time::Duration;

use domain::person::PersonRefusal;
use domain::person::command::PersonCommand;
use domain::{
    Actor, BookingId, Command, Context, FenceId, Handle, Position, Refusal, RetentionClass,
};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::appender::{AppendError, Erasure};
use super::batch::Batch;
use super::index::PersonRow;
use super::log::read_entry;
use super::writer::{Reply, Writer};
use super::{codec, loader};
use crate::keyring::KeyError;
use crate::keyring::person::{self, PersonId, PersonState};
use crate::keyring::provider::Mark;
use crate::sqlite::{int, uint};

/// Rows that one step clears.
const STEP: usize = 500;
/// How long a checkpoint that readers hold up, or a mark that cannot be written, is left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// What is left of an erasure.
pub(super) struct Clearing {
    person: PersonId,
    /// Rows still to be cleared; none before they are first looked up.
    rows: Option<Vec<PersonRow>>,
    /// What the provider could not be told of yet.
    unmarked: Option<FenceId>,
    /// Not before this time since boot.
    pause_until: Duration,
    reply: Option<Reply<()>>,
}

impl Clearing {
    fn new(person: PersonId) -> Self {
        Self { person, rows: None, unmarked: None, pause_until: Duration::ZERO, reply: None }
    }
}

impl Writer {
    /// Fences a person and destroys their keys. Nothing opens from here on.
    pub(super) fn erase(&mut self, person: PersonId) -> Result<Erasure, AppendError> {
        let info = person::read(&self.conn, person)?.ok_or(KeyError::Unknown)?;
        match info.state {
            PersonState::Live | PersonState::Restricted => (),
            PersonState::Erasing | PersonState::Erased => {
                return Err(Refusal::from(PersonRefusal::Erased).into());
            }
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
    /// set for, where the copy knows them.
    pub(super) fn refence(&mut self, fence: FenceId) -> Result<(), AppendError> {
        let info = person::by_fence(&self.conn, fence)?;
        let person = info.map(|info| info.id);
        let ended = person.map_or(Ok(0), |person| self.seals_of(person))?;
        self.fence(fence, ended, person)?;
        self.clearings.extend(person.map(Clearing::new));
        self.mark(Some(fence))
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
        let context =
            Context { now, occurred_at: now, actor: Actor::System, visits: Default::default() };
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
        self.commit_with(&mut batch, |conn| {
            let Some(PersonId(person)) = person else { return Ok(()) };
            conn.execute("DELETE FROM person_key WHERE person = ?1", [int(person)])?;
            let state = PersonState::Erasing.code();
            conn.execute("UPDATE person SET state = ?2 WHERE id = ?1", (int(person), state))?;
            Ok(())
        })?;
        if let Some(person) = person {
            self.keyring.evict(person);
            self.visits.remove(&person);
        }
        Ok(position)
    }

    /// Writes the ledger's present size and root into the provider's mark.
    pub(super) fn mark(&self, fence: Option<FenceId>) -> Result<(), AppendError> {
        let size = self.frontier.size();
        let last = read_entry(&self.conn, Position(size.saturating_sub(1)))?;
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
        rows.extend(super::index::person_rows(&self.conn, person, until)?);
        Ok(rows)
    }

    /// How many seals of the person still open.
    fn seals_of(&self, person: PersonId) -> Result<u64, AppendError> {
        if let Some(known) = self.visits.get(&person) {
            return Ok(known.seals);
        }
        let pending: u64 =
            self.log.pending().of_person(person, 0).map(|row| u64::from(row.seals)).sum();
        let mut select = self
            .conn
            .prepare_cached("SELECT coalesce(sum(seals), 0) FROM person_tag WHERE person = ?1")?;
        let stored: i64 = select.query_row([int(person.0)], |row| row.get(0))?;
        Ok(pending + uint(stored))
    }

    /// How long until there is clearing to do; none where nothing is left.
    pub(super) fn clearing_due(&self) -> Option<Duration> {
        let now = self.env.clock.since_boot();
        self.clearings.iter().map(|clearing| clearing.pause_until.saturating_sub(now)).min()
    }

    /// One step of clearing, of whoever is next.
    pub(super) fn clear(&mut self) {
        let now = self.env.clock.since_boot();
        let Some(next) = self.clearings.iter().position(|clearing| clearing.pause_until <= now)
        else {
            return;
        };
        let Some(mut clearing) = self.clearings.remove(next) else { return };
        match self.clear_step(&mut clearing) {
            Ok(true) => {
                self.keyring.changed(clearing.person);
                if let Some(reply) = clearing.reply {
                    // Who asked may be gone.
                    drop(reply.send(Ok(())));
                }
            }
            Ok(false) => self.clearings.push_back(clearing),
            Err(error) => {
                tracing::error!(%error, "clearing after an erasure is held up; it is tried again");
                clearing.pause_until = now + 50 * PAUSE;
                self.clearings.push_back(clearing);
            }
        }
    }

    /// Does a part of what is left; whether that was all.
    fn clear_step(&mut self, clearing: &mut Clearing) -> Result<bool, AppendError> {
        let person = clearing.person;
        if let Some(fence) = clearing.unmarked {
            self.mark(Some(fence))?;
            clearing.unmarked = None;
        }
        let mut rows = match clearing.rows.take() {
            Some(rows) => rows,
            None => {
                // Out of memory first, so that none is written late.
                let rows = loader::all_rows(&self.conn, &self.log, person)?;
                self.log.pending().drop_person(person);
                rows
            }
        };
        let step = rows.split_off(rows.len().saturating_sub(STEP));
        let last = rows.is_empty();
        let tx = self.conn.transaction()?;
        for row in &step {
            clear_row(&tx, row)?;
        }
        if last {
            bury(&tx, person)?;
        }
        tx.commit()?;
        clearing.rows = Some(rows);
        // What was deleted leaves the write-ahead log too, as soon as no reader needs it.
        if last && !self.checkpoint()? {
            clearing.pause_until = self.env.clock.since_boot() + PAUSE;
            return Ok(false);
        }
        if last {
            let done = (int(person.0), PersonState::Erased.code());
            self.conn.execute("UPDATE person SET state = ?2 WHERE id = ?1", done)?;
        }
        Ok(last)
    }

    /// Goes on with erasures that a crash interrupted.
    pub(super) fn resume_erasures(&mut self) {
        match persons_being_erased(&self.conn) {
            Ok(persons) => self.clearings.extend(persons.into_iter().map(Clearing::new)),
            Err(error) => tracing::error!(%error, "interrupted erasures cannot go on yet"),
        }
    }
}

fn persons_being_erased(conn: &Connection) -> rusqlite::Result<Vec<PersonId>> {
    let mut select = conn.prepare("SELECT id FROM person WHERE state = 3 ORDER BY id")?;
    select.query_map([], |row| Ok(PersonId(uint(row.get(0)?))))?.collect()
}

/// Clears one row: the seals of the handle at that position, its keys and its link.
fn clear_row(conn: &Connection, row: &PersonRow) -> rusqlite::Result<()> {
    if let Some(entry) = read_entry(conn, row.position)?
        && let Ok(event) = codec::decode_event(&entry.bytes)
    {
        let mut delete = conn.prepare_cached("DELETE FROM seal WHERE id = ?1 * 65536 + ?2")?;
        for seal in event.seals() {
            if seal.handle == row.handle && seal.class.ends_with_person() {
                delete.execute((int(row.position.0), seal.seal))?;
            }
        }
    }
    // Accounting keeps its key, which ends with the fiscal year; nobody is linked to it any more.
    conn.prepare_cached(
        "UPDATE data_key SET person = NULL,
         wrapped = CASE WHEN year IS NULL THEN NULL ELSE wrapped END
         WHERE id BETWEEN ?1 * 8 AND ?1 * 8 + 7",
    )?
    .execute([int(row.handle.0)])?;
    conn.prepare_cached(
        "DELETE FROM person_tag WHERE person = ?1 AND until = ?2 AND position = ?3 AND handle = ?4",
    )?
    .execute((int(row.person.0), row.until, int(row.position.0), int(row.handle.0)))?;
    Ok(())
}

/// Clears what else there is: nothing but the fact that there was somebody stays.
fn bury(conn: &Connection, person: PersonId) -> rusqlite::Result<()> {
    let id = int(person.0);
    conn.execute("DELETE FROM lookup WHERE person = ?1", [id])?;
    conn.execute("DELETE FROM api_key WHERE person = ?1", [id])?;
    conn.execute("UPDATE privacy_request SET person = NULL WHERE person = ?1", [id])?;
    conn.execute(
        "UPDATE person SET fence = NULL, fields = NULL, registration = NULL,
         contact_at = NULL, contact_handle = NULL WHERE id = ?1",
        [id],
    )?;
    Ok(())
}

/// Deletes the seals of a booking's own content, wherever its entries have them.
pub(super) fn delete_seals(
    conn: &Connection,
    positions: &[Position],
    handles: &[Handle],
) -> rusqlite::Result<()> {
    for position in positions {
        let Some(entry) = read_entry(conn, *position)? else { continue };
        let Ok(event) = codec::decode_event(&entry.bytes) else { continue };
        for seal in event.seals() {
            let content = domain::booking::aggregate::is_content(seal.class);
            if content && handles.contains(&seal.handle) {
                conn.prepare_cached("DELETE FROM seal WHERE id = ?1 * 65536 + ?2")?
                    .execute((int(position.0), seal.seal))?;
            }
        }
    }
    Ok(())
}
