//! The reading side of a ledger: entries by position and by tag, from any thread.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use domain::ledger::PeriodEnded;
use domain::{Event, Position, RetentionClass, Tag};
use rusqlite::Connection;
use tokio::sync::watch;

use super::codec::{self, CodecError, Entry};
use super::index::{self, Pending, TagRow};
use super::mover::Mover;
use super::pace::Pace;
use crate::engine::{EngineError, Reader, TagMover};
use crate::keyring::provider::TenantId;
use crate::postgres::PgError;
use crate::sqlite::{OpenError, SqliteReader};
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
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("no copy can be made of a ledger that is a file itself")]
    NoCopy,
    #[error("no room for a copy of the ledger, which this needs")]
    Room(#[source] std::io::Error),
    #[error("entry {0} cannot be read")]
    Entry(Position, #[source] CodecError),
    #[error("the head does not fit the entries")]
    Head,
    #[error("no thread to read it")]
    Thread(#[source] std::io::Error),
    #[error("the thread that read it has stopped before the end")]
    Stopped,
    #[error("it was to be read together with something that could not be")]
    Together,
}

impl From<PgError> for ReadError {
    fn from(error: PgError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error.into())
    }
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

/// How many rows of an index are read to see what is not there.
const ROWS: usize = 128;

/// Neighbouring tags, and which of them have entries, in order.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub tags: RangeInclusive<Tag>,
    pub booked: Vec<Tag>,
}

/// What answers for a ledger, from any thread.
pub type SharedReader = Box<dyn Reader + Send + Sync>;

/// A ledger to be read.
pub struct Log {
    reader: SharedReader,
    pending: Mutex<Pending>,
    size: watch::Sender<u64>,
    mover: OnceLock<Arc<Mover>>,
    pace: Pace,
}

impl Log {
    /// Opens the file of a ledger for reading, with the index rows that are not written yet.
    ///
    /// # Errors
    /// Where there is no such file, or it is no ledger of this program's.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::over(Box::new(SqliteReader::open(path)?))
    }

    /// A ledger behind a reader, with the index rows that are not written yet.
    ///
    /// # Errors
    /// Where it cannot be read, or is no ledger of this program's.
    pub fn over(reader: SharedReader) -> Result<Self, ReadError> {
        let head = reader.head()?;
        let pending = index::rebuild(reader.as_ref(), head.indexed)?;
        let size = watch::Sender::new(head.frontier.size());
        let (pending, mover, pace) = (Mutex::new(pending), OnceLock::new(), Pace::default());
        Ok(Self { reader, pending, size, mover, pace })
    }

    /// Has late rows moved beside whoever commits.
    pub(crate) fn moved_by(self: &Arc<Self>, mover: Box<dyn TagMover>) {
        let mover = Mover::new(mover, Arc::downgrade(self));
        self.mover.get_or_init(|| Arc::new(mover));
    }

    pub(crate) fn mover(&self) -> Option<&Arc<Mover>> {
        self.mover.get()
    }

    /// The ledger's file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        self.reader.sqlite().map(SqliteReader::path)
    }

    /// What is stored, as it is: sealed, wrapped and hashed.
    pub fn reader(&self) -> &dyn Reader {
        self.reader.as_ref()
    }

    /// How many entries are committed.
    pub fn size(&self) -> u64 {
        *self.size.borrow()
    }

    /// Tells of every growth.
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    /// Takes note of growth; what is older than what is known already tells nothing.
    pub(crate) fn grown(&self, size: u64) {
        self.size.send_if_modified(|known| {
            let grown = size > *known;
            if grown {
                *known = size;
            }
            grown
        });
    }

    /// Read models have taken in everything before this position. The writer does not leave them behind from
    /// here on, unless they stop.
    pub fn followed(&self, next: Position) {
        self.pace.followed(next.0, self.size());
    }

    /// Rests a moment where read models would otherwise be left behind.
    pub(super) fn keep_pace(&self) {
        self.pace.keep(self.size());
    }

    /// Takes in the index rows of what other nodes have committed, up to a size: the table has those of
    /// entries before `indexed`. Each stretch of them is shown first.
    pub(crate) fn take_in(
        &self,
        indexed: u64,
        size: u64,
        mut shown: impl FnMut(&[TagRow]),
    ) -> Result<(), ReadError> {
        let mut from = self.pending().reach.max(indexed);
        while from < size {
            let entries = self.entries(Position(from), index::STRETCH)?;
            from += u64::try_from(entries.len()).unwrap_or(u64::MAX);
            if entries.is_empty() {
                return Err(ReadError::Head);
            }
            let tags: Vec<_> = entries.iter().flat_map(index::tags_of).collect();
            shown(&tags);
            self.pending().take_in(tags, from);
        }
        Ok(())
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head as it is committed now.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn head(&self) -> Result<Head, ReadError> {
        self.reader.head()
    }

    /// Up to `limit` entries from a position on, in order.
    ///
    /// # Errors
    /// Where the file cannot be read, or a position is missing.
    pub fn entries(&self, from: Position, limit: usize) -> Result<Vec<EntryBytes>, ReadError> {
        let entries = self.reader.entries(from, limit)?;
        let in_order = entries.iter().zip(from.0..).all(|(entry, at)| entry.position.0 == at);
        if in_order { Ok(entries) } else { Err(ReadError::Head) }
    }

    /// One entry.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn entry(&self, position: Position) -> Result<Option<EntryBytes>, ReadError> {
        Ok(self.reader.entries_at(&[position])?.pop())
    }

    /// The positions of the entries that carry a tag, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn positions(&self, tag: Tag) -> Result<Vec<Position>, ReadError> {
        self.positions_within(tag..=tag)
    }

    /// As [`Self::positions`], of entries with any tag in a range.
    ///
    /// # Errors
    /// As [`Self::positions`].
    pub fn positions_within(&self, tags: RangeInclusive<Tag>) -> Result<Vec<Position>, ReadError> {
        // Memory first: a row on its way into the table is then seen twice rather than never.
        let mut positions: Vec<Position> = self.pending().positions_within(tags.clone()).collect();
        positions.extend(self.reader.positions(tags, Position(0))?);
        positions.sort_unstable();
        positions.dedup();
        Ok(positions)
    }

    /// As [`Self::positions`] for several tags, in no order, some twice.
    pub(crate) fn positions_under(&self, tags: &[Tag]) -> Result<Vec<(Tag, Position)>, ReadError> {
        let mut found = Vec::new();
        {
            let pending = self.pending();
            for tag in tags {
                found.extend(pending.positions(*tag).map(|position| (*tag, position)));
            }
        }
        found.extend(self.reader.positions_under(tags)?);
        Ok(found)
    }

    /// A stretch of a range from its first tag on, and which of it have entries: as far as some rows of the
    /// index reach.
    pub(crate) fn stretch(&self, tags: RangeInclusive<Tag>) -> Result<Stretch, ReadError> {
        let (first, last) = tags.into_inner();
        let until = |rows: &[Tag], last: Tag| match rows.last() {
            Some(reached) if rows.len() >= ROWS => *reached,
            Some(_) | None => last,
        };
        // Memory first, as for positions.
        let mut booked = self.pending().first_tags(first..=last, ROWS);
        let last = until(&booked, last);
        let stored = self.reader.first_tags(first..=last, ROWS)?;
        let last = until(&stored, last);
        booked.extend(stored);
        booked.retain(|tag| *tag <= last);
        booked.sort_unstable();
        booked.dedup();
        Ok(Stretch { tags: first..=last, booked })
    }

    /// Whether an entry says that a year of a class is over.
    pub(crate) fn has_ended(&self, class: RetentionClass, year: i16) -> Result<bool, ReadError> {
        let entries = self.reader.entries_at(&self.positions(Tag::ledger())?)?;
        Ok(entries.iter().any(|entry| match codec::decode_event(&entry.bytes) {
            Ok(Event::PeriodEnded(ended)) => ended == PeriodEnded { class, year },
            Ok(_) | Err(_) => false,
        }))
    }

    /// Runs a query on the ledger's file, or on a copy made for it.
    pub(crate) fn with<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if let Some(file) = self.reader.sqlite() {
            return file.with(query);
        }
        let folder = tempfile::Builder::new().prefix("tidbok-copy-").tempdir();
        let folder = folder.map_err(ReadError::Room)?;
        let copy = folder.path().join("ledger.sqlite");
        self.reader.copy(&copy)?;
        SqliteReader::open(&copy)?.with(query)
    }

    /// Lets go of all idle readers, so that the file can be closed whole.
    pub(crate) fn close_readers(&self) {
        self.reader.close();
    }
}
