//! A batch: what several commands bring, committed once.
//!
//! One transaction holds entries, seals, keys, links, repeats, the head and a slice of the index
//! rows that were pending. Callers hear back after it is durable.

use std::collections::BTreeMap;

use domain::entry::Tagged;
use domain::sealed::{FieldSet, SealRef};
use domain::{BookingId, Draft, Event, Handle, Kind, Position, RetentionClass, Tag};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::appender::{AppendError, Appended, Idempotency, Reply, Seen, Writer};
use super::index::{self, PersonRow};
use crate::keyring::key::Key;
use crate::keyring::person::PersonId;
use crate::keyring::sealing::{NewDataKey, NewPerson, Sealing};
use crate::sqlite::{int, uint};
use crate::tree::Hash;

/// Rows that stay in memory before any are moved: a small ledger never moves one while it runs.
const PENDING: usize = 200_000;
/// Index rows that one commit moves at least, once too many are pending.
const SLICE: usize = 64;

struct NewEntry {
    position: Position,
    bytes: Vec<u8>,
    leaf: Hash,
    seals: Vec<Vec<u8>>,
    effect: Option<Effect>,
}

/// What an entry means for keys and links that were there before.
enum Effect {
    Registered { handle: Handle },
    Rectified { was: Handle, handle: Handle },
    ContentErased { booking: BookingId, handles: Vec<Handle>, positions: Vec<Position> },
}

/// A request that was answered, to be known again.
pub(super) struct Repeat {
    day: i64,
    key: Hash,
    body: Hash,
}

/// What several commands bring.
#[derive(Default)]
pub(crate) struct Batch {
    entries: Vec<NewEntry>,
    persons: Vec<NewPerson>,
    data_keys: Vec<NewDataKey>,
    lookups: Vec<([u8; 16], PersonId)>,
    replaced: Vec<(PersonId, FieldSet)>,
    links: BTreeMap<Handle, PersonId>,
    /// Seals of the command being decided, by what they are sealed as.
    loose: BTreeMap<(Kind, Handle, u8, u16), Vec<u8>>,
    tags: Vec<(Tag, Position)>,
    rows: Vec<PersonRow>,
    repeats: Vec<(Repeat, Appended)>,
    answers: Vec<(Reply<Appended>, Appended)>,
    spoilt: bool,
}

impl Batch {
    /// Whether seals and drafts belong together, each seal once.
    pub(super) fn fits(
        &self,
        drafts: &[Draft],
        sealing: Option<&Sealing>,
    ) -> Result<(), AppendError> {
        let name = |kind: Kind, seal: &SealRef| (kind, seal.handle, seal.class.code(), seal.seal);
        let mut wanted: Vec<_> = Vec::new();
        for draft in drafts {
            let kind = draft.event.kind();
            wanted.extend(draft.event.seals().iter().map(|seal| name(kind, seal)));
        }
        let sealed = sealing.map(|sealing| sealing.seals.as_slice()).unwrap_or_default();
        let mut brought: Vec<_> = sealed.iter().map(|new| name(new.kind, &new.seal)).collect();
        wanted.sort_unstable();
        brought.sort_unstable();
        // A decision may find that nothing needs to be appended; then nothing is kept either.
        if wanted == brought || drafts.is_empty() { Ok(()) } else { Err(AppendError::SealsDiffer) }
    }

    /// Takes in what was sealed for a command that is accepted.
    pub(super) fn bring(&mut self, sealing: Sealing) {
        self.persons.extend(sealing.persons);
        self.data_keys.extend(sealing.data_keys);
        self.lookups.extend(sealing.lookups);
        self.replaced.extend(sealing.replaced);
        self.links.extend(sealing.links);
        self.loose = sealing
            .seals
            .into_iter()
            .map(|new| {
                let seal = new.seal;
                ((new.kind, seal.handle, seal.class.code(), seal.seal), new.bytes)
            })
            .collect();
    }

    /// The seals of an entry, in order of their index.
    pub(super) fn seals_of(&mut self, event: &Event) -> Result<Vec<Vec<u8>>, AppendError> {
        let mut references = event.seals();
        references.sort_by_key(|seal| seal.seal);
        let kind = event.kind();
        let bytes = references.iter().map(|seal| {
            let name = (kind, seal.handle, seal.class.code(), seal.seal);
            self.loose.remove(&name).ok_or(AppendError::SealsDiffer)
        });
        bytes.collect()
    }

