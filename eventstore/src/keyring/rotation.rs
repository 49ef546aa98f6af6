//! Rotation: everything that hangs on the tenant's key is wrapped anew under the key of another
//! epoch.
//!
//! A tenant has a key for each epoch whose own key still exists. What is new hangs on the newest;
//! what is older is wrapped anew in pages, between other commands, each row only where it still has
//! the form that was read: what is erased meanwhile stays erased. A rotation that was cut off goes
//! on where rows of an earlier epoch are left, for a wrapped key says itself under which key it is,
//! and a lookup row holds its epoch. An earlier tenant key stays until its epoch ends, for whoever
//! wrapped something under it without having heard of the newer one.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use domain::ledger::Rotated;
use domain::{Actor, Command, Event, Tag};

use super::key::Key;
use super::lease::{KeyName, LEASE, Lease};
use super::provider::{Epoch, Provider, ProviderError};
use super::sealing::stored_kind;
use super::{KeyError, Keyring};
use crate::engine::{CLASSES, Change, Covered, HangingOf, KINDS};
use crate::environment::Environment;
use crate::ledger::appender::{Append, AppendError};
use crate::ledger::{Ledger, codec};

/// How many rows are wrapped anew in one transaction while others wait for it.
const PAGE: usize = 256;
/// How many while nobody does.
const LARGEST: usize = 16_384;
/// How much longer the writer is left to others, where there are any.
const OTHERS: u32 = 5;

/// But no longer than this.
const PAUSE: Duration = Duration::from_secs(1);

/// What a rotation has wrapped anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// How many persons have keys.
    pub persons: u64,
    pub keys: u64,
    /// How many persons' keys were replaced, for something of theirs was forgotten.
    pub replaced: u64,
    pub lookups: u64,
}

impl Keyring {
    /// The tenant's newest key, with its epoch.
    pub(super) fn newest(&self) -> Result<OfEpoch, KeyError> {
        let newest = self.epochs()?.first().copied();
        let epoch = newest.ok_or(KeyError::Provider(ProviderError::NoEpoch(Epoch(1))))?;
        Ok((epoch, self.leased(KeyName::Tenant(epoch))?))
    }

    fn epochs(&self) -> Result<Vec<u32>, KeyError> {
        let now = self.env.clock.since_boot();
        let mut known = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((epochs, until)) = known.as_ref()
            && now < *until
        {
            return Ok(epochs.clone());
        }
        let epochs = self.log.reader().epochs()?;
        *known = Some((epochs.clone(), now + LEASE));
        Ok(epochs)
    }

