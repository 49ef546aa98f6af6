//! SQLite as the engine of a ledger and its keyring: schema and settings.

mod checkpoints;
mod papers;
pub mod parts;
mod reader;
mod rotation;
mod seals;
mod writer;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::keyring::Founding;
use crate::keyring::provider::TenantId;

pub use checkpoints::Checkpointed;
pub use reader::SqliteReader;
pub(crate) use reader::{read_entry, read_head};
pub use writer::{SqliteWriter, insert_persons, insert_tags};

/// The schema in steps: a new file takes all of them, an older one those it lacks.
const STEPS: [&str; 4] = [
    include_str!("../migrations/sqlite/0001-ledger-and-keyring.sql"),
    include_str!("../migrations/sqlite/0002-requests-and-recipients.sql"),
    include_str!("../migrations/sqlite/0003-one-row-a-person.sql"),
    include_str!("../migrations/sqlite/0004-what-hangs-on-a-person.sql"),
];

/// How long a statement waits for a lock that another connection holds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The schema that this program writes. A file with a newer one is refused.
const SCHEMA_VERSION: i64 = 4;

/// How a ledger's file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the file's schema {0} is newer than this program; use the program that wrote it")]
    Newer(i64),
    #[error("the file could not be opened as a ledger")]
    Sqlite(#[from] rusqlite::Error),
}

/// Opens a file for writing and gives it the schema, or what it lacks of it.
///
/// # Errors
/// Where it cannot be opened, or its schema is newer than this program.
pub fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let mut conn = open_for_writing(path)?;
    upgrade(&mut conn, SCHEMA_VERSION)?;
    Ok(conn)
}

fn open_for_writing(path: &Path) -> Result<Connection, OpenError> {
    let conn = Connection::open(path)?;
    settings(&conn)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted is overwritten: FAST leaves whole freed pages as they were.
    conn.pragma_update(None, "secure_delete", "ON")?;
    // In KiB where it is negative. What does not fit is written before its time; a larger one would
    // hardly be used, and is looked through after many a commit.
    conn.pragma_update(None, "cache_size", -8192)?;
    Ok(conn)
}

/// Gives a file the steps that it lacks of the schema in one version.
fn upgrade(conn: &mut Connection, to: i64) -> Result<(), OpenError> {
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > SCHEMA_VERSION || to > SCHEMA_VERSION {
        return Err(OpenError::Newer(version.max(to)));
    }
    if version < to {
        let tx = conn.transaction()?;
        let step = |version| usize::try_from(version).unwrap_or(0);
        for sql in STEPS.iter().take(step(to)).skip(step(version)) {
            tx.execute_batch(sql)?;
        }
        tx.pragma_update(None, "user_version", to)?;
        tx.commit()?;
    }
    Ok(())
}

/// Opens a file that exists for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    settings(&conn)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

fn settings(conn: &Connection) -> Result<(), rusqlite::Error> {
    conn.busy_timeout(PATIENCE)?;
    // With it the triggers that keep entries also see what REPLACE would delete.
    conn.pragma_update(None, "recursive_triggers", true)?;
    // Nothing that is sorted or spilled may reach a file of its own.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A number as SQLite stores it. Positions, handles and tags stay far below 2^63.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as it was stored.
pub(crate) fn uint(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// Gives a new file its head and the keys of its tenant.
pub(crate) fn found(path: &Path, tenant: TenantId, keys: &Founding) -> Result<(), OpenError> {
    let mut conn = open_writer(path)?;
    let tx = conn.transaction()?;
    tx.execute("INSERT INTO head VALUES (1, ?1, 1, 0, x'', 0, 0, 1, 1)", [tenant.0])?;
    tx.execute("INSERT INTO tenant_key VALUES (?1, ?2)", (keys.epoch, &keys.tenant_key))?;
    for (name, wrapped) in &keys.secrets {
        tx.execute("INSERT INTO secret VALUES (?1, ?2)", (name, wrapped))?;
    }
    tx.commit()?;
    Ok(())
}