    /// Adds an entry. `told` are the earlier entries of the booking whose content it erases.
    #[expect(clippy::too_many_arguments, reason = "an entry is made in one place, of all these")]
    pub(super) fn entry(
        &mut self,
        position: Position,
        bytes: Vec<u8>,
        leaf: Hash,
        seals: Vec<Vec<u8>>,
        tagged: Tagged,
        rows: Vec<PersonRow>,
        told: Vec<Position>,
    ) {
        let effect = effect(tagged.draft.event, told);
        self.tags.extend(tagged.tags.into_iter().map(|tag| (tag, position)));
        self.rows.extend(rows);
        self.entries.push(NewEntry { position, bytes, leaf, seals, effect });
    }

    /// The entries of this batch under a tag.
    pub(super) fn positions(&self, tag: Tag) -> impl Iterator<Item = Position> {
        self.tags.iter().filter(move |(known, _)| *known == tag).map(|(_, position)| *position)
    }

    pub(super) fn answer(&mut self, reply: Reply<Appended>, appended: Appended) {
        self.answers.push((reply, appended));
    }

    pub(super) fn remember(&mut self, repeat: Repeat, appended: &Appended) {
        self.repeats.push((repeat, appended.clone()));
    }

    /// Whose handle, if this batch brings it.
    pub(super) fn person(&self, handle: Handle) -> Option<PersonId> {
        self.links.get(&handle).copied()
    }

    pub(super) fn is_new(&self, person: PersonId) -> bool {
        self.persons.iter().rev().any(|new| new.id == person)
    }

    /// Nothing of this batch may be committed.
    pub(super) fn spoil(&mut self) {
        self.spoilt = true;
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.answers.is_empty() && !self.spoilt
    }
}

fn effect(event: Event, positions: Vec<Position>) -> Option<Effect> {
    match event {
        Event::PersonRegistered(event) => Some(Effect::Registered { handle: event.contact.handle }),
        Event::PersonRectified(event) => {
            Some(Effect::Rectified { was: event.was, handle: event.contact.handle })
        }
        Event::BookingContentErased(event) => {
            let (booking, handles) = (event.booking, event.handles);
            Some(Effect::ContentErased { booking, handles, positions })
        }
        Event::BookingRequested(_)
        | Event::BookingConfirmed(_)
        | Event::BookingDeclined(_)
        | Event::BookingRescheduled(_)
        | Event::BookingCancelled(_)
        | Event::BookingCheckedIn(_)
        | Event::BookingCompleted(_)
        | Event::BookingMissed(_)
        | Event::BookingChanged(_)
        | Event::PersonErased(_)
        | Event::ConsentGiven(_)
        | Event::ConsentWithdrawn(_)
        | Event::PolicyAccepted(_)
        | Event::GroupDefined(_)
        | Event::ResourceDefined(_)
        | Event::ResourceRevised(_)
        | Event::ResourceRetired(_)
        | Event::ServiceDefined(_)
        | Event::ServiceRevised(_)
        | Event::ServiceRetired(_)
        | Event::PolicySet(_)
        | Event::LedgerReopened(_)
        | Event::SealsOpened(_) => None,
    }
}

/// Rows of both indexes that go into their tables with a commit.
struct Moves {
    tags: (Vec<(Tag, Position)>, bool),
    persons: (Vec<PersonRow>, bool),
}

impl Writer {
    /// Commits a batch and answers everybody in it.
    pub(super) fn commit(&mut self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        match self.commit_with(&batch, |_| Ok(())) {
            Ok(()) => {
                for (reply, appended) in batch.answers {
                    // A caller that went away finds the entries all the same.
                    drop(reply.send(Ok(appended)));
                }
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed; its commands were not carried out");
                let error = std::sync::Arc::new(error);
                for (reply, _) in batch.answers {
                    drop(reply.send(Err(AppendError::Commit(std::sync::Arc::clone(&error)))));
                }
            }
        }
    }

    /// Commits a batch with something more, or makes everything in memory anew.
    pub(super) fn commit_with(
        &mut self,
        batch: &Batch,
        more: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let moves = self.moves(batch);
        let touched: Vec<PersonId> = batch.replaced.iter().map(|(person, _)| *person).collect();
        let done = if batch.spoilt {
            Err(rusqlite::Error::ExecuteReturnedResults)
        } else {
            self.write_all(batch, &moves, more)
        };
        if done.is_ok() {
            self.committed(batch, moves);
            touched.into_iter().for_each(|person| self.keyring.changed(person));
        } else {
            self.reset();
        }
        done
    }

