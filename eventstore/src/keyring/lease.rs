//! Unwrapped keys in memory, each for a short time.
//!
//! A lease is checked before a seal is opened and again before the plaintext is handed out, on a
//! clock that runs on while the machine sleeps. Ending somebody's leases makes the second check
//! fail for whoever is in between. Keys are overwritten when the last holder lets go.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use domain::RetentionClass;
use indexmap::IndexMap;

use super::SECRETS;
use super::key::Key;
use super::person::PersonId;
use crate::environment::Environment;

/// How long a key may be used after it was unwrapped.
pub const LEASE: Duration = Duration::from_secs(30);

/// Which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    Tenant(u32),
    Secret(&'static str),
    Person(PersonId, RetentionClass),
    Period(RetentionClass, i16),
}

impl KeyName {
    /// The first of the numbers of years' and persons' keys, which are the last.
    const ENDING: u64 = 2 << 62;

    /// One number for each: what is looked up for every seal should be found fast.
    fn number(self) -> u64 {
        let (kind, number) = match self {
            Self::Tenant(epoch) => (0, u64::from(epoch)),
            Self::Secret(name) => {
                let at = SECRETS.iter().position(|known| *known == name);
                (1, at.and_then(|at| u64::try_from(at).ok()).unwrap_or(u64::MAX >> 8))
            }
            Self::Period(class, year) => {
                (2, u64::from(class.code()) << 16 | u64::from(year.cast_unsigned()))
            }
            Self::Person(person, class) => (3, person.0 << 3 | u64::from(class.code())),
        };
        kind << 62 | number
    }
}

/// A key that may be used until its time is over or it is taken back.
pub struct Lease {
    pub key: Key,
    until: Duration,
    ended: AtomicBool,
}

impl Lease {
    /// Whether the key was taken back.
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// When its time is over, counted from the machine's start.
    pub fn until(&self) -> Duration {
        self.until
    }

    /// Whether the key may still be used.
    pub fn holds(&self, env: &Environment) -> bool {
        self.holds_at(env.clock.since_boot())
    }

    fn holds_at(&self, now: Duration) -> bool {
        !self.ended() && now < self.until
    }
}

/// All leases of one keyring.
#[derive(Default)]
pub struct Leases {
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    /// By [`KeyName::number`].
    keys: IndexMap<u64, Arc<Lease>>,
    /// Leases of keys that others have taken the place of: still in use, perhaps, and to be taken
    /// back like the others.
    replaced: Vec<(u64, Arc<Lease>)>,
    sweep_at: usize,
    /// How often somebody's keys were taken back, or what is known of somebody changed.
    taken_back: u64,
}

impl Leases {
    pub fn get(&self, name: KeyName, env: &Environment) -> Option<Arc<Lease>> {
        self.read().keys.get(&name.number()).filter(|lease| lease.holds(env)).cloned()
    }

    /// As [`Self::get`] for many at once: looked up side by side, they cost a part of what they do
    /// one after another.
    pub fn get_all(
        &self,
        names: impl Iterator<Item = Option<KeyName>>,
        env: &Environment,
    ) -> Vec<Option<Arc<Lease>>> {
        let now = env.clock.since_boot();
        let held = self.read();
        let get = |name: KeyName| held.keys.get(&name.number()).filter(|lease| lease.holds_at(now));
        names.map(|name| name.and_then(get).cloned()).collect()
    }

    /// How often keys were taken back, for [`Self::put_unless_taken_back`].
    pub fn taken_back(&self) -> u64 {
        self.read().taken_back
    }

    /// What was read until now may be older than what is stored.
    pub fn outdate(&self) {
        self.held().taken_back += 1;
    }

    /// Lends a key out, unless somebody's keys were taken back since: what was read of it may then
    /// be older than its end, and has to be read again.
    pub fn put_unless_taken_back(
        &self,
        seen: u64,
        name: KeyName,
        key: Key,
        env: &Environment,
    ) -> Option<Arc<Lease>> {
        let mut held = self.held();
        (held.taken_back == seen).then(|| held.put(name, key, env.clock.since_boot()))
    }

    /// Lends out a key that nobody else has yet.
    pub fn put(&self, name: KeyName, key: Key, env: &Environment) -> Arc<Lease> {
        self.held().put(name, key, env.clock.since_boot())
    }

    /// Lets go of every key whose time is over.
    pub fn sweep(&self, env: &Environment) {
        let now = env.clock.since_boot();
        let mut held = self.held();
        held.keys.retain(|_, lease| lease.holds_at(now));
        held.replaced.retain(|(_, lease)| lease.holds_at(now));
    }

    /// Lends a person's keys out no more, without taking them back: others have come in their
    /// place.
    pub fn replace_person(&self, person: PersonId) {
        let mut held = self.held();
        // Whoever is reading one has to read it again.
        held.taken_back += 1;
        for class in RetentionClass::ALL {
            let number = KeyName::Person(person, class).number();
            if let Some(lease) = held.keys.swap_remove(&number) {
                held.replaced.push((number, lease));
            }
        }
    }

    /// Takes back every key of a person, also from those who are using one.
    pub fn end_person(&self, person: PersonId) {
        let mut held = self.held();
        held.taken_back += 1;
        for class in RetentionClass::ALL {
            let number = KeyName::Person(person, class).number();
            if let Some(lease) = held.keys.swap_remove(&number) {
                lease.ended.store(true, Ordering::Release);
            }
            let replaced = held.replaced.iter().filter(|(known, _)| *known == number);
            replaced.for_each(|(_, lease)| lease.ended.store(true, Ordering::Release));
        }
    }

    /// Takes back every key of everybody and of every year.
    pub fn end_everybody(&self) {
        let mut held = self.held();
        held.taken_back += 1;
        let end = |lease: &Lease| lease.ended.store(true, Ordering::Release);
        held.replaced.iter().for_each(|(_, lease)| end(lease));
        held.keys.retain(|number, lease| {
            let ends = *number >= KeyName::ENDING;
            if ends {
                end(lease);
            }
            !ends
        });
    }

    /// For looking: many do at once.
    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn put(&mut self, name: KeyName, key: Key, now: Duration) -> Arc<Lease> {
        // Of two who read it at once, both use one lease: what is lent is taken back from all.
        if let Some(lease) = self.keys.get(&name.number())
            && lease.holds_at(now)
        {
            return Arc::clone(lease);
        }
        let lease = Arc::new(Lease { key, until: now + LEASE, ended: AtomicBool::new(false) });
        if self.keys.len() >= self.sweep_at {
            self.keys.retain(|_, lease| lease.holds_at(now));
            self.replaced.retain(|(_, lease)| lease.holds_at(now));
            self.sweep_at = 2 * self.keys.len() + 1024;
        }
        self.keys.insert(name.number(), Arc::clone(&lease));
        lease
    }
}
