//! API keys: issued, recognised, revoked. Of a key only its hash is kept.
//!
//! A key that was recognised is remembered for a few seconds, so that a busy client costs no query
//! per request. Revoking forgets it at once; a client's key is checked against its person each
//! time, so it dies with them. Any other is looked up off the threads that serve requests, and a few
//! at a time of one tenant: one whose database does not answer takes no thread from the others.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use eventstore::keyring::KeyError;
use eventstore::tree::{Hash, hash};
use eventstore::{AppendError, Environment, PersonId, PersonState, StoreError, Tenant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::{App, AppError};
use crate::desk::Desk;

/// How long a key is taken to be good without asking again.
const REMEMBERED: Duration = Duration::from_secs(3);
/// How many keys are remembered at most.
const MOST: usize = 10_000;
/// How many keys of one tenant are looked up at a time.
const AT_ONCE: usize = 4;
const PREFIX: &str = "tbk";

/// What a caller may be in a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// One person, who sees their own things.
    Client,
    /// Works with bookings and clients.
    Staff,
    /// Also decides about services, resources, policy and keys.
    Admin,
    /// Reads history and counts, nobody's personal data.
    Auditor,
}

/// No role has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("roles are client, staff, admin and auditor")]
pub struct UnknownRole;

impl Role {
    pub const ALL: [Self; 4] = [Self::Client, Self::Staff, Self::Admin, Self::Auditor];

    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Staff => "staff",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or(UnknownRole)
    }
}

/// Why no key was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("a client's key belongs to a person, and only a client's does")]
    PersonMismatch,
    #[error("a label has at most 100 characters, none of them a control character")]
    BadLabel,
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Makes a key; answers its number and the secret, which is shown this once.
///
/// # Errors
/// Where role and person do not fit each other, the label is none, or nothing can be written.
pub async fn issue(
    tenant: &Tenant,
    role: Role,
    label: &str,
    (person, recipient): (Option<PersonId>, Option<String>),
    env: &Environment,
) -> Result<(u64, String), IssueError> {
    if (role == Role::Client) != person.is_some() {
        return Err(IssueError::PersonMismatch);
    }
    if label.chars().count() > 100 || label.chars().any(char::is_control) {
        return Err(IssueError::BadLabel);
    }
    let random = domain::ids::Hash(env.random());
    let secret = format!("{PREFIX}.{}.{random}", tenant.name());
    let now = env.clock.now();
    let kept = hash(&[secret.as_bytes()]);
    let id = tenant.add_api_key(kept, role.name(), label, (person, recipient), now).await?;
    Ok((id, secret))
}

/// Whom a key stands for.
#[derive(Clone)]
pub struct Holder {
    pub desk: Arc<Desk>,
    pub key: u64,
    pub role: Role,
    /// Whose key it is; always there for a client.
    pub person: Option<PersonId>,
    /// For whom a program reads with it, where it is not the tenant's own.
    pub recipient: Option<Arc<str>>,
}

/// A key that was recognised. It keeps no desk open.
struct Known {
    desk: Weak<Desk>,
    tenant: String,
    key: u64,
    role: Role,
    person: Option<PersonId>,
    recipient: Option<Arc<str>>,
    until: Duration,
}

impl Known {
    fn holder(&self) -> Option<Holder> {
        let desk = self.desk.upgrade().filter(|desk| !desk.is_left())?;
        let (key, recipient) = (self.key, self.recipient.clone());
        Some(Holder { desk, key, role: self.role, person: self.person, recipient })
    }
}

/// The keys recognised lately.
#[derive(Default)]
pub struct Keys {
    known: Mutex<Remembered>,
    /// By tenant, for as long as keys of it are looked up.
    looked_up: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

#[derive(Default)]
struct Remembered {
    by_hash: BTreeMap<Hash, Known>,
    /// Rises with every revocation, so that none is missed by whoever was just looking.
    revocations: u64,
}

impl Keys {
    /// Whom a secret stands for, if it is a key that is good.
    ///
    /// # Errors
    /// Where the tenant cannot be opened or its keyring not be read.
    pub async fn recognise(
        &self,
        app: &Arc<App>,
        secret: &str,
    ) -> Result<Option<Holder>, AppError> {
        let hash = hash(&[secret.as_bytes()]);
        let now = app.env.clock.since_boot();
        let (known, revocations) = {
            let remembered = self.remembered();
            let known = remembered.by_hash.get(&hash).filter(|known| now < known.until);
            (known.and_then(Known::holder), remembered.revocations)
        };
        let holder = match known {
            Some(holder) => holder,
            None => match self.look_up(app, secret, hash).await? {
                Some(holder) => {
                    self.remember(hash, &holder, now, revocations);
                    holder
                }
                None => return Ok(None),
            },
        };
        Ok(is_there(&holder).map_err(StoreError::from)?.then_some(holder))
    }