    fn write_all(
        &mut self,
        batch: &Batch,
        moves: &Moves,
        more: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let (next_handle, next_person) = self.keyring.counters();
        let indexed = self.indexed_after(moves);
        let tx = self.conn.transaction()?;
        insert_entries(&tx, &batch.entries)?;
        insert_keyring(&tx, batch)?;
        for entry in &batch.entries {
            if let Some(effect) = &entry.effect {
                apply_effect(&tx, batch, entry.position, effect)?;
            }
        }
        insert_repeats(&tx, &batch.repeats)?;
        index::insert_tags(&tx, &moves.tags.0)?;
        index::insert_persons(&tx, &moves.persons.0)?;
        more(&tx)?;
        tx.prepare_cached(
            "UPDATE head SET size = ?1, frontier = ?2, recorded_at = ?3, indexed = ?4,
             next_handle = ?5, next_person = ?6 WHERE id = 1",
        )?
        .execute(params![
            int(self.frontier.size()),
            self.frontier.to_bytes(),
            self.recorded_at,
            int(indexed),
            int(next_handle),
            int(next_person),
        ])?;
        tx.commit()
    }

    /// What this commit moves: about as many rows as it brings, once enough are pending.
    fn moves(&self, batch: &Batch) -> Moves {
        let pending = self.log.pending();
        let tags = if pending.tags.len() > PENDING {
            self.tag_round.slice(&pending.tags, batch.tags.len().max(SLICE))
        } else {
            (Vec::new(), false)
        };
        let persons = if pending.persons.len() > PENDING {
            self.person_round.slice(&pending.persons, batch.rows.len().max(SLICE))
        } else {
            (Vec::new(), false)
        };
        Moves { tags, persons }
    }

    fn indexed_after(&self, moves: &Moves) -> u64 {
        let tags = self.tag_round.complete_after(moves.tags.1);
        let persons = self.person_round.complete_after(moves.persons.1);
        tags.min(persons)
    }

    fn committed(&mut self, batch: &Batch, moves: Moves) {
        let before = self.log.size();
        let size = self.frontier.size();
        {
            let mut pending = self.log.pending();
            for row in &moves.tags.0 {
                pending.tags.remove(row);
            }
            for row in &moves.persons.0 {
                pending.persons.remove(row);
            }
            pending.tags.extend(batch.tags.iter().copied());
            pending.persons.extend(batch.rows.iter().copied());
            for entry in &batch.entries {
                if let Some(effect) = &entry.effect {
                    forget_seals(&mut pending.persons, batch, effect);
                }
            }
        }
        // Rows of this commit came after the slice was taken: they belong to the next round.
        if moves.tags.1 || !moves.tags.0.is_empty() {
            self.tag_round.moved(&moves.tags.0, moves.tags.1, size);
        }
        if moves.persons.1 || !moves.persons.0.is_empty() {
            self.person_round.moved(&moves.persons.0, moves.persons.1, size);
        }
        if size != before {
            self.log.grown(size);
        }
    }

    /// Moves all pending rows into their tables.
    pub(super) fn write_pending(&mut self) -> rusqlite::Result<()> {
        let (tags, persons): (Vec<_>, Vec<_>) = {
            let pending = self.log.pending();
            (pending.tags.iter().copied().collect(), pending.persons.iter().copied().collect())
        };
        let tx = self.conn.transaction()?;
        index::insert_tags(&tx, &tags)?;
        index::insert_persons(&tx, &persons)?;
        tx.execute("UPDATE head SET indexed = size WHERE id = 1", [])?;
        tx.commit()?;
        let mut pending = self.log.pending();
        pending.tags.clear();
        pending.persons.clear();
        Ok(())
    }

