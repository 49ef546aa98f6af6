//! The program as a whole: its tenants at their desks, and the world it lives in.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::slot::Zone;
use eventstore::store::Databases;
use eventstore::store::rotation::WINDOW;
use eventstore::{AppendError, Environment, Store, StoreError};
use tokio::runtime::Handle;

use crate::desk::{Desk, DeskError};
use crate::desks::{Desks, Seen};
use crate::keys::Keys;
use crate::recipients::outbound::Outbound;
use crate::witnesses::Witnesses;

/// Why a tenant's desk cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Everything that commands and requests share.
pub struct App {
    pub store: Store,
    pub env: Environment,
    /// The API keys recognised lately; whoever revokes one does it here.
    pub keys: Keys,
    /// For how long backups are kept, as receipts say.
    pub window: Duration,
    /// Sends notices to recipients.
    pub outbound: Outbound,
    /// Who signs the logs' checkpoints too.
    pub witnesses: Witnesses,
    desks: Desks,
    /// Where desks follow their ledgers by themselves, once there is a server.
    runtime: OnceLock<Handle>,
}

impl App {
    /// Opens a data directory and takes its lock.
    ///
    /// # Errors
    /// Where another process has it, or its key store is missing.
    pub fn open(data: &Path, keys: &Path, env: Environment) -> Result<Self, StoreError> {
        Self::open_at(Databases::default(), data, keys, env)
    }

    /// As [`Self::open`], with the ledgers in databases, if any are named.
    ///
    /// # Errors
    /// As [`Self::open`], and where the database cannot be used.
    pub fn open_at(
        databases: Databases<'_>,
        data: &Path,
        keys: &Path,
        env: Environment,
    ) -> Result<Self, StoreError> {
        let store = Store::open_at(databases, data, keys, env.clone())?;
        Ok(Self {
            store,
            env,
            keys: Keys::default(),
            window: WINDOW,
            outbound: Outbound::default(),
            witnesses: Witnesses::default(),
            desks: Desks::default(),
            runtime: OnceLock::new(),
        })
    }

    /// A tenant's desk, opened if it is not.
    ///
    /// # Errors
    /// Where there is no such tenant, or its files cannot be opened.
    pub fn desk(&self, name: &str) -> Result<Arc<Desk>, AppError> {
        self.desks.get(&self.store, self.runtime.get(), name, self.env.clock.since_boot())
    }

    /// As [`Self::desk`], for work that passes through all tenants: it does not count as somebody
    /// coming, and what it opened is closed with the next [`Self::rest`].
    ///
    /// # Errors
    /// As [`Self::desk`].
    pub fn visit(&self, name: &str) -> Result<Arc<Desk>, AppError> {
        self.desks.get(&self.store, self.runtime.get(), name, Duration::ZERO)
    }

    /// How a tenant is, or was when it was last open; opens one of which nothing is known.
    ///
    /// # Errors
    /// As [`Self::desk`].
    pub fn seen(&self, name: &str) -> Result<Seen, AppError> {
        match self.desks.seen(name) {
            Some(seen) => Ok(seen),
            None => self.desks.look(&self.store, self.runtime.get(), name),
        }
    }

    /// The names of tenants whose desks are open.
    pub(crate) fn open_tenants(&self) -> Vec<String> {
        self.desks.open()
    }

    /// Closes what nobody has used for a while.
    pub fn rest(&self) {
        self.desks.rest(&self.store, self.env.clock.since_boot());
    }

    /// Has the read models of all desks, open or yet to be opened, follow their ledgers.
    pub fn keep_following(&self, runtime: &Handle) {
        if self.runtime.set(runtime.clone()).is_ok() {
            self.desks.keep_following(runtime);
        }
    }

    /// Takes a tenant out of everybody's hands for something that is done with all of it.
    ///
    /// # Errors
    /// Where somebody does not let go of it, and what the work fails with.
    pub fn hand_over<T>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, AppError> {
        let shared = !self.store.is_in_files();
        Ok(self.desks.hand_over(&self.store, name, shared, work)?)
    }

    /// Lets go of tenants that were moved, by whichever node: the next who comes finds them where
    /// they are.
    pub fn follow_moves(&self) {
        match self.store.moved() {
            Ok(moved) => moved.iter().for_each(|name| self.desks.let_go(&self.store, name)),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "moves are not seen now");
            }
        }
    }

    /// Makes a tenant and opens its desk.
    ///
    /// # Errors
    /// Where the name is taken or no name, or files cannot be written.
    pub fn create_tenant(&self, name: &str, zone: Zone) -> Result<Arc<Desk>, AppError> {
        self.create_tenant_on(None, name, zone)
    }

    /// As [`Self::create_tenant`], on a server of this name.
    ///
    /// # Errors
    /// As [`Self::create_tenant`], and where there is no such server.
    pub fn create_tenant_on(
        &self,
        server: Option<&str>,
        name: &str,
        zone: Zone,
    ) -> Result<Arc<Desk>, AppError> {
        self.store.create_tenant_on(server, name, zone)?;
        self.desk(name)
    }
}
