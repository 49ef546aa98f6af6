//! Committing a batch: everything in it and a slice of the pending index rows, or nothing.

use std::time::Duration;

use domain::{Position, Tag};
use rusqlite::{Connection, params};

use super::{Batch, NewEntry, effect, repeat};
use crate::keyring::person::PersonId;
use crate::keyring::sealing::LookupKind;
use crate::ledger::appender::AppendError;
use crate::ledger::index::{self, PersonRow, Slice};
use crate::ledger::writer::Writer;
use crate::sqlite::{self, int};

/// Rows that wait in memory before a round begins: a small ledger moves none while it runs. More
/// make pages fuller when they are written, and the start after a crash longer.
const PENDING: usize = 400_000;
/// Index rows that one commit moves at least, once too many are pending.
const SLICE: usize = 64;

/// Rows of both indexes that go into their tables with a commit.
struct Moves {
    tags: Slice<(Tag, Position)>,
    persons: Slice<PersonRow>,
    /// Up to where both tables are complete then.
    indexed: u64,
}

impl Writer {
    /// Commits a batch and answers everybody in it.
    pub(in crate::ledger) fn commit(&mut self, mut batch: Batch) {
        if batch.is_empty() {
            return;
        }
        match self.commit_with(&mut batch, |_| Ok(())) {
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
    pub(in crate::ledger) fn commit_with(
        &mut self,
        batch: &mut Batch,
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
            self.committed(batch, &moves);
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
        let tx = self.conn.transaction()?;
        insert_entries(&tx, &batch.entries)?;
        insert_keyring(&tx, batch)?;
        for entry in &batch.entries {
            if let Some(effect) = &entry.effect {
                effect::apply(&tx, batch, entry.position, effect)?;
            }
        }
        repeat::insert(&tx, &batch.repeats)?;
        index::insert_tags(&tx, &moves.tags.rows)?;
        index::insert_persons(&tx, &moves.persons.rows)?;
        more(&tx)?;
        tx.prepare_cached(
            "UPDATE head SET size = ?1, frontier = ?2, recorded_at = ?3, indexed = ?4,
             next_handle = ?5, next_person = ?6 WHERE id = 1",
        )?
        .execute(params![
            int(self.frontier.size()),
            self.frontier.to_bytes(),
            self.recorded_at,
            int(moves.indexed),
            int(next_handle),
            int(next_person),
        ])?;
        tx.commit()
    }

    /// What this commit moves: about as many rows as it brings, once enough are pending.
    fn moves(&self, batch: &Batch) -> Moves {
        let size = self.log.size();
        let mut pending = self.log.pending();
        let tags = pending.tags.next(batch.tags.len().max(SLICE), PENDING, size);
        let persons = pending.persons.next(batch.rows.len().max(SLICE), PENDING, size);
        let indexed =
            pending.tags.complete_after(&tags).min(pending.persons.complete_after(&persons));
        Moves { tags, persons, indexed }
    }

    fn committed(&mut self, batch: &mut Batch, moves: &Moves) {
        {
            let mut pending = self.log.pending();
            pending.tags.written(&moves.tags);
            pending.persons.written(&moves.persons);
            pending.tags.add(std::mem::take(&mut batch.tags));
            pending.persons.add(std::mem::take(&mut batch.rows));
            for entry in &batch.entries {
                if let Some(effect) = &entry.effect {
                    effect::forget_seals(&mut pending.persons, batch, effect);
                }
            }
        }
        let size = self.frontier.size();
        if size != self.log.size() {
            self.log.grown(size);
        }
    }

    /// Moves all pending rows into their tables.
    pub(in crate::ledger) fn write_pending(&mut self) -> rusqlite::Result<()> {
        let (tags, persons) = {
            let pending = self.log.pending();
            (pending.tags.sorted(), pending.persons.sorted())
        };
        let tx = self.conn.transaction()?;
        index::insert_tags(&tx, &tags)?;
        index::insert_persons(&tx, &persons)?;
        tx.execute("UPDATE head SET indexed = size WHERE id = 1", [])?;
        tx.commit()?;
        let mut pending = self.log.pending();
        pending.tags.all_written(self.frontier.size());
        pending.persons.all_written(self.frontier.size());
        Ok(())
    }

    /// Empties the write-ahead log; whether nothing held it back.
    pub(in crate::ledger) fn checkpoint(&self) -> rusqlite::Result<bool> {
        // A reader that holds it up is not waited for: others wait for the writer.
        self.conn.busy_timeout(BRIEFLY)?;
        let busy: rusqlite::Result<i64> =
            self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        self.conn.busy_timeout(sqlite::PATIENCE)?;
        Ok(busy? == 0)
    }
}

/// How long a checkpoint waits for readers.
const BRIEFLY: Duration = Duration::from_millis(5);

fn insert_entries(conn: &Connection, entries: &[NewEntry]) -> rusqlite::Result<()> {
    let mut entry = conn.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3)")?;
    let mut seal = conn.prepare_cached("INSERT INTO seal VALUES (?1 * 65536 + ?2, ?3)")?;
    for new in entries {
        let position = int(new.position.0);
        entry.execute(params![position, new.bytes, new.leaf])?;
        for (n, ciphertext) in (0_u16..).zip(new.seals.iter().map(|new| &new.bytes)) {
            seal.execute(params![position, n, ciphertext])?;
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
    let mut data_key =
        conn.prepare_cached("INSERT INTO data_key VALUES (?1 * 8 + ?2, ?3, ?4, ?5)")?;
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
    let mut forget = conn.prepare_cached("DELETE FROM lookup WHERE person = ?1 AND kind <> ?2")?;
    let mut refit = conn.prepare_cached("UPDATE person SET fields = ?2 WHERE id = ?1")?;
    for (person, fields) in &batch.replaced {
        // What the tenant calls somebody stays when they write themselves in another way.
        forget.execute((int(person.0), LookupKind::Reference.code()))?;
        refit.execute((int(person.0), fields.0))?;
    }
    let mut lookup = conn.prepare_cached("INSERT OR IGNORE INTO lookup VALUES (?1, ?2, ?3)")?;
    for new in &batch.lookups {
        lookup.execute(params![new.value, int(new.person.0), new.kind.code()])?;
    }
    Ok(())
}
