//! Read models: what readers see, folded from the ledger and from nothing else.
//!
//! One local SQLite file per tenant holds every projection. A projection takes entries in and
//! makes rows; its checkpoint moves in the same transaction, so the file is at any moment exactly
//! what its checkpoint says, whenever the process dies. A name carries its version: a file that
//! holds other names is [rebuilt](Rebuild), never patched.
//!
//! An entry that a projection cannot take stops that projection alone: the error stands in its
//! status, the others go on, and nothing is ever skipped.
//!
//! Rows are keyed by handle and by the number of the thing. They hold where a seal lies, never
//! the seal, and nothing here knows a person.
//!
//! Read in this order: [`runner`] (entries in), [`rebuild`] (from the beginning, beside the live
//! file), [`reader`] (rows out), then a read model: [`bookings`] is the largest, [`statistics`]
//! the one that must never change by an erasure. [`hash`] says when two folds are the same.

pub mod bookings;
pub mod catalogue;
pub mod clients;
pub mod consents;
pub mod error;
pub mod hash;
pub mod occupancy;
pub mod reader;
pub mod rebuild;
pub mod runner;
pub mod statistics;

mod column;
#[cfg(test)]
mod tests;

pub use bookings::{BookingFilter, BookingRow, Ended, PartRow};
pub use catalogue::Item;
pub use clients::{ClientRow, LegalHoldRow, Restriction};
pub use consents::ConsentRow;
pub use error::{FoldError, ProjectionError};
pub use hash::Hashes;
pub use reader::Reader;
pub use rebuild::Rebuild;
pub use runner::{CATCH_UP, Feed, ProjectionStatus, ReadModels};
pub use statistics::{StatFacet, nested};

use domain::{Handle, Position, Recorded};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// A pure fold of the ledger into tables of its own. Entries come in order and each once.
pub(crate) trait Projection {
    /// The name with its version. A new version is a new projection.
    const NAME: &'static str;
    /// What creates its tables.
    const SCHEMA: &'static str;
    /// Its tables, each with its key in the leading columns.
    const TABLES: &'static [&'static str];

    /// Takes in one entry. What it writes depends on its own tables and the entry alone.
    fn apply(connection: &Connection, entry: &Recorded) -> Result<(), FoldError>;
}

/// A projection as a value.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) schema: &'static str,
    pub(crate) tables: &'static [&'static str],
    pub(crate) apply: fn(&Connection, &Recorded) -> Result<(), FoldError>,
}

impl Model {
    const fn of<P: Projection>() -> Self {
        Self { name: P::NAME, schema: P::SCHEMA, tables: P::TABLES, apply: P::apply }
    }

    /// The name without its version.
    pub(crate) fn short_name(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(short, _)| short)
    }
}

/// Every projection there is, in the order of their names.
pub(crate) const MODELS: [Model; 6] = [
    Model::of::<bookings::Fold>(),
    Model::of::<catalogue::Fold>(),
    Model::of::<clients::Fold>(),
    Model::of::<consents::Fold>(),
    Model::of::<occupancy::Fold>(),
    Model::of::<statistics::Fold>(),
];

/// Where a seal lies: in which entry, which one of it, and whose part it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SealAt {
    pub position: Position,
    pub seal: u16,
    pub handle: Handle,
}
