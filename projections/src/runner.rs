//! The writing side: entries in, in order, a batch per transaction, checkpoints with them.
//!
//! Every projection has a checkpoint of its own, because one may have stopped while the others
//! went on. The usual batch costs one savepoint per projection. Only when an entry is refused is
//! the savepoint rolled back and the good entries before it folded again, so that no half of an
//! entry stays behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{Position, Recorded};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use crate::column::Number;
use crate::{FoldError, MODELS, Model, ProjectionError, Reader};

/// How many entries a batch should have when there is much to catch up with: scattered rows of one
/// batch share pages, so ten thousand at once go several times as fast as a hundred.
pub const CATCH_UP: usize = 10_000;

/// An entry and its leaf hash.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    pub recorded: &'a Recorded,
    pub leaf: [u8; 32],
}

/// Where one projection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// The name with its version.
    pub name: String,
    /// The first position that it does not reflect.
    pub next: Position,
    /// The leaf hash of the last entry it took.
    pub leaf: Option<[u8; 32]>,
    /// Why it stopped at `next`.
    pub error: Option<String>,
}

/// The read models of one tenant, to be fed. One per tenant in a process.
#[derive(Debug)]
pub struct ReadModels {
    connection: Connection,
    /// None for read models in memory.
    path: Option<PathBuf>,
    progress: Vec<ProjectionStatus>,
    /// What occurred later than this is passed over.
    until: Option<Timestamp>,
}

impl ReadModels {
    /// Opens the file, or creates it empty. See [`Self::needs_rebuild`].
    ///
    /// # Errors
    /// Where the file cannot be opened or is no database.
    pub fn open(path: &Path) -> Result<Self, ProjectionError> {
        let connection = Connection::open(path)?;
        // A lost tail is folded again, so the file needs no flush of its own per batch.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // A page that many batches touch goes back to its place once for all of them.
        connection.pragma_update(None, "wal_autocheckpoint", 8_000)?;
        Self::on(connection, Some(path))
    }

    /// Read models that end with the process: for a look at an earlier state.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn in_memory() -> Result<Self, ProjectionError> {
        Self::on(Connection::open_in_memory()?, None)
    }

    /// As [`Self::in_memory`], of what had occurred by `until`, whenever it was recorded.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn in_memory_as_occurred(until: Timestamp) -> Result<Self, ProjectionError> {
        Ok(Self { until: Some(until), ..Self::in_memory()? })
    }

    /// A file that is thrown away if the process dies, so it saves itself all care.
    pub(crate) fn beside(path: &Path) -> Result<Self, ProjectionError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "MEMORY")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        Self::on(connection, Some(path))
    }

    fn on(mut connection: Connection, path: Option<&Path>) -> Result<Self, ProjectionError> {
        configure(&connection)?;
        create_where_empty(&mut connection)?;
        let progress = progress(&connection)?;
        Ok(Self { connection, path: path.map(Path::to_owned), progress, until: None })
    }

    /// Whether the file holds other projections, or other versions, than this program has.
    pub fn needs_rebuild(&self) -> bool {
        !is_current(&self.progress)
    }

    /// The first position that some live projection still needs.
    pub fn next(&self) -> Position {
        earliest(&self.progress)
    }

    /// The furthest position folded and its leaf hash. Where the ledger has another leaf there,
    /// or none, it is not the ledger that was folded: rebuild.
    pub fn checkpoint(&self) -> Option<(Position, [u8; 32])> {
        let furthest = self.progress.iter().max_by_key(|status| status.next)?;
        Some((Position(furthest.next.0.checked_sub(1)?), furthest.leaf?))
    }

    /// Where every projection stands.
    pub fn status(&self) -> &[ProjectionStatus] {
        &self.progress
    }

    /// Folds entries, in one transaction. They start at [`Self::next`] and have no gaps. A
    /// projection that cannot take one stops there; the others take the whole batch.
    ///
    /// After [`Rebuild::finish`](crate::Rebuild::finish) put another state into the file, the
    /// first call may find a gap; `next` is right again from then on.
    ///
    /// # Errors
    /// Where nothing was folded: for a gap, for a file that needs a rebuild or cannot be written,
    /// and when no projection is live any more.
    pub fn apply(&mut self, entries: &[Feed<'_>]) -> Result<(), ProjectionError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.progress = progress(&transaction)?;
        if !is_current(&self.progress) {
            return Err(ProjectionError::NeedsRebuild);
        }
        if self.progress.iter().all(|status| status.error.is_some()) {
            return Err(ProjectionError::Stopped);
        }
        check_order(earliest(&self.progress), entries)?;
        let mut progress = self.progress.clone();
        for (model, status) in MODELS.iter().zip(&mut progress) {
            advance(&transaction, model, status, entries, self.until)?;
        }
        transaction.commit()?;
        self.progress = progress;
        Ok(())
    }

    /// Lets stopped projections try their entry again, as after an update of the program. `next`
    /// falls back to where they stand; what the others have is not folded twice.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn retry(&mut self) -> Result<(), ProjectionError> {
        self.connection.execute("UPDATE projection SET error = NULL", [])?;
        self.progress = progress(&self.connection)?;
        Ok(())
    }

    /// Another connection to the same file, which only reads.
    ///
    /// # Errors
    /// For read models in memory, for a file that needs a rebuild or cannot be opened.
    pub fn reader(&self) -> Result<Reader, ProjectionError> {
        Reader::open(self.path.as_deref().ok_or(ProjectionError::InMemory)?)
    }

    /// Ends the folding and reads what there is: the way to read what is only in memory.
    ///
    /// # Errors
    /// For a file that needs a rebuild.
    pub fn into_reader(self) -> Result<Reader, ProjectionError> {
        Reader::on(self.connection)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// What holds for every connection that writes.
pub(crate) fn configure(connection: &Connection) -> Result<(), ProjectionError> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // In KiB, and only as much as is used.
    connection.pragma_update(None, "cache_size", -65_536)?;
    Ok(())
}

