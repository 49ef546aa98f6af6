//! The program as a whole: its tenants at their desks, and the world it lives in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use domain::slot::Zone;
use eventstore::{Environment, Store, StoreError};

use crate::desk::{Desk, DeskError};

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
    desks: Mutex<BTreeMap<String, Arc<Desk>>>,
}

impl App {
    /// Opens a data directory and takes its lock.
    ///
    /// # Errors
    /// Where another process has it, or its key store is missing.
    pub fn open(data: &Path, keys: &Path, env: Environment) -> Result<Self, StoreError> {
        let store = Store::open(data, keys, env.clone())?;
        Ok(Self { store, env, desks: Mutex::default() })
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
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(Arc::clone(&desk).keep_following()));
        }
        desks.insert(name.to_owned(), Arc::clone(&desk));
        Ok(desk)
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