    /// Empties the write-ahead log; whether nothing held it back.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<bool> {
        let busy: i64 =
            self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(busy == 0)
    }

    /// Whether a request was answered before, in this batch or in the last day.
    pub(super) fn repeated(
        &mut self,
        batch: &Batch,
        idempotency: Idempotency,
        now: Timestamp,
    ) -> Result<Seen, AppendError> {
        const DAY: i64 = 24 * 3600;
        let today = now.as_second().div_euclid(DAY);
        for day in [today, today - 1] {
            let Some(secret) = self.repeat_key(day, day == today)? else { continue };
            let key = secret.hmac(&[b"key", &idempotency.key]);
            let body = secret.hmac(&[b"body", &idempotency.body]);
            let earlier = batch.repeats.iter().find(|(repeat, _)| repeat.key == key);
            let stored = match earlier {
                Some((repeat, appended)) => Some((repeat.body, appended.clone())),
                None => self.stored_repeat(day, &key)?,
            };
            match stored {
                Some((known, appended)) if known == body => {
                    return Ok(Seen::Before(Appended { repeated: true, ..appended }));
                }
                Some(_) => return Err(AppendError::KeyReused),
                None => (),
            }
        }
        let secret = self.repeat_key(today, true)?.ok_or(AppendError::Stopped)?;
        let key = secret.hmac(&[b"key", &idempotency.key]);
        let body = secret.hmac(&[b"body", &idempotency.body]);
        Ok(Seen::Never(Repeat { day: today, key, body }))
    }

    fn stored_repeat(&self, day: i64, key: &Hash) -> rusqlite::Result<Option<(Hash, Appended)>> {
        let mut select = self.conn.prepare_cached(
            "SELECT body, first, count FROM idempotency WHERE day = ?1 AND key = ?2",
        )?;
        select
            .query_row(params![day, key], |row| {
                let first = Position(uint(row.get(1)?));
                Ok((row.get(0)?, Appended { first, count: row.get(2)?, repeated: true }))
            })
            .optional()
    }

    /// The key of one day's repeats; making today's lets go of those that are over.
    fn repeat_key(&mut self, day: i64, make: bool) -> Result<Option<&Key>, AppendError> {
        if !self.repeats.contains_key(&day) {
            let name = format!("repeats {day}");
            let mut select =
                self.conn.prepare_cached("SELECT wrapped FROM secret WHERE name = ?1")?;
            let wrapped: Option<Vec<u8>> =
                select.query_row([&name], |row| row.get(0)).optional()?;
            drop(select);
            let tenant_key = self.keyring.tenant_key()?;
            let key = match wrapped {
                Some(wrapped) => {
                    tenant_key.key.unwrap(&wrapped).map_err(crate::keyring::KeyError::from)?
                }
                None if !make => return Ok(None),
                None => {
                    let key = Key::random(&self.env);
                    let wrapped = tenant_key.key.wrap(&key);
                    self.begin_day(day, &name, &wrapped)?;
                    key
                }
            };
            self.repeats.retain(|known, _| *known >= day - 1);
            self.repeats.insert(day, key);
        }
        Ok(self.repeats.get(&day))
    }

    fn begin_day(&mut self, day: i64, name: &str, wrapped: &[u8]) -> rusqlite::Result<()> {
        let tx = self.conn.transaction()?;
        tx.execute("INSERT INTO secret VALUES (?1, ?2)", params![name, wrapped])?;
        tx.execute("DELETE FROM idempotency WHERE day < ?1", [day - 1])?;
        let yesterday = format!("repeats {}", day - 1);
        tx.execute(
            "DELETE FROM secret WHERE name GLOB 'repeats *' AND name NOT IN (?1, ?2)",
            params![name, yesterday],
        )?;
        tx.commit()
    }
}

fn insert_entries(conn: &Connection, entries: &[NewEntry]) -> rusqlite::Result<()> {
    let mut entry = conn.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3)")?;
    let mut seal = conn.prepare_cached("INSERT INTO seal VALUES (?1, ?2, ?3)")?;
    for new in entries {
        let position = int(new.position.0);
        entry.execute(params![position, new.bytes, new.leaf])?;
        for (n, ciphertext) in new.seals.iter().enumerate() {
            seal.execute(params![position, i64::try_from(n).unwrap_or(i64::MAX), ciphertext])?;
        }
    }
    Ok(())
}

