//! Sealing: what a command brings to the keyring, prepared outside the writer.
//!
//! A caller mints handles, seals values and hands the whole to the writer together with the
//! command. Nothing of it exists before the command is accepted: keys, links, seals and entry are
//! one commit.

use std::sync::Arc;

use domain::sealed::{Content, FieldSet, SealRef, Sealed};
use domain::{FenceId, Handle, Kind, RetentionClass};
use zeroize::Zeroizing;

use super::bundle::{Held, Wrapping};
use super::key::{Key, Wrapped};
use super::lease::{KeyName, Lease};
use super::person::{PersonId, PersonState};
use super::personal::Personal;
use super::{KeyError, Keyring, seal};
use crate::tree::{self, Hash};

/// By what a person can be found without their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookupKind {
    Email,
    Phone,
    NationalId,
    /// A reference of the tenant's own: a customer number, a row of an import.
    Reference,
}

impl LookupKind {
    /// Frozen: rows of the keyring hold it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Email => 1,
            Self::Phone => 2,
            Self::NationalId => 3,
            Self::Reference => 4,
        }
    }
}

/// A value to be found by, already normalised. Cannot be printed.
pub struct Lookup {
    kind: LookupKind,
    value: Zeroizing<String>,
}

impl Lookup {
    pub fn new(kind: LookupKind, normalised: String) -> Self {
        Self { kind, value: Zeroizing::new(normalised) }
    }

    pub(crate) fn pieces(&self) -> [&[u8]; 2] {
        let kind: &[u8] = match self.kind {
            LookupKind::Email => b"email:",
            LookupKind::Phone => b"phone:",
            LookupKind::NationalId => b"national_id:",
            LookupKind::Reference => b"reference:",
        };
        [kind, self.value.as_bytes()]
    }
}

/// One person's part in what is about to be appended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    pub handle: Handle,
    pub person: PersonId,
    pub fence: FenceId,
    /// The contact fields that the person has given so far.
    pub fields: FieldSet,
}

#[derive(Clone)]
pub(crate) struct NewPerson {
    pub id: PersonId,
    pub fence: FenceId,
    pub fields: FieldSet,
    /// All of them, wrapped as one.
    pub keys: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct NewDataKey {
    pub handle: Handle,
    pub class: RetentionClass,
    pub person: Option<PersonId>,
    pub year: Option<i16>,
    pub wrapped: Wrapped,
}

#[derive(Clone)]
pub(crate) struct NewLookup {
    pub value: [u8; 16],
    pub person: PersonId,
    pub kind: LookupKind,
    /// Of the tenant key that covers it.
    pub epoch: u32,
}

#[derive(Clone)]
pub(crate) struct NewSeal {
    pub kind: Kind,
    pub seal: SealRef,
    pub bytes: Vec<u8>,
    /// What the entry says of it, made here rather than where all wait.
    pub hash: Hash,
}

/// What was sealed for one command, as it is handed in: no key is in it but wrapped ones.
#[derive(Clone, Default)]
pub struct Brought {
    pub(crate) persons: Vec<NewPerson>,
    pub(crate) data_keys: Vec<NewDataKey>,
    pub(crate) seals: Vec<NewSeal>,
    pub(crate) lookups: Vec<NewLookup>,
    /// Persons whose lookups are replaced, and their contact fields from now on.
    pub(crate) replaced: Vec<(PersonId, FieldSet)>,
    /// Whose each handle is.
    pub(crate) links: Vec<(Handle, PersonId)>,
}

impl Brought {
    pub(crate) fn person(&self, handle: Handle) -> Option<PersonId> {
        self.links.iter().find(|(linked, _)| *linked == handle).map(|(_, person)| *person)
    }
}

/// Seals everything personal that comes with one command.
pub struct Sealing {
    keyring: Arc<Keyring>,
    /// Handles that existed before and are continued here.
    continued: Vec<Handle>,
    data_keys_at_hand: Vec<((Handle, RetentionClass), Key)>,
    /// The keys of persons who are new with this command, and in no row yet: what another node ends
    /// meanwhile takes leases back, which then could not be read again.
    new_keys: Vec<((PersonId, RetentionClass), Arc<Lease>)>,
    brought: Brought,
}

impl Sealing {
    pub(crate) fn new(keyring: Arc<Keyring>) -> Self {
        let (continued, data_keys_at_hand, new_keys, brought) = Default::default();
        Self { keyring, continued, data_keys_at_hand, new_keys, brought }
    }

