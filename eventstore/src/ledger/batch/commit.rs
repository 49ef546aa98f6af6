//! Committing a batch: everything in it and a slice of the pending index rows, or nothing.

use std::time::Duration;

use domain::{Position, Tag};
use rusqlite::{Connection, params};

use super::{Batch, NewEntry, effect, repeat};
use crate::keyring::person::PersonId;
use crate::keyring::sealing::LookupKind;
use crate::ledger::appender::AppendError;
use crate::ledger::index::{self, PersonRow};
use crate::ledger::writer::Writer;
use crate::sqlite::{self, int};

/// Rows that stay in memory before any are moved: a small ledger never moves one while it runs.
const PENDING: usize = 200_000;
/// Index rows that one commit moves at least, once too many are pending.
const SLICE: usize = 64;

/// Rows of both indexes that go into their tables with a commit.
struct Moves {
    tags: (Vec<(Tag, Position)>, bool),
    persons: (Vec<PersonRow>, bool),
}

impl Writer {
    /// Commits a batch and answers everybody in it.
    pub(in crate::ledger) fn commit(&mut self, batch: Batch) {
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
    pub(in crate::ledger) fn commit_with(
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
        let indexed = self.indexed_after(moves);
        let tx = self.conn.transaction()?;
        insert_entries(&tx, &batch.entries)?;
        insert_keyring(&tx, batch)?;
        for entry in &batch.entries {
            if let Some(effect) = &entry.effect {
                effect::apply(&tx, batch, entry.position, effect)?;
            }
        }
        repeat::insert(&tx, &batch.repeats)?;
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

    fn committed(&mut self, batch: &Batch, moves: &Moves) {
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
                    effect::forget_seals(&mut pending.persons, batch, effect);
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
    pub(in crate::ledger) fn write_pending(&mut self) -> rusqlite::Result<()> {
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
