//! Everything that an audit can find, in words.

use domain::book::audit::Violation;
use domain::{Handle, Position, RegistrationId, RetentionClass, Tag};

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("entries {first} to {last} are missing")]
    EntryMissing { first: Position, last: Position },
    #[error("the ledger says it ends before this entry")]
    EntryExtra,
    #[error("the entry's bytes are in no known format, or of a kind this program does not know")]
    Unreadable,
    #[error("the leaf stored beside the entry is not the hash of its bytes")]
    Leaf,
    #[error("the entry's bytes say position {0}")]
    Position(Position),
    #[error("the entry was recorded before the one that precedes it")]
    Clock,
    #[error("the head says {said} entries, and there are {are}")]
    Size { said: u64, are: u64 },
    #[error("the head's tree is not the tree of the entries")]
    Root,
    #[error("the head says another time or another next number than the entries allow")]
    Head,
    #[error("the entry has {hashes} hashes for {seals} seals")]
    SealCount { hashes: usize, seals: usize },
    #[error("seal {0} is not the one that the entry tells of")]
    SealChanged(u64),
    #[error("seal {0} is missing, and its key is not")]
    SealMissing(u64),
    #[error("seal {0} belongs to no entry")]
    SealExtra(u64),
    #[error("seal {0} is still stored, and its key was destroyed")]
    SealNotDeleted(u64),
    #[error("handle {handle} has no key for class {class}, and nothing says that it ended")]
    KeyUnknown { handle: Handle, class: RetentionClass },
    #[error(
        "the key of the year {year} is gone for class {class}, and nothing says that it is over"
    )]
    PeriodMissing { class: RetentionClass, year: i16 },
    #[error("handle {handle} still has its key for class {class}, which this entry ended")]
    KeyNotEnded { handle: Handle, class: RetentionClass },
    #[error("handle {0} stands for another matter already")]
    HandleReused(Handle),
    #[error("{said} seals are said to end, and there were {were}")]
    Ended { said: u64, were: u64 },
    #[error("{blanks} seals were ended, and the entries account for {ended}")]
    Blanks { blanks: u64, ended: u64 },
    #[error("the index lacks this entry under tag {0:?}")]
    TagMissing(Tag),
    #[error("the index has this entry under tag {0:?}, which it does not carry")]
    TagExtra(Tag),
    #[error("the index from persons lacks this entry under handle {0}")]
    PersonRowMissing(Handle),
    #[error("the index from persons has this entry otherwise under handle {0}")]
    PersonRowExtra(Handle),
    #[error("a row of {0} still refers to somebody who was erased, or never was")]
    LinkLeft(&'static str),
    #[error(
        "the keyring restricts who was registered at entry {0}, or frees them, and no entry does"
    )]
    Restriction(RegistrationId),
    #[error(transparent)]
    Rule(Violation),
}

impl Fault {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::EntryMissing { .. } => "entry_missing",
            Self::EntryExtra => "entry_extra",
            Self::Unreadable => "entry_unreadable",
            Self::Leaf => "leaf_differs",
            Self::Position(_) => "position_differs",
            Self::Clock => "clock_back",
            Self::Size { .. } => "size_differs",
            Self::Root => "root_differs",
            Self::Head => "head_differs",
            Self::SealCount { .. } => "seal_count",
            Self::SealChanged(_) => "seal_changed",
            Self::SealMissing(_) => "seal_missing",
            Self::SealExtra(_) => "seal_extra",
            Self::SealNotDeleted(_) => "seal_not_deleted",
            Self::KeyUnknown { .. } => "key_unknown",
            Self::PeriodMissing { .. } => "period_missing",
            Self::KeyNotEnded { .. } => "key_not_ended",
            Self::HandleReused(_) => "handle_reused",
            Self::Ended { .. } => "ended_differs",
            Self::Blanks { .. } => "blanks_disagree",
            Self::TagMissing(_) | Self::TagExtra(_) => "tag_index",
            Self::PersonRowMissing(_) | Self::PersonRowExtra(_) => "person_index",
            Self::LinkLeft(_) => "link_left",
            Self::Restriction(_) => "restriction_differs",
            Self::Rule(violation) => violation.code(),
        }
    }
}
