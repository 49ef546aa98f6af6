//! A data directory: its tenants, its lock, and the gate that every tenant passes on opening.

pub mod backup;
pub mod credentials;
mod gate;
mod lock;
pub mod notices;
mod place;
pub mod requests;
pub mod rotation;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use domain::ledger::{Opened, ReadPurpose};
use domain::policy::{Policy, PolicyCommand};
use domain::sealed::Whom;
use domain::slot::Zone;
use domain::{Actor, Command, Event, Field, RetentionClass};

use crate::engine::{EngineError, Writer};
use crate::environment::Environment;
use crate::keyring::access::Disclosure;
use crate::keyring::ids::{IdKind, PublicIds};
use crate::keyring::person::PersonId;
use crate::keyring::personal::Personal;
use crate::keyring::provider::{KeyStore, Provider, ProviderError, TenantId};
use crate::keyring::{KeyError, Keyring};
use crate::ledger::appender::{Append, AppendError};
use crate::ledger::log::{Log, ReadError, SharedReader};
use crate::ledger::{Ledger, LedgerError};
use crate::postgres::PgError;
use crate::sqlite;
use lock::Lock;
pub use place::Databases;
pub(crate) use place::Which;
use place::{Place, Site, is_tenant_name};

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
         store's mark says {mark}. Put the newest copy back; if there is none, run \
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
        "the key store also holds the keys of tenant {0}, which is not in this data: keys of \
         earlier epochs are kept until `tidbok keys rotate` has been run on all that hangs on them"
    )]
    KeysOfOthers(TenantId),
    #[error(
        "the keys of the tenant {0} were not rotated; until they are, the keys of earlier epochs \
         are kept, and its erasures stay within reach of backups"
    )]
    NotRotated(String, #[source] Box<Self>),
    #[error("the ledgers lie in a database, and are brought back by its own means")]
    NotInFiles,
    #[error("--keyring goes with --ledger: a keyring in a database is that of a ledger in one")]
    KeyringAlone,
    #[error("another backup or restore is under way; try again when it is through")]
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
    fn of(self, tenant: &str) -> Self {
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

type Slot = Arc<Mutex<Option<Arc<Tenant>>>>;

/// A data directory, locked for this process.
pub struct Store {
    dir: PathBuf,
    env: Environment,
    place: Place,
    provider: Arc<dyn Provider>,
    /// Each under a lock of its own: opening one does not hold up the others.
    tenants: Mutex<BTreeMap<String, Slot>>,
    /// Whether something is being taken apart or put together.
    at_work: Arc<AtomicBool>,
    _lock: Lock,
}

impl Store {
    /// Opens a data directory and takes its lock. An empty one gets its key store.
    ///
    /// # Errors
    /// Where another process has the lock, or there is data but no key store.
    pub fn open(dir: &Path, keys: &Path, env: Environment) -> Result<Self, StoreError> {
        Self::open_at(Databases::default(), dir, keys, env)
    }

    /// As [`Self::open`], with the ledgers in databases, if any are named. The
    /// directory then keeps what is this node's own, and the key store is the one of all nodes.
    ///
    /// # Errors
    /// As [`Self::open`], and where the database cannot be used.
    pub fn open_at(
        databases: Databases<'_>,
        dir: &Path,
        keys: &Path,
        env: Environment,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(dir.join("tenants"))?;
        let lock = Lock::take(dir)?;
        let place = Place::at(databases)?;
        // What a backup had in hand when a crash came.
        backup::clean(dir)?;
        let provider = provider(&place, dir, keys, &env)?;
        let tenants = Mutex::default();
        let (dir, at_work) = (dir.to_owned(), Arc::default());
        Ok(Self { dir, env, place, provider, tenants, at_work, _lock: lock })
    }

    /// The names of all tenants, in order.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn tenants(&self) -> Result<Vec<String>, StoreError> {
        self.place.tenants(&self.dir)
    }

    /// Whether keyrings can be reached that are in a database of their own.
    ///
    /// # Errors
    /// Why not.
    pub fn reach_keyrings(&self) -> Result<(), StoreError> {
        self.place.reach_keyrings()
    }

    /// A tenant, opened on first use.
    ///
    /// # Errors
    /// Where there is none, or its files do not pass the gate.
    pub fn tenant(&self, name: &str) -> Result<Arc<Tenant>, StoreError> {
        let open = self.slot(name);
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = open.as_ref() {
            return Ok(Arc::clone(tenant));
        }
        let site = self.place.find(&self.dir, name).map_err(|error| error.of(name))?;
        let tenant = Arc::new(self.pass_gate(name, site).map_err(|error| error.of(name))?);
        *open = Some(Arc::clone(&tenant));
        Ok(tenant)
    }

    fn slot(&self, name: &str) -> Slot {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        // Names that nobody has are let go of with the next one asked for.
        tenants.retain(|known, open| {
            known == name
                || Arc::strong_count(open) > 1
                || open.lock().unwrap_or_else(PoisonError::into_inner).is_some()
        });
        Arc::clone(tenants.entry(name.to_owned()).or_default())
    }

    fn pass_gate(&self, name: &str, site: Site) -> Result<Tenant, StoreError> {
        let (reader, writer) = site.open(Which::Ledger)?;
        gate::pass(name, reader.as_ref(), self.provider.as_ref())?;
        self.open_tenant(name, site, (reader, writer))
    }

    /// Makes a tenant. It exists whole or not at all.
    ///
    /// # Errors
    /// Where the name is taken or no name, or the files cannot be written.
    pub fn create_tenant(&self, name: &str, zone: Zone) -> Result<Arc<Tenant>, StoreError> {
        if !is_tenant_name(name) {
            return Err(StoreError::BadName);
        }
        let id = TenantId(self.env.random());
        match &self.place {
            Place::Files => self.create_in_folder(name, id, zone)?,
            Place::Server(on) => {
                if self.place.tenants(&self.dir)?.iter().any(|known| known == name) {
                    return Err(StoreError::TenantExists);
                }
                self.furnish(name, Site::on(on, id, &self.dir), id, zone)?;
                if !on.name(name, id)? {
                    return Err(StoreError::TenantExists);
                }
            }
        }
        self.tenant(name)
    }

    fn create_in_folder(&self, name: &str, id: TenantId, zone: Zone) -> Result<(), StoreError> {
        let folder = self.dir.join("tenants").join(name);
        if folder.exists() {
            return Err(StoreError::TenantExists);
        }
        let beside = self.dir.join("tenants").join(format!(".{name}.new"));
        if beside.exists() {
            fs::remove_dir_all(&beside)?;
        }
        fs::create_dir(&beside)?;
        self.furnish(name, Site::Folder(beside.clone()), id, zone)?;
        fs::rename(&beside, &folder)?;
        File::open(self.dir.join("tenants"))?.sync_all()?;
        Ok(())
    }

    /// Makes the ledgers of a tenant that has no name yet, with its first entry and mark.
    fn furnish(&self, name: &str, site: Site, id: TenantId, zone: Zone) -> Result<(), StoreError> {
        site.found(id, self.provider.as_ref(), &self.env)?;
        let engine = site.open(Which::Ledger)?;
        let tenant = self.open_tenant(name, site, engine)?;
        let command = Command::Policy(PolicyCommand::Set(Policy::new(zone)));
        tenant.ledger.append_blocking(Append::new(command, Actor::System))?;
        tenant.ledger.mark_blocking()?;
        Ok(())
    }

    /// Takes up an older copy of a ledger: records the loss as a new origin and sets every fence
    /// again that the copy does not know, so that the erased stay erased.
    ///
    /// # Errors
    /// Where there is no such tenant, or the files cannot be written.
    pub fn accept_loss(&self, name: &str) -> Result<Loss, StoreError> {
        let site = self.place.find(&self.dir, name)?;
        self.close(name);
        gate::accept_loss(name, &site, &self.provider, &self.env)
    }

    fn open_tenant(
        &self,
        name: &str,
        site: Site,
        (reader, writer): (SharedReader, Box<dyn Writer>),
    ) -> Result<Tenant, StoreError> {
        let ledger = Ledger::over(reader, writer, Arc::clone(&self.provider), &self.env)?;
        let ids = ledger.keyring().public_ids()?;
        Ok(Tenant {
            name: name.to_owned(),
            site,
            ledger,
            ids,
            env: self.env.clone(),
            provider: Arc::clone(&self.provider),
            access: Mutex::new(None),
        })
    }

    /// Lets go of a tenant: it is closed as soon as nobody else has it.
    pub fn close(&self, name: &str) {
        let open = self.slot(name);
        // Under its lock, so that nobody opens it again before it is closed.
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(open.take());
    }
}

pub use gate::Loss;

pub(crate) const LEDGER: &str = "ledger.sqlite";
pub(crate) const ACCESS: &str = "access.sqlite";

fn provider(
    place: &Place,
    dir: &Path,
    keys: &Path,
    env: &Environment,
) -> Result<Arc<dyn Provider>, StoreError> {
    // Keys are made for an empty directory only: beside data they would open nothing.
    let provider = if !keys.exists() && place.tenants(dir)?.is_empty() {
        KeyStore::create(keys, env)?
    } else {
        KeyStore::open(keys)?
    };
    Ok(Arc::new(provider))
}

/// One tenant: its ledger with its keyring, and the ledger of who read what.
pub struct Tenant {
    name: String,
    site: Site,
    pub ledger: Ledger,
    ids: PublicIds,
    env: Environment,
    provider: Arc<dyn Provider>,
    access: Mutex<Option<Arc<Ledger>>>,
}

impl Tenant {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the tenant's files lie; read models have their place there too.
    pub fn folder(&self) -> &Path {
        self.site.folder()
    }

    pub fn log(&self) -> &Arc<Log> {
        self.ledger.log()
    }

    pub fn keyring(&self) -> &Arc<Keyring> {
        self.ledger.keyring()
    }

    /// Whether there is nothing left to do for an erasure.
    pub fn is_resting(&self) -> bool {
        self.ledger.is_resting()
    }

    pub fn ids(&self) -> &PublicIds {
        &self.ids
    }

    /// The ledger of who read what, opened on first use.
    ///
    /// # Errors
    /// Where its file cannot be opened.
    pub fn access(&self) -> Result<Arc<Ledger>, StoreError> {
        let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledger) = access.as_ref() {
            return Ok(Arc::clone(ledger));
        }
        let (reader, writer) = self.site.open(Which::Access)?;
        let ledger = Ledger::over(reader, writer, Arc::clone(&self.provider), &self.env)?;
        let ledger = Arc::new(ledger);
        *access = Some(Arc::clone(&ledger));
        Ok(ledger)
    }

    /// Records that a reader asks for what is sealed of these persons (of anybody, where none are
    /// named) in these classes, and hands out the ticket, which opens nothing else.
    ///
    /// # Errors
    /// Where the record cannot be written: then nothing may be read.
    pub async fn disclose(
        &self,
        reader: Actor,
        purpose: ReadPurpose,
        classes: &[RetentionClass],
        whom: &[PersonId],
    ) -> Result<Disclosure, StoreError> {
        let access = self.access()?;
        let zone = jiff::tz::TimeZone::UTC;
        let year = zone.to_datetime(self.env.clock.now()).date().year();
        access.ensure_period(RetentionClass::Access, year).await?;
        let ids: Vec<String> =
            whom.iter().take(1000).map(|person| self.ids.show(IdKind::Client, person.0)).collect();
        let content = Personal::default().with(Field::Whom, ids.join(" "));
        let mut sealing = access.sealing();
        let kind = Event::KIND_SEALS_OPENED;
        let whom_seal = sealing.seal_access::<Whom>(year, kind, &content)?;
        let opened = Opened {
            classes: classes.to_vec(),
            count: u32::try_from(whom.len()).unwrap_or(u32::MAX),
            purpose,
            whom: whom_seal,
        };
        access.append(Append::new(Command::Access(opened), reader).sealed(sealing)).await?;
        Ok(Disclosure::recorded(purpose, classes, whom))
    }
}

/// A tenant to be read beside a process that writes it.
pub struct TenantView {
    pub log: Arc<Log>,
    pub keyring: Keyring,
    pub ids: PublicIds,
}

impl TenantView {
    /// Opens a tenant for reading only; takes no lock and changes nothing.
    ///
    /// # Errors
    /// Where there is no such tenant, or its files or keys cannot be read.
    pub fn open(
        databases: Databases<'_>,
        dir: &Path,
        keys: &Path,
        name: &str,
        env: &Environment,
    ) -> Result<Self, StoreError> {
        let site = Place::at(databases)?.find(dir, name)?;
        let provider: Arc<dyn Provider> = Arc::new(KeyStore::open(keys)?);
        let reader = site.reader(Which::Ledger)?;
        gate::look(name, reader.as_ref(), provider.as_ref())?;
        let log = Arc::new(Log::over(reader)?);
        let keyring = Keyring::new(Arc::clone(&log), provider, env.clone())?;
        let ids = keyring.public_ids()?;
        Ok(Self { log, keyring, ids })
    }
}
