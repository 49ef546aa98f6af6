//! The keyring: whose handle is whose, and the keys under which each person's seals open.
//!
//! ```text
//! epoch key      at the provider only
//!  └ tenant key  random, wrapped by the epoch key
//!     ├ person key      per (person, class), random, a person's wrapped as one
//!     │  └ data key     per (handle, class), random, wrapped by the person key
//!     │     └ seal      AES-256-GCM
//!     └ period key      per (class, year): accounting, access records
//! ```
//!
//! Every key is random and wrapped, never derived from another that stays: what can be derived
//! again cannot be forgotten. Destroying the rows of a person's keys therefore ends everything
//! that was sealed for them, however much there is.

pub mod access;
pub mod bundle;
pub mod ids;
pub mod key;
pub mod lease;
pub mod log_key;
pub(crate) mod lookups;
mod numbers;
pub mod person;
pub mod personal;
pub mod provider;
mod replacement;
pub mod rotation;
pub mod seal;
pub mod sealing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use domain::{Handle, RetentionClass};
use indexmap::IndexMap;

use crate::engine::{Counter, KeyRow};
use crate::environment::Environment;
use crate::ledger::index::PersonRow;
use crate::ledger::log::{Log, ReadError};
use bundle::Held;
use key::{Key, WrongKey};
use lease::{KeyName, LEASE, Lease, Leases};
use lookups::covered;
use numbers::Numbers;
use person::{PersonId, PersonInfo, PersonState};
use provider::{Epoch, Provider, ProviderError, TenantId};
use rotation::all_wrappings;

/// Why the keyring could not help. Only `Erased` means that somebody was erased.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the person is unknown")]
    Unknown,
    #[error("the person has been erased")]
    Erased,
    #[error("the person's data is restricted")]
    Restricted,
    #[error("a key that should exist is missing from the keyring")]
    Missing,
    #[error(
        "something hangs on a person's former key and could not be hung on the present one: nothing of \
         an older epoch is ended before it is; `tidbok audit verify` says if it is damaged"
    )]
    Left,
    #[error("a value is longer than can be sealed")]
    TooLong,
    #[error("the record of this access does not speak of what was to be opened")]
    NotDisclosed,
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<WrongKey> for KeyError {
    fn from(_: WrongKey) -> Self {
        Self::Provider(ProviderError::WrongStore)
    }
}

/// Names of the tenant's own secrets.
pub(crate) const SECRET_IDS: &str = "ids";
pub(crate) const SECRET_LOOKUP: &str = "lookup";
pub(crate) const SECRET_LOG: &str = "log";
/// The key before, as long as readers may know only that.
pub(crate) const SECRET_FORMER_LOG: &str = "log former";
/// A secret is found by its place here: new ones come last.
pub(crate) const SECRETS: [&str; 3] = [SECRET_IDS, SECRET_LOOKUP, SECRET_LOG];

/// The keyring of one tenant.
pub struct Keyring {
    pub(crate) tenant: TenantId,
    pub(crate) env: Environment,
    pub(crate) leases: Leases,
    pub(crate) log: Arc<Log>,
    provider: Arc<dyn Provider>,
    handles: Numbers,
    people: Numbers,
    persons: RwLock<IndexMap<PersonId, (PersonInfo, Duration)>>,
    /// The tenant's epochs, newest first, and until when they are believed.
    epochs: Mutex<Option<(Vec<u32>, Duration)>>,
}

impl Keyring {
    pub(crate) fn new(
        log: Arc<Log>,
        provider: Arc<dyn Provider>,
        env: Environment,
    ) -> Result<Self, KeyError> {
        let head = log.head()?;
        let keyring = Self {
            tenant: head.tenant,
            env,
            leases: Leases::default(),
            log,
            provider,
            handles: Numbers::new(Counter::Handle, head.next_handle),
            people: Numbers::new(Counter::Person, head.next_person),
            persons: RwLock::default(),
            epochs: Mutex::default(),
        };
        keyring.tenant_key()?;
        Ok(keyring)
    }

