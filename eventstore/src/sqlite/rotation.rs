//! The rows of a ledger's file that are wrapped or covered under a tenant key, page by page.

use rusqlite::{Connection, OptionalExtension, params};

use super::{int, uint};
use crate::engine::{CLASSES, Covered, Hanging, HangingOf, KINDS, Place, Read, Replaced};
use crate::keyring::person::PersonId;

pub(super) fn hanging(conn: &Connection, after: Option<Place>, limit: usize) -> Read<Vec<Hanging>> {
    let mut rows = Vec::new();
    match after {
        Some((person, class)) => {
            let mut select = conn.prepare_cached(
                "SELECT person, class, wrapped FROM person_key WHERE (person, class) > (?1, ?2)
                 ORDER BY person, class LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found = select.query_map(params![person, class, limit], |row| {
                let of = HangingOf::Person((row.get(0)?, row.get(1)?));
                Ok(Hanging { of, wrapped: row.get(2)? })
            })?;
            rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        None => {
            let mut select = conn.prepare("SELECT name, wrapped FROM secret")?;
            let found = select.query_map([], |row| {
                Ok(Hanging { of: HangingOf::Secret(row.get(0)?), wrapped: row.get(1)? })
            })?;
            rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
            let mut select = conn.prepare("SELECT class, year, wrapped FROM period_key")?;
            let found = select.query_map([], |row| {
                let of = HangingOf::Period(row.get(0)?, row.get(1)?);
                Ok(Hanging { of, wrapped: row.get(2)? })
            })?;
            rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
        }
    }
    Ok(rows)
}

pub(super) fn covered(
    conn: &Connection,
    after: &Covered,
    epoch: u32,
    limit: usize,
) -> Read<Vec<Covered>> {
    let mut select = conn.prepare_cached(
        "SELECT value, person, kind FROM lookup WHERE (value, person) > (?1, ?2) AND kind < ?3
         ORDER BY value, person LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select
        .query_map(params![after.value, after.person, first_kind(epoch), limit], |row| {
            Ok(Covered { value: row.get(0)?, person: row.get(1)?, kind: row.get(2)? })
        })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn keys_of(conn: &Connection, person: PersonId) -> Read<Vec<(i16, Vec<u8>)>> {
    let mut select =
        conn.prepare_cached("SELECT class, wrapped FROM person_key WHERE person = ?1")?;
    let rows = select.query_map([int(person.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn dead(conn: &Connection, after: i64, limit: usize) -> Read<Vec<(i64, PersonId)>> {
    let mut select = conn.prepare_cached(
        "SELECT id, person FROM data_key
         WHERE id > ?1 AND wrapped IS NULL AND person IS NOT NULL ORDER BY id LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows =
        select.query_map((after, limit), |row| Ok((row.get(0)?, PersonId(uint(row.get(1)?)))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn linked(
    conn: &Connection,
    after: i64,
    limit: usize,
) -> Read<Vec<(i64, PersonId, Vec<u8>)>> {
    let mut select = conn.prepare_cached(
        "SELECT id, person, wrapped FROM data_key WHERE id > ?1 AND wrapped IS NOT NULL
         AND person IS NOT NULL AND year IS NULL ORDER BY id LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map((after, limit), |row| {
        Ok((row.get(0)?, PersonId(uint(row.get(1)?)), row.get(2)?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn data_keys(conn: &Connection, ids: &[i64]) -> Read<Vec<(i64, Vec<u8>)>> {
    let mut select = conn.prepare_cached(
        "SELECT wrapped FROM data_key WHERE id = ?1 AND wrapped IS NOT NULL AND year IS NULL",
    )?;
    let mut found = Vec::new();
    for id in ids {
        let wrapped = select.query_row([id], |row| row.get(0)).optional()?;
        found.extend(wrapped.map(|wrapped| (*id, wrapped)));
    }
    Ok(found)
}

/// Kinds of lookup rows of this epoch are this or more.
fn first_kind(epoch: u32) -> i64 {
    i64::from(KINDS) * (i64::from(epoch) - 1)
}

/// Puts wrapped keys in the place of the form they had, where they have it still.
pub(super) fn rewrap(conn: &Connection, rows: &[(Hanging, Vec<u8>)]) -> rusqlite::Result<usize> {
    let mut person = conn.prepare_cached(
        "UPDATE person_key SET wrapped = ?4 WHERE person = ?1 AND class = ?2 AND wrapped = ?3",
    )?;
    let mut period = conn.prepare_cached(
        "UPDATE period_key SET wrapped = ?4 WHERE class = ?1 AND year = ?2 AND wrapped = ?3",
    )?;
    let mut secret =
        conn.prepare_cached("UPDATE secret SET wrapped = ?3 WHERE name = ?1 AND wrapped = ?2")?;
    let mut changed = 0;
    for (row, wrapped) in rows {
        changed += match &row.of {
            HangingOf::Person((id, class)) => {
                person.execute(params![id, class, row.wrapped, wrapped])?
            }
            HangingOf::Period(class, year) => {
                period.execute(params![class, year, row.wrapped, wrapped])?
            }
            HangingOf::Secret(name) => secret.execute(params![name, row.wrapped, wrapped])?,
        };
    }
    Ok(changed)
}

/// Puts covered values in the place of the rows they had, where those are there still.
pub(super) fn recover(conn: &Connection, rows: &[(Covered, Covered)]) -> rusqlite::Result<usize> {
    let mut delete = conn.prepare_cached("DELETE FROM lookup WHERE value = ?1 AND person = ?2")?;
    let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO lookup VALUES (?1, ?2, ?3)")?;
    let mut there = Vec::with_capacity(rows.len());
    for (was, is) in rows {
        if delete.execute(params![was.value, was.person])? == 1 {
            there.push(is);
        }
    }
    // What lies together is written together.
    there.sort_unstable_by_key(|is| is.value);
    let mut changed = 0;
    for is in there {
        changed += insert.execute(params![is.value, is.person, is.kind])?;
    }
    Ok(changed)
}

/// Puts another key in a person's place of one, where that still has the form it had, and keeps the
/// old one for what hangs on it without having heard.
pub(super) fn replace(conn: &Connection, replaced: &[Replaced]) -> rusqlite::Result<usize> {
    let mut key = conn.prepare_cached(
        "UPDATE person_key SET wrapped = ?4 WHERE person = ?1 AND class = ?2 AND wrapped = ?3",
    )?;
    let mut retire =
        conn.prepare_cached("INSERT OR REPLACE INTO person_key VALUES (?1, ?2, ?3)")?;
    let mut data_key =
        conn.prepare_cached("UPDATE data_key SET wrapped = ?3 WHERE id = ?1 AND wrapped = ?2")?;
    let mut changed = 0;
    for Replaced { place: (person, class), retired, was, is, data_keys } in replaced {
        if key.execute(params![person, class, was, is])? == 0 {
            continue;
        }
        changed += 1;
        if let Some(retired) = retired {
            retire.execute(params![person, retired, was])?;
        }
        for (id, was, is) in data_keys {
            data_key.execute(params![id, was, is])?;
        }
    }
    Ok(changed)
}

/// Ends the tenant's keys of earlier epochs, and what was retired in them.
pub(super) fn end_epochs(conn: &Connection, before: u32) -> rusqlite::Result<usize> {
    conn.execute(
        "DELETE FROM person_key WHERE class >= ?1 AND class / ?1 < ?2",
        (CLASSES, before),
    )?;
    conn.execute("DELETE FROM tenant_key WHERE epoch < ?1", [before])
}
