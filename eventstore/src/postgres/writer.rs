//! Writing a ledger on a server: each call one transaction.
//!
//! A commit is guarded by the head's size: where another node was first the guard finds no row, and
//! nothing is written. The guard is part of the statement that writes, so there is no moment
//! between looking and writing.

use std::sync::Arc;

use domain::{Handle, Position, RetentionClass};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::columns::Rows;
use super::follow::Follower;
use super::pool::Borrowed;
use super::{PgError, Scope, changes, int, papers};
use crate::engine::{Change, Cleared, Commit, Effect, EngineError, KINDS, Outcome, Writer};
use crate::keyring::Keyring;
use crate::keyring::person::{PersonId, PersonState};
use crate::keyring::sealing::LookupKind;
use crate::ledger::log::Log;
use crate::store::notices::NoticeKind;
use crate::wait::wait;

const COMMIT: &str = include_str!("commit.sql");

/// Writes one ledger on a server.
pub(crate) struct PgWriter {
    scope: Scope,
    follower: Follower,
    /// The transaction that holds the head.
    held: Option<Borrowed>,
}

impl PgWriter {
    pub(crate) fn new(scope: Scope, follower: Follower) -> Self {
        Self { scope, follower, held: None }
    }

    /// Begins a transaction as the tenant's role.
    fn begin(&self) -> Result<Borrowed, PgError> {
        let begin = format!("BEGIN; {}", self.scope.begin);
        let borrowed = self.scope.server.borrow()?;
        match wait(borrowed.client()?.batch_execute(&begin)) {
            Ok(()) => Ok(borrowed),
            Err(error) if error.code().is_none() => {
                // A connection that died while it lay idle.
                drop(borrowed);
                self.scope.server.let_go();
                let borrowed = self.scope.server.borrow()?;
                wait(borrowed.client()?.batch_execute(&begin)).map_err(PgError::of)?;
                Ok(borrowed)
            }
            Err(error) => Err(PgError::of(error)),
        }
    }

    /// Runs statements as one transaction.
    fn transaction<T>(
        &self,
        work: impl FnOnce(&mut Tx) -> Result<T, PgError>,
    ) -> Result<T, EngineError> {
        let mut tx = Tx(self.begin()?);
        let done = work(&mut tx)?;
        wait(tx.0.client()?.batch_execute("COMMIT")).map_err(PgError::of)?;
        tx.0.done();
        Ok(done)
    }

    /// Writes a batch, and ends the transaction.
    fn write(&mut self, commit: &Commit<'_>) -> Result<Outcome, Failed> {
        let rows = Rows::of(commit);
        let more = !commit.effects.is_empty()
            || commit.fenced.is_some()
            || !commit.batch.replaced.is_empty();
        let tx = match self.held.take() {
            Some(held) => held,
            None if more => self.begin()?,
            None => {
                let borrowed = self.scope.server.borrow()?;
                match borrowed.knows(COMMIT) {
                    Some(statement) => return self.send_whole(borrowed, &rows, &statement),
                    None => {
                        drop(borrowed);
                        self.begin()?
                    }
                }
            }
        };
        let mut tx = Tx(tx);
        let statement = wait(tx.0.prepared(COMMIT))?;
        if more {
            if wait(rows.send(&tx.0, &statement))?.is_empty() {
                wait(tx.0.client()?.batch_execute("ROLLBACK")).map_err(PgError::of)?;
                tx.0.done();
                return Ok(Outcome::Behind);
            }
            tx.what_else(commit)?;
            let ended = wait(tx.0.client()?.batch_execute("COMMIT"));
            ended.map_err(|error| Failed::Ending(PgError::of(error)))?;
            tx.0.done();
            return Ok(Outcome::Done);
        }
        let client = tx.0.client()?;
        // The guard writes nothing where it finds another size, so the end need not wait for it.
        let (written, ended) = wait(async {
            tokio::join!(rows.send(&tx.0, &statement), client.batch_execute("COMMIT"))
        });
        let outcome = outcome(written, ended)?;
        tx.0.done();
        Ok(outcome)
    }