    fn forget_epochs(&self) {
        *self.epochs.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The tenant's keys, newest first, of all epochs that can still be opened.
    pub(super) fn tenant_keys(&self) -> Result<Vec<OfEpoch>, KeyError> {
        let mut keys = Vec::new();
        for epoch in self.epochs()? {
            match self.leased(KeyName::Tenant(epoch)) {
                Ok(key) => keys.push((epoch, key)),
                // Of an epoch that has ended since; the newest has to be there.
                Err(KeyError::Missing | KeyError::Provider(ProviderError::NoEpoch(_)))
                    if !keys.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(keys)
    }

    /// Unwraps what hangs on the tenant's key, of whichever epoch.
    pub(crate) fn of_tenant(&self, wrapped: &[u8]) -> Result<Key, KeyError> {
        if let Ok(key) = self.tenant_key()?.key.unwrap(wrapped) {
            return Ok(key);
        }
        if let Some((_, key)) = unwrap_under(&self.tenant_keys()?, wrapped) {
            return Ok(key);
        }
        // It may hang on a key that another node has made since.
        self.forget_epochs();
        let found = unwrap_under(&self.tenant_keys()?, wrapped);
        found.map(|(_, key)| key).ok_or(KeyError::Provider(ProviderError::WrongStore))
    }

    /// The epochs of which the tenant has a key, newest first, read anew.
    fn epochs_now(&self) -> Result<Vec<u32>, KeyError> {
        self.forget_epochs();
        self.epochs()
    }
}

/// A tenant key with its epoch.
type OfEpoch = (u32, Arc<Lease>);

/// The key that hangs on one of these, with the epoch of that.
pub(super) fn unwrap_under(keys: &[OfEpoch], wrapped: &[u8]) -> Option<(u32, Key)> {
    keys.iter().find_map(|(epoch, key)| Some((*epoch, key.key.unwrap(wrapped).ok()?)))
}

/// The value of a lookup row: a hash covered by a key that ends with the tenant's, so that no old
/// copy can be asked whether somebody was in it.
pub(super) fn covered(tenant_key: &Key, hash: [u8; 16]) -> [u8; 16] {
    tenant_key.derived(b"lookup cover").encrypt_block(hash)
}

/// How fast rows are changed: the more at once the less each costs, and the longer others wait.
pub(super) struct Pace {
    page: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { page: PAGE }
    }

    /// Makes a change. Where others have written meanwhile the writer is left to them for a while, and
    /// the next page is a small one; else it is larger.
    pub(super) fn change(&mut self, ledger: &Ledger, change: Change) -> Result<u64, AppendError> {
        let clock = &ledger.keyring().env.clock;
        let (size, start) = (ledger.log().size(), clock.since_boot());
        let changed = ledger.change_blocking(change)?;
        if ledger.log().size() == size {
            self.page = (2 * self.page).min(LARGEST);
        } else {
            self.page = PAGE;
            let taken = clock.since_boot().saturating_sub(start);
            std::thread::sleep((taken * OTHERS).min(PAUSE));
        }
        Ok(changed)
    }
}

impl Ledger {
    /// Wraps everything that hangs on the tenant's keys anew under one of this epoch. What was
    /// wrapped anew before a crash is not touched again.
    ///
    /// # Errors
    /// Where the key store or the ledger cannot be read or written. It goes on when called again.
    pub fn rotate(
        &self,
        epoch: Epoch,
        provider: &dyn Provider,
        env: &Environment,
    ) -> Result<Rewrapped, AppendError> {
        let keyring = self.keyring();
        if keyring.epochs_now()?.first().is_none_or(|newest| *newest < epoch.0) {
            let wrapped = provider.wrap(epoch, &Key::random(env))?.to_vec();
            self.change_blocking(Change::TenantKey { epoch: epoch.0, wrapped })?;
            keyring.forget_epochs();
        }
        let mut done = Rewrapped { replaced: self.replace_keys()?, ..Rewrapped::default() };
        self.rewrap(None, &mut done)?;
        self.rewrap(Some((i64::MIN, 0)), &mut done)?;
        self.cover_anew(&mut done)?;
        Ok(done)
    }

    fn rewrap(
        &self,
        mut after: Option<(i64, i16)>,
        done: &mut Rewrapped,
    ) -> Result<(), AppendError> {
        let keyring = self.keyring();
        let mut keys = keyring.tenant_keys()?;
        let Some((newest_epoch, newest)) = keys.first().cloned() else { return Ok(()) };
        // Almost all hang on the key before: it is tried first, and the newest last.
        keys.rotate_left(1);
        let (mut person, mut pace) = (None, Pace::new());
        loop {
            let page = self.log().reader().hanging(after, pace.page)?;
            let mut anew = Vec::new();
            let mut last = None;
            for row in page {
                if let HangingOf::Person(place) = &row.of {
                    done.persons += u64::from(person.replace(place.0) != Some(place.0));
                    last = Some(*place);
                    // What is retired ends with the epoch in which it was.
                    if place.1 >= CLASSES {
                        continue;
                    }
                }
                match unwrap_under(&keys, &row.wrapped) {
                    Some((epoch, _)) if epoch == newest_epoch => (),
                    Some((_, key)) => {
                        let wrapped = newest.key.wrap(&key).to_vec();
                        anew.push((row, wrapped));
                    }
                    None => return Err(KeyError::Provider(ProviderError::WrongStore).into()),
                }
            }
            if !anew.is_empty() {
                done.keys += pace.change(self, Change::Rewrapped(anew))?;
            }
            match last {
                Some(place) => after = Some(place),
                None => return Ok(()),
            }
        }
    }

    fn cover_anew(&self, done: &mut Rewrapped) -> Result<(), AppendError> {
        let keyring = self.keyring();
        let keys = keyring.tenant_keys()?;
        let covers: Vec<(u32, Key)> =
            keys.iter().map(|(epoch, key)| (*epoch, key.key.derived(b"lookup cover"))).collect();
        let Some((newest, cover)) = covers.first() else { return Ok(()) };
        let mut after = Covered { person: -1, ..Covered::default() };
        let mut pace = Pace::new();
        loop {
            let page = self.log().reader().covered(&after, *newest, pace.page)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = *last;
            let anew = page.into_iter().filter_map(|was| {
                let of = u32::try_from(was.kind / KINDS).ok()? + 1;
                let (_, old) = covers.iter().find(|(epoch, _)| *epoch == of)?;
                let value = cover.encrypt_block(old.decrypt_block(was.value));
                Some((was, Covered { value, kind: stored_kind(was.kind, *newest), ..was }))
            });
            let anew: Vec<(Covered, Covered)> = anew.collect();
            done.lookups += pace.change(self, Change::Recovered(anew))?;
        }
    }

    /// Records in the ledger that its keys hang on this epoch, once.
    pub(crate) fn record_rotation(&self, epoch: Epoch, done: Rewrapped) -> Result<(), AppendError> {
        if !self.has_recorded(epoch)? {
            let rotated = Rotated { epoch: epoch.0, persons: done.persons };
            self.append_blocking(Append::new(Command::Keys(rotated), Actor::System))?;
            self.mark_blocking()?;
        }
        Ok(())
    }

    fn has_recorded(&self, epoch: Epoch) -> Result<bool, AppendError> {
        let positions = self.log().positions(Tag::ledger())?;
        let entries = self.log().reader().entries_at(&positions)?;
        Ok(entries.iter().any(|entry| match codec::decode_event(&entry.bytes) {
            Ok(Event::KeysRotated(rotated)) => rotated.epoch == epoch.0,
            Ok(_) | Err(_) => false,
        }))
    }

    /// Ends the tenant's keys of all epochs before one, after everything was wrapped anew.
    pub(crate) fn end_epochs(&self, before: Epoch) -> Result<(), AppendError> {
        self.hang_stragglers(before.0)?;
        self.change_blocking(Change::EndEpochs { before: before.0 })?;
        self.keyring().forget_epochs();
        Ok(())
    }
}
