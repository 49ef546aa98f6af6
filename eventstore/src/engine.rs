//! The contract between the ledger and the database that holds it and its keyring.
//!
//! A [`Reader`] answers what is committed, from any thread. A [`Writer`] belongs to the one thread
//! that decides. Everything that makes a ledger a ledger stands above this line; below it is SQL.

mod change;
mod commit;
mod papers;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use domain::{FenceId, Handle, Position, RegistrationId, RetentionClass, Tag};
use zeroize::Zeroizing;

use crate::keyring::person::{PersonId, PersonInfo};
use crate::keyring::seal::SealAt;
use crate::keyring::{DataKeyRow, Keyring};
use crate::ledger::appender::Appended;
use crate::ledger::index::{PersonRow, TagRow};
use crate::ledger::log::{EntryBytes, Head, Log, ReadError};
use crate::postgres::PgError;
use crate::sqlite::SqliteReader;
use crate::tree::Hash;
pub use change::Change;
pub use commit::{Cleared, Commit, Effect, Ended, NewHead, Older, Outcome, Rekeyed};
pub use papers::{Notices, Paper, Papers, Seen};

/// What a database had to say against a statement.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the ledger's file could not be read or written")]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] PgError),
    #[error("a command of the batch could not be written down; nothing of the batch stands")]
    Spoilt,
    #[error("another node was first")]
    Behind,
}

impl EngineError {
    /// Whether it was lost on the way: what was asked for may stand or not.
    pub(crate) fn is_of_the_way(&self) -> bool {
        let lost = |error: &PgError| {
            matches!(error, PgError::Away(_) | PgError::Silent | PgError::Unsettled(_))
        };
        if let Self::Postgres(error) = self { lost(error) } else { false }
    }

    /// Of something that a commit had to read first.
    pub(crate) fn of_reading(error: ReadError) -> Self {
        match error {
            ReadError::Engine(error) => error,
            ReadError::Open(_)
            | ReadError::Entry(..)
            | ReadError::Head
            | ReadError::NoCopy
            | ReadError::Room(_)
            | ReadError::Thread(_)
            | ReadError::Stopped
            | ReadError::Together => Self::Spoilt,
        }
    }
}

/// What a reader answers.
pub type Read<T> = Result<T, ReadError>;

/// A person and a class, both as they are stored: the class with an epoch above it.
pub type Place = (i64, i16);

/// A wrapped key of the tenant's own that hangs on its key, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hanging {
    pub of: HangingOf,
    pub wrapped: Vec<u8>,
}

/// Which of the tenant's own keys: a year's, or a secret's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HangingOf {
    Period(i16, i16),
    Secret(String),
}

/// What of a person hangs on the tenant's key, as it is stored: keys, and what they are found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub person: i64,
    pub keys: Vec<u8>,
    pub lookups: Vec<u8>,
}

/// Other keys of a person's in the place of some, with the data keys that hang on them.
#[derive(Debug)]
pub struct Replaced {
    pub person: i64,
    pub was: Vec<u8>,
    pub is: Vec<u8>,
    /// The old ones that are kept for a while, each by class and epoch and as it is wrapped.
    pub retired: Vec<(i16, Vec<u8>)>,
    /// Data keys by id, with the form they had and the new one.
    pub data_keys: Vec<(i64, Vec<u8>, Vec<u8>)>,
}

/// How many classes there can be: a retired key's class holds its epoch above that.
pub const CLASSES: i16 = 8;

/// How many kinds of lookup there can be: a listed kind holds its epoch above that.
pub const KINDS: i16 = 16;

/// Which row of the keyring a wrapped key is read from.
#[derive(Debug, Clone, Copy)]
pub enum KeyRow<'a> {
    Tenant(u32),
    Secret(&'a str),
    /// All keys of a person who is live.
    Person(PersonId),
    Period(RetentionClass, i16),
}

/// What is numbered without a gap that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Handle,
    Person,
}

impl Counter {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Person => "person",
        }
    }
}

/// A seal and the key it opens with, as they are stored.
#[derive(Default)]
pub struct SealRow {
    pub(crate) data_key: Option<DataKeyRow>,
    /// Overwritten when let go: it is decrypted where it lies.
    pub(crate) ciphertext: Option<Zeroizing<Vec<u8>>>,
}

/// Reads what is committed.
#[expect(clippy::missing_errors_doc, reason = "each fails where the database cannot be read")]
pub trait Reader: Papers {
    fn head(&self) -> Read<Head>;

    /// Up to which entry the tables of the indexes are complete; also of a ledger whose keyring is behind.
    fn indexed(&self) -> Read<u64> {
        Ok(self.head()?.indexed)
    }

    /// Up to `limit` entries from a position on, in order.
    fn entries(&self, from: Position, limit: usize) -> Read<Vec<EntryBytes>>;