fn insert_keyring(conn: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    let mut person = conn
        .prepare_cached("INSERT INTO person (id, state, fence, fields) VALUES (?1, 1, ?2, ?3)")?;
    let mut person_key = conn.prepare_cached("INSERT INTO person_key VALUES (?1, ?2, ?3)")?;
    for new in &batch.persons {
        person.execute(params![int(new.id.0), new.fence.0, new.fields.0])?;
        for (class, wrapped) in &new.keys {
            person_key.execute(params![int(new.id.0), class.code(), wrapped])?;
        }
    }
    let mut data_key = conn.prepare_cached("INSERT INTO data_key VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for new in &batch.data_keys {
        let person = new.person.map(|person| int(person.0));
        data_key.execute(params![
            int(new.handle.0),
            new.class.code(),
            person,
            new.year,
            new.wrapped
        ])?;
    }
    let mut forget = conn.prepare_cached("DELETE FROM lookup WHERE person = ?1")?;
    let mut refit = conn.prepare_cached("UPDATE person SET fields = ?2 WHERE id = ?1")?;
    for (person, fields) in &batch.replaced {
        forget.execute([int(person.0)])?;
        refit.execute((int(person.0), fields.0))?;
    }
    let mut lookup = conn.prepare_cached("INSERT OR IGNORE INTO lookup VALUES (?1, ?2)")?;
    for (value, person) in &batch.lookups {
        lookup.execute(params![value, int(person.0)])?;
    }
    Ok(())
}

fn insert_repeats(conn: &Connection, repeats: &[(Repeat, Appended)]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT INTO idempotency VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (repeat, appended) in repeats {
        let first = int(appended.first.0);
        insert.execute(params![repeat.day, repeat.key, repeat.body, first, appended.count])?;
    }
    Ok(())
}

fn apply_effect(
    conn: &Connection,
    batch: &Batch,
    position: Position,
    effect: &Effect,
) -> rusqlite::Result<()> {
    match effect {
        Effect::Registered { handle } => {
            let Some(person) = batch.person(*handle) else { return Ok(()) };
            conn.prepare_cached(
                "UPDATE person SET registration = ?2, contact_at = ?2, contact_handle = ?3
                 WHERE id = ?1",
            )?
            .execute((int(person.0), int(position.0), int(handle.0)))?;
        }
        Effect::Rectified { was, handle } => {
            let Some(person) = batch.person(*handle) else { return Ok(()) };
            let person = int(person.0);
            end_key(conn, *was, RetentionClass::Contact)?;
            conn.execute(
                "DELETE FROM seal WHERE position = (SELECT contact_at FROM person WHERE id = ?1)",
                [person],
            )?;
            conn.execute(
                "UPDATE person SET contact_at = ?2, contact_handle = ?3 WHERE id = ?1",
                (person, int(position.0), int(handle.0)),
            )?;
            conn.execute(
                "UPDATE person_tag SET seals = 0 WHERE person = ?1 AND until = 0 AND handle = ?2",
                (person, int(was.0)),
            )?;
        }
        Effect::ContentErased { booking, handles, positions } => {
            erase_content(conn, *booking, handles)?;
            super::erasure::delete_seals(conn, positions, handles)?;
        }
    }
    Ok(())
}

/// Destroys a data key. The row stays as a tombstone: what was sealed is erased, not lost.
fn end_key(conn: &Connection, handle: Handle, class: RetentionClass) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE data_key SET wrapped = NULL WHERE handle = ?1 AND class = ?2")?
        .execute((int(handle.0), class.code()))?;
    Ok(())
}

fn erase_content(
    conn: &Connection,
    booking: BookingId,
    handles: &[Handle],
) -> rusqlite::Result<()> {
    for handle in handles {
        let rows: Vec<(i64, i64)> = {
            let mut select = conn.prepare_cached(
                "SELECT person, class FROM data_key WHERE handle = ?1 AND person IS NOT NULL",
            )?;
            let rows = select.query_map([int(handle.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for class in [RetentionClass::Booking, RetentionClass::Health] {
            end_key(conn, *handle, class)?;
        }
        for (person, _) in rows {
            conn.execute(
                "UPDATE person_tag SET seals = 0 WHERE person = ?1 AND booking = ?2",
                (person, int(booking.0)),
            )?;
        }
    }
    Ok(())
}

/// Pending rows of what an effect has ended count no seals any more.
fn forget_seals(rows: &mut std::collections::BTreeSet<PersonRow>, batch: &Batch, effect: &Effect) {
    let ended: Vec<PersonRow> = match effect {
        Effect::Registered { .. } => Vec::new(),
        Effect::Rectified { was, handle } => {
            let old =
                |row: &&PersonRow| Some(row.person) == batch.person(*handle) && row.handle == *was;
            rows.iter().filter(old).copied().collect()
        }
        Effect::ContentErased { booking, .. } => {
            rows.iter().filter(|row| row.booking == Some(*booking)).copied().collect()
        }
    };
    for row in ended {
        rows.remove(&row);
        rows.insert(PersonRow { seals: 0, ..row });
    }
}
