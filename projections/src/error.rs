//! What can go wrong: with the file, which concerns everybody, or with one entry, which stops one
//! projection.

use domain::{BookingId, Position};
use rusqlite::ErrorCode;

/// Why the read models could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    #[error("the file of the read models cannot be used")]
    Database(#[from] rusqlite::Error),
    #[error("a file beside the read models cannot be moved or removed")]
    File(#[from] std::io::Error),
    #[error("entry {found} came where {expected} is next")]
    Gap { expected: Position, found: Position },
    #[error("the file holds other projections than this program has; rebuild it")]
    NeedsRebuild,
    #[error("every projection has stopped")]
    Stopped,
    #[error("read models in memory have one connection; make it the reader")]
    InMemory,
}

/// Why a projection cannot take an entry. It stops there and says so in its status.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error("the entry continues {what} {id}, which no earlier entry began")]
    Unknown { what: &'static str, id: u64 },
    #[error("booking {0} does not stand where the entry says it stood")]
    OutOfStep(BookingId),
    #[error("a count would fall below zero")]
    BelowZero,
    #[error("the tables do not take the row: {0}")]
    Refused(#[source] rusqlite::Error),
    /// Not the entry's fault: the whole batch is given up and tried again later.
    #[error("the file of the read models cannot be used")]
    Database(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for FoldError {
    fn from(error: rusqlite::Error) -> Self {
        if is_about_the_row(&error) { Self::Refused(error) } else { Self::Database(error) }
    }
}

/// Whether the same row would be refused again, on every machine.
fn is_about_the_row(error: &rusqlite::Error) -> bool {
    let codes = [ErrorCode::ConstraintViolation, ErrorCode::TypeMismatch, ErrorCode::TooBig];
    matches!(error, rusqlite::Error::ToSqlConversionFailure(_))
        || error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
}

/// Whether the file itself is broken, so that only building it again helps.
pub(crate) fn is_damage(error: &ProjectionError) -> bool {
    let codes = [ErrorCode::NotADatabase, ErrorCode::DatabaseCorrupt];
    match error {
        ProjectionError::Database(error) => {
            error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
        }
        ProjectionError::File(_)
        | ProjectionError::Gap { .. }
        | ProjectionError::NeedsRebuild
        | ProjectionError::Stopped
        | ProjectionError::InMemory => false,
    }
}
