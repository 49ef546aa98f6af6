//! Unwrapped keys in memory, each for a short time.
//!
//! A lease is checked before a seal is opened and again before the plaintext is handed out, on a
//! clock that runs on while the machine sleeps. Ending somebody's leases makes the second check
//! fail for whoever is in between. Keys are overwritten when the last holder lets go.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::RetentionClass;

use super::key::Key;
use super::person::PersonId;
use crate::environment::Environment;

/// How long a key may be used after it was unwrapped.
pub const LEASE: Duration = Duration::from_secs(30);

/// Which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyName {
    Tenant(u32),
    Secret(&'static str),
    Person(PersonId, RetentionClass),
    Period(RetentionClass, i16),
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

    /// Whether the key may still be used.
    pub fn holds(&self, env: &Environment) -> bool {
        !self.ended() && env.clock.since_boot() < self.until
    }
}

/// All leases of one keyring.
#[derive(Default)]
pub struct Leases {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    keys: BTreeMap<KeyName, Arc<Lease>>,
    sweep_at: usize,
}

impl Leases {
    pub fn get(&self, name: KeyName, env: &Environment) -> Option<Arc<Lease>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.keys.get(&name).filter(|lease| lease.holds(env)).cloned()
    }

    pub fn put(&self, name: KeyName, key: Key, env: &Environment) -> Arc<Lease> {
        let until = env.clock.since_boot() + LEASE;
        let lease = Arc::new(Lease { key, until, ended: AtomicBool::new(false) });
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.keys.len() >= held.sweep_at {
            held.keys.retain(|_, lease| lease.holds(env));
            held.sweep_at = 2 * held.keys.len() + 1024;
        }
        held.keys.insert(name, Arc::clone(&lease));
        lease
    }

    /// Lets go of every key whose time is over.
    pub fn sweep(&self, env: &Environment) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.keys.retain(|_, lease| lease.holds(env));
    }

    /// Takes back every key of a person, also from those who are using one.
    pub fn end_person(&self, person: PersonId) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for class in RetentionClass::ALL {
            if let Some(lease) = held.keys.remove(&KeyName::Person(person, class)) {
                lease.ended.store(true, Ordering::Release);
            }
        }
    }
}
