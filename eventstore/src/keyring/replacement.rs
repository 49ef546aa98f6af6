//! Replacing the key of a person of whom something has been forgotten.
//!
//! A data key that is destroyed leaves copies from before, in which it hangs on the person's key. As
//! long as that key lives on, whoever has such a copy and the keyring of today opens what was
//! forgotten. So a rotation gives the person another key and hangs what is left on it. The old one
//! is kept by itself under the tenant key of the epoch that ends, for whoever sealed something under
//! it without having heard; with that epoch it ends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use domain::RetentionClass;

use super::bundle::Held;
use super::key::Key;
use super::person::PersonId;
use super::provider::ProviderError;
use super::rotation::{Pace, all_wrappings};
use super::{KeyError, Keyring};
use crate::engine::{CLASSES, Change, Replaced};
use crate::ledger::Ledger;
use crate::ledger::appender::AppendError;
use crate::sqlite::{int, uint};

/// How many rows are looked at, and how many persons' keys replaced in one transaction.
const PAGE: usize = 100;

/// A person's keys, as they are stored and as they are.
type Present = (Vec<u8>, Vec<Held>);

impl Keyring {
    /// A data key that does not hang on the key at hand: its person's may have been replaced.
    pub(crate) fn unwrap_elsewhere(
        &self,
        person: PersonId,
        class: RetentionClass,
        wrapped: &[u8],
    ) -> Result<Option<Key>, KeyError> {
        // What is at hand may be the old key: what is read from now on is the new one.
        self.leases.replace_person(person);
        let (reader, code) = (self.log.reader(), class.code());
        let present = match reader.keys_of(person)? {
            Some(row) => unless_other(self.open_row(person, &row))?.unwrap_or_default(),
            None => Vec::new(),
        };
        let present = present.into_iter().find(|held| held.class == code);
        if let Some(Ok(found)) = present.map(|held| held.key.unwrap(wrapped)) {
            return Ok(Some(found));
        }
        for (stored, row) in reader.retired_of(person)? {
            if stored % CLASSES == i16::from(code)
                && let Some(key) = unless_other(self.of_tenant(&row))?
                && let Ok(found) = key.unwrap(wrapped)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// What was opened; none where it hangs on another key. That a key could not be had says nothing of
/// what hangs on it: who took that for nothing would have it end.
fn unless_other<T>(opened: Result<T, KeyError>) -> Result<Option<T>, KeyError> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(KeyError::Provider(ProviderError::WrongStore)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Ledger {
    /// Replaces the keys under which a data key has died, before anything else is wrapped anew.
    /// Answers how many.
    pub(super) fn replace_keys(&self) -> Result<u64, AppendError> {
        let reader = self.log().reader();
        let (mut after, mut done) = (i64::MIN, 0);
        let mut seen: BTreeSet<(PersonId, u8)> = BTreeSet::new();
        loop {
            let page = reader.dead(after, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(done) };
            after = *last;
            // All classes of a person at once: their keys are one row.
            let mut dead: BTreeMap<PersonId, Vec<u8>> = BTreeMap::new();
            for (id, person) in page {
                let class = class_of(id);
                if seen.insert((person, class)) {
                    dead.entry(person).or_default().push(class);
                }
            }
            let mut replaced = Vec::new();
            for (person, classes) in &dead {
                replaced.extend(self.replacement(*person, classes)?);
            }
            if !replaced.is_empty() {
                done += Pace::new().change(self, Change::Replaced(replaced))?;
            }
            dead.into_keys().for_each(|person| self.keyring().leases.replace_person(person));
        }
    }

    /// Other keys for a person and these classes, with what hangs on them; not where a rotation to
    /// the newest tenant key has been at one already, for then it is as new as that.
    fn replacement(
        &self,
        person: PersonId,
        classes: &[u8],
    ) -> Result<Option<Replaced>, AppendError> {
        let keyring = self.keyring();
        let Some((was, mut held)) = self.present(person)? else { return Ok(None) };
        let wrappings = all_wrappings(&keyring.tenant_keys()?);
        let Some(newest) = wrappings.first() else { return Ok(None) };
        let (mut retired, mut data_keys) = (Vec::new(), Vec::new());
        for one in held.iter_mut().filter(|one| classes.contains(&one.class)) {
            let older = wrappings.iter().skip(1).find(|under| under.epoch <= one.at);
            let older = older.or(wrappings.get(1)).filter(|_| one.at < newest.epoch);
            let Some(older) = older else { continue };
            let class = i16::from(one.class);
            let new = Key::random(&keyring.env);
            for (id, wrapped) in self.log().reader().data_keys(&self.ids_of(person, class)?)? {
                if let Some(key) = self.data_key(&one.key, person, one.class, &wrapped)? {
                    data_keys.push((id, wrapped, new.wrap(&key).to_vec()));
                }
            }
            let above = i16::try_from(older.epoch).unwrap_or(i16::MAX / CLASSES);
            retired.push((class + CLASSES * above, older.single(&one.key)));
            (one.key, one.at) = (new, newest.epoch);
        }
        if retired.is_empty() {
            return Ok(None);
        }
        let is = newest.wrap(person.0, &held);
        Ok(Some(Replaced { person: int(person.0), was, is, retired, data_keys }))
    }

    fn ids_of(&self, person: PersonId, class: i16) -> Result<Vec<i64>, AppendError> {
        let handles = self.keyring().handles_of(person)?;
        let id = |handle: domain::Handle| int(handle.0) * i64::from(CLASSES) + i64::from(class);
        Ok(handles.into_iter().map(id).collect())
    }

    fn data_key(
        &self,
        current: &Key,
        person: PersonId,
        class: u8,
        wrapped: &[u8],
    ) -> Result<Option<Key>, AppendError> {
        if let Ok(key) = current.unwrap(wrapped) {
            return Ok(Some(key));
        }
        let Some(class) = RetentionClass::from_code(class) else { return Ok(None) };
        Ok(self.keyring().unwrap_elsewhere(person, class, wrapped)?)
    }

    /// Hangs on persons' present keys what still hangs on one that was retired before an epoch, and
    /// will end with it. All data keys are looked at: what were missed would be lost. Fails where one
    /// is left.
    pub(super) fn hang_stragglers(&self, before: u32) -> Result<(), AppendError> {
        let retired = self.retired(before)?;
        let mut present: BTreeMap<PersonId, Option<Present>> = BTreeMap::new();
        let mut after = if retired.is_empty() { i64::MAX } else { i64::MIN };
        loop {
            let page = self.log().reader().linked(after, 8 * PAGE)?;
            let Some((last, ..)) = page.last() else { return Ok(()) };
            after = *last;
            let (mut replaced, mut found) = (Vec::new(), Vec::new());
            for (id, person, wrapped) in page {
                let class = class_of(id);
                if !retired.contains(&(person, class)) {
                    continue;
                }
                let keys = match present.entry(person) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(self.present(person)?),
                };
                // Whose keys are gone is being erased, and what hangs on them with it.
                let Some((was, held)) = keys else { continue };
                let key = held.iter().find(|one| one.class == class).map(|one| &one.key);
                if key.is_some_and(|key| key.unwrap(&wrapped).is_ok()) {
                    continue;
                }
                found.push((id, wrapped.clone()));
                if let Some(key) = key
                    && let Some(straggler) = self.data_key(key, person, class, &wrapped)?
                {
                    replaced.push(Replaced {
                        person: int(person.0),
                        was: was.clone(),
                        is: was.clone(),
                        retired: Vec::new(),
                        data_keys: vec![(id, wrapped, key.wrap(&straggler).to_vec())],
                    });
                }
            }
            if !replaced.is_empty() {
                Pace::new().change(self, Change::Replaced(replaced))?;
            }
            self.none_is_left(&found)?;
        }
    }

    /// Makes sure that none of these data keys is as it was, or that its person is erased meanwhile.
    fn none_is_left(&self, found: &[(i64, Vec<u8>)]) -> Result<(), AppendError> {
        let ids: Vec<i64> = found.iter().map(|(id, _)| *id).collect();
        let now = self.log().reader().data_keys(&ids)?;
        match found.iter().find(|one| now.contains(one)) {
            Some(_) => Err(KeyError::Left.into()),
            None => Ok(()),
        }
    }

    /// Of whom a key was retired before an epoch, and of which class.
    fn retired(&self, before: u32) -> Result<BTreeSet<(PersonId, u8)>, AppendError> {
        let mut retired = BTreeSet::new();
        let mut after = (i64::MIN, 0);
        loop {
            let page = self.log().reader().retired(after, 8 * PAGE)?;
            let Some(last) = page.last() else { return Ok(retired) };
            after = *last;
            for (person, class) in page {
                if u32::try_from(class / CLASSES).is_ok_and(|epoch| epoch < before) {
                    retired.insert((PersonId(uint(person)), class_of(class.into())));
                }
            }
        }
    }

    /// A person's present keys, as they are stored and as they are.
    fn present(&self, person: PersonId) -> Result<Option<Present>, AppendError> {
        let Some(row) = self.log().reader().keys_of(person)? else { return Ok(None) };
        let held = self.keyring().open_row(person, &row)?;
        Ok(Some((row, held)))
    }
}

/// The class in the number of a data key, or of a retired one.
fn class_of(id: i64) -> u8 {
    u8::try_from(id.rem_euclid(i64::from(CLASSES))).unwrap_or(0)
}
