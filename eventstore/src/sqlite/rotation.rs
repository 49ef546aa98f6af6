//! The rows of a ledger's file that are wrapped or covered under a tenant key, page by page.

use rusqlite::{Connection, OptionalExtension, params};

use super::{int, uint};
use crate::engine::{Bundle, CLASSES, Hanging, HangingOf, Place, Read, Replaced};
use crate::keyring::lookups;
use crate::keyring::person::PersonId;

pub(super) fn hanging(conn: &Connection) -> Read<Vec<Hanging>> {
    let mut rows = Vec::new();
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
    Ok(rows)
}

pub(super) fn bundles(conn: &Connection, after: i64, limit: usize) -> Read<Vec<Bundle>> {
    let mut select = conn.prepare_cached(
        "SELECT id, keys, lookups FROM person WHERE id > ?1 AND keys IS NOT NULL
         ORDER BY id LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map((after, limit), |row| {
        Ok(Bundle { person: row.get(0)?, keys: row.get(1)?, lookups: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn keys_of(conn: &Connection, person: PersonId) -> Read<Option<Vec<u8>>> {
    let mut select =
        conn.prepare_cached("SELECT keys FROM person WHERE id = ?1 AND keys IS NOT NULL")?;
    Ok(select.query_row([int(person.0)], |row| row.get(0)).optional()?)
}

pub(super) fn retired_of(conn: &Connection, person: PersonId) -> Read<Vec<(i16, Vec<u8>)>> {
    let mut select =
        conn.prepare_cached("SELECT class, wrapped FROM retired_key WHERE person = ?1")?;
    let rows = select.query_map([int(person.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn retired(conn: &Connection, after: Place, limit: usize) -> Read<Vec<Place>> {
    let mut select = conn.prepare_cached(
        "SELECT person, class FROM retired_key WHERE (person, class) > (?1, ?2)
         ORDER BY person, class LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map((after.0, after.1, limit), |row| Ok((row.get(0)?, row.get(1)?)))?;
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

/// Puts wrapped keys in the place of the form they had, where they have it still.
pub(super) fn rewrap(conn: &Connection, rows: &[(Hanging, Vec<u8>)]) -> rusqlite::Result<usize> {
    let mut period = conn.prepare_cached(
        "UPDATE period_key SET wrapped = ?4 WHERE class = ?1 AND year = ?2 AND wrapped = ?3",
    )?;
    let mut secret =
        conn.prepare_cached("UPDATE secret SET wrapped = ?3 WHERE name = ?1 AND wrapped = ?2")?;
    let mut changed = 0;
    for (row, wrapped) in rows {
        changed += match &row.of {
            HangingOf::Period(class, year) => {
                period.execute(params![class, year, row.wrapped, wrapped])?
            }
            HangingOf::Secret(name) => secret.execute(params![name, row.wrapped, wrapped])?,
        };
    }
    Ok(changed)
}

/// Puts persons' keys and lists of lookups in the place of the form they had, where they have it
/// still, and has the lookups follow the lists.
pub(super) fn rotate(conn: &Connection, rows: &[(Bundle, Bundle)]) -> rusqlite::Result<usize> {
    let mut update = conn.prepare_cached(
        "UPDATE person SET keys = ?2, lookups = ?3 WHERE id = ?1 AND keys = ?4 AND lookups = ?5",
    )?;
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    let mut changed = 0;
    for (was, is) in rows {
        let values = params![was.person, is.keys, is.lookups, was.keys, was.lookups];
        if update.execute(values)? == 1 {
            changed += 1;
            if was.lookups != is.lookups {
                let row = |(_, value)| (value, was.person);
                gone.extend(lookups::entries(&was.lookups).map(row));
                new.extend(lookups::entries(&is.lookups).map(row));
            }
        }
    }
    // What lies together is written together.
    gone.sort_unstable();
    new.sort_unstable();
    let mut delete = conn.prepare_cached("DELETE FROM lookup WHERE value = ?1 AND person = ?2")?;
    for (value, person) in gone {
        delete.execute(params![value, person])?;
    }
    let mut insert = conn.prepare_cached("INSERT OR IGNORE INTO lookup VALUES (?1, ?2)")?;
    for (value, person) in new {
        insert.execute(params![value, person])?;
    }
    Ok(changed)
}

/// Takes from what a person is found by what is not to be kept, by its kind, and adds more; the rows
/// of what is added are the caller's.
pub(super) fn relist(
    conn: &Connection,
    person: PersonId,
    keep: impl Fn(i16) -> bool,
    more: &[u8],
) -> rusqlite::Result<()> {
    let id = int(person.0);
    let mut select = conn.prepare_cached("SELECT lookups FROM person WHERE id = ?1")?;
    let list: Option<Vec<u8>> = select.query_row([id], |row| row.get(0)).optional()?;
    let (now, gone) = lookups::changed(&list.unwrap_or_default(), keep, more);
    let mut delete = conn.prepare_cached("DELETE FROM lookup WHERE value = ?1 AND person = ?2")?;
    for value in gone {
        delete.execute(params![value, id])?;
    }
    conn.prepare_cached("UPDATE person SET lookups = ?2 WHERE id = ?1")?.execute((id, now))?;
    Ok(())
}

/// Puts other keys in the place of some of a person's, where all still have the form they had, and
/// keeps the old ones for what hangs on them without having heard.
pub(super) fn replace(conn: &Connection, replaced: &[Replaced]) -> rusqlite::Result<usize> {
    let mut keys =
        conn.prepare_cached("UPDATE person SET keys = ?3 WHERE id = ?1 AND keys = ?2")?;
    let mut retire =
        conn.prepare_cached("INSERT OR REPLACE INTO retired_key VALUES (?1, ?2, ?3)")?;
    let mut data_key =
        conn.prepare_cached("UPDATE data_key SET wrapped = ?3 WHERE id = ?1 AND wrapped = ?2")?;
    let mut changed = 0;
    for Replaced { person, was, is, retired, data_keys } in replaced {
        if keys.execute(params![person, was, is])? == 0 {
            continue;
        }
        changed += retired.len();
        for (class, wrapped) in retired {
            retire.execute(params![person, class, wrapped])?;
        }
        for (id, was, is) in data_keys {
            data_key.execute(params![id, was, is])?;
        }
    }
    Ok(changed)
}

/// Rewrites the index from persons. Where rows move between its pages a copy stays behind in the space that
/// nothing uses, and is not overwritten when its row is deleted; a page that is let go of whole is.
pub(super) fn links_anew(conn: &Connection) -> rusqlite::Result<usize> {
    conn.execute_batch(
        "CREATE TEMP TABLE kept AS SELECT * FROM person_tag;
         DELETE FROM person_tag",
    )?;
    let kept = conn.execute("INSERT INTO person_tag SELECT * FROM kept", [])?;
    conn.execute_batch("DROP TABLE kept")?;
    Ok(kept)
}

/// Ends the tenant's keys of earlier epochs, and what was retired in them.
pub(super) fn end_epochs(conn: &Connection, before: u32) -> rusqlite::Result<usize> {
    conn.execute("DELETE FROM retired_key WHERE class / ?1 < ?2", (CLASSES, before))?;
    conn.execute("DELETE FROM tenant_key WHERE epoch < ?1", [before])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::engine::{Change, Writer};
    use crate::sqlite::SqliteWriter;

    /// A handle that is found in a file.
    fn handle(n: u64) -> i64 {
        int(0x5A5A_0000_0000_0000 | n)
    }

    /// How many of these handles are anywhere in the file.
    fn left(file: &Path, of: &BTreeSet<i64>) -> usize {
        let bytes = fs::read(file).unwrap();
        let found: BTreeSet<i64> = bytes
            .windows(8)
            .filter(|eight| eight.starts_with(&[0x5A, 0x5A]))
            .map(|eight| i64::from_be_bytes(eight.try_into().unwrap()))
            .collect();
        found.intersection(of).count()
    }

    #[test]
    fn nothing_is_left_of_links_that_were_deleted_once_they_are_laid_down_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut writer = SqliteWriter::open(&file).unwrap();
        let persons = |step: u64| (0..8000).map(move |n| n * step % 8000);
        let insert =
            "INSERT INTO person_tag VALUES (?1, 1700000000 + ?1, ?2, ?3, NULL, 1, 2026, 1)";
        writer.0.execute_batch("BEGIN").unwrap();
        for n in persons(4801) {
            writer.0.execute(insert, (int(n), int(n * 3), handle(n))).unwrap();
        }
        let gone = persons(3001).take(4200).map(handle).collect::<BTreeSet<_>>();
        for n in persons(3001).take(4200) {
            let delete = "DELETE FROM person_tag WHERE person = ?1";
            writer.0.execute(delete, [int(n)]).unwrap();
        }
        writer.0.execute_batch("COMMIT").unwrap();
        assert!(writer.settle().unwrap());
        assert!(left(&file, &gone) > 0, "else this test shows nothing");
        writer.change(&Change::LinksAnew).unwrap();
        assert_eq!(left(&file, &gone), 0);
        let kept = persons(3001).skip(4200).map(handle).collect::<BTreeSet<_>>();
        assert_eq!(left(&file, &kept), kept.len());
    }
}
