//! Where the ledgers of a store lie: in files of the data directory.

use std::path::Path;

use super::{ACCESS, LEDGER, StoreError};
use crate::engine::Writer;
use crate::environment::Environment;
use crate::keyring::Founding;
use crate::keyring::provider::{Provider, TenantId};
use crate::ledger::log::SharedReader;
use crate::sqlite::{self, SqliteReader, SqliteWriter};

/// Which of a tenant's two ledgers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// What happened.
    Ledger,
    /// Who read what.
    Access,
}

impl Which {
    fn file(self) -> &'static str {
        match self {
            Self::Ledger => LEDGER,
            Self::Access => ACCESS,
        }
    }
}

/// The engine that holds the ledgers of a store.
#[derive(Clone)]
pub(crate) enum Place {
    Files,
}

impl Place {
    pub(crate) fn reader(
        &self,
        _: &str,
        folder: &Path,
        which: Which,
    ) -> Result<SharedReader, StoreError> {
        match self {
            Self::Files => Ok(Box::new(SqliteReader::open(&folder.join(which.file()))?)),
        }
    }

    pub(crate) fn writer(
        &self,
        _: &str,
        folder: &Path,
        which: Which,
    ) -> Result<Box<dyn Writer>, StoreError> {
        match self {
            Self::Files => {
                Ok(Box::new(SqliteWriter(sqlite::open_writer(&folder.join(which.file()))?)))
            }
        }
    }

    /// Makes both ledgers of a new tenant.
    pub(crate) fn found(
        &self,
        folder: &Path,
        tenant: TenantId,
        provider: &dyn Provider,
        env: &Environment,
    ) -> Result<(), StoreError> {
        for which in [Which::Ledger, Which::Access] {
            let keys = Founding::new(provider, env)?;
            match self {
                Self::Files => sqlite::found(&folder.join(which.file()), tenant, &keys)?,
            }
        }
        Ok(())
    }
}
