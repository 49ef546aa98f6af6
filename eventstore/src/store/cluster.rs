//! The databases of a store: one whose directory says where each tenant is, and other servers on
//! which some are.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::StoreError;
use super::place::is_tenant_name;
use crate::environment::{Clock, Environment};
use crate::keyring::provider::TenantId;
use crate::postgres::{self, Apart, Directory, Home, Keyrings, PgError, Placed, Server, Watch};
use crate::wait::blocking;

/// What the database of `--ledger` is called among servers.
pub const MAIN: &str = "main";
/// For how long a server that could not be used is not tried again: each attempt may take seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// The databases of a store; none where its ledgers are files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Databases<'a> {
    /// Where the ledgers are, and the directory of all tenants.
    pub ledger: Option<&'a str>,
    /// Where the keyrings are of tenants that are made; with the ledgers, if this is not said.
    pub keyring: Option<&'a str>,
    /// Other servers on which tenants may be.
    pub servers: &'a [NamedServer],
}

/// A server as an operator calls it: the directory names servers, and only each node's own
/// configuration has their addresses, which hold passwords.
#[derive(Clone)]
pub struct NamedServer {
    name: String,
    address: String,
}

impl std::fmt::Debug for NamedServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for NamedServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = text
            .split_once('=')
            .filter(|(name, _)| is_tenant_name(name) && *name != MAIN)
            .ok_or("a server is named as NAME=postgres://..., with a name of small letters, digits and hyphens that is not `main`")?;
        Ok(Self { name: name.to_owned(), address: address.to_owned() })
    }
}

/// Ledgers in databases that many nodes may share.
pub(crate) struct Cluster {
    pub main: Arc<OnServer>,
    others: BTreeMap<String, Other>,
    keyrings: Option<Keyrings>,
    clock: Arc<dyn Clock>,
}

/// Another server, reached when first needed.
#[derive(Default)]
struct Other {
    address: String,
    open: OnceLock<Arc<OnServer>>,
    /// Held by whoever tries, so that others wait for what comes of it and do not try as well.
    attempt: Mutex<Option<Failure>>,
}

/// Why a server could not be used, and until when that is not looked at again.
struct Failure {
    until: Duration,
    why: Arc<PgError>,
}

impl Other {
    fn reach(
        &self,
        clock: &dyn Clock,
        open: impl FnOnce() -> Result<Arc<OnServer>, PgError>,
    ) -> Result<Arc<OnServer>, StoreError> {
        // Once it is open, nobody waits for anybody.
        if let Some(on) = self.open.get() {
            return Ok(Arc::clone(on));
        }
        let mut last = blocking(|| self.attempt.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(on) = self.open.get() {
            return Ok(Arc::clone(on));
        }
        if let Some(failure) = last.as_ref().filter(|failure| clock.since_boot() < failure.until) {
            return Err(PgError::Lately(Arc::clone(&failure.why)).into());
        }
        match open() {
            Ok(on) => {
                not_of_keyrings(&on)?;
                Ok(Arc::clone(self.open.get_or_init(|| on)))
            }
            Err(error) => {
                let (why, until) = (Arc::new(error), clock.since_boot().saturating_add(PAUSE));
                *last = Some(Failure { until, why: Arc::clone(&why) });
                Err(PgError::Lately(why).into())
            }
        }
    }
}

/// One server with ledgers.
pub(crate) struct OnServer {
    /// None for that of `--ledger`.
    pub name: Option<String>,
    pub home: Home,
    pub directory: Directory,
    pub watch: Watch,
}

impl OnServer {
    fn open(
        name: Option<&str>,
        address: &str,
        keyring: impl FnOnce(&Directory) -> Result<Option<Apart>, PgError>,
    ) -> Result<Arc<Self>, PgError> {
        let server = Server::new(address)?;
        let directory = Directory::open(&server)?;
        let keyring = keyring(&directory)?;
        let home = Home { ledger: server, keyring };
        let watch = Watch::start(&home)?;
        Ok(Arc::new(Self { name: name.map(str::to_owned), home, directory, watch }))
    }

    /// What it is called among servers.
    pub(crate) fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(MAIN)
    }

    /// Where the ledgers and keyring are of a tenant that is here.
    pub(crate) fn home(&self, together: bool) -> Home {
        let keyring = self.home.keyring.clone().filter(|_| !together);
        Home { ledger: Arc::clone(&self.home.ledger), keyring }
    }
}