    /// Ids as the outside sees them.
    ///
    /// # Errors
    /// Where the key store cannot be reached.
    pub fn public_ids(&self) -> Result<ids::PublicIds, KeyError> {
        Ok(ids::PublicIds::under(&self.secret(SECRET_IDS)?.key))
    }

    /// What is known of a person without opening anything.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn info(&self, person: PersonId) -> Result<Option<PersonInfo>, KeyError> {
        let now = self.env.clock.since_boot();
        // For every seal, so by itself and fast.
        match self.persons.read().unwrap_or_else(PoisonError::into_inner).get(&person) {
            Some((info, until)) if now < *until => return Ok(Some(*info)),
            Some(_) | None => (),
        }
        Ok(self.infos([person])?.remove(&person))
    }

    fn persons(&self) -> RwLockWriteGuard<'_, IndexMap<PersonId, (PersonInfo, Duration)>> {
        self.persons.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Self::info`], of all of these of whom something is known.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn infos(
        &self,
        persons: impl IntoIterator<Item = PersonId>,
    ) -> Result<BTreeMap<PersonId, PersonInfo>, KeyError> {
        let now = self.env.clock.since_boot();
        let (mut infos, mut asked) = (BTreeMap::new(), BTreeSet::new());
        {
            let known = self.persons.read().unwrap_or_else(PoisonError::into_inner);
            for person in persons {
                match known.get(&person) {
                    Some((info, until)) if now < *until => drop(infos.insert(person, *info)),
                    Some(_) | None => drop(asked.insert(person)),
                }
            }
        }
        if asked.is_empty() {
            return Ok(infos);
        }
        let asked: Vec<PersonId> = asked.into_iter().collect();
        let seen = self.leases.taken_back();
        let read = self.log.reader().known(&asked)?;
        let mut known = self.persons();
        // What somebody changed meanwhile may have been read as it was before.
        if self.leases.taken_back() == seen {
            let live = read.iter().filter(|info| info.state == PersonState::Live);
            known.extend(live.map(|info| (info.id, (*info, now + LEASE))));
        }
        drop(known);
        infos.extend(read.into_iter().map(|info| (info.id, info)));
        Ok(infos)
    }

    /// Up to `limit` persons after one, in the order they came.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn page(&self, after: PersonId, limit: u32) -> Result<Vec<PersonInfo>, KeyError> {
        Ok(self.log.reader().persons(after, limit)?)
    }

    /// Whose handles these are, where they are still linked.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn persons_of(&self, handles: &[Handle]) -> Result<BTreeMap<Handle, PersonId>, KeyError> {
        Ok(self.log.reader().links(handles)?)
    }

    /// The handles under which a person has something, the oldest first.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn handles_of(&self, person: PersonId) -> Result<Vec<Handle>, KeyError> {
        let mut handles: Vec<Handle> =
            self.rows_of(person, 0)?.iter().map(|row| row.handle).collect();
        handles.sort_unstable();
        handles.dedup();
        Ok(handles)
    }

    /// A person's rows in the index whose booking ends at `until` or later.
    pub(crate) fn rows_of(&self, person: PersonId, until: i64) -> Result<Vec<PersonRow>, KeyError> {
        let mut rows: Vec<PersonRow> =
            self.log.pending().of_person(person, until).copied().collect();
        rows.extend(self.log.reader().person_rows(person, until)?);
        rows.sort_unstable();
        rows.dedup_by_key(|row| (row.until, row.position, row.handle));
        Ok(rows)
    }

    /// All rows of several persons in the index.
    pub(crate) fn rows_of_all(&self, persons: &[PersonId]) -> Result<Vec<PersonRow>, ReadError> {
        let mut rows = Vec::new();
        {
            let pending = self.log.pending();
            for person in persons {
                rows.extend(pending.of_person(*person, 0).copied());
            }
        }
        rows.extend(self.log.reader().rows_of(persons)?);
        rows.sort_unstable();
        rows.dedup_by_key(|row| (row.person, row.until, row.position, row.handle));
        Ok(rows)
    }

    /// The persons that a value was given for: mail, phone and the like.
    ///
    /// # Errors
    /// Where the keyring cannot be read or the key store cannot be reached.
    pub fn find(&self, lookup: &sealing::Lookup) -> Result<Vec<PersonId>, KeyError> {
        let hash = self.lookup_hash(lookup)?;
        // A rotation may be under way, or a node may not have heard of it yet.
        let mut values = Vec::new();
        for (_, key) in self.tenant_keys()? {
            values.push(covered(&key.key, hash));
        }
        let mut found = self.log.reader().found_by(&values)?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// What stands in the lookup table: a keyed hash, covered by a key that ends with the tenant
    /// key, so that no old copy can be asked whether somebody was in it.
    pub(crate) fn lookup_value(
        &self,
        lookup: &sealing::Lookup,
    ) -> Result<(u32, [u8; 16]), KeyError> {
        let hash = self.lookup_hash(lookup)?;
        let (epoch, key) = self.newest()?;
        Ok((epoch, covered(&key.key, hash)))
    }

    fn lookup_hash(&self, lookup: &sealing::Lookup) -> Result<[u8; 16], KeyError> {
        let hash = self.secret(SECRET_LOOKUP)?.key.hmac(&lookup.pieces());
        let mut block = [0; 16];
        block.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
        Ok(block)
    }

    pub(crate) fn mint_handle(&self) -> Result<Handle, KeyError> {
        Ok(Handle(self.handles.mint(self.log.reader())?))
    }

    pub(crate) fn mint_person(&self) -> Result<PersonId, KeyError> {
        Ok(PersonId(self.people.mint(self.log.reader())?))
    }

    pub(crate) fn counters(&self) -> (u64, u64) {
        (self.handles.next(), self.people.next())
    }

    /// The newest tenant key: what is wrapped from now on hangs on it.
    pub(crate) fn tenant_key(&self) -> Result<Arc<Lease>, KeyError> {
        Ok(self.newest()?.1)
    }

    pub(crate) fn secret(&self, name: &'static str) -> Result<Arc<Lease>, KeyError> {
        self.leased(KeyName::Secret(name))
    }

    /// The key of a person who is live. Whoever changes a person's state takes the leases back, so
    /// a lease that holds needs no look at the state.
    pub(crate) fn person_key(
        &self,
        person: PersonId,
        class: RetentionClass,
    ) -> Result<Arc<Lease>, KeyError> {
        self.leased(KeyName::Person(person, class))
    }

    pub(crate) fn period_key(
        &self,
        class: RetentionClass,
        year: i16,
    ) -> Result<Arc<Lease>, KeyError> {
        self.leased(KeyName::Period(class, year))
    }

    /// The keys under these names, as far as they are lent or can be: of persons, what is not in
    /// memory is read at once.
    pub(crate) fn leases_of(
        &self,
        names: &[Option<KeyName>],
    ) -> Result<Vec<Option<Arc<Lease>>>, KeyError> {
        let leases = self.leases.get_all(names.iter().copied(), &self.env);
        let missing = names.iter().zip(&leases).filter(|(_, lease)| lease.is_none());
        let missing: BTreeSet<(PersonId, RetentionClass)> = missing
            .filter_map(|(name, _)| match name {
                Some(KeyName::Person(person, class)) => Some((*person, *class)),
                Some(KeyName::Tenant(_) | KeyName::Secret(_) | KeyName::Period(..)) | None => None,
            })
            .collect();
        // One alone is read where it is needed.
        if missing.len() < 2 {
            return Ok(leases);
        }
        let seen = self.leases.taken_back();
        let persons: BTreeSet<PersonId> = missing.iter().map(|(person, _)| *person).collect();
        let persons: Vec<PersonId> = persons.into_iter().collect();
        let wrappings = all_wrappings(&self.tenant_keys()?);
        for (person, row) in self.log.reader().person_keys(&persons)? {
            let Ok(held) = bundle::open(&row, person.0, &wrappings) else { continue };
            for Held { class, key, .. } in held {
                if let Some(class) = RetentionClass::from_code(class)
                    && missing.contains(&(person, class))
                {
                    let name = KeyName::Person(person, class);
                    self.leases.put_unless_taken_back(seen, name, key, &self.env);
                }
            }
        }
        Ok(self.leases.get_all(names.iter().copied(), &self.env))
    }

    /// The key under a name: from memory, or unwrapped from its row.
    fn leased(&self, name: KeyName) -> Result<Arc<Lease>, KeyError> {
        let row = match name {
            KeyName::Tenant(epoch) => KeyRow::Tenant(epoch),
            KeyName::Secret(name) => KeyRow::Secret(name),
            KeyName::Person(person, _) => KeyRow::Person(person),
            KeyName::Period(class, year) => KeyRow::Period(class, year),
        };
        loop {
            if let Some(lease) = self.leases.get(name, &self.env) {
                return Ok(lease);
            }
            let seen = self.leases.taken_back();
            let wrapped = self.log.reader().wrapped(row)?.ok_or(KeyError::Missing)?;
            let key = match name {
                KeyName::Tenant(epoch) => self.provider.unwrap(Epoch(epoch), &wrapped)?,
                KeyName::Person(person, class) => {
                    let held = self.open_row(person, &wrapped)?;
                    let held = held.into_iter().find(|held| held.class == class.code());
                    held.ok_or(KeyError::Missing)?.key
                }
                KeyName::Secret(_) | KeyName::Period(..) => self.of_tenant(&wrapped)?,
            };
            if let Some(lease) = self.leases.put_unless_taken_back(seen, name, key, &self.env) {
                return Ok(lease);
            }
        }
    }

    /// Takes back everything in memory that could open a person's seals.
    pub(crate) fn evict(&self, person: PersonId) {
        self.leases.end_person(person);
        self.persons().swap_remove(&person);
    }

    /// Takes back everything in memory that could open anybody's seals: another node has erased
    /// somebody.
    pub fn evict_all(&self) {
        self.leases.end_everybody();
        self.persons().clear();
    }

    /// Lets go of what has not been used for a lease.
    pub(crate) fn sweep(&self) {
        let now = self.env.clock.since_boot();
        self.leases.sweep(&self.env);
        self.persons().retain(|_, (_, until)| now < *until);
    }

    /// Forgets what it remembers of a person, after their row has changed.
    pub(crate) fn changed(&self, person: PersonId) {
        self.leases.outdate();
        self.persons().swap_remove(&person);
    }
}

/// The keys of a new tenant, wrapped.
pub(crate) struct Founding {
    pub epoch: u32,
    pub tenant_key: Vec<u8>,
    pub secrets: Vec<(&'static str, Vec<u8>)>,
}

impl Founding {
    /// Makes the keys of a new tenant: its tenant key and its own secrets.
    pub(crate) fn new(provider: &dyn Provider, env: &Environment) -> Result<Self, KeyError> {
        let epoch = provider.current()?;
        let tenant_key = Key::random(env);
        let wrapped = provider.wrap(epoch, &tenant_key)?.to_vec();
        let secrets = SECRETS.map(|name| (name, tenant_key.wrap(&Key::random(env)).to_vec()));
        Ok(Self { epoch: epoch.0, tenant_key: wrapped, secrets: secrets.into() })
    }
}

/// What becomes of the link and key of one handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataKeyRow {
    pub person: Option<PersonId>,
    pub year: Option<i16>,
    pub wrapped: Option<[u8; 40]>,
}
