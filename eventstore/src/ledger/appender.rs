//! What a ledger is asked to append, and what it answers.

use std::sync::Arc;

use domain::{Actor, Command, Position, Refusal};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::codec::CodecError;
use super::log::ReadError;
use crate::keyring::KeyError;
use crate::keyring::provider::ProviderError;
use crate::keyring::sealing::{Brought, Sealing};
use crate::tree::Hash;

/// A command with all that comes with it.
pub struct Append {
    pub command: Command,
    pub actor: Actor,
    /// When it happened, if not now.
    pub occurred_at: Option<Timestamp>,
    /// What was sealed for it.
    pub brought: Brought,
    pub idempotency: Option<Idempotency>,
}

impl Append {
    pub fn new(command: Command, actor: Actor) -> Self {
        let brought = Brought::default();
        Self { command, actor, occurred_at: None, brought, idempotency: None }
    }

    #[must_use]
    pub fn sealed(self, sealing: Sealing) -> Self {
        Self { brought: sealing.finish(), ..self }
    }
}

/// By what a repeat of a request is known: hashes of the caller's key and of the whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    pub key: Hash,
    pub body: Hash,
}

/// What was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first entry; where nothing had to be appended, the next one.
    pub first: Position,
    pub count: u32,
    /// The same request was answered before; these are its entries.
    pub repeated: bool,
}

impl Appended {
    /// The position of the last entry.
    pub fn last(&self) -> Position {
        Position((self.first.0 + u64::from(self.count)).saturating_sub(1))
    }
}

/// How an erasure went so far.
#[derive(Debug)]
pub struct Erasure {
    /// Where the fence stands.
    pub fence: Position,
    /// How many seals it ended.
    pub ended: u64,
    /// Tells when links and seals are gone too.
    pub cleared: oneshot::Receiver<Result<(), AppendError>>,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the person has {0} open bookings, which must be over or cancelled first")]
    OpenBookings(u32),
    #[error("seals and entries do not fit each other")]
    SealsDiffer,
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the commit failed; nothing was appended")]
    Commit(#[source] Arc<rusqlite::Error>),
    #[error("too many commands are waiting")]
    Busy,
    #[error("the ledger is being closed")]
    Stopped,
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Commit(Arc::new(error))
    }
}

impl From<ProviderError> for AppendError {
    fn from(error: ProviderError) -> Self {
        Self::Key(KeyError::Provider(error))
    }
}
