//! A ledger's file taken apart for backups, and put together again.
//!
//! What may be kept for good (the history), what is of no use without keys (the seals), and what
//! must end with its epoch (keys and links) lie in one file while a tenant is served, and in three
//! while it is kept: each can be deleted on a day of its own.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{OpenError, SCHEMA_VERSION, open_for_writing, settings, upgrade};

/// A part of a ledger's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The entries, with what finds them: nothing in it names anybody.
    History,
    /// What only the keys open.
    Seals,
    /// Wrapped keys, and who is behind a handle.
    Keyring,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::History, Self::Seals, Self::Keyring];

    pub fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Seals => "seals",
            Self::Keyring => "keyring",
        }
    }

    fn tables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::History => &[
                (
                    "head",
                    "id, tenant, origin, size, frontier, recorded_at, indexed, next_handle, \
                     next_person",
                ),
                ("entry", "position, bytes, leaf"),
                ("tag", "tag, position"),
            ],
            Self::Seals => &[("seal", "id, ciphertext")],
            Self::Keyring => &[
                ("tenant_key", "*"),
                ("secret", "*"),
                ("person", "*"),
                ("retired_key", "*"),
                ("period_key", "*"),
                ("data_key", "id, person, year, wrapped"),
                ("person_tag", "*"),
                ("lookup", "*"),
                ("api_key", "*"),
                ("privacy_request", "*"),
                ("given", "*"),
                ("notice", "*"),
                ("idempotency", "*"),
            ],
        }
    }
}

/// Tables that parts have which an older program made, and that the schema after it takes apart.
const FORMER: [&str; 1] = ["person_key"];

/// The schema of parts that do not say theirs.
const UNSAID: i64 = 2;

/// Copies a ledger's file into its three parts, all of one moment, while it is written to.
///
/// # Errors
/// Where a file cannot be read or written.
pub fn take_apart(file: &Path, into: [&Path; 3]) -> Result<(), rusqlite::Error> {
    // What is attached is opened as the file itself is: to be written, and made where it is new.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(file, flags)?;
    settings(&conn)?;
    for (part, path) in Part::ALL.into_iter().zip(into) {
        attach(&conn, path, part)?;
        // It is of use whole or not at all.
        conn.pragma_update(Some(part.name()), "journal_mode", "OFF")?;
    }
    let tx = conn.transaction()?;
    for part in Part::ALL {
        for (table, columns) in part.tables() {
            let name = part.name();
            let sql = format!("CREATE TABLE {name}.{table} AS SELECT {columns} FROM main.{table}");
            tx.execute_batch(&sql)?;
        }
        tx.pragma_update(Some(part.name()), "user_version", SCHEMA_VERSION)?;
    }
    tx.commit()
}

/// Makes a ledger's file of its three parts.
///
/// # Errors
/// Where a file cannot be read or written, or the parts are not those of one ledger.
pub fn put_together(parts: [&Path; 3], file: &Path) -> Result<(), OpenError> {
    let mut conn = open_for_writing(file)?;
    for (part, path) in Part::ALL.into_iter().zip(parts) {
        attach(&conn, path, part)?;
    }
    let keyring = Some(Part::Keyring.name());
    let said: i64 = conn.pragma_query_value(keyring, "user_version", |row| row.get(0))?;
    // First in the schema of whoever made them, then in this one.
    upgrade(&mut conn, if said == 0 { UNSAID } else { said })?;
    let tx = conn.transaction()?;
    for part in Part::ALL {
        let tables = part.tables().iter().map(|(table, _)| *table);
        for table in tables.chain(FORMER.into_iter().filter(|_| part == Part::Keyring)) {
            let name = part.name();
            // Those that both have, by our names: one that an older program made lacks what came since, and what
            // a part calls its columns is never run.
            let of_both: Option<String> = tx.query_row(
                "SELECT group_concat(ours.name, ', ') FROM pragma_table_info(?1, 'main') ours
                 JOIN pragma_table_info(?1, ?2) theirs ON ours.name = theirs.name",
                (table, name),
                |row| row.get(0),
            )?;
            let Some(columns) = of_both else { continue };
            let sql = format!(
                "INSERT INTO main.{table} ({columns}) SELECT {columns} FROM {name}.{table}"
            );
            tx.execute_batch(&sql)?;
        }
    }
    tx.commit()?;
    upgrade(&mut conn, SCHEMA_VERSION)?;
    conn.close().map_err(|(_, error)| error)?;
    Ok(())
}