impl Cluster {
    pub(crate) fn open(
        ledger: &str,
        databases: Databases<'_>,
        env: &Environment,
    ) -> Result<Self, StoreError> {
        let keyring = databases.keyring.map(Server::new).transpose()?;
        let keyrings = keyring.as_ref().map(Keyrings::open).transpose()?;
        let main = OnServer::open(None, ledger, |directory| {
            let Some(server) = keyring else { return Ok(None) };
            Ok(Some(Apart { server, directory: directory.id()?.into() }))
        })?;
        not_of_keyrings(&main)?;
        let other = |server: &NamedServer| {
            let other = Other { address: server.address.clone(), ..Other::default() };
            (server.name.clone(), other)
        };
        let others = databases.servers.iter().map(other).collect();
        Ok(Self { main, others, keyrings, clock: Arc::clone(&env.clock) })
    }

    /// A server by its name; that of `--ledger` without one.
    pub(crate) fn server(&self, name: Option<&str>) -> Result<Arc<OnServer>, StoreError> {
        let Some(name) = name.filter(|name| *name != MAIN) else {
            return Ok(Arc::clone(&self.main));
        };
        let unknown = || StoreError::UnknownServer(name.to_owned());
        let other = self.others.get(name).ok_or_else(unknown)?;
        let keyring = || self.main.home.keyring.clone();
        other.reach(self.clock.as_ref(), || {
            OnServer::open(Some(name), &other.address, |_| Ok(keyring()))
        })
    }

    /// What the directory says of a tenant.
    pub(crate) fn placed(&self, name: &str) -> Result<Placed, StoreError> {
        self.main.directory.find(name)?.ok_or(StoreError::UnknownTenant)
    }

    /// The server that a tenant is on, and whether its keyring is in the same database. Its schemas
    /// are those of this program then.
    pub(crate) fn reach(&self, placed: &Placed) -> Result<(Arc<OnServer>, bool), StoreError> {
        let on = self.server(placed.server.as_deref())?;
        let there = match on.name {
            None => placed.clone(),
            Some(_) => on.directory.by_id(placed.id, true)?.ok_or(StoreError::UnknownTenant)?,
        };
        let together = on.directory.ready(&there)?;
        if !together {
            self.has_keyring(placed.id)?;
        }
        Ok((on, together))
    }

    fn has_keyring(&self, id: TenantId) -> Result<(), StoreError> {
        match self.keyrings.as_ref().map(|keyrings| keyrings.has(id)).transpose()? {
            Some(true) => Ok(()),
            Some(false) => Err(PgError::OtherKeyring.into()),
            None => Err(PgError::NoKeyring.into()),
        }
    }

    /// Deletes what there is of a tenant on the server that has it, and its keyring; whether that was
    /// left, because another directory has the tenant by now.
    pub(crate) fn delete(&self, on: &OnServer, id: TenantId) -> Result<bool, StoreError> {
        let ledger = &on.home.ledger;
        let mut left = false;
        // The ledger goes last: as long as it is there, it shows where its keyring is.
        if postgres::is_here(ledger, id)? && !on.directory.is_together(id)? {
            let apart = self.main.home.keyring.as_ref().ok_or(PgError::NoKeyring)?;
            left = !postgres::discard_keyring(apart, id)?;
        }
        postgres::discard(ledger, id)?;
        on.directory.dislodge(id)?;
        Ok(left)
    }

    /// Whether keyrings can be reached that are in a database of their own.
    pub(crate) fn reach_keyrings(&self) -> Result<(), StoreError> {
        Ok(self.keyrings.as_ref().map_or(Ok(()), Keyrings::reach)?)
    }

    /// Gives a tenant that was made on a server its name; whether it was free.
    pub(crate) fn name(&self, name: &str, id: TenantId, on: &OnServer) -> Result<bool, StoreError> {
        // Nobody looks for it on another server before the directory of all says that it is there.
        if on.name.is_some() {
            on.directory.lodge(id)?;
        }
        Ok(self.main.directory.name(name, id, on.name.as_deref())?)
    }
}

/// Refuses a server whose database is that of the keyrings: what a move leaves there, or is to make
/// there, is called as the keyrings are that stay where they are.
fn not_of_keyrings(on: &OnServer) -> Result<(), StoreError> {
    let Some(apart) = &on.home.keyring else { return Ok(()) };
    match Directory(Arc::clone(&apart.server)).is_also(&on.directory)? {
        true => Err(StoreError::KeyringNotApart(on.called().to_owned())),
        false => Ok(()),
    }
}
