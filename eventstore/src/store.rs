//! A data directory: its tenants, its lock, and the gate that every tenant passes on opening.

pub mod backup;
mod begun;
pub mod cluster;
pub mod credentials;
mod error;
pub mod export;
mod gate;
pub mod listing;
mod lock;
pub mod moving;
pub mod notices;
mod place;
pub mod requests;
pub mod rotation;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32};
use std::sync::{Arc, Mutex, PoisonError};

use domain::ledger::{Opened, ReadPurpose};
use domain::policy::{Policy, PolicyCommand};
use domain::sealed::Whom;
use domain::slot::Zone;
use domain::{Actor, Command, Event, Field, RetentionClass};

use crate::engine::Writer;
use crate::environment::Environment;
use crate::keyring::Keyring;
use crate::keyring::access::Disclosure;
use crate::keyring::ids::{IdKind, PublicIds};
use crate::keyring::person::PersonId;
use crate::keyring::personal::Personal;
use crate::keyring::provider::{KeyStore, Provider, TenantId};
use crate::ledger::Ledger;
use crate::ledger::appender::Append;
use crate::ledger::log::{Log, SharedReader};
pub use cluster::Databases;
pub use error::StoreError;
pub use lock::FileLock;
use lock::Hands;
pub(crate) use place::Which;
use place::{Place, Site, is_tenant_name};

/// How many persons one record of access names: more do not fit into its seal.
const NAMED_AT_ONCE: usize = 800;

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
    /// The newest epoch under which all that is here is known to hang.
    caught_up: AtomicU32,
    /// Tenants in files that are being exported, imported or removed.
    hands: Arc<Hands>,
    _lock: FileLock,
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
        let lock = lock::lock(dir)?;
        let place = Place::at(databases, &env)?;
        // What a backup had in hand when a crash came.
        backup::clean(dir)?;
        let provider = provider(&place, dir, keys, &env)?;
        begun::finish(dir, provider.as_ref())?;
        let tenants = Mutex::default();
        let (dir, at_work, hands) = (dir.to_owned(), Arc::default(), Arc::default());
        let caught_up = AtomicU32::default();
        Ok(Self { dir, env, place, provider, tenants, at_work, caught_up, hands, _lock: lock })
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
        gate::reach(name, reader.as_ref())?;
        gate::pass(name, reader.as_ref(), self.provider.as_ref())?;
        self.open_tenant(name, site, (reader, writer))
    }

    /// Makes a tenant. It exists whole or not at all.
    ///
    /// # Errors
    /// Where the name is taken or no name, or the files cannot be written.
    pub fn create_tenant(&self, name: &str, zone: Zone) -> Result<Arc<Tenant>, StoreError> {
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
    ) -> Result<Arc<Tenant>, StoreError> {
        if !is_tenant_name(name) {
            return Err(StoreError::BadName);
        }
        let id = TenantId(self.env.random());
        match (&self.place, self.place.server(server)?) {
            (Place::Server(cluster), Some(on)) => {
                if cluster.main.directory.find(name)?.is_some() {
                    return Err(StoreError::TenantExists);
                }
                self.furnish(name, Site::on(&on, id, &self.dir, false), id, zone)?;
                if !cluster.name(name, id, &on)? {
                    return Err(StoreError::TenantExists);
                }
            }
            (Place::Files | Place::Server(_), _) => self.create_in_folder(name, id, zone)?,
        }
        self.tenant(name)
    }

    fn create_in_folder(&self, name: &str, id: TenantId, zone: Zone) -> Result<(), StoreError> {
        let folder = place::folder(&self.dir, name);
        if folder.exists() || place::is_out_of_use(&self.dir, name) {
            return Err(StoreError::TenantExists);
        }
        let beside = self.dir.join("tenants").join(begun::folder(name));
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
        let command =
            Command::Policy(PolicyCommand::Set { expected: None, policy: Policy::new(zone) });
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
            repeats_ended: AtomicI64::new(i64::MIN),
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
    let provider = if !keys.exists() && place.is_empty(dir)? {
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
    /// The day on which repeats of before were last let go of.
    repeats_ended: AtomicI64,
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
        gate::reach(&self.name, reader.as_ref())?;
        let ledger = Ledger::over(reader, writer, Arc::clone(&self.provider), &self.env)?;
        let ledger = Arc::new(ledger);
        *access = Some(Arc::clone(&ledger));
        Ok(ledger)
    }

    /// Takes up a ledger of who read what that alone is older than its keyring has heard of; how many entries
    /// it has, and of how many the keyring had heard.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn accept_access_loss(&self) -> Result<(u64, u64), StoreError> {
        let (reader, mut writer) = self.site.open(Which::Access)?;
        let size = reader.head()?.frontier.size();
        let reached = reader.reached()?.unwrap_or(size);
        writer.cut(&[])?;
        Ok((size, reached))
    }

    /// Records that a reader asks for what is sealed of these persons (of anybody, where none are
    /// named; of very many in several records) in these classes, and hands out the ticket, which opens nothing else.
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
        let whole = [whom];
        let records: Vec<&[PersonId]> = match whom {
            [] => whole.to_vec(),
            whom => whom.chunks(NAMED_AT_ONCE).collect(),
        };
        for whom in records {
            let ids: Vec<String> =
                whom.iter().map(|person| self.ids.show(IdKind::Client, person.0)).collect();
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
        }
        Ok(Disclosure::recorded(purpose, classes, whom))
    }
}

/// A tenant to be read beside a process that writes it.
pub struct TenantView {
    /// Where this node's own files of the tenant are.
    pub folder: PathBuf,
    site: Site,
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
        let site = Place::at(databases, env)?.find(dir, name)?;
        let provider: Arc<dyn Provider> = Arc::new(KeyStore::open(keys)?);
        let reader = site.reader(Which::Ledger)?;
        gate::look(name, reader.as_ref(), provider.as_ref())?;
        let log = Arc::new(Log::over(reader)?);
        let keyring = Keyring::new(Arc::clone(&log), provider, env.clone())?;
        let ids = keyring.public_ids()?;
        Ok(Self { folder: site.folder().to_owned(), site, log, keyring, ids })
    }

    /// The log of who read what.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn access_log(&self) -> Result<Arc<Log>, StoreError> {
        Ok(Arc::new(Log::over(self.site.reader(Which::Access)?)?))
    }
}
