//! What a commit does to rows that were there before: keys, links, seals, and who is told.

use domain::{Handle, Position, RetentionClass};

use super::{PgError, Tx, int, papers, rotation};
use crate::engine::{Cleared, Commit, Effect};
use crate::keyring::person::{PersonId, PersonState};
use crate::keyring::sealing::LookupKind;
use crate::ledger::index::PersonRow;
use crate::store::notices::NoticeKind;

/// The transactions of a commit: one for both, or one for each where they are apart.
pub(super) struct Both<'a> {
    pub ledger: &'a mut Tx,
    pub keyring: Option<&'a mut Tx>,
}

pub(super) fn state(state: PersonState) -> i16 {
    i16::try_from(state.code()).unwrap_or(i16::MAX)
}

impl Both<'_> {
    fn keys(&mut self) -> &mut Tx {
        match &mut self.keyring {
            Some(keyring) => keyring,
            None => self.ledger,
        }
    }

    /// What a batch does beyond adding rows.
    pub(super) fn what_else(&mut self, commit: &Commit<'_>) -> Result<(), PgError> {
        let mut lists = commit.batch.lists();
        let listed = lists.keys().copied().chain(commit.batch.replaced.iter().map(|(id, _)| *id));
        let fenced = commit.fenced.iter().map(|(id, _)| *id);
        let persons = commit.effects.iter().filter_map(Effect::person).chain(listed).chain(fenced);
        rotation::take_in_order(self.keys(), persons)?;
        for (person, fields) in &commit.batch.replaced {
            // What the tenant calls somebody stays when they write themselves in another way. What
            // they are found by now came with the same statement as the entries.
            found_by(self.keys(), *person, lists.get(person).map_or(&[], Vec::as_slice))?;
            let fields = i32::try_from(fields.0).unwrap_or(0);
            self.keys()
                .run("UPDATE person SET fields = $2 WHERE id = $1", &[&int(person.0), &fields])?;
        }
        // What came with a person is on their list already.
        commit.batch.persons.iter().for_each(|new| drop(lists.remove(&new.id)));
        for (person, list) in &lists {
            rotation::relist(self.keys(), *person, |_| true, list)?;
        }
        for effect in &commit.effects {
            self.apply(effect, commit.second())?;
        }
        for &(person, position) in commit.fenced {
            fence(self.keys(), person, (position, commit.second()))?;
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, effect: &Effect, at: i64) -> Result<(), PgError> {
        match effect {
            Effect::Registered { person, position, handle } => {
                let sql = "UPDATE person SET registration = $2, contact_at = $2,
                           contact_handle = $3 WHERE id = $1";
                self.keys().run(sql, &[&int(person.0), &int(position.0), &int(handle.0)])?;
            }
            Effect::Rectified { person, position, was, handle } => {
                let (whose, person) = (*person, int(person.0));
                self.end_key(*was, RetentionClass::Contact)?;
                let sql = "SELECT contact_at FROM person WHERE id = $1 AND contact_at IS NOT NULL";
                if let Some(at) = self.keys().number(sql, &[&person])? {
                    let sql = "DELETE FROM seal WHERE id >= 65536 * $1::int8
                               AND id < 65536 * (1 + $1::int8)";
                    self.ledger.run(sql, &[&at])?;
                }
                let sql = "UPDATE person SET contact_at = $2, contact_handle = $3 WHERE id = $1";
                self.keys().run(sql, &[&person, &int(position.0), &int(handle.0)])?;
                // After the row is held: whoever is given the old value meanwhile is told too.
                papers::tell(self.keys(), NoticeKind::Rectified, whose, (*position, at))?;
                let sql = "UPDATE person_tag SET seals = 0
                           WHERE person = $1 AND until = 0 AND handle = $2";
                self.keys().run(sql, &[&person, &int(was.0)])?;
            }
            Effect::Restricted { person, position, restricted } => {
                let (from, to) = PersonState::restriction(*restricted);
                let sql = "UPDATE person SET state = $3 WHERE id = $1 AND state = $2";
                self.keys().run(sql, &[&int(person.0), &state(from), &state(to)])?;
                let kind = NoticeKind::of_restriction(*restricted);
                papers::tell(self.keys(), kind, *person, (*position, at))?;
            }
            Effect::PeriodEnded(period) => {
                let sql = "DELETE FROM period_key WHERE class = $1 AND year = $2";
                self.keys().run(sql, &[&i16::from(period.class.code()), &period.year])?;
            }
            Effect::Rekeyed(rekeyed) => {
                let sql =
                    "UPDATE data_key SET year = $2, wrapped = $3 WHERE id = $1 AND wrapped = $4";
                for one in rekeyed {
                    let id = int(one.handle.0) * 8 + i64::from(RetentionClass::Accounting.code());
                    let (wrapped, was) = (one.wrapped.as_slice(), one.was.as_slice());
                    self.keys().run(sql, &[&id, &one.year, &wrapped, &was])?;
                }
            }
            Effect::ContentErased { handles, classes, ended } => {
                for handle in handles {
                    for class in classes {
                        self.end_key(*handle, *class)?;
                    }
                }
                for ended in ended {
                    let sql = "UPDATE person_tag SET seals = greatest(seals - $5, 0)
                               WHERE person = $1 AND until = $2 AND position = $3 AND handle = $4";
                    let person = ended.person.map(|person| int(person.0));
                    let (handle, position) = (int(ended.handle.0), int(ended.position.0));
                    let count = i32::try_from(ended.seals.len()).unwrap_or(i32::MAX);
                    self.keys().run(sql, &[&person, &ended.until, &position, &handle, &count])?;
                    let seals = ended.seals.iter().map(|n| (ended.position, *n));
                    delete_seals(self.ledger, seals)?;
                }
            }
        }
        Ok(())
    }

    /// Destroys a data key. The row stays as a tombstone: what was sealed is erased, not lost.
    fn end_key(&mut self, handle: Handle, class: RetentionClass) -> Result<(), PgError> {
        let id = int(handle.0) * 8 + i64::from(class.code());
        self.keys().run("UPDATE data_key SET wrapped = NULL WHERE id = $1", &[&id]).map(drop)
    }
}

