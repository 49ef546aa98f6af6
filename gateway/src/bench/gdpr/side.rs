//! One of the two systems that are compared: a server on loopback, what is known of it, and the one
//! thing that is asked of it otherwise than by request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventstore::{Clock, Environment};
use jiff::{SignedDuration, Timestamp};

use super::clear::Clear;
use super::failed;
use super::model::Model;
use super::records::TICK;
use crate::app::App;
use crate::cli::CliError;
use crate::desk::Desk;
use crate::{clock, retention};

/// API keys of those who work for the tenant.
#[derive(Debug, Default, Clone)]
pub(super) struct Keys {
    pub admin: String,
    pub staff: String,
    pub auditor: String,
    /// A program of somebody else's, who reads on the tenant's behalf.
    pub processor: String,
}

/// What is measured.
pub(super) enum System {
    Ours(Arc<App>, Arc<Desk>),
    Clear(Arc<Clear>),
}

/// A system that is served.
pub(super) struct Side {
    pub address: SocketAddr,
    pub keys: Keys,
    pub resources: Vec<String>,
    pub system: System,
    pub time: Arc<Time>,
    /// Held by whoever puts the clock forward.
    expiring: tokio::sync::Mutex<()>,
    model: Mutex<Model>,
}

impl Side {
    pub(super) fn new(
        address: SocketAddr,
        (keys, resources): (Keys, Vec<String>),
        system: System,
        time: Arc<Time>,
        model: Model,
    ) -> Self {
        let (expiring, model) = (tokio::sync::Mutex::default(), Mutex::new(model));
        Self { address, keys, resources, system, time, expiring, model }
    }

    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_ours(&self) -> bool {
        match self.system {
            System::Ours(..) => true,
            System::Clear(_) => false,
        }
    }

    /// Puts the clock forward by a step: where others may serve the same tenant, receipts are
    /// signed only when nobody can have anything at hand any more.
    pub(super) fn later(&self) {
        self.time.forward();
        self.model().tick += 1;
    }

    /// Puts the clock forward by a step and ends what is kept no longer then, as the server does by
    /// itself every day: nobody can ask for it over HTTP.
    pub(super) async fn expire(&self) -> Result<(), CliError> {
        let _alone = self.expiring.lock().await;
        let due = {
            let mut model = self.model();
            model.tick += 1;
            let due = model.expired(model.tick);
            model.begin(&due);
            due
        };
        let now = self.time.forward();
        match &self.system {
            System::Ours(_, desk) => {
                let desk = Arc::clone(desk);
                let swept = tokio::task::spawn_blocking(move || retention::sweep(&desk, now));
                swept.await.map_err(failed)??;
            }
            System::Clear(clear) => clear.sweep(now).await?,
        }
        self.model().end(&due, |kept| kept.content = false);
        Ok(())
    }
}

/// The machine's clock, put forward step by step.
pub(super) struct Time {
    clock: Arc<dyn Clock>,
    steps: AtomicU64,
}

impl Time {
    /// The world with this clock in it.
    pub(super) fn environment() -> (Environment, Arc<Self>) {
        let world = clock::system();
        let time = Arc::new(Self { clock: world.clock, steps: AtomicU64::new(0) });
        (Environment { clock: Arc::clone(&time) as Arc<dyn Clock>, entropy: world.entropy }, time)
    }

    fn forward(&self) -> Timestamp {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.now()
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        let steps = i32::try_from(self.steps.load(Ordering::Relaxed)).unwrap_or(i32::MAX);
        let ahead: SignedDuration = TICK * steps;
        let now = self.clock.now();
        now.checked_add(ahead).unwrap_or(now)
    }

    fn since_boot(&self) -> Duration {
        self.clock.since_boot()
    }
}
