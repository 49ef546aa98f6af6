//! Building the read models again from the first entry, beside the live file, and putting them in
//! its place.
//!
//! The new state is folded into a file of its own and then copied into the live one in a single
//! transaction: readers see the old state until the commit and the new one after it, without
//! opening anything again, and a crash at any moment leaves one of the two. Renaming the new file
//! over the live one would be quicker, but whoever still has the old file open would, on closing
//! it, delete the write-ahead log that by then belongs to the new one.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use domain::Position;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::is_damage;
use crate::hash::{self, Hashes};
use crate::runner::{configure, create};
use crate::{Feed, MODELS, ProjectionError, ProjectionStatus, ReadModels};

/// Read models that are built from the first entry on and then take the place of a live file.
#[derive(Debug)]
pub struct Rebuild {
    live: PathBuf,
    path: PathBuf,
    models: ReadModels,
}

impl Rebuild {
    /// Begins an empty file beside the one at `path`; what an earlier rebuild left there goes.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn begin(path: &Path) -> Result<Self, ProjectionError> {
        let live = path.to_owned();
        let path = with_suffix(path, ".next");
        remove_database(&path)?;
        let models = ReadModels::beside(&path)?;
        Ok(Self { live, path, models })
    }

    /// The position that is needed next.
    pub fn next(&self) -> Position {
        self.models.next()
    }

    /// Where every projection stands.
    pub fn status(&self) -> &[ProjectionStatus] {
        self.models.status()
    }

    /// Folds entries, as [`ReadModels::apply`] does.
    ///
    /// # Errors
    /// As there.
    pub fn apply(&mut self, entries: &[Feed<'_>]) -> Result<(), ProjectionError> {
        self.models.apply(entries)
    }

    /// The [hash] of each projection as built so far.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn hashes(&self) -> Result<Hashes, ProjectionError> {
        hash::hashes(self.models.connection())
    }

    /// Puts what was built in the place of the live file, whatever that holds, and answers with
    /// its hashes.
    ///
    /// # Errors
    /// Where the files cannot be written; the live one is as before then.
    pub fn finish(self) -> Result<Hashes, ProjectionError> {
        let hashes = self.hashes()?;
        let Self { live, path, models } = self;
        drop(models);
        match copy_into(&live, &path) {
            Err(error) if is_damage(&error) => replace(&live, &path)?,
            copied => copied?,
        }
        remove_database(&path)?;
        Ok(hashes)
    }
}

fn copy_into(live: &Path, next: &Path) -> Result<(), ProjectionError> {
    let mut connection = Connection::open(live)?;
    configure(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let name = next.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    connection.execute("ATTACH DATABASE ?1 AS next", [name])?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    drop_tables(&transaction)?;
    create(&transaction)?;
    transaction.execute("DELETE FROM projection", [])?;
    let tables = MODELS.iter().flat_map(|model| model.tables);
    for table in tables.chain(&["projection"]) {
        let copy = format!("INSERT INTO main.{table} SELECT * FROM next.{table}");
        transaction.execute(&copy, [])?;
    }
    transaction.commit()?;
    connection.execute_batch("DETACH DATABASE next")?;
    // The log is as long as the file now. If a reader is in the way, a later one shortens it.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

fn drop_tables(connection: &Connection) -> Result<(), ProjectionError> {
    let mut statement = connection.prepare(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' \
         ESCAPE '\\'",
    )?;
    let names: Vec<String> =
        statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in names {
        connection.execute_batch(&format!("DROP TABLE main.\"{}\"", name.replace('"', "\"\"")))?;
    }
    Ok(())
}

/// A live file that is no database any more has no readers to mind.
fn replace(live: &Path, next: &Path) -> io::Result<()> {
    remove_database(live)?;
    std::fs::rename(next, live)
}

fn remove_database(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal", ""] {
        match std::fs::remove_file(with_suffix(path, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            removed => removed?,
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