    /// The entries at these positions that exist, in the order asked for.
    fn entries_at(&self, positions: &[Position]) -> Read<Vec<EntryBytes>>;

    /// What the table has under tags, from a position on; in no order.
    fn positions(&self, tags: RangeInclusive<Tag>, from: Position) -> Read<Vec<Position>>;

    /// The first tags of a range that the table has a row of, at most `limit` rows of them; in order.
    fn first_tags(&self, tags: RangeInclusive<Tag>, limit: usize) -> Read<Vec<Tag>>;

    /// A person's rows in the table whose booking ends at `until` or later.
    fn person_rows(&self, person: PersonId, until: i64) -> Read<Vec<PersonRow>>;

    /// As [`Self::positions`] for several tags at once, from the first position on.
    fn positions_under(&self, tags: &[Tag]) -> Read<Vec<(Tag, Position)>> {
        let mut found = Vec::new();
        for tag in tags {
            let positions = self.positions(*tag..=*tag, Position(0))?;
            found.extend(positions.into_iter().map(|position| (*tag, position)));
        }
        Ok(found)
    }

    /// All rows of several persons.
    fn rows_of(&self, persons: &[PersonId]) -> Read<Vec<PersonRow>> {
        let mut rows = Vec::new();
        for person in persons {
            rows.extend(self.person_rows(*person, 0)?);
        }
        Ok(rows)
    }

    /// Those of the rows that are not in the table.
    fn unwritten(&self, rows: Vec<PersonRow>) -> Read<Vec<PersonRow>>;

    fn person(&self, person: PersonId) -> Read<Option<PersonInfo>> {
        Ok(self.known(&[person])?.pop())
    }

    /// What is known of these, of whom there is a row.
    fn known(&self, persons: &[PersonId]) -> Read<Vec<PersonInfo>>;

    /// Up to `limit` persons after one, in the order they came.
    fn persons(&self, after: PersonId, limit: u32) -> Read<Vec<PersonInfo>>;

    /// The person with this fence, for the gate that sets fences again.
    fn person_by_fence(&self, fence: FenceId) -> Read<Option<PersonInfo>>;

    fn persons_being_erased(&self) -> Read<Vec<PersonId>>;

    /// Whose handles these are, where they are linked.
    fn links(&self, handles: &[Handle]) -> Read<BTreeMap<Handle, PersonId>>;

    /// Whether a person's key of the handle is still there.
    fn opens(&self, handle: Handle, class: RetentionClass) -> Read<bool>;