fn attach(conn: &Connection, path: &Path, part: Part) -> Result<(), rusqlite::Error> {
    let sql = format!("ATTACH ?1 AS {}", part.name());
    conn.execute(&sql, [path.to_string_lossy()]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sqlite::open_writer;

    /// A table that no part knows would be missing from every backup.
    #[test]
    fn every_table_belongs_to_one_part() {
        let folder = tempfile::tempdir().unwrap();
        let conn = open_writer(&folder.path().join("ledger.sqlite")).unwrap();
        let mut select =
            conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let stored: BTreeSet<String> =
            select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let known = Part::ALL.into_iter().flat_map(|part| part.tables());
        let known: Vec<String> = known.map(|(table, _)| (*table).to_owned()).collect();
        assert_eq!(known.len(), stored.len());
        assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), stored);
    }

    /// What came since is as it is in a new file.
    #[test]
    fn parts_that_an_older_program_made_are_put_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let live = open_writer(&path("ledger.sqlite")).unwrap();
        let ask = "INSERT INTO privacy_request (kind, requested_at, status) VALUES ('erasure', 7, 'done')";
        live.execute_batch(ask).unwrap();
        let files = Part::ALL.map(|part| path(part.name()));
        let parts = [files[0].as_path(), files[1].as_path(), files[2].as_path()];
        take_apart(&path("ledger.sqlite"), parts).unwrap();
        let keyring = Connection::open(parts[2]).unwrap();
        let older = "ALTER TABLE privacy_request DROP COLUMN course;
                     ALTER TABLE privacy_request DROP COLUMN receipt;
                     DROP TABLE given; DROP TABLE notice;";
        keyring.execute_batch(older).unwrap();
        drop(keyring);
        put_together(parts, &path("again.sqlite")).unwrap();
        let again = Connection::open(path("again.sqlite")).unwrap();
        let sql = "SELECT requested_at, course, receipt FROM privacy_request";
        let row: (i64, String, Option<String>) =
            again.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!(row, (7, "{}".to_owned(), None));
    }

    /// The second schema had a row for each key, and kinds beside lookups.
    #[test]
    fn parts_of_the_second_schema_are_put_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        drop(open_writer(&path("ledger.sqlite")).unwrap());
        let files = Part::ALL.map(|part| path(part.name()));
        let parts = [files[0].as_path(), files[1].as_path(), files[2].as_path()];
        take_apart(&path("ledger.sqlite"), parts).unwrap();
        let keyring = Connection::open(parts[2]).unwrap();
        let older = "ALTER TABLE person DROP COLUMN keys; ALTER TABLE person DROP COLUMN lookups;
            DROP TABLE retired_key; DROP TABLE lookup; PRAGMA user_version = 0;
            CREATE TABLE person_key (person, class, wrapped);
            CREATE TABLE lookup (value, person, kind);
            INSERT INTO person (id, state) VALUES (5, 1), (6, 4);
            INSERT INTO person_key VALUES (5, 1, zeroblob(40)), (5, 2, zeroblob(40)), (5, 9, x'77');
            INSERT INTO lookup VALUES (zeroblob(16), 5, 17);";
        keyring.execute_batch(older).unwrap();
        drop(keyring);
        put_together(parts, &path("again.sqlite")).unwrap();
        let again = Connection::open(path("again.sqlite")).unwrap();
        let sql = "SELECT keys, lookups FROM person ORDER BY id";
        let mut select = again.prepare(sql).unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(Option<Vec<u8>>, Vec<u8>)> = rows.map(Result::unwrap).collect();
        let keys = [&[0, 1][..], &[0; 40], &[2], &[0; 40]].concat();
        let list = [&[0, 17][..], &[0; 16]].concat();
        assert_eq!(rows, [(Some(keys), list), (None, vec![])]);
        let sql = "SELECT (SELECT count(*) FROM retired_key WHERE class = 9 AND wrapped = x'77'),
                   (SELECT count(*) FROM lookup WHERE person = 5)";
        let counts = again.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(counts, (1, 1));
    }
}