    /// A whole transaction in one round trip.
    fn send_whole(
        &self,
        borrowed: Borrowed,
        rows: &Rows<'_>,
        statement: &Statement,
    ) -> Result<Outcome, Failed> {
        let begin = format!("BEGIN; {}", self.scope.begin);
        let client = borrowed.client()?;
        let (begun, written, ended) = wait(async {
            tokio::join!(
                client.batch_execute(&begin),
                rows.send(&borrowed, statement),
                client.batch_execute("COMMIT"),
            )
        });
        // Where it did not begin, nothing after it was done.
        begun.map_err(|error| Failed::Ending(PgError::of(error)))?;
        let outcome = outcome(written, ended)?;
        borrowed.done();
        Ok(outcome)
    }

    /// Whether a commit whose answer was lost stands. Whoever has the head's row has seen the end
    /// of every transaction that wrote it.
    fn settled(&self, commit: &Commit<'_>) -> Result<Outcome, PgError> {
        let first = commit.batch.entries.first().map(|entry| (entry.position, entry.leaf));
        let found = self.transaction(|tx| {
            tx.run("SELECT size FROM head WHERE id = 1 FOR UPDATE", &[])?;
            let Some((position, leaf)) = first else { return Ok(false) };
            let sql = "SELECT 1 FROM entry WHERE position = $1 AND leaf = $2";
            let rows = tx.rows(sql, &[&int(position.0), &leaf.as_slice()])?;
            Ok(!rows.is_empty())
        });
        match found {
            Ok(true) => Ok(Outcome::Done),
            Ok(false) => Ok(Outcome::Behind),
            Err(EngineError::Postgres(error)) => Err(error),
            Err(_) => Err(PgError::Closed),
        }
    }
}

/// What the answers to a batch and to its end say.
fn outcome(
    written: Result<Vec<Row>, PgError>,
    ended: Result<(), tokio_postgres::Error>,
) -> Result<Outcome, Failed> {
    let written = written.map_err(|error| match matches!(error, PgError::Away(_)) {
        true => Failed::Ending(error),
        false => Failed::Before(error),
    })?;
    ended.map_err(|error| Failed::Ending(PgError::of(error)))?;
    Ok(if written.is_empty() { Outcome::Behind } else { Outcome::Done })
}

/// How a commit failed.
enum Failed {
    /// Nothing of it stands.
    Before(PgError),
    /// It was on its way.
    Ending(PgError),
}

impl From<PgError> for Failed {
    fn from(error: PgError) -> Self {
        Self::Before(error)
    }
}

impl Writer for PgWriter {
    fn commit(&mut self, commit: &Commit<'_>) -> Result<Outcome, EngineError> {
        let outcome = match self.write(commit) {
            Ok(outcome) => outcome,
            Err(Failed::Before(error)) => return Err(error.into()),
            Err(Failed::Ending(lost)) => {
                self.scope.server.let_go();
                self.settled(commit).map_err(|_| PgError::Unsettled(Box::new(lost)))?
            }
        };
        if outcome == Outcome::Done {
            self.follower.tell(commit.head.size);
        }
        Ok(outcome)
    }

    fn change(&mut self, change: &Change) -> Result<u64, EngineError> {
        self.transaction(|tx| changes::make(tx, change))
    }

    fn clear(&mut self, person: PersonId, rows: &[Cleared], last: bool) -> Result<(), EngineError> {
        self.transaction(|tx| {
            tx.clear(rows)?;
            if last {
                tx.bury(person)?;
            }
            Ok(())
        })
    }

    fn cleared(&mut self, person: PersonId) -> Result<(), EngineError> {
        let state = state(PersonState::Erased);
        self.transaction(|tx| {
            let sql = "UPDATE person SET state = $2 WHERE id = $1";
            tx.run(sql, &[&int(person.0), &state])?;
            // By that a request is known to be through.
            let sql = "UPDATE privacy_request SET person = NULL WHERE person = $1";
            tx.run(sql, &[&int(person.0)]).map(drop)
        })
    }

    fn reopen(&mut self, origin: u32) -> Result<(), EngineError> {
        let origin = i32::try_from(origin).unwrap_or(i32::MAX);
        self.transaction(|tx| {
            tx.run("UPDATE head SET origin = $1 WHERE id = 1", &[&origin]).map(drop)
        })
    }