    /// Lets go of all keys: on the caller's time, not where all wait.
    pub(crate) fn finish(self) -> Brought {
        self.brought
    }

    /// Somebody who was not known before, with keys for every class that ends with them.
    ///
    /// # Errors
    /// Where the key store cannot be reached.
    pub fn new_person(&mut self, fields: FieldSet, lookups: &[Lookup]) -> Result<Part, KeyError> {
        let keyring = Arc::clone(&self.keyring);
        let (epoch, tenant_key) = keyring.newest()?;
        let person = keyring.mint_person()?;
        let fence = FenceId(keyring.env.random());
        let classes = RetentionClass::ALL.into_iter().filter(|class| class.ends_with_person());
        let held = classes.map(|class| (class, Key::random(&keyring.env)));
        let held: Vec<_> =
            held.map(|(class, key)| Held { class: class.code(), at: epoch, key }).collect();
        let keys = Wrapping::new(epoch, &tenant_key.key).wrap(person.0, &held);
        for Held { class, key, .. } in held {
            if let Some(class) = RetentionClass::from_code(class) {
                let name = KeyName::Person(person, class);
                let lease = keyring.leases.put(name, key, &keyring.env);
                self.new_keys.push(((person, class), lease));
            }
        }
        self.brought.persons.push(NewPerson { id: person, fence, fields, keys });
        self.look_up(person, lookups)?;
        self.link(person, fence, fields)
    }

    /// A new part of somebody who is known.
    ///
    /// # Errors
    /// Where the person is unknown, erased or restricted, or the keyring cannot be read.
    pub fn known(&mut self, person: PersonId) -> Result<Part, KeyError> {
        let info = self.keyring.info(person)?.ok_or(KeyError::Unknown)?;
        match (info.state, info.fence) {
            (PersonState::Live, Some(fence)) => self.link(person, fence, info.fields),
            (PersonState::Restricted, _) => Err(KeyError::Restricted),
            (PersonState::Erasing | PersonState::Erased, _) => Err(KeyError::Erased),
            (PersonState::Live, None) => Err(KeyError::Missing),
        }
    }

    /// Another part of the same person, who may be new.
    ///
    /// # Errors
    /// Where the keyring cannot be reached.
    pub fn again(&mut self, part: &Part) -> Result<Part, KeyError> {
        self.link(part.person, part.fence, part.fields)
    }

    /// A part that exists already, so that more can be sealed under the same handle.
    ///
    /// # Errors
    /// As [`Self::known`].
    pub fn continued(&mut self, person: PersonId, handle: Handle) -> Result<Part, KeyError> {
        let part = self.known(person)?;
        // The handle that a new part would have had.
        self.brought.links.retain(|(linked, _)| *linked != part.handle);
        self.brought.links.push((handle, person));
        self.continued.push(handle);
        Ok(Part { handle, ..part })
    }

    /// New contact fields and lookups for somebody who is known, in place of the old ones.
    /// References stay: they are the tenant's, not the person's.
    ///
    /// # Errors
    /// Where the key store cannot be reached.
    pub fn replace_lookups(
        &mut self,
        person: PersonId,
        fields: FieldSet,
        lookups: &[Lookup],
    ) -> Result<(), KeyError> {
        self.brought.replaced.push((person, fields));
        self.look_up(person, lookups)
    }

    /// More by which somebody can be found, besides what they are found by already.
    ///
    /// # Errors
    /// Where the key store cannot be reached.
    pub fn look_up(&mut self, person: PersonId, lookups: &[Lookup]) -> Result<(), KeyError> {
        for lookup in lookups {
            let (epoch, value) = self.keyring.lookup_value(lookup)?;
            self.brought.lookups.push(NewLookup { value, person, kind: lookup.kind, epoch });
        }
        Ok(())
    }

    fn link(
        &mut self,
        person: PersonId,
        fence: FenceId,
        fields: FieldSet,
    ) -> Result<Part, KeyError> {
        let handle = self.keyring.mint_handle()?;
        self.brought.links.push((handle, person));
        Ok(Part { handle, person, fence, fields })
    }

