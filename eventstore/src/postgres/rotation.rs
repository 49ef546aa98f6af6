//! Wrapped keys, to be read, and put with covered lookups in the place of the form they had.

use std::collections::BTreeSet;

use tokio_postgres::Row;

use super::reader::{PgReader, get, number};
use super::{PgError, Tx, int};
use crate::engine::{Bundle, CLASSES, Hanging, HangingOf, Place, Read, Replaced};
use crate::keyring::lookups;
use crate::keyring::person::PersonId;

pub(super) fn hanging(reader: &PgReader) -> Read<Vec<Hanging>> {
    let hanging = |of, row: &Row, at| Ok(Hanging { of, wrapped: get(row, at)? });
    let sql = "SELECT name, wrapped FROM secret";
    let mut rows = reader.rows(sql, &[], |row| hanging(HangingOf::Secret(get(row, 0)?), row, 1))?;
    let sql = "SELECT class, year, wrapped FROM period_key";
    rows.extend(
        reader
            .rows(sql, &[], |row| hanging(HangingOf::Period(get(row, 0)?, get(row, 1)?), row, 2))?,
    );
    Ok(rows)
}

pub(super) fn bundles(reader: &PgReader, after: i64, limit: usize) -> Read<Vec<Bundle>> {
    let sql = "SELECT id, keys, lookups FROM person WHERE id > $1 AND keys IS NOT NULL
               ORDER BY id LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    reader.rows(sql, &[&after, &limit], |row| {
        Ok(Bundle { person: get(row, 0)?, keys: get(row, 1)?, lookups: get(row, 2)? })
    })
}

pub(super) fn retired(reader: &PgReader, after: Place, limit: usize) -> Read<Vec<Place>> {
    let sql = "SELECT person, class FROM retired_key WHERE (person, class) > ($1, $2)
               ORDER BY person, class LIMIT $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    reader.rows(sql, &[&after.0, &after.1, &limit], |row| Ok((get(row, 0)?, get(row, 1)?)))
}

pub(super) fn dead(reader: &PgReader, after: i64, limit: usize) -> Read<Vec<(i64, PersonId)>> {
    let sql = "SELECT id, person FROM data_key WHERE id > $1 AND wrapped IS NULL
               AND person IS NOT NULL ORDER BY id LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    reader.rows(sql, &[&after, &limit], |row| Ok((get(row, 0)?, PersonId(number(row, 1)?))))
}

pub(super) fn linked(
    reader: &PgReader,
    after: i64,
    limit: usize,
) -> Read<Vec<(i64, PersonId, Vec<u8>)>> {
    let sql = "SELECT id, person, wrapped FROM data_key WHERE id > $1 AND wrapped IS NOT NULL
               AND person IS NOT NULL AND year IS NULL ORDER BY id LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    reader.rows(sql, &[&after, &limit], |row| {
        Ok((get(row, 0)?, PersonId(number(row, 1)?), get(row, 2)?))
    })
}

pub(super) fn rewrap(tx: &mut Tx, rows: &[(Hanging, Vec<u8>)]) -> Result<u64, PgError> {
    let mut changed = 0;
    for (row, wrapped) in rows {
        changed += match &row.of {
            HangingOf::Period(class, year) => {
                let sql = "UPDATE period_key SET wrapped = $4
                           WHERE class = $1 AND year = $2 AND wrapped = $3";
                tx.run(sql, &[class, year, &row.wrapped, wrapped])?
            }
            HangingOf::Secret(name) => {
                let sql = "UPDATE secret SET wrapped = $3 WHERE name = $1 AND wrapped = $2";
                tx.run(sql, &[name, &row.wrapped, wrapped])?
            }
        };
    }
    Ok(changed)
}

/// Puts persons' keys and lists of lookups in the place of the form they had, where they have it
/// still, and has the lookups follow the lists. Whoever changes a list, or ends it, waits for the
/// person's row, and then sees what was written here.
pub(super) fn rotate(tx: &mut Tx, rows: &[(Bundle, Bundle)]) -> Result<u64, PgError> {
    hold(tx, rows.iter().map(|(was, _)| was.person))?;
    let persons: Vec<i64> = rows.iter().map(|(was, _)| was.person).collect();
    let [mut keys, mut new_keys, mut lists, mut new_lists]: [Vec<&[u8]>; 4] = Default::default();
    for (was, is) in rows {
        keys.push(&was.keys);
        new_keys.push(&is.keys);
        lists.push(&was.lookups);
        new_lists.push(&is.lookups);
    }
    let sql = "UPDATE person SET keys = u.new, lookups = u.list
               FROM unnest($1::int8[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])
               AS u (p, old, new, was, list)
               WHERE id = u.p AND keys = u.old AND lookups = u.was RETURNING id";
    let changed = tx.rows(sql, &[&persons, &keys, &new_keys, &lists, &new_lists])?;
    let changed = changed.iter().map(|row| row.try_get(0).map_err(PgError::Altered));
    let changed = changed.collect::<Result<BTreeSet<i64>, _>>()?;
    let (mut gone, mut new) = (Rows::default(), Rows::default());
    for (was, is) in rows {
        if changed.contains(&was.person) && was.lookups != is.lookups {
            gone.extend(was.person, &was.lookups);
            new.extend(was.person, &is.lookups);
        }
    }
    gone.delete(tx)?;
    new.insert(tx)?;
    Ok(u64::try_from(changed.len()).unwrap_or(u64::MAX))
}