    async fn look_up(
        &self,
        app: &Arc<App>,
        secret: &str,
        hash: Hash,
    ) -> Result<Option<Holder>, AppError> {
        let Some(tenant) = tenant_in(secret) else { return Ok(None) };
        let turn = self.turn(tenant).await?;
        let (app, tenant) = (Arc::clone(app), tenant.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            // Kept by the work itself: whoever asked may be gone before it is through.
            let _turn = turn;
            look_up(&app, &tenant, &hash)
        });
        found.await.map_err(|_| AppendError::Stopped)?
    }

    /// Waits until not too many others look up keys of a tenant.
    async fn turn(&self, tenant: &str) -> Result<OwnedSemaphorePermit, AppendError> {
        let turns = {
            let mut all = self.looked_up.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, turns| turns.strong_count() > 0);
            all.get(tenant).and_then(Weak::upgrade).unwrap_or_else(|| {
                let turns = Arc::new(Semaphore::new(AT_ONCE));
                all.insert(tenant.to_owned(), Arc::downgrade(&turns));
                turns
            })
        };
        turns.acquire_owned().await.map_err(|_| AppendError::Stopped)
    }

    /// Revokes a key; whether there was one to revoke.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn revoke(
        &self,
        tenant: &Tenant,
        id: u64,
        env: &Environment,
    ) -> Result<bool, AppendError> {
        let revoked = tenant.revoke_api_key(id, env.clock.now()).await?;
        let mut remembered = self.remembered();
        remembered.revocations += 1;
        let is_it = |known: &Known| known.key == id && known.tenant == tenant.name();
        remembered.by_hash.retain(|_, known| !is_it(known));
        Ok(revoked)
    }

    fn remember(&self, hash: Hash, holder: &Holder, now: Duration, revocations: u64) {
        let mut remembered = self.remembered();
        if remembered.revocations != revocations {
            return;
        }
        if remembered.by_hash.len() >= MOST {
            remembered.by_hash.retain(|_, known| now < known.until);
        }
        if remembered.by_hash.len() < MOST {
            let known = Known {
                desk: Arc::downgrade(&holder.desk),
                tenant: holder.desk.tenant.name().to_owned(),
                key: holder.key,
                role: holder.role,
                person: holder.person,
                recipient: holder.recipient.clone(),
                until: now + REMEMBERED,
            };
            remembered.by_hash.insert(hash, known);
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the tenant whose key a secret may be.
fn tenant_in(secret: &str) -> Option<&str> {
    let mut pieces = secret.split('.');
    match (pieces.next(), pieces.next(), pieces.next(), pieces.next()) {
        (Some(PREFIX), Some(tenant), Some(_), None) => Some(tenant),
        _ => None,
    }
}

fn look_up(app: &App, tenant: &str, hash: &Hash) -> Result<Option<Holder>, AppError> {
    // A tenant that is not there and a key that is not its own look the same from outside.
    let desk = match app.desk(tenant) {
        Err(AppError::Store(StoreError::UnknownTenant)) => return Ok(None),
        desk => desk?,
    };
    let key = desk.tenant.api_key(hash).map_err(StoreError::from)?;
    let Some(key) = key else { return Ok(None) };
    let Ok(role) = key.role.parse() else { return Ok(None) };
    let recipient = key.recipient.map(Arc::from);
    Ok(Some(Holder { desk, key: key.id, role, person: key.person, recipient }))
}

/// A client's key is good as long as its person is: the row goes last in an erasure.
fn is_there(holder: &Holder) -> Result<bool, KeyError> {
    match (holder.role, holder.person) {
        (Role::Client, Some(person)) => {
            let info = holder.desk.tenant.keyring().info(person)?;
            // Who has their data restricted (GDPR Art. 18) keeps all other rights.
            let there = [PersonState::Live, PersonState::Restricted];
            Ok(info.is_some_and(|info| there.contains(&info.state)))
        }
        (Role::Client, None) => Ok(false),
        (Role::Staff | Role::Admin | Role::Auditor, _) => Ok(true),
    }
}
