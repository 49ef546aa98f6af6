//! Writing a ledger on a server: each call one transaction.
//!
//! A commit is guarded by the head's size: where another node was first the guard finds no row, and
//! nothing is written. The guard is part of the statement that writes, so there is no moment
//! between looking and writing.

use std::sync::Arc;

use tokio_postgres::{Row, Statement};

use super::columns::Rows;
use super::effects::{self, Both, state};
use super::follow::Follower;
use super::index::PgTagMover;
use super::insert::{Form, Place};
use super::pool::Borrowed;
use super::{Part, PgError, Scope, Tx, apart, changes, int, papers, rotation};
use crate::engine::{
    Change, Cleared, Commit, EngineError, Older, Outcome, Paper, TagMover, Writer,
};
use crate::keyring::Keyring;
use crate::keyring::person::{PersonId, PersonState};
use crate::ledger::log::Log;
use domain::{Position, RegistrationId};

/// Writes one ledger on a server.
pub(crate) struct PgWriter {
    scope: Scope,
    follower: Follower,
    /// The transaction that holds the head.
    held: Option<Tx>,
}

impl PgWriter {
    pub(crate) fn new(scope: Scope, follower: Follower) -> Self {
        Self { scope, follower, held: None }
    }

    /// Runs statements on the keyring as one transaction.
    fn on_keyring<T>(
        &self,
        work: impl FnOnce(&mut Tx) -> Result<T, PgError>,
    ) -> Result<T, EngineError> {
        let mut tx = Tx::begin(&self.scope.keyring)?;
        let done = work(&mut tx)?;
        tx.commit()?;
        Ok(done)
    }

    /// Writes a batch, and ends the transaction.
    fn write(&mut self, commit: &Commit<'_>) -> Result<Outcome, Failed> {
        let rows = Rows::of(commit);
        let held = self.held.take();
        if let Some(prefix) = &self.scope.apart {
            return apart::write(&self.scope, prefix, held, commit, &rows);
        }
        let (form, more) = (rows.form(Place::Both), does_more(commit));
        if held.is_none() && !more {
            return self.write_alone(&rows, form);
        }
        let mut tx = held.map_or_else(|| Tx::begin(&self.scope.ledger), Ok)?;
        let statement = form.prepare(&mut tx, &self.scope.ledger)?;
        if !more {
            return write_and_end(tx, &rows, form, &statement);
        }
        if tx.wait(rows.send(tx.connection(), form, &statement))?.is_empty() {
            tx.end("ROLLBACK")?;
            return Ok(Outcome::Behind);
        }
        Both { ledger: &mut tx, keyring: None }.what_else(commit)?;
        tx.commit().map_err(Failed::Ending)?;
        Ok(Outcome::Done)
    }

    /// Writes a batch that is one statement, on the connection where the tenant's commits are at home. The first
    /// takes on the tenant's role for the session, those that follow are nothing but their statement: to begin and
    /// to end would be two more answers, and each wakes this thread.
    fn write_alone(&self, rows: &Rows<'_>, form: Form) -> Result<Outcome, Failed> {
        let part = &self.scope.ledger;
        let mut borrowed = part.server.borrow_at_home(&part.tenant)?;
        let mut known = form.known(&borrowed);
        if let Some(statement) = &known
            && borrowed.acts()
        {
            match borrowed.wait(rows.send(&borrowed, form, statement)) {
                // A role that was made anew has the old one's name, and not its rights.
                Err(PgError::Forbidden(_)) => {
                    drop(borrowed);
                    borrowed = part.server.borrow_for(&part.tenant)?;
                    known = None;
                }
                written => {
                    let outcome = outcome(written, Ok(()))?;
                    borrowed.done();
                    return Ok(outcome);
                }
            }
        }
        match known {
            Some(statement) => send_whole(borrowed, part, rows, form, &statement),
            None => {
                // On this very one, which then knows it.
                let mut tx = Tx::turn(borrowed, part)?;
                let statement = form.prepare(&mut tx, part)?;
                write_and_end(tx, rows, form, &statement)
            }
        }
    }

    /// Whether a commit whose answer was lost stands. Whoever has the head's row has seen the end
    /// of every transaction that wrote it.
    fn settled(&self, commit: &Commit<'_>) -> Result<Outcome, PgError> {
        let (mut tx, _) = Tx::with_head(&self.scope.ledger)?;
        // What was prepared for it in the keyring ends as it did.
        apart::settle(&self.scope, &mut tx)?;
        let stands = match commit.batch.entries.first() {
            Some(entry) => stands(&mut tx, int(entry.position.0), &entry.leaf)?,
            None => false,
        };
        tx.commit()?;
        Ok(if stands { Outcome::Done } else { Outcome::Behind })
    }
}

/// Begins, writes and ends in one round trip.
fn send_whole(
    mut borrowed: Borrowed,
    part: &Part,
    rows: &Rows<'_>,
    form: Form,
    statement: &Statement,
) -> Result<Outcome, Failed> {
    let begin = format!("BEGIN; {}", part.turn);
    borrowed.acts_from_now();
    let client = borrowed.client()?;
    let (begun, written, ended) = borrowed.wait(async {
        tokio::join!(
            client.batch_execute(&begin),
            rows.send(&borrowed, form, statement),
            client.batch_execute("COMMIT"),
        )
    });
    // Where it did not begin, nothing after it was done.
    begun.map_err(|error| Failed::Ending(PgError::of(error)))?;
    let outcome = outcome(written, ended)?;
    borrowed.done();
    Ok(outcome)
}