    /// Seals values as the `index`-th seal of an entry of this kind.
    ///
    /// # Errors
    /// Where the person's key is gone, the key store cannot be reached or the values are too long.
    pub fn seal<T: Content>(
        &mut self,
        part: &Part,
        kind: Kind,
        index: u16,
        content: &Personal,
    ) -> Result<Sealed<T>, KeyError> {
        let name = (part.person, T::CLASS);
        let lease = match self.new_keys.iter().find(|(known, _)| *known == name) {
            Some((_, lease)) => Arc::clone(lease),
            None => self.keyring.person_key(part.person, T::CLASS)?,
        };
        self.seal_under(&lease.key, part.handle, Some(part.person), None, kind, index, content)
    }

    /// As [`Self::seal`], for a class whose keys end with a year instead of the person. The year's
    /// key exists ([`crate::Ledger::ensure_period`]).
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_for_year<T: Content>(
        &mut self,
        part: &Part,
        year: i16,
        kind: Kind,
        index: u16,
        content: &Personal,
    ) -> Result<Sealed<T>, KeyError> {
        let lease = self.keyring.period_key(T::CLASS, year)?;
        let person = Some(part.person);
        self.seal_under(&lease.key, part.handle, person, Some(year), kind, index, content)
    }

    /// Seals for nobody: an access record belongs to the tenant, under a handle of its own.
    pub(crate) fn seal_access<T: Content>(
        &mut self,
        year: i16,
        kind: Kind,
        content: &Personal,
    ) -> Result<Sealed<T>, KeyError> {
        let lease = self.keyring.period_key(T::CLASS, year)?;
        let handle = self.keyring.mint_handle()?;
        self.seal_under(&lease.key, handle, None, Some(year), kind, 0, content)
    }

    #[expect(clippy::too_many_arguments, reason = "the three ways to seal differ in just these")]
    fn seal_under<T: Content>(
        &mut self,
        parent: &Key,
        handle: Handle,
        person: Option<PersonId>,
        year: Option<i16>,
        kind: Kind,
        index: u16,
        content: &Personal,
    ) -> Result<Sealed<T>, KeyError> {
        let name = (handle, T::CLASS);
        let at_hand = self.data_keys_at_hand.iter().position(|(known, _)| *known == name);
        if at_hand.is_none() {
            let key = match self.stored_key(parent, handle, T::CLASS)? {
                Some(key) => key,
                None => {
                    let key = Key::random(&self.keyring.env);
                    let wrapped = parent.wrap(&key);
                    let class = T::CLASS;
                    self.brought.data_keys.push(NewDataKey {
                        handle,
                        class,
                        person,
                        year,
                        wrapped,
                    });
                    key
                }
            };
            self.data_keys_at_hand.push((name, key));
        }
        let at_hand =
            at_hand.map_or(self.data_keys_at_hand.last(), |at| self.data_keys_at_hand.get(at));
        let (_, key) = at_hand.ok_or(KeyError::Missing)?;
        let sealed = Sealed::<T>::new(handle, index);
        let reference = sealed.reference();
        let keyring = &self.keyring;
        let bytes = seal::close(keyring.tenant, kind, reference, key, content, &keyring.env)?;
        let hash = tree::hash(&[&bytes]);
        self.brought.seals.push(NewSeal { kind, seal: reference, bytes, hash });
        Ok(sealed)
    }

    /// The data key that a continued part already has.
    fn stored_key(
        &self,
        parent: &Key,
        handle: Handle,
        class: RetentionClass,
    ) -> Result<Option<Key>, KeyError> {
        if !self.continued.contains(&handle) {
            return Ok(None);
        }
        let row = self.keyring.log.reader().data_key_row(handle, class)?;
        match row {
            None => Ok(None),
            Some(row) => match row.wrapped {
                Some(wrapped) => match (parent.unwrap(&wrapped), row.person) {
                    (Ok(key), _) => Ok(Some(key)),
                    // The person's key was replaced a moment ago.
                    (Err(wrong), Some(person)) => {
                        let key = self.keyring.unwrap_elsewhere(person, class, &wrapped)?;
                        key.map_or_else(|| Err(wrong.into()), |key| Ok(Some(key)))
                    }
                    (Err(wrong), None) => Err(wrong.into()),
                },
                None => Err(KeyError::Erased),
            },
        }
    }
}
