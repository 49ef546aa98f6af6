//! The program as a whole: its tenants at their desks, and the world it lives in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use domain::slot::Zone;
use eventstore::{Environment, Store, StoreError};
use tokio::runtime::Handle;

use crate::desk::{Desk, DeskError};
use crate::keys::Keys;

/// Why a tenant's desk cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// Everything that commands and requests share.
pub struct App {
    pub store: Store,
    pub env: Environment,
    /// The API keys recognised lately; whoever revokes one does it here.
    pub keys: Keys,
    /// Held by whoever compares a version of the catalogue or policy and then changes it.
    pub revising: tokio::sync::Mutex<()>,
    desks: Mutex<BTreeMap<String, Arc<Desk>>>,
    /// Where desks follow their ledgers by themselves, once there is a server.
    runtime: OnceLock<Handle>,
}

impl App {
    /// Opens a data directory and takes its lock.
    ///
    /// # Errors
    /// Where another process has it, or its key store is missing.
    pub fn open(data: &Path, keys: &Path, env: Environment) -> Result<Self, StoreError> {
        Self::open_at(None, data, keys, env)
    }

    /// As [`Self::open`], with the ledgers in the database behind an address, if one is given.
    ///
    /// # Errors
    /// As [`Self::open`], and where the database cannot be used.
    pub fn open_at(
        ledger: Option<&str>,
        data: &Path,
        keys: &Path,
        env: Environment,
    ) -> Result<Self, StoreError> {
        let store = Store::open_at(ledger, data, keys, env.clone())?;
        let revising = tokio::sync::Mutex::default();
        Ok(Self {
            store,
            env,
            keys: Keys::default(),
            revising,
            desks: Mutex::default(),
            runtime: OnceLock::new(),
        })
    }

    /// A tenant's desk, opened on first use.
    ///
    /// # Errors
    /// Where there is no such tenant, or its files cannot be opened.
    pub fn desk(&self, name: &str) -> Result<Arc<Desk>, AppError> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = desks.get(name) {
            return Ok(Arc::clone(desk));
        }
        let desk = Arc::new(Desk::open(self.store.tenant(name)?)?);
        if let Some(runtime) = self.runtime.get() {
            drop(runtime.spawn(Desk::keep_following(Arc::downgrade(&desk))));
        }
        desks.insert(name.to_owned(), Arc::clone(&desk));
        Ok(desk)
    }

    /// Has the read models of all desks, open or yet to be opened, follow their ledgers.
    pub fn keep_following(&self, runtime: &Handle) {
        let desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if self.runtime.set(runtime.clone()).is_ok() {
            for desk in desks.values() {
                drop(runtime.spawn(Desk::keep_following(Arc::downgrade(desk))));
            }
        }
    }

    /// Makes a tenant and opens its desk.
    ///
    /// # Errors
    /// Where the name is taken or no name, or files cannot be written.
    pub fn create_tenant(&self, name: &str, zone: Zone) -> Result<Arc<Desk>, AppError> {
        self.store.create_tenant(name, zone)?;
        self.desk(name)
    }
}
