//! Why a data directory, or a tenant, could not be opened or changed: in words for whoever runs it.

use crate::engine::EngineError;
use crate::keyring::KeyError;
use crate::keyring::provider::{ProviderError, TenantId};
use crate::ledger::LedgerError;
use crate::ledger::appender::AppendError;
use crate::ledger::log::ReadError;
use crate::postgres::PgError;
use crate::sqlite;

/// Why a data directory or a tenant could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("another process writes this data directory")]
    Locked,
    #[error(
        "a tenant's name is 1 to 63 small letters, digits and hyphens, and begins with a letter"
    )]
    BadName,
    #[error("there is no tenant of this name")]
    UnknownTenant,
    #[error("a tenant of this name exists")]
    TenantExists,
    #[error(
        "the ledger of {tenant} is older than what was promised: it has {size} entries, the key \
         store's mark or its keyring says {mark}. Put the newest copy back; if there is none, run \
         `tidbok restore --accept-loss --tenant {tenant}`, which keeps the erased erased and \
         records the loss"
    )]
    Behind { tenant: String, size: u64, mark: u64 },
    #[error(
        "the ledger of {0} is not the one that was promised: its entries differ from the key \
         store's mark. Put the right copy back; if there is none, run \
         `tidbok restore --accept-loss --tenant {0}`"
    )]
    Forked(String),
    #[error("the key store has no mark of {0}: it is another store, or the mark was lost")]
    MarkLost(String),
    #[error(
        "the key store also holds the keys of tenant {0}, which is not in use here: no epoch key is \
         destroyed before all tenants that it has marks of are in one place"
    )]
    KeysOfOthers(TenantId),
    #[error(
        "the keys of the tenant {0} were not rotated; until they are, the keys of earlier epochs \
         are kept, and its erasures stay within reach of backups"
    )]
    NotRotated(String, #[source] Box<Self>),
    #[error(
        "somebody who was erased has keys again in {0}: its keyring is not the one that belongs to its \
         ledger. Put the newest copy of both back, and rotate again"
    )]
    AliveBehindFence(String),
    #[error("the ledgers lie in a database, and are brought back by its own means")]
    NotInFiles,
    #[error("--keyring goes with --ledger: a keyring in a database is that of a ledger in one")]
    KeyringAlone,
    #[error(
        "--keyring names the database of {0}, which has ledgers, and nothing was done: give the keyrings \
         another database, or no longer name that one as a server"
    )]
    KeyringNotApart(String),
    #[error("--server goes with --ledger: its database has the directory of all tenants")]
    ServersAlone,
    #[error("no server is called {0} here: name it with --server {0}=postgres://...")]
    UnknownServer(String),
    #[error(
        "the tenant {0} is out of use. If it was exported, `tidbok tenant import` brings it back; if a \
         move or an import was cut off, the same command finishes it"
    )]
    Closed(String),
    #[error(
        "{1} is the database that the tenant {0} is in already, by another name: nothing was moved"
    )]
    SamePlace(String, String),
    #[error(
        "what is here of the tenant {tenant} has {here} entries, and the export {export}: it is an older \
         one. Import the newest"
    )]
    OlderExport { tenant: String, here: u64, export: u64 },
    #[error("the tenant {0} is still in use; try again in a moment")]
    InUse(String),
    #[error("the tenant {0} is in use, and only what was exported is removed: export it first")]
    NotClosed(String),
    #[error(
        "the export of the tenant {0} was cut off before it was whole, and nothing was removed. Export it \
         again: what is here may be all there is of it"
    )]
    NotWhole(String),
    #[error(
        "the tenant {0} was on its way here and has gone on elsewhere since, and nothing was done: import \
         its newest export here, or delete what is here with `tidbok tenant remove`"
    )]
    Overtaken(String),
    #[error("somebody else is moving the tenant {0}")]
    Moving(String),
    #[error("what is in the folder is no whole export of a tenant: {0}")]
    NoExport(&'static str),
    #[error("there is something in the folder already, and nothing was written")]
    NotEmpty,
    #[error("another backup, restore or move is under way; try again when it is through")]
    AtWork,
    #[error("the tenant {0} cannot be opened")]
    Tenant(String, #[source] Box<Self>),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("the data directory could not be read or written")]
    Io(#[from] std::io::Error),
}

impl StoreError {
    /// Names the tenant that it is about, where it does not already.
    pub(super) fn of(self, tenant: &str) -> Self {
        if matches!(self, Self::Ledger(_) | Self::Provider(_) | Self::Io(_)) {
            return Self::Tenant(tenant.to_owned(), Box::new(self));
        }
        self
    }
}

impl From<KeyError> for StoreError {
    fn from(error: KeyError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        ReadError::from(error).into()
    }
}

impl From<PgError> for StoreError {
    fn from(error: PgError) -> Self {
        EngineError::from(error).into()
    }
}

impl From<sqlite::OpenError> for StoreError {
    fn from(error: sqlite::OpenError) -> Self {
        Self::Ledger(error.into())
    }
}