/// Rows of `lookup`, by column.
#[derive(Default)]
struct Rows {
    values: Vec<Vec<u8>>,
    persons: Vec<i64>,
}

impl Rows {
    fn extend(&mut self, person: i64, list: &[u8]) {
        for (_, value) in lookups::entries(list) {
            self.values.push(value.to_vec());
            self.persons.push(person);
        }
    }

    fn delete(&self, tx: &mut Tx) -> Result<u64, PgError> {
        let sql = "DELETE FROM lookup USING unnest($1::bytea[], $2::int8[]) u (v, p)
                   WHERE value = u.v AND person = u.p";
        tx.run(sql, &[&self.values, &self.persons])
    }

    fn insert(&self, tx: &mut Tx) -> Result<u64, PgError> {
        let sql = "INSERT INTO lookup (value, person)
                   SELECT * FROM unnest($1::bytea[], $2::int8[]) ON CONFLICT DO NOTHING";
        tx.run(sql, &[&self.values, &self.persons])
    }
}

/// Takes from what a person is found by what is not to be kept, by its kind, and adds more.
pub(super) fn relist(
    tx: &mut Tx,
    person: PersonId,
    keep: impl Fn(i16) -> bool,
    more: &[u8],
) -> Result<(), PgError> {
    let id = int(person.0);
    // A rotation at another node may be at the row: then it is waited for.
    let rows = tx.rows("SELECT lookups FROM person WHERE id = $1 FOR NO KEY UPDATE", &[&id])?;
    let list: Option<Vec<u8>> =
        rows.first().map(|row| row.try_get(0).map_err(PgError::Altered)).transpose()?;
    let (now, gone) = lookups::changed(&list.unwrap_or_default(), keep, more);
    let persons = vec![id; gone.len()];
    let values = gone.iter().map(|value| value.to_vec()).collect();
    Rows { values, persons }.delete(tx)?;
    // Their rows came with the entries; but one that was there already may have been moved since.
    let mut added = Rows::default();
    added.extend(id, more);
    added.insert(tx)?;
    tx.run("UPDATE person SET lookups = $2 WHERE id = $1", &[&id, &now]).map(drop)
}

/// Takes the rows of some before any is changed. Whoever takes several takes them in one order: else two
/// would wait for each other.
pub(super) fn take_in_order(
    tx: &mut Tx,
    persons: impl Iterator<Item = PersonId>,
) -> Result<(), PgError> {
    let persons: BTreeSet<i64> = persons.map(|person| int(person.0)).collect();
    if persons.len() < 2 {
        return Ok(());
    }
    let persons: Vec<i64> = persons.into_iter().collect();
    let sql = "SELECT id FROM person WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";
    tx.run(sql, &[&persons]).map(drop)
}

/// Keeps other nodes from erasing or rectifying these until the transaction ends, always in the same
/// order; answers whom of them nobody has begun to erase.
fn hold(tx: &mut Tx, persons: impl Iterator<Item = i64>) -> Result<BTreeSet<i64>, PgError> {
    let persons: BTreeSet<i64> = persons.collect();
    let persons: Vec<i64> = persons.into_iter().collect();
    let sql = "SELECT id FROM person WHERE id = ANY ($1) AND state IN (1, 2)
               ORDER BY id FOR NO KEY UPDATE";
    let rows = tx.rows(sql, &[&persons])?;
    rows.iter().map(|row| row.try_get(0).map_err(PgError::Altered)).collect()
}

pub(super) fn replace(tx: &mut Tx, replaced: &[Replaced]) -> Result<u64, PgError> {
    let live = hold(tx, replaced.iter().map(|replaced| replaced.person))?;
    let mut changed = 0;
    for Replaced { person, was, is, retired, data_keys } in replaced {
        if !live.contains(person) {
            continue;
        }
        let sql = "UPDATE person SET keys = $3 WHERE id = $1 AND keys = $2";
        if tx.run(sql, &[person, was, is])? == 0 {
            continue;
        }
        for (class, wrapped) in retired {
            let sql = "INSERT INTO retired_key VALUES ($1, $2, $3)
                       ON CONFLICT (person, class) DO UPDATE SET wrapped = excluded.wrapped";
            changed += tx.run(sql, &[person, class, wrapped])?;
        }
        let ids: Vec<i64> = data_keys.iter().map(|(id, ..)| *id).collect();
        let old: Vec<&[u8]> = data_keys.iter().map(|(_, was, _)| was.as_slice()).collect();
        let new: Vec<&[u8]> = data_keys.iter().map(|(.., is)| is.as_slice()).collect();
        let sql = "UPDATE data_key SET wrapped = u.new
                   FROM unnest($1::int8[], $2::bytea[], $3::bytea[]) u (i, old, new)
                   WHERE id = u.i AND wrapped = u.old";
        tx.run(sql, &[&ids, &old, &new])?;
    }
    Ok(changed)
}

pub(super) fn end_epochs(tx: &mut Tx, before: u32) -> Result<u64, PgError> {
    let before = i32::try_from(before).unwrap_or(i32::MAX);
    let sql = "DELETE FROM retired_key WHERE class / $1 < $2::int4";
    tx.run(sql, &[&CLASSES, &before])?;
    tx.run("DELETE FROM tenant_key WHERE epoch < $1", &[&before])
}
