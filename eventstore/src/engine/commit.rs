//! What one commit writes: entries with all that comes with them, and what they do to rows that were there.

use domain::ledger::PeriodEnded;
use domain::{FenceId, Handle, Position, RetentionClass, Tag};

use crate::keyring::key::Wrapped;
use crate::keyring::person::PersonId;
use crate::ledger::batch::Batch;
use crate::ledger::index::PersonRow;

/// The head as a commit leaves it.
#[derive(Debug)]
pub struct NewHead {
    pub size: u64,
    pub frontier: Vec<u8>,
    pub recorded_at: i64,
    pub indexed: u64,
    pub next_handle: u64,
    pub next_person: u64,
}

/// All that one commit writes.
pub struct Commit<'a> {
    /// The size on which everything in it was decided.
    pub base: u64,
    pub head: NewHead,
    pub(crate) batch: &'a Batch,
    /// What the entries do to keys, links and seals, in order, after all of them are in.
    pub effects: Vec<Effect>,
    pub tags: &'a [(Tag, Position)],
    pub persons: &'a [PersonRow],
    /// Whose keys end with it, and where the fence of each stands.
    pub fenced: &'a [(PersonId, Position)],
}

/// What an entry does to keys, links and seals that were there before.
#[derive(Debug)]
pub enum Effect {
    Registered {
        person: PersonId,
        position: Position,
        handle: Handle,
    },
    Rectified {
        person: PersonId,
        position: Position,
        was: Handle,
        handle: Handle,
    },
    ContentErased {
        handles: Vec<Handle>,
        classes: Vec<RetentionClass>,
        ended: Vec<Ended>,
    },
    PeriodEnded(PeriodEnded),
    /// What bookkeeping keeps of a booking hangs on another fiscal year's key.
    Rekeyed(Vec<Rekeyed>),
    /// Somebody who is live is restricted, or the other way round.
    Restricted {
        person: PersonId,
        position: Position,
        restricted: bool,
    },
}

impl Effect {
    /// Whose row of the keyring it changes.
    pub(crate) fn person(&self) -> Option<PersonId> {
        match self {
            Self::Registered { person, .. }
            | Self::Rectified { person, .. }
            | Self::Restricted { person, .. } => Some(*person),
            Self::ContentErased { .. } | Self::PeriodEnded(_) | Self::Rekeyed(_) => None,
        }
    }
}

/// What a keyring has missed that is older than its ledger.
#[derive(Debug, Default)]
pub struct Older {
    /// How many entries of the ledger the keyring has heard of.
    pub from: u64,
    /// How many entries the ledger has.
    pub size: u64,
    /// What entries did to keys and links, each with its second.
    pub effects: Vec<(Effect, i64)>,
    /// What entries bring to the index from persons.
    pub rows: Vec<PersonRow>,
    /// Fences that were set, each with its place and second.
    pub fences: Vec<(FenceId, (Position, i64))>,
    /// Above all handles that any of the entries has.
    pub next_handle: u64,
}

/// Seals of one handle in one entry that end, and where the person's row for it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Nobody, where the handle's link is gone.
    pub person: Option<PersonId>,
    pub position: Position,
    pub handle: Handle,
    pub until: i64,
    pub seals: Vec<u16>,
}

/// An accounting data key wrapped under another year's key, where it still has the form it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rekeyed {
    pub handle: Handle,
    pub year: i16,
    pub was: Wrapped,
    pub wrapped: Wrapped,
}

impl Commit<'_> {
    /// When it is, in seconds since 1970.
    pub(crate) fn second(&self) -> i64 {
        self.head.recorded_at.div_euclid(1_000_000)
    }
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable.
    Done,
    /// Another node was first: nothing was written, and everything is to be decided again.
    Behind,
}

/// A row whose link, keys and seals go.
#[derive(Debug)]
pub struct Cleared {
    pub row: PersonRow,
    pub seals: Vec<u16>,
}
