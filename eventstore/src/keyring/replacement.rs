//! Replacing the key of a person of whom something has been forgotten.
//!
//! A data key that is destroyed leaves copies from before, in which it hangs on the person's key. As
//! long as that key lives on, whoever has such a copy and the keyring of today opens what was
//! forgotten. So a rotation gives the person another key and hangs what is left on it. The old one
//! is kept as it was wrapped, under the tenant key of the epoch that ends, for whoever sealed
//! something under it without having heard; with that epoch it ends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use domain::RetentionClass;

use super::key::Key;
use super::person::PersonId;
use super::rotation::{Pace, unwrap_under};
use super::{KeyError, Keyring};
use crate::engine::{CLASSES, Change, HangingOf, Replaced};
use crate::ledger::Ledger;
use crate::ledger::appender::AppendError;
use crate::sqlite::{int, uint};

/// How many rows are looked at, and how many keys replaced in one transaction.
const PAGE: usize = 100;

/// A person's key of a class, as it is stored and as it is.
type Present = (Vec<u8>, Key);

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
        for (stored, row) in self.log.reader().keys_of(person)? {
            if stored % CLASSES == i16::from(class.code())
                && let Ok(key) = self.of_tenant(&row)
                && let Ok(found) = key.unwrap(wrapped)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The epoch of the tenant key that something hangs on, unless it is the newest.
    fn older_epoch(&self, wrapped: &[u8]) -> Result<Option<u32>, KeyError> {
        let keys = self.tenant_keys()?;
        let newest = keys.first().map(|(epoch, _)| *epoch);
        let under = unwrap_under(&keys, wrapped).map(|(epoch, _)| epoch);
        Ok(under.filter(|epoch| Some(*epoch) != newest))
    }
}

impl Ledger {
    /// Replaces the keys under which a data key has died, before anything else is wrapped anew.
    /// Answers how many.
    pub(super) fn replace_keys(&self) -> Result<u64, AppendError> {
        let reader = self.log().reader();
        let (mut after, mut done) = (i64::MIN, 0);
        let mut seen: BTreeSet<(PersonId, i16)> = BTreeSet::new();
        loop {
            let page = reader.dead(after, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(done) };
            after = *last;
            let mut replaced = Vec::new();
            let mut persons = BTreeSet::new();
            for (id, person) in page {
                let class = i16::try_from(id.rem_euclid(i64::from(CLASSES))).unwrap_or(0);
                if seen.insert((person, class)) {
                    replaced.extend(self.replacement(person, class)?);
                    persons.insert(person);
                }
            }
            if !replaced.is_empty() {
                done += Pace::new().change(self, Change::Replaced(replaced))?;
            }
            persons.into_iter().for_each(|person| self.keyring().leases.replace_person(person));
        }
    }

    /// Another key for a person and class, with what hangs on it; none where the key hangs on the
    /// newest tenant key already, for then it is as new as that.
    fn replacement(&self, person: PersonId, class: i16) -> Result<Option<Replaced>, AppendError> {
        let keyring = self.keyring();
        let Some((was, old)) = self.present(person, class)? else { return Ok(None) };
        let Some(epoch) = keyring.older_epoch(&was)? else { return Ok(None) };
        let new = Key::random(&keyring.env);
        let is = keyring.tenant_key()?.key.wrap(&new).to_vec();
        let ids = self.ids_of(person, class)?;
        let mut data_keys = Vec::new();
        for (id, wrapped) in self.log().reader().data_keys(&ids)? {
            if let Some(key) = self.data_key(&old, person, class, &wrapped)? {
                data_keys.push((id, wrapped, new.wrap(&key).to_vec()));
            }
        }
        let above = i16::try_from(epoch).unwrap_or(i16::MAX / CLASSES);
        let retired = Some(class + CLASSES * above);
        Ok(Some(Replaced { place: (int(person.0), class), retired, was, is, data_keys }))
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
        class: i16,
        wrapped: &[u8],
    ) -> Result<Option<Key>, AppendError> {
        if let Ok(key) = current.unwrap(wrapped) {
            return Ok(Some(key));
        }
        let class = u8::try_from(class).ok().and_then(RetentionClass::from_code);
        let Some(class) = class else { return Ok(None) };
        Ok(self.keyring().unwrap_elsewhere(person, class, wrapped)?)
    }

    /// Hangs on persons' present keys what still hangs on one that was retired before an epoch, and
    /// will end with it. All data keys are looked at: what were missed would be lost.
    pub(super) fn hang_stragglers(&self, before: u32) -> Result<(), AppendError> {
        let retired = self.retired(before)?;
        let mut present: BTreeMap<(PersonId, i16), Option<Present>> = BTreeMap::new();
        let mut after = if retired.is_empty() { i64::MAX } else { i64::MIN };
        loop {
            let page = self.log().reader().linked(after, 8 * PAGE)?;
            let Some((last, ..)) = page.last() else { return Ok(()) };
            after = *last;
            let mut replaced = Vec::new();
            for (id, person, wrapped) in page {
                let class = i16::try_from(id.rem_euclid(i64::from(CLASSES))).unwrap_or(0);
                if !retired.contains(&(person, class)) {
                    continue;
                }
                let key = match present.entry((person, class)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(self.present(person, class)?),
                };
                let Some((was, key)) = key else { continue };
                if key.unwrap(&wrapped).is_err()
                    && let Some(straggler) = self.data_key(key, person, class, &wrapped)?
                {
                    replaced.push(Replaced {
                        place: (int(person.0), class),
                        retired: None,
                        was: was.clone(),
                        is: was.clone(),
                        data_keys: vec![(id, wrapped, key.wrap(&straggler).to_vec())],
                    });
                }
            }
            if !replaced.is_empty() {
                Pace::new().change(self, Change::Replaced(replaced))?;
            }
        }
    }

    /// Of whom a key was retired before an epoch, and of which class.
    fn retired(&self, before: u32) -> Result<BTreeSet<(PersonId, i16)>, AppendError> {
        let mut retired = BTreeSet::new();
        let mut after = (i64::MIN, 0);
        loop {
            let page = self.log().reader().hanging(Some(after), 8 * PAGE)?;
            let mut places = page.iter().filter_map(|row| match row.of {
                HangingOf::Person(place) => Some(place),
                HangingOf::Period(..) | HangingOf::Secret(_) => None,
            });
            for (person, class) in places.clone() {
                if u32::try_from(class / CLASSES).is_ok_and(|epoch| (1..before).contains(&epoch)) {
                    retired.insert((PersonId(uint(person)), class % CLASSES));
                }
            }
            match places.next_back() {
                Some(place) => after = place,
                None => return Ok(retired),
            }
        }
    }

    /// A person's present key of a class, as it is stored and as it is.
    fn present(&self, person: PersonId, class: i16) -> Result<Option<(Vec<u8>, Key)>, AppendError> {
        let rows = self.log().reader().keys_of(person)?;
        let Some((_, was)) = rows.into_iter().find(|(stored, _)| *stored == class) else {
            return Ok(None);
        };
        let key = self.keyring().of_tenant(&was)?;
        Ok(Some((was, key)))
    }
}