    fn wrapped(&self, key: KeyRow<'_>) -> Read<Option<Vec<u8>>>;

    /// The keys of persons who are live, as far as there are any.
    fn person_keys(&self, persons: &[PersonId]) -> Read<Vec<(PersonId, Vec<u8>)>> {
        let mut rows = Vec::new();
        for person in persons {
            let row = self.wrapped(KeyRow::Person(*person))?;
            rows.extend(row.map(|row| (*person, row)));
        }
        Ok(rows)
    }

    /// The stored key of one handle.
    #[doc(hidden)]
    fn data_key_row(&self, handle: Handle, class: RetentionClass) -> Read<Option<DataKeyRow>>;

    /// Seals with their data keys, of one moment, in the order asked for.
    fn seals(&self, seals: &[SealAt]) -> Read<Vec<SealRow>>;

    /// The persons with one of these lookup values.
    fn found_by(&self, values: &[[u8; 16]]) -> Read<Vec<PersonId>>;

    /// The epochs under which the tenant has a key, newest first.
    fn epochs(&self) -> Read<Vec<u32>>;

    /// The few keys of the tenant's own that hang on its key.
    fn hanging(&self) -> Read<Vec<Hanging>>;

    /// A page of what hangs on it of persons who have keys, behind a person.
    fn bundles(&self, after: i64, limit: usize) -> Read<Vec<Bundle>>;

    /// A person's keys, in whichever state they are.
    fn keys_of(&self, person: PersonId) -> Read<Option<Vec<u8>>>;

    /// The keys of a person that others have taken the place of, by class and epoch.
    fn retired_of(&self, person: PersonId) -> Read<Vec<(i16, Vec<u8>)>>;

    /// A page of the places of such keys, behind one.
    fn retired(&self, after: Place, limit: usize) -> Read<Vec<Place>>;

    /// A page of data keys that are gone though their person is not, behind an id: by id, whose.
    fn dead(&self, after: i64, limit: usize) -> Read<Vec<(i64, PersonId)>>;

    /// A page of data keys that hang on a person's key, behind an id: by id, whose.
    fn linked(&self, after: i64, limit: usize) -> Read<Vec<(i64, PersonId, Vec<u8>)>>;

    /// The data keys with these ids, as far as they are there.
    fn data_keys(&self, ids: &[i64]) -> Read<Vec<(i64, Vec<u8>)>>;

    /// Of these requests, by day and key's hash, those that were answered before: with the body's
    /// hash and the answer.
    fn repeats(&self, asked: &[(i64, Hash)]) -> Read<Vec<(Hash, (Hash, Appended))>>;

    /// Takes numbers that no other node gives out; the first of them. None where there are no
    /// other nodes, and numbers are counted from the head's.
    fn reserve(&self, _: Counter, _: u64) -> Read<Option<u64>> {
        Ok(None)
    }

    /// From which size to which a keyring in a database of its own has not heard of its ledger.
    fn lag(&self) -> Read<Option<RangeInclusive<u64>>> {
        Ok(None)
    }

    /// How many entries a keyring in a database of its own has heard of. Read before the head it is
    /// never more than that, but where the ledger is an older copy.
    fn reached(&self) -> Read<Option<u64>> {
        Ok(None)
    }

    /// Whether other nodes may write the same ledger. Then the rows of persons come with each commit: no node
    /// may hold back a row of somebody whom another erases. Those of tags name nobody, and come late.
    fn is_shared(&self) -> bool {
        false
    }

    /// Lets go of idle connections.
    fn close(&self);

    /// Copies the ledger, as it stands at one moment, into a new file: for whoever reads tables
    /// whole, where there is no file.
    fn copy(&self, _: &Path) -> Read<()> {
        Err(ReadError::NoCopy)
    }

    /// The file behind it, for the audit, which reads tables whole.
    fn sqlite(&self) -> Option<&SqliteReader> {
        None
    }
}

/// Writes a ledger. Each call is one transaction, durable when it answers.
#[expect(clippy::missing_errors_doc, reason = "each fails where the database cannot be written")]
pub trait Writer: Send {
    fn commit(&mut self, commit: &Commit<'_>) -> Result<Outcome, EngineError>;

    /// Makes a change; answers the number of what was added, or how many rows were changed.
    fn change(&mut self, change: &Change) -> Result<u64, EngineError>;

    /// Makes several changes, all or none; answers as [`Self::change`] for each.
    fn change_all(&mut self, changes: &[Paper]) -> Result<Vec<u64>, EngineError>;

    /// Clears a part of what erasures leave; of those of whom these rows are the last also what is left
    /// but the fact that there was somebody.
    fn clear(&mut self, rows: &[Cleared], last_of: &[PersonId]) -> Result<(), EngineError>;

    /// Deletes seals whose keys are gone, where the keyring is newer than the ledger.
    fn delete_seals(&mut self, _: &[(Position, u16)]) -> Result<(), EngineError> {
        Ok(())
    }

    /// Takes note that nothing is left of these persons.
    fn cleared(&mut self, persons: &[PersonId]) -> Result<(), EngineError>;

    /// Begins a new origin, where the loss of entries was accepted.
    fn reopen(&mut self, origin: u32) -> Result<(), EngineError>;

    /// Has a keyring that is older than its ledger end what the ledger says has ended. Whether it
    /// still was: another node may have done so meanwhile, and gone on from there.
    fn take_up(&mut self, _: &Older) -> Result<bool, EngineError> {
        Ok(false)
    }

    /// Has a keyring in a database of its own forget what came with entries that the ledger, being
    /// an older copy, has lost. These are restricted by what it still has, and no others.
    fn cut(&mut self, _: &[RegistrationId]) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whether what was deleted is gone from everything but copies; false where to ask again.
    fn settle(&mut self) -> Result<bool, EngineError>;

    /// Who moves rows of tags beside the writer, where none go with the commits.
    fn mover(&self) -> Option<Box<dyn TagMover>> {
        None
    }

    /// Has the ledger hear of what other nodes commit, for as long as it is open.
    fn follow(&self, _: &Arc<Log>, _: &Arc<Keyring>) {}

    /// Keeps other nodes from committing until the next commit or [`Self::release`].
    fn hold(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Lets other nodes commit again, if they were kept from it.
    fn release(&mut self) {}
}

/// Moves late rows of the index over tags into their table, beside the writer of a ledger that has several
/// nodes: rows that are there already stay as they are.
#[expect(clippy::missing_errors_doc, reason = "each fails where the database cannot be written")]
pub trait TagMover: Send {
    fn write(&mut self, rows: &[TagRow]) -> Result<(), EngineError>;

    /// Takes note up to which entry the table is complete.
    fn complete(&mut self, indexed: u64) -> Result<(), EngineError>;
}

/// The day of a second since 1970, by which repeats are kept.
pub(crate) fn day_of(second: i64) -> i64 {
    second.div_euclid(24 * 3600)
}

/// The name of the key of a day's repeats.
pub(crate) fn repeats_of(day: i64) -> String {
    format!("repeats {day}")
}