/// Writes and ends what has begun. The guard writes nothing where it finds another size, so the end
/// need not wait for it.
fn write_and_end(
    tx: Tx,
    rows: &Rows<'_>,
    form: Form,
    statement: &Statement,
) -> Result<Outcome, Failed> {
    let client = tx.connection().client()?;
    let (written, ended) = tx.wait(async {
        let written = rows.send(tx.connection(), form, statement);
        tokio::join!(written, client.batch_execute("COMMIT"))
    });
    let outcome = outcome(written, ended)?;
    tx.done();
    Ok(outcome)
}

/// Whether the ledger has this entry.
pub(super) fn stands(ledger: &mut Tx, position: i64, leaf: &[u8]) -> Result<bool, PgError> {
    let sql = "SELECT 1::int8 FROM entry WHERE position = $1 AND leaf = $2";
    Ok(ledger.number(sql, &[&position, &leaf])?.is_some())
}

/// Whether a commit does something to rows that were there before.
pub(super) fn does_more(commit: &Commit<'_>) -> bool {
    !commit.effects.is_empty() || !commit.fenced.is_empty() || commit.batch.relists()
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
pub(super) enum Failed {
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
                self.scope.ledger.server.let_go();
                self.settled(commit).map_err(|_| PgError::Unsettled(Box::new(lost)))?
            }
        };
        if outcome == Outcome::Done {
            self.follower.tell(commit.head.size);
        }
        Ok(outcome)
    }

    fn change(&mut self, change: &Change) -> Result<u64, EngineError> {
        self.on_keyring(|tx| changes::make(tx, change))
    }

    fn change_all(&mut self, changes: &[Paper]) -> Result<Vec<u64>, EngineError> {
        self.on_keyring(|tx| {
            rotation::take_in_order(tx, changes.iter().flat_map(Paper::persons).copied())?;
            changes.iter().map(|paper| papers::make(tx, paper)).collect()
        })
    }

    fn clear(&mut self, rows: &[Cleared], last_of: &[PersonId]) -> Result<(), EngineError> {
        let seals = rows
            .iter()
            .flat_map(|cleared| cleared.seals.iter().map(|seal| (cleared.row.position, *seal)));
        let mut tx = Tx::begin(&self.scope.ledger)?;
        effects::delete_seals(&mut tx, seals)?;
        if self.scope.apart.is_some() {
            // Before the rows go that tell which they are: a crash between leaves those.
            tx.commit()?;
            tx = Tx::begin(&self.scope.keyring)?;
        }
        effects::clear(&mut tx, rows)?;
        for person in last_of {
            effects::bury(&mut tx, *person)?;
        }
        Ok(tx.commit()?)
    }

    fn delete_seals(&mut self, seals: &[(Position, u16)]) -> Result<(), EngineError> {
        let mut tx = Tx::begin(&self.scope.ledger)?;
        effects::delete_seals(&mut tx, seals.iter().copied())?;
        Ok(tx.commit()?)
    }

    fn cleared(&mut self, persons: &[PersonId]) -> Result<(), EngineError> {
        let state = state(PersonState::Erased);
        let persons: Vec<i64> = persons.iter().map(|person| int(person.0)).collect();
        self.on_keyring(|tx| {
            let sql = "UPDATE person SET state = $2 WHERE id = ANY ($1)";
            tx.run(sql, &[&persons, &state])?;
            // By that a request is known to be through.
            let sql = "UPDATE privacy_request SET person = NULL WHERE person = ANY ($1)";
            tx.run(sql, &[&persons]).map(drop)
        })
    }

    fn reopen(&mut self, origin: u32) -> Result<(), EngineError> {
        let origin = i32::try_from(origin).unwrap_or(i32::MAX);
        let mut tx = Tx::begin(&self.scope.ledger)?;
        tx.run("UPDATE head SET origin = $1 WHERE id = 1", &[&origin])?;
        Ok(tx.commit()?)
    }

    fn cut(&mut self, restricted: &[RegistrationId]) -> Result<(), EngineError> {
        match self.scope.apart {
            Some(_) => Ok(apart::cut(&self.scope, restricted)?),
            None => Ok(()),
        }
    }

    /// Dead rows stay in the database's files until it vacuums, and in its log until that is
    /// recycled: wrapped keys, whose own keys are destroyed in turn.
    fn settle(&mut self) -> Result<bool, EngineError> {
        Ok(true)
    }

    fn take_up(&mut self, older: &Older) -> Result<bool, EngineError> {
        Ok(apart::take_up(&self.scope, older)?)
    }

    fn mover(&self) -> Option<Box<dyn TagMover>> {
        Some(Box::new(PgTagMover(self.scope.ledger.clone())))
    }

    fn follow(&self, log: &Arc<Log>, keyring: &Arc<Keyring>) {
        self.follower.follow(log, keyring);
    }

    fn hold(&mut self) -> Result<(), EngineError> {
        self.held = None;
        let (tx, _) = Tx::with_head(&self.scope.ledger)?;
        self.held = Some(tx);
        Ok(())
    }

    fn release(&mut self) {
        if let Some(held) = self.held.take() {
            // Where it cannot be ended, it ends with its connection.
            drop(held.end("ROLLBACK"));
        }
    }
}
