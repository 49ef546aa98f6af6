//! Who keeps the epoch keys, and the mark that tells an old copy from the present.
//!
//! Epoch keys exist only at the provider, never beside the data: in private files, in an HSM, or with
//! a key service. The provider is not restored with
//! the ledger or the keyring, so what it remembers of fences and sizes shows on every start whether
//! either is older than what was already promised.

#[cfg(test)]
mod tests;

mod archive;
mod files;
pub mod hsm;
pub mod kms;
mod store;
mod vault;

use std::fmt::Write as _;
use std::path::PathBuf;

use domain::FenceId;
use domain::ids::{Hash, hex_digits, parse_hex};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key::{Key, WrongKey};
use crate::environment::Environment;
pub use store::KeyStore;
pub use vault::VaultPlace;

/// The number of an epoch key: 1, 2, 3 ...
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// A tenant's permanent random id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantId(pub [u8; 16]);

impl TenantId {
    /// Reads what [`std::fmt::Display`] shows.
    pub fn from_hex(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex_digits(&self.0).try_for_each(|digit| f.write_char(digit))
    }
}

/// What the provider remembers of a ledger: its size and root when a fence was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The fence that was set; none for the mark of a ledger's beginning or reopening.
    pub fence: Option<FenceId>,
    pub size: u64,
    pub root: Hash,
    /// The leaf of the last entry, to be compared without reading the whole tree.
    pub last_leaf: Hash,
    pub origin: u32,
}

/// An epoch, as the provider remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochInfo {
    pub epoch: Epoch,
    /// None of the first epoch of a store that is older than this record.
    pub made_at: Option<Timestamp>,
    /// When the rotation to it was through: none while one is to be gone on with, and of the first.
    pub finished_at: Option<Timestamp>,
    /// None while there is a key.
    pub destroyed_at: Option<Timestamp>,
    /// For how long after that whoever keeps it could call it back.
    pub lingering_days: u32,
}

impl EpochInfo {
    fn of(epoch: Epoch) -> Self {
        Self { epoch, made_at: None, finished_at: None, destroyed_at: None, lingering_days: 0 }
    }

    /// So long after it was destroyed it is gone for good.
    pub fn lingers(&self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.lingering_days) * 24)
    }

    /// Whether everything hangs on it that should.
    pub fn is_finished(&self) -> bool {
        self.epoch == Epoch(1) || self.finished_at.is_some()
    }
}

/// Why the provider could not help. None of these ever means that somebody was erased.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the key store {0} is missing; put it back or say with --keys where it is")]
    Missing(PathBuf),
    #[error(
        "the key store has no key for epoch {}: it is another store, or this copy is older than \
         all that can still be opened",
        .0.0
    )]
    NoEpoch(Epoch),
    #[error("the key store is another one: its key does not open this tenant")]
    WrongStore,
    #[error("the key store's file {0} is damaged")]
    Damaged(PathBuf),
    #[error("the key store's file {0} may be read by others; make it private (chmod 600)")]
    Exposed(PathBuf),
    #[error(
        "the HSM cannot be used ({0}); nothing opens until it can, and nothing is lost or erased by it"
    )]
    Hsm(String),
    #[error(
        "the HSM refuses the PIN in {0}; it is not tried again, for tokens lock themselves: put the \
         right one there and start again"
    )]
    Pin(PathBuf),
    #[error(
        "the key service cannot be used ({0}); nothing opens until it can, and nothing is lost or \
         erased by it"
    )]
    Kms(String),
    #[error(
        "the key store {0} has its keys in another HSM or key service already; see its file \
         hsm.json or kms.json"
    )]
    OtherVault(PathBuf),
    #[error("the key store could not be read or written")]
    Io(#[from] std::io::Error),
}

impl ProviderError {
    /// A stable word for it, without the path of anything.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::NoEpoch(_) => "epoch_missing",
            Self::WrongStore => "wrong_store",
            Self::Damaged(_) => "damaged",
            Self::Exposed(_) => "exposed",
            Self::Hsm(_) => "hsm_unusable",
            Self::Pin(_) => "pin_refused",
            Self::Kms(_) => "kms_unusable",
            Self::OtherVault(_) => "other_vault",
            Self::Io(_) => "unreadable",
        }
    }
}

impl From<WrongKey> for ProviderError {
    fn from(_: WrongKey) -> Self {
        Self::WrongStore
    }
}

/// Keeps epoch keys and marks.
pub trait Provider: Send + Sync {
    /// The epoch under which new tenant keys are wrapped.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    fn current(&self) -> Result<Epoch, ProviderError>;

    /// Wraps a key under an epoch key.
    ///
    /// # Errors
    /// Where the store cannot be reached or has no such epoch.
    fn wrap(&self, epoch: Epoch, key: &Key) -> Result<Vec<u8>, ProviderError>;

    /// Unwraps a key that was wrapped under an epoch key.
    ///
    /// # Errors
    /// As [`Self::wrap`], and where the key is another one.
    fn unwrap(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, ProviderError>;

    /// All epochs that there have been, oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn epochs(&self) -> Result<Vec<EpochInfo>, ProviderError>;

    /// Makes the key of the next epoch, which is the current one from then on.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn begin_epoch(&self, env: &Environment) -> Result<Epoch, ProviderError>;

    /// Notes that everything hangs on the key of an epoch now.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn finish_epoch(&self, epoch: Epoch, at: Timestamp) -> Result<(), ProviderError>;

    /// Destroys an epoch key, for good. The current one is never destroyed.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn destroy(&self, epoch: Epoch, at: Timestamp) -> Result<(), ProviderError>;

    /// Every tenant whose keys hang on this store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError>;

    /// All marks of a tenant, oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn marks(&self, tenant: TenantId) -> Result<Vec<Mark>, ProviderError>;

    /// Adds marks, durably.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn add_marks(&self, tenant: TenantId, marks: &[Mark]) -> Result<(), ProviderError>;

    /// Everything in it, to be kept somewhere else. Nothing is behind it: it is to be encrypted.
    ///
    /// # Errors
    /// Where the store cannot be read, or gives no key away.
    fn archive(&self) -> Result<Zeroizing<Vec<u8>>, ProviderError>;
}