    /// Dead rows stay in the database's files until it vacuums, and in its log until that is
    /// recycled: wrapped keys, whose own keys are destroyed in turn.
    fn settle(&mut self) -> Result<bool, EngineError> {
        Ok(true)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn follow(&self, log: &Arc<Log>, keyring: &Arc<Keyring>) {
        self.follower.follow(log, keyring);
    }

    fn hold(&mut self) -> Result<(), EngineError> {
        self.held = None;
        let mut tx = Tx(self.begin()?);
        tx.run("SELECT 1 FROM head WHERE id = 1 FOR UPDATE", &[])?;
        self.held = Some(tx.0);
        Ok(())
    }

    fn release(&mut self) {
        if let Some(held) = self.held.take() {
            // Where it cannot be ended, it ends with its connection.
            let client = held.client().map(|client| wait(client.batch_execute("ROLLBACK")).is_ok());
            if matches!(client, Ok(true)) {
                held.done();
            }
        }
    }
}

fn state(state: PersonState) -> i16 {
    i16::try_from(state.code()).unwrap_or(i16::MAX)
}

/// A transaction under way.
pub(super) struct Tx(Borrowed);

impl Tx {
    pub(super) fn rows(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PgError> {
        let statement = wait(self.0.prepared(sql))?;
        wait(self.0.client()?.query(&statement, params)).map_err(PgError::of)
    }

    pub(super) fn run(
        &mut self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, PgError> {
        let statement = wait(self.0.prepared(sql))?;
        wait(self.0.client()?.execute(&statement, params)).map_err(PgError::of)
    }

    /// What a batch does beyond adding rows.
    fn what_else(&mut self, commit: &Commit<'_>) -> Result<(), PgError> {
        for (person, fields) in &commit.batch.replaced {
            // What the tenant calls somebody stays when they write themselves in another way. What
            // they are found by now came with the same statement as the entries.
            let new: Vec<&[u8]> = commit
                .batch
                .lookups
                .iter()
                .filter(|lookup| lookup.person == *person)
                .map(|lookup| lookup.value.as_slice())
                .collect();
            // First, as at a fence: lookups may be being covered anew at another node.
            let fields = i32::try_from(fields.0).unwrap_or(0);
            self.run("UPDATE person SET fields = $2 WHERE id = $1", &[&int(person.0), &fields])?;
            let reference = LookupKind::Reference.code();
            let sql = "DELETE FROM lookup WHERE person = $1 AND kind % $4 <> $2
                       AND value <> ALL ($3)";
            self.run(sql, &[&int(person.0), &reference, &new, &KINDS])?;
        }
        for effect in &commit.effects {
            self.apply(effect, commit.second())?;
        }
        if let Some((person, position)) = commit.fence() {
            // The state first: whoever rotates the person's keys at another node holds their row,
            // and what they add is only seen by a statement that begins after them.
            let sql = "UPDATE person SET state = $2 WHERE id = $1";
            self.run(sql, &[&int(person.0), &state(PersonState::Erasing)])?;
            self.run("DELETE FROM person_key WHERE person = $1", &[&int(person.0)])?;
            let when = (position, commit.second());
            papers::tell(self, NoticeKind::Erased, person, when)?;
            papers::done(self, person, when)?;
        }
        Ok(())
    }

    fn apply(&mut self, effect: &Effect, at: i64) -> Result<(), PgError> {
        match effect {
            Effect::Registered { person, position, handle } => {
                let sql = "UPDATE person SET registration = $2, contact_at = $2,
                           contact_handle = $3 WHERE id = $1";
                self.run(sql, &[&int(person.0), &int(position.0), &int(handle.0)])?;
            }
            Effect::Rectified { person, position, was, handle } => {
                let (whose, person) = (*person, int(person.0));
                self.end_key(*was, RetentionClass::Contact)?;
                let sql = "DELETE FROM seal USING person WHERE person.id = $1
                           AND seal.id >= 65536 * contact_at AND seal.id < 65536 * (1 + contact_at)";
                self.run(sql, &[&person])?;
                let sql = "UPDATE person SET contact_at = $2, contact_handle = $3 WHERE id = $1";
                self.run(sql, &[&person, &int(position.0), &int(handle.0)])?;
                // After the row is held: whoever is given the old value meanwhile is told too.
                papers::tell(self, NoticeKind::Rectified, whose, (*position, at))?;
                let sql = "UPDATE person_tag SET seals = 0
                           WHERE person = $1 AND until = 0 AND handle = $2";
                self.run(sql, &[&person, &int(was.0)])?;
            }
            Effect::Restricted { person, position, restricted } => {
                let (from, to) = PersonState::restriction(*restricted);
                let sql = "UPDATE person SET state = $3 WHERE id = $1 AND state = $2";
                self.run(sql, &[&int(person.0), &state(from), &state(to)])?;
                let kind = NoticeKind::of_restriction(*restricted);
                papers::tell(self, kind, *person, (*position, at))?;
            }
            Effect::PeriodEnded(period) => {
                let sql = "DELETE FROM period_key WHERE class = $1 AND year = $2";
                self.run(sql, &[&i16::from(period.class.code()), &period.year])?;
            }
            Effect::ContentErased { handles, classes, ended } => {
                for handle in handles {
                    for class in classes {
                        self.end_key(*handle, *class)?;
                    }
                }
                for ended in ended {
                    let sql = "UPDATE person_tag SET seals = greatest(seals - $5, 0)
                               WHERE until = $4 AND position = $3 AND handle = $2 AND person IN
                               (SELECT person FROM data_key WHERE id BETWEEN $1 AND $1 + 7)";
                    let (handle, position) = (int(ended.handle.0), int(ended.position.0));
                    let count = i32::try_from(ended.seals.len()).unwrap_or(i32::MAX);
                    self.run(sql, &[&(handle * 8), &handle, &position, &ended.until, &count])?;
                    self.delete_seals(ended.seals.iter().map(|n| (ended.position, *n)))?;
                }
            }
        }
        Ok(())
    }

    /// Destroys a data key. The row stays as a tombstone: what was sealed is erased, not lost.
    fn end_key(&mut self, handle: Handle, class: RetentionClass) -> Result<(), PgError> {
        let id = int(handle.0) * 8 + i64::from(class.code());
        self.run("UPDATE data_key SET wrapped = NULL WHERE id = $1", &[&id]).map(drop)
    }

    fn delete_seals(
        &mut self,
        seals: impl Iterator<Item = (Position, u16)>,
    ) -> Result<(), PgError> {
        let ids: Vec<i64> = seals.map(|(at, n)| int(at.0) * 65_536 + i64::from(n)).collect();
        self.run("DELETE FROM seal WHERE id = ANY ($1)", &[&ids]).map(drop)
    }

    /// Clears rows: the seals of each handle at its position, its keys and its link.
    fn clear(&mut self, rows: &[Cleared]) -> Result<(), PgError> {
        let seals = rows
            .iter()
            .flat_map(|cleared| cleared.seals.iter().map(|seal| (cleared.row.position, *seal)));
        self.delete_seals(seals)?;
        for cleared in rows {
            let row = &cleared.row;
            // Accounting keeps its key, which ends with the fiscal year; nobody is linked to it
            // any more.
            let sql = "UPDATE data_key SET person = NULL,
                       wrapped = CASE WHEN year IS NULL THEN NULL ELSE wrapped END
                       WHERE id BETWEEN $1 AND $1 + 7";
            self.run(sql, &[&(int(row.handle.0) * 8)])?;
            let sql = "DELETE FROM person_tag
                       WHERE person = $1 AND until = $2 AND position = $3 AND handle = $4";
            let (person, position) = (int(row.person.0), int(row.position.0));
            self.run(sql, &[&person, &row.until, &position, &int(row.handle.0)])?;
        }
        Ok(())
    }

    /// Clears what else there is: nothing but the fact that there was somebody stays.
    fn bury(&mut self, person: PersonId) -> Result<(), PgError> {
        for sql in [
            "DELETE FROM lookup WHERE person = $1",
            "DELETE FROM api_key WHERE person = $1",
            "DELETE FROM given WHERE person = $1",
            "UPDATE person SET fence = NULL, fields = NULL, registration = NULL,
             contact_at = NULL, contact_handle = NULL WHERE id = $1",
        ] {
            self.run(sql, &[&int(person.0)])?;
        }
        Ok(())
    }
}
