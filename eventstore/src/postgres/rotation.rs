//! Wrapped keys, to be read, and put with covered lookups in the place of the form they had.

use std::collections::BTreeSet;

use tokio_postgres::Row;

use super::reader::{PgReader, get, number};
use super::{PgError, Tx};
use crate::engine::{CLASSES, Covered, Hanging, HangingOf, Place, Read, Replaced};
use crate::keyring::person::PersonId;

pub(super) fn hanging(reader: &PgReader, after: Option<Place>, limit: usize) -> Read<Vec<Hanging>> {
    let hanging = |of, row: &Row, at| Ok(Hanging { of, wrapped: get(row, at)? });
    if let Some((person, class)) = after {
        let sql = "SELECT person, class, wrapped FROM person_key
                   WHERE (person, class) > ($1, $2) ORDER BY person, class LIMIT $3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        return reader.rows(sql, &[&person, &class, &limit], |row| {
            hanging(HangingOf::Person((get(row, 0)?, get(row, 1)?)), row, 2)
        });
    }
    let sql = "SELECT name, wrapped FROM secret";
    let mut rows = reader.rows(sql, &[], |row| hanging(HangingOf::Secret(get(row, 0)?), row, 1))?;
    let sql = "SELECT class, year, wrapped FROM period_key";
    rows.extend(
        reader
            .rows(sql, &[], |row| hanging(HangingOf::Period(get(row, 0)?, get(row, 1)?), row, 2))?,
    );
    Ok(rows)
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
    let (mut persons, mut classes) = (Vec::new(), Vec::new());
    let (mut was, mut is): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let mut changed = 0;
    for (row, wrapped) in rows {
        match &row.of {
            HangingOf::Person((person, class)) => {
                persons.push(*person);
                classes.push(*class);
                was.push(&row.wrapped);
                is.push(wrapped);
            }
            HangingOf::Period(class, year) => {
                let sql = "UPDATE period_key SET wrapped = $4
                           WHERE class = $1 AND year = $2 AND wrapped = $3";
                changed += tx.run(sql, &[class, year, &row.wrapped, wrapped])?;
            }
            HangingOf::Secret(name) => {
                let sql = "UPDATE secret SET wrapped = $3 WHERE name = $1 AND wrapped = $2";
                changed += tx.run(sql, &[name, &row.wrapped, wrapped])?;
            }
        }
    }
    let sql = "UPDATE person_key SET wrapped = u.new
               FROM unnest($1::int8[], $2::int2[], $3::bytea[], $4::bytea[]) u (p, c, old, new)
               WHERE person = u.p AND class = u.c AND wrapped = u.old";
    Ok(changed + tx.run(sql, &[&persons, &classes, &was, &is])?)
}

pub(super) fn recover(tx: &mut Tx, rows: &[(Covered, Covered)]) -> Result<u64, PgError> {
    let live = hold(tx, rows.iter().map(|(was, _)| was.person))?;
    let rows: Vec<&(Covered, Covered)> =
        rows.iter().filter(|(was, _)| live.contains(&was.person)).collect();
    let was: Vec<&[u8]> = rows.iter().map(|(was, _)| was.value.as_slice()).collect();
    let is: Vec<&[u8]> = rows.iter().map(|(_, is)| is.value.as_slice()).collect();
    let persons: Vec<i64> = rows.iter().map(|(was, _)| was.person).collect();
    let kinds: Vec<i16> = rows.iter().map(|(_, is)| is.kind).collect();
    let sql = "WITH u AS (
                   SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[], $4::int2[])
                   AS u (old, p, new, k)
               ), gone AS (
                   DELETE FROM lookup USING u WHERE value = u.old AND person = u.p
                   RETURNING u.new, u.p, u.k
               ) INSERT INTO lookup SELECT * FROM gone ON CONFLICT DO NOTHING";
    tx.run(sql, &[&was, &persons, &is, &kinds])
}

/// Keeps other nodes from erasing or rectifying these until the transaction ends; answers whom of
/// them nobody has begun to erase. Without it a row that is added here would be missed by a
/// deletion that began before.
fn hold(tx: &mut Tx, persons: impl Iterator<Item = i64>) -> Result<BTreeSet<i64>, PgError> {
    let persons: BTreeSet<i64> = persons.collect();
    let persons: Vec<i64> = persons.into_iter().collect();
    let sql = "SELECT id FROM person WHERE id = ANY ($1) AND state IN (1, 2)
               ORDER BY id FOR SHARE";
    let rows = tx.rows(sql, &[&persons])?;
    rows.iter().map(|row| row.try_get(0).map_err(PgError::Altered)).collect()
}

pub(super) fn replace(tx: &mut Tx, replaced: &[Replaced]) -> Result<u64, PgError> {
    let live = hold(tx, replaced.iter().map(|replaced| replaced.place.0))?;
    let mut changed = 0;
    for Replaced { place: (person, class), retired, was, is, data_keys } in replaced {
        if !live.contains(person) {
            continue;
        }
        let sql = "UPDATE person_key SET wrapped = $4
                   WHERE person = $1 AND class = $2 AND wrapped = $3";
        if tx.run(sql, &[person, class, was, is])? == 0 {
            continue;
        }
        changed += 1;
        if let Some(retired) = retired {
            let sql = "INSERT INTO person_key VALUES ($1, $2, $3)
                       ON CONFLICT (person, class) DO UPDATE SET wrapped = excluded.wrapped";
            tx.run(sql, &[person, retired, was])?;
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
    let sql = "DELETE FROM person_key WHERE class >= $1 AND class / $1 < $2::int4";
    tx.run(sql, &[&CLASSES, &before])?;
    tx.run("DELETE FROM tenant_key WHERE epoch < $1", &[&before])
}
