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

use super::bundle::{self, Held, Wrapping};
use super::key::Key;
use super::lease::{KeyName, LEASE, Lease};
use super::lookups::{self, Covers};
use super::person::PersonId;
use super::provider::{Epoch, Provider, ProviderError};
use super::{KeyError, Keyring};
use crate::engine::{Bundle, Change};
use crate::environment::Environment;
use crate::ledger::appender::{Append, AppendError};
use crate::ledger::{Ledger, codec};
use crate::sqlite::uint;

/// How many persons are wrapped anew in one transaction while others wait for it.
const PAGE: usize = 256;
/// How many while nobody does, and how many are read at once.
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

    /// A person's keys, of whichever epoch the row is.
    pub(crate) fn open_row(&self, person: PersonId, row: &[u8]) -> Result<Vec<Held>, KeyError> {
        let open = |keys: &[OfEpoch]| bundle::open(row, person.0, &wrappings(keys, row));
        if let Ok(held) = open(&self.tenant_keys()?) {
            return Ok(held);
        }
        // It may hang on a key that another node has made since.
        self.forget_epochs();
        let wrong = KeyError::Provider(ProviderError::WrongStore);
        open(&self.tenant_keys()?).map_err(|_| wrong)
    }

    /// The epochs of which the tenant has a key, newest first, read anew.
    fn epochs_now(&self) -> Result<Vec<u32>, KeyError> {
        self.forget_epochs();
        self.epochs()
    }
}

/// A tenant key with its epoch.
pub(super) type OfEpoch = (u32, Arc<Lease>);

/// The keys that a person's row may hang on, set up to open it.
fn wrappings(keys: &[OfEpoch], row: &[u8]) -> Vec<Wrapping> {
    let epoch = bundle::epoch(row);
    let may = keys.iter().filter(|(of, _)| epoch.is_none_or(|epoch| epoch == *of));
    may.map(|(epoch, key)| Wrapping::new(*epoch, &key.key)).collect()
}

/// All keys of the tenant's set up to wrap persons', newest first.
pub(super) fn all_wrappings(keys: &[OfEpoch]) -> Vec<Wrapping> {
    keys.iter().map(|(epoch, key)| Wrapping::new(*epoch, &key.key)).collect()
}

fn count(row: &[u8]) -> u64 {
    length(bundle::classes(row).into_iter())
}

fn length(of: impl Iterator) -> u64 {
    u64::try_from(of.count()).unwrap_or(u64::MAX)
}

/// The key that hangs on one of these, with the epoch of that.
pub(super) fn unwrap_under(keys: &[OfEpoch], wrapped: &[u8]) -> Option<(u32, Key)> {
    keys.iter().find_map(|(epoch, key)| Some((*epoch, key.key.unwrap(wrapped).ok()?)))
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
            self.page = (4 * self.page).min(LARGEST);
        } else {
            self.page = PAGE;
            let taken = clock.since_boot().saturating_sub(start);
            std::thread::sleep((taken * OTHERS).min(PAUSE));
        }
        Ok(changed)
    }
}

/// Persons' rows as they were read, and wrapped anew.
#[derive(Default)]
struct Page {
    rows: Vec<(Bundle, Bundle)>,
    /// What is in it, as far as it was not wrapped anew before.
    done: Rewrapped,
    /// The last of whom was read.
    last: Option<i64>,
}

impl Page {
    /// Writes it in as many parts as others leave time for.
    fn write(
        self,
        ledger: &Ledger,
        pace: &mut Pace,
        done: &mut Rewrapped,
    ) -> Result<(), AppendError> {
        let mut rows = self.rows.into_iter().peekable();
        while rows.peek().is_some() {
            let part = rows.by_ref().take(pace.page).collect();
            pace.change(ledger, Change::Rotated(part))?;
        }
        done.persons += self.done.persons;
        done.keys += self.done.keys;
        done.lookups += self.done.lookups;
        Ok(())
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
        self.rewrap(&mut done)?;
        self.rotate_persons(&mut done)?;
        Ok(done)
    }

    /// Wraps the few keys of the tenant's own anew.
    fn rewrap(&self, done: &mut Rewrapped) -> Result<(), AppendError> {
        let keys = self.keyring().tenant_keys()?;
        let Some((newest_epoch, newest)) = keys.first() else { return Ok(()) };
        let mut anew = Vec::new();
        for row in self.log().reader().hanging()? {
            match unwrap_under(&keys, &row.wrapped) {
                Some((epoch, _)) if epoch == *newest_epoch => (),
                Some((_, key)) => {
                    let wrapped = newest.key.wrap(&key).to_vec();
                    anew.push((row, wrapped));
                }
                None => return Err(KeyError::Provider(ProviderError::WrongStore).into()),
            }
        }
        if !anew.is_empty() {
            done.keys += self.change_blocking(Change::Rewrapped(anew))?;
        }
        Ok(())
    }

    /// Wraps persons' keys anew, and covers what they are found by. While a page is written the next
    /// is read and wrapped.
    fn rotate_persons(&self, done: &mut Rewrapped) -> Result<(), AppendError> {
        let keys = self.keyring().tenant_keys()?;
        let (wrappings, covers) = (all_wrappings(&keys), Covers::new(&keys));
        let read = |after| self.wrapped_anew(after, &wrappings, &covers);
        let (mut page, mut pace) = (read(i64::MIN)?, Pace::new());
        while let Some(last) = page.last {
            page = std::thread::scope(|scope| {
                let next = scope.spawn(move || read(last));
                page.write(self, &mut pace, done)?;
                next.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
            })?;
        }
        Ok(())
    }

    fn wrapped_anew(
        &self,
        after: i64,
        wrappings: &[Wrapping],
        covers: &Covers,
    ) -> Result<Page, AppendError> {
        let read = self.log().reader().bundles(after, LARGEST)?;
        let last = read.last().map(|was| was.person);
        let mut page = Page { rows: Vec::with_capacity(read.len()), last, ..Page::default() };
        for was in read {
            page.done.persons += 1;
            let keys = bundle::anew(&was.keys, uint(was.person), wrappings)
                .map_err(|_| KeyError::Provider(ProviderError::WrongStore))?;
            let lookups = covers.anew(&was.lookups);
            if keys.is_none() && lookups.is_none() {
                continue;
            }
            page.done.keys += keys.as_deref().map_or(0, count);
            page.done.lookups +=
                lookups.as_deref().map_or(0, |list| length(lookups::entries(list)));
            let is = Bundle {
                person: was.person,
                keys: keys.unwrap_or_else(|| was.keys.clone()),
                lookups: lookups.unwrap_or_else(|| was.lookups.clone()),
            };
            page.rows.push((was, is));
        }
        Ok(page)
    }

    /// Records in the ledger that its keys hang on this epoch, once, after its links were laid down anew.
    pub(crate) fn record_rotation(&self, epoch: Epoch, done: Rewrapped) -> Result<(), AppendError> {
        if !self.has_recorded(epoch)? {
            self.change_blocking(Change::LinksAnew)?;
            let rotated = Rotated { epoch: epoch.0, persons: done.persons };
            self.append_blocking(Append::new(Command::Keys(rotated), Actor::System))?;
            self.mark_blocking()?;
        }
        Ok(())
    }

    /// Whether the ledger says that its keys hang on this epoch.
    pub(crate) fn has_recorded(&self, epoch: Epoch) -> Result<bool, AppendError> {
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
