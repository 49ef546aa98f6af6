//! What can be wrong with a log that somebody holds.

use domain::Position;
use domain::book::audit::Violation;

use crate::proof::witness::Unwitnessed;

/// Something that no honest log has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFault {
    #[error("{0}: the checkpoint is not good: {1}")]
    Checkpoint(String, String),
    #[error("{0} is missing or cannot be read")]
    FileMissing(String),
    #[error("{path} holds {are} entries, and the tree has {said} there")]
    BundleShort { path: String, are: u64, said: u64 },
    #[error("the entry's bytes do not have the leaf hash that stands in {0}")]
    Leaf(String),
    #[error("{0} is not what follows from the entries")]
    Tile(String),
    #[error("the entry cannot be read")]
    Unreadable,
    #[error("the entry says that it stands at {0}")]
    Position(Position),
    #[error("the entry was recorded before the one before it")]
    Clock,
    #[error("{0}")]
    Rule(Violation),
    #[error("the entries do not make the root that was signed")]
    Root,
    #[error(
        "the older checkpoint is of another log, {0}: a ledger that was taken up again after a \
         loss begins a new one, and says so in an entry"
    )]
    OtherLog(String),
    #[error("rollback: the older checkpoint has {old} entries, and the log has {now}")]
    Rollback { old: u64, now: u64 },
    #[error("fork: the first {0} entries are not those of the older checkpoint")]
    Fork(u64),
    #[error(transparent)]
    Unwitnessed(#[from] Unwitnessed),
}

impl LogFault {
    /// A stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Checkpoint(..) => "checkpoint",
            Self::FileMissing(_) => "file_missing",
            Self::BundleShort { .. } => "bundle_short",
            Self::Leaf(_) => "leaf_differs",
            Self::Tile(_) => "tile_differs",
            Self::Unreadable => "entry_unreadable",
            Self::Position(_) => "position_differs",
            Self::Clock => "clock",
            Self::Rule(violation) => violation.code(),
            Self::Root => "root_differs",
            Self::OtherLog(_) => "other_log",
            Self::Rollback { .. } => "rollback",
            Self::Fork(_) => "fork",
            Self::Unwitnessed(_) => "unwitnessed",
        }
    }
}
