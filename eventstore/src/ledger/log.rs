//! The reading side of a ledger: entries by position and by tag, from any thread.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{Position, Tag};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::watch;

use super::codec::{self, CodecError, Entry};
use super::index::{self, Pending};
use crate::keyring::provider::TenantId;
use crate::sqlite::{self, OpenError, int, uint};
use crate::tree::{Frontier, Hash};

/// An entry as it lies in the ledger: its bytes as hashed, and their leaf hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryBytes {
    pub position: Position,
    pub bytes: Vec<u8>,
    pub leaf: Hash,
}

impl EntryBytes {
    /// What the bytes say.
    ///
    /// # Errors
    /// Where they are not in the format, or of a kind this program does not know.
    pub fn decode(&self) -> Result<Entry, CodecError> {
        codec::decode(&self.bytes)
    }
}

/// Why a ledger could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the ledger's file could not be read")]
    Sqlite(#[from] rusqlite::Error),
    #[error("entry {0} cannot be read")]
    Entry(Position, #[source] CodecError),
    #[error("the head does not fit the entries")]
    Head,
}

/// The head of a ledger.
#[derive(Debug, Clone)]
pub struct Head {
    pub tenant: TenantId,
    pub origin: u32,
    pub frontier: Frontier,
    pub indexed: u64,
    pub next_handle: u64,
    pub next_person: u64,
    pub recorded_at: i64,
}

/// A ledger to be read.
pub struct Log {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    pending: Mutex<Pending>,
    size: watch::Sender<u64>,
}

impl Log {
    /// Opens the file of a ledger for reading, with the index rows that are not written yet.
    ///
    /// # Errors
    /// Where there is no such file, or it is no ledger of this program's.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let conn = sqlite::open_reader(path)?;
        let head = read_head(&conn)?;
        let pending = index::rebuild(&conn, head.indexed)?;
        Ok(Self {
            path: path.to_owned(),
            readers: Mutex::new(vec![conn]),
            pending: Mutex::new(pending),
            size: watch::Sender::new(head.frontier.size()),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many entries are committed.
    pub fn size(&self) -> u64 {
        *self.size.borrow()
    }

    /// Tells of every growth.
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    pub(crate) fn grown(&self, size: u64) {
        self.size.send_replace(size);
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head as it is committed now.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn head(&self) -> Result<Head, ReadError> {
        self.with(read_head)
    }

    /// Up to `limit` entries from a position on, in order.
    ///
    /// # Errors
    /// Where the file cannot be read, or a position is missing.
    pub fn entries(&self, from: Position, limit: usize) -> Result<Vec<EntryBytes>, ReadError> {
        self.with(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT position, bytes, leaf FROM entry WHERE position >= ?1 ORDER BY position LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = select.query_map((int(from.0), limit), entry_bytes)?;
            let entries = rows.collect::<rusqlite::Result<Vec<EntryBytes>>>()?;
            let in_order = entries.iter().zip(from.0..).all(|(entry, at)| entry.position.0 == at);
            if in_order { Ok(entries) } else { Err(ReadError::Head) }
        })
    }

    /// One entry.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn entry(&self, position: Position) -> Result<Option<EntryBytes>, ReadError> {
        self.with(|conn| Ok(read_entry(conn, position)?))
    }

    /// The positions of the entries that carry a tag, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn positions(&self, tag: Tag) -> Result<Vec<Position>, ReadError> {
        // Memory first: a row on its way into the table is then seen twice rather than never.
        let mut positions: Vec<Position> = self.pending().positions(tag).collect();
        self.with(|conn| {
            let mut select = conn.prepare_cached("SELECT position FROM tag WHERE tag = ?1")?;
            let rows = select.query_map([int(tag.0)], |row| Ok(Position(uint(row.get(0)?))))?;
            for position in rows {
                positions.push(position?);
            }
            Ok(())
        })?;
        positions.sort_unstable();
        positions.dedup();
        Ok(positions)
    }

    /// Runs a query on a reader of its own.
    pub(crate) fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => sqlite::open_reader(&self.path)?,
        };
        let answer = query(&conn);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < 8 {
            readers.push(conn);
        }
        answer
    }

    /// Lets go of all idle readers, so that the file can be closed whole.
    pub(crate) fn close_readers(&self) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

pub(crate) fn read_entry(
    conn: &Connection,
    position: Position,
) -> rusqlite::Result<Option<EntryBytes>> {
    let mut select =
        conn.prepare_cached("SELECT position, bytes, leaf FROM entry WHERE position = ?1")?;
    select.query_row([int(position.0)], entry_bytes).optional()
}

fn entry_bytes(row: &rusqlite::Row<'_>) -> rusqlite::Result<EntryBytes> {
    Ok(EntryBytes { position: Position(uint(row.get(0)?)), bytes: row.get(1)?, leaf: row.get(2)? })
}

pub(crate) fn read_head(conn: &Connection) -> Result<Head, ReadError> {
    let mut select = conn.prepare_cached(
        "SELECT tenant, origin, size, frontier, recorded_at, indexed, next_handle, next_person
         FROM head WHERE id = 1",
    )?;
    let head = select
        .query_row([], |row| {
            let frontier: Vec<u8> = row.get(3)?;
            let frontier = Frontier::from_bytes(uint(row.get(2)?), &frontier);
            Ok(frontier.map(|frontier| {
                Ok::<_, rusqlite::Error>(Head {
                    tenant: TenantId(row.get(0)?),
                    origin: row.get(1)?,
                    frontier,
                    recorded_at: row.get(4)?,
                    indexed: uint(row.get(5)?),
                    next_handle: uint(row.get(6)?),
                    next_person: uint(row.get(7)?),
                })
            }))
        })
        .optional()?;
    Ok(head.flatten().ok_or(ReadError::Head)??)
}