fn create_where_empty(connection: &mut Connection) -> Result<(), ProjectionError> {
    if connection.table_exists(None, "projection")? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !transaction.table_exists(None, "projection")? {
        create(&transaction)?;
    }
    Ok(transaction.commit()?)
}

/// Creates every table, and every projection at its beginning.
pub(crate) fn create(connection: &Connection) -> Result<(), ProjectionError> {
    connection.execute_batch(include_str!("runner/schema.sql"))?;
    for model in &MODELS {
        connection.execute_batch(model.schema)?;
        connection.execute("INSERT INTO projection (name, next) VALUES (?1, 0)", [model.name])?;
    }
    Ok(())
}

/// Where every projection stands, by name, as [`MODELS`] has them.
pub(crate) fn progress(connection: &Connection) -> Result<Vec<ProjectionStatus>, ProjectionError> {
    let mut statement = connection
        .prepare_cached("SELECT name, next, leaf, error FROM projection ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        let Number(next) = row.get(1)?;
        let (name, leaf, error) = (row.get(0)?, row.get(2)?, row.get(3)?);
        Ok(ProjectionStatus { name, next: Position(next), leaf, error })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn is_current(progress: &[ProjectionStatus]) -> bool {
    let found = progress.iter().map(|status| status.name.as_str());
    found.eq(MODELS.iter().map(|model| model.name))
}

/// The first position that some live projection does not reflect; of all, where none is live.
pub(crate) fn earliest(progress: &[ProjectionStatus]) -> Position {
    let live = progress.iter().filter(|status| status.error.is_none());
    let live = live.map(|status| status.next).min();
    live.or_else(|| progress.iter().map(|status| status.next).min()).unwrap_or_default()
}

fn check_order(first: Position, entries: &[Feed<'_>]) -> Result<(), ProjectionError> {
    let mut expected = first;
    for entry in entries {
        let found = entry.recorded.position;
        if found != expected {
            return Err(ProjectionError::Gap { expected, found });
        }
        expected = expected.next();
    }
    Ok(())
}

/// Folds into one projection what it has not yet, as far as it can.
fn advance(
    connection: &Connection,
    model: &Model,
    status: &mut ProjectionStatus,
    entries: &[Feed<'_>],
    until: Option<Timestamp>,
) -> Result<(), ProjectionError> {
    let known = entries.partition_point(|entry| entry.recorded.position < status.next);
    let due = entries.get(known..).unwrap_or_default();
    if status.error.is_some() || due.is_empty() {
        return Ok(());
    }
    connection.execute_batch("SAVEPOINT batch")?;
    let taken = match fold(connection, model, due, until) {
        Ok(()) => due,
        Err((_, FoldError::Database(error))) => return Err(error.into()),
        Err((good, refusal)) => {
            connection.execute_batch("ROLLBACK TO batch")?;
            let good = due.get(..good).unwrap_or_default();
            fold(connection, model, good, until).map_err(|(_, error)| broken(error))?;
            status.error = Some(refusal.to_string());
            good
        }
    };
    connection.execute_batch("RELEASE batch")?;
    if let Some(last) = taken.last() {
        status.next = last.recorded.position.next();
        status.leaf = Some(last.leaf);
    }
    save(connection, status)
}

/// Folds the entries one after another; says how many were taken before one was refused.
fn fold(
    connection: &Connection,
    model: &Model,
    entries: &[Feed<'_>],
    until: Option<Timestamp>,
) -> Result<(), (usize, FoldError)> {
    let occurred = |entry: &Recorded| until.is_none_or(|until| entry.occurred_at <= until);
    for (index, Feed { recorded, .. }) in entries.iter().enumerate() {
        if occurred(recorded) {
            (model.apply)(connection, recorded).map_err(|error| (index, error))?;
        }
    }
    Ok(())
}

/// An entry that was taken a moment ago is refused now, so it is the file.
fn broken(error: FoldError) -> ProjectionError {
    match error {
        FoldError::Refused(error) | FoldError::Database(error) => error.into(),
        FoldError::Unknown { .. } | FoldError::OutOfStep(_) | FoldError::BelowZero => {
            ProjectionError::NeedsRebuild
        }
    }
}

fn save(connection: &Connection, status: &ProjectionStatus) -> Result<(), ProjectionError> {
    let mut statement = connection
        .prepare_cached("UPDATE projection SET next = ?2, leaf = ?3, error = ?4 WHERE name = ?1")?;
    let ProjectionStatus { name, next, leaf, error } = status;
    statement.execute((name, Number(next.0), leaf, error))?;
    Ok(())
}