/// Has a person be found by nothing but this, and by what the tenant calls them.
pub(super) fn found_by(tx: &mut Tx, person: PersonId, list: &[u8]) -> Result<(), PgError> {
    rotation::relist(tx, person, |kind| kind == LookupKind::Reference.code(), list)
}

/// Ends a person's keys, as their fence says.
pub(super) fn fence(tx: &mut Tx, person: PersonId, when: (Position, i64)) -> Result<(), PgError> {
    // The row first: whoever rotates the person's keys at another node holds it, and what they
    // retire is only seen by a statement that begins after them.
    let sql = "UPDATE person SET state = $2, keys = NULL WHERE id = $1";
    tx.run(sql, &[&int(person.0), &state(PersonState::Erasing)])?;
    tx.run("DELETE FROM retired_key WHERE person = $1", &[&int(person.0)])?;
    papers::tell(tx, NoticeKind::Erased, person, when)?;
    papers::done(tx, person, when)
}

pub(super) fn delete_seals(
    ledger: &mut Tx,
    seals: impl Iterator<Item = (Position, u16)>,
) -> Result<(), PgError> {
    let ids: Vec<i64> = seals.map(|(at, n)| int(at.0) * 65_536 + i64::from(n)).collect();
    ledger.run("DELETE FROM seal WHERE id = ANY ($1)", &[&ids]).map(drop)
}

/// Clears the keys and the link of each row's handle.
pub(super) fn clear(keyring: &mut Tx, rows: &[Cleared]) -> Result<(), PgError> {
    let column = |of: fn(&PersonRow) -> i64| rows.iter().map(|cleared| of(&cleared.row)).collect();
    let handles: Vec<i64> = column(|row| int(row.handle.0));
    let persons: Vec<i64> = column(|row| int(row.person.0));
    let positions: Vec<i64> = column(|row| int(row.position.0));
    let until: Vec<i64> = column(|row| row.until);
    // Accounting keeps its key, which ends with the fiscal year; nobody is linked to it any more.
    let sql = "UPDATE data_key SET person = NULL,
               wrapped = CASE WHEN year IS NULL THEN NULL ELSE wrapped END
               FROM unnest($1::int8[]) of (handle)
               WHERE id BETWEEN of.handle * 8 AND of.handle * 8 + 7";
    keyring.run(sql, &[&handles])?;
    let sql = "DELETE FROM person_tag t
               USING unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[])
                   of (person, until, position, handle)
               WHERE t.person = of.person AND t.until = of.until AND t.position = of.position
               AND t.handle = of.handle";
    keyring.run(sql, &[&persons, &until, &positions, &handles]).map(drop)
}

/// Clears what else there is: nothing but the fact that there was somebody stays.
pub(super) fn bury(keyring: &mut Tx, person: PersonId) -> Result<(), PgError> {
    rotation::relist(keyring, person, |_| false, &[])?;
    papers::forget(keyring, person)?;
    for sql in [
        "DELETE FROM api_key WHERE person = $1",
        "UPDATE person SET fence = NULL, fields = NULL, registration = NULL,
         contact_at = NULL, contact_handle = NULL WHERE id = $1",
    ] {
        keyring.run(sql, &[&int(person.0)])?;
    }
    Ok(())
}
