//! A seal: the fields of one class of one part, encrypted under a data key. Frozen.
//!
//! ```text
//! 1   format, always 1
//! 1   version of the payload
//! 1   class
//! 1   field group, always 0
//! 32  key commitment
//! 12  nonce, random
//! ... AES-256-GCM of: 4 bytes length, the payload, zeros up to the bucket; then the tag
//! ```
//!
//! Associated data are the tenant's permanent id, the handle, the entry's kind, the seal's index
//! and the four bytes of the header, so that no seal can be put in the place of another.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use domain::sealed::SealRef;
use domain::{Handle, Kind, Position, RetentionClass};
use zeroize::Zeroizing;

use super::access::Disclosure;
use super::key::Key;
use super::lease::{KeyName, Lease};
use super::person::PersonState;
use super::personal::Personal;
use super::provider::TenantId;
use super::{DataKeyRow, KeyError, Keyring};
use crate::engine::{Reader, SealRow};
use crate::environment::Environment;
use crate::ledger::log::ReadError;

const FORMAT: u8 = 1;
const PAYLOAD: u8 = 1;
const HEADER: usize = 4;
const COMMITMENT: usize = 32;
const NONCE: usize = 12;
const LARGEST: usize = 32 * 1024;

/// Which seal, and all that its opening depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealAt {
    pub position: Position,
    pub kind: Kind,
    pub seal: SealRef,
}

/// What came of opening a seal. Never one null for five different things.
pub enum Opening {
    Live(Personal),
    /// Kept for another purpose than the reader's.
    Restricted,
    Erased,
    /// The keyring has never heard of the handle.
    UnknownKey,
    /// Key and seal do not belong together, or the seal is gone though its key is there.
    Tampered,
}

impl Opening {
    /// The state's name, which holds nothing personal.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Live(_) => "live",
            Self::Restricted => "restricted",
            Self::Erased => "erased",
            Self::UnknownKey => "unknown_key",
            Self::Tampered => "tampered",
        }
    }
}

/// The padded length of a payload: lengths tell nothing within a bucket.
fn bucket(length: usize) -> usize {
    match length {
        0..=64 => 64,
        65..=128 => 128,
        129..=256 => 256,
        257..=512 => 512,
        _ => length.next_multiple_of(1024),
    }
}

fn associated(tenant: TenantId, kind: Kind, seal: SealRef, header: [u8; HEADER]) -> [u8; 32] {
    let parts: [&[u8]; 5] = [
        &tenant.0,
        &seal.handle.0.to_be_bytes(),
        &kind.0.to_be_bytes(),
        &seal.seal.to_be_bytes(),
        &header,
    ];
    let mut data = [0; 32];
    data.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    data
}

/// Seals values under a data key.
pub(crate) fn close(
    tenant: TenantId,
    kind: Kind,
    seal: SealRef,
    key: &Key,
    content: &Personal,
    env: &Environment,
) -> Result<Vec<u8>, KeyError> {
    let payload = content.to_bytes();
    if payload.len() > LARGEST {
        return Err(KeyError::TooLong);
    }
    let length = u32::try_from(payload.len()).map_err(|_| KeyError::TooLong)?;
    let header = [FORMAT, PAYLOAD, seal.class.code(), 0];
    let nonce = env.random();
    let mut text = Vec::with_capacity(bucket(payload.len() + 4) + 16);
    text.extend(length.to_be_bytes());
    text.extend(payload.iter());
    text.resize(bucket(text.len()), 0);
    key.encrypt(nonce, &associated(tenant, kind, seal, header), &mut text);

    let mut bytes = Vec::with_capacity(HEADER + COMMITMENT + NONCE + text.len());
    bytes.extend(header);
    bytes.extend(key.commitment());
    bytes.extend(nonce);
    bytes.extend(text);
    Ok(bytes)
}

/// Opens a seal with its data key, or says nothing where they do not belong together. The text
/// is decrypted where it lies.
fn open_with(tenant: TenantId, at: SealAt, key: &Key, bytes: &mut [u8]) -> Option<Personal> {
    let (header, rest) = bytes.split_first_chunk_mut::<HEADER>()?;
    let (commitment, rest) = rest.split_first_chunk_mut::<COMMITMENT>()?;
    let (nonce, text) = rest.split_first_chunk_mut::<NONCE>()?;
    if *header != [FORMAT, PAYLOAD, at.seal.class.code(), 0] || *commitment != key.commitment() {
        return None;
    }
    let data = associated(tenant, at.kind, at.seal, *header);
    let plain = key.decrypt(*nonce, &data, text).ok()?;
    let (length, padded) = plain.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    Personal::from_bytes(padded.get(..length)?)
}

/// Seals and their data keys that are read ahead of their opening.
pub(crate) struct Ahead {
    /// How many entries there were before they were read.
    size: u64,
    found: Vec<Found>,
}

impl Ahead {
    pub(crate) fn read(reader: &dyn Reader, seals: &[SealAt]) -> Result<Self, ReadError> {
        let size = reader.head()?.frontier.size();
        Ok(Self { size, found: find(reader, seals)? })
    }
}

fn find(reader: &dyn Reader, seals: &[SealAt]) -> Result<Vec<Found>, ReadError> {
    let rows = reader.seals(seals)?;
    let found = seals.iter().zip(rows).map(|(at, SealRow { data_key, ciphertext })| Found {
        at: *at,
        data_key,
        ciphertext,
    });
    Ok(found.collect())
}

/// What is read of a seal before any key is used.
struct Found {
    at: SealAt,
    data_key: Option<DataKeyRow>,
    ciphertext: Option<Zeroizing<Vec<u8>>>,
}

impl Found {
    /// The key that the data key hangs on.
    fn key_name(&self) -> Option<KeyName> {
        let (row, class) = (self.data_key?, self.at.seal.class);
        let of_year = row.year.map(|year| KeyName::Period(class, year));
        of_year.or_else(|| row.person.map(|person| KeyName::Person(person, class)))
    }
}

impl Keyring {
    /// Opens seals, in the order asked for. Whoever asks holds a ticket: that they asked stands in
    /// the access ledger.
    ///
    /// # Errors
    /// Where the keyring or its key store cannot be read, or the record does not speak of all that is
    /// asked for. Never for what a single seal turned out to be: that is its [`Opening`].
    pub fn open(&self, ticket: &Disclosure, seals: &[SealAt]) -> Result<Vec<Opening>, KeyError> {
        loop {
            let found = find(self.log.reader(), seals)?;
            if let Some(openings) = self.open_at_once(ticket, found)? {
                return Ok(openings);
            }
        }
    }

    /// As [`Self::open`], of seals that were read ahead. They are read again where the ledger has grown since:
    /// a data key may have ended with an entry, which no lease tells. What changes without an entry are the
    /// links of keys that hang on a year's, when an erasure is cleared, and how a key is wrapped.
    pub(crate) fn open_ahead(
        &self,
        ticket: &Disclosure,
        seals: &[SealAt],
        ahead: Ahead,
    ) -> Result<Vec<Opening>, KeyError> {
        if self.log.head()?.frontier.size() != ahead.size {
            return self.open(ticket, seals);
        }
        let of_year = |found: &Found| found.data_key.is_some_and(|row| row.year.is_some());
        let of_year: Vec<bool> = ahead.found.iter().map(of_year).collect();
        let Some(mut openings) = self.open_at_once(ticket, ahead.found)? else {
            return self.open(ticket, seals);
        };
        let (again, places): (Vec<SealAt>, Vec<&mut Opening>) = seals
            .iter()
            .zip(&mut openings)
            .zip(of_year)
            .filter(|((_, opening), of_year)| *of_year || matches!(opening, Opening::Tampered))
            .map(|(both, _)| both)
            .unzip();
        for (place, opening) in places.into_iter().zip(self.open(ticket, &again)?) {
            *place = opening;
        }
        Ok(openings)
    }

    /// Opens what was read, unless a lease was over before all of it was opened: the machine may have slept
    /// while a key was in use. Nothing of it is handed out then; it is to be opened again under what holds.
    fn open_at_once(
        &self,
        ticket: &Disclosure,
        found: Vec<Found>,
    ) -> Result<Option<Vec<Opening>>, KeyError> {
        let names: Vec<Option<KeyName>> = found.iter().map(Found::key_name).collect();
        let leases = self.leases_of(&names)?;
        let mut earliest = Duration::MAX;
        let openings: Vec<Opening> = found
            .into_iter()
            .zip(leases)
            .map(|(found, lease)| self.open_one(ticket, found, lease, &mut earliest))
            .collect::<Result<_, _>>()?;
        Ok((self.env.clock.since_boot() < earliest).then_some(openings))
    }

    fn open_one(
        &self,
        ticket: &Disclosure,
        found: Found,
        lease: Option<Arc<Lease>>,
        earliest: &mut Duration,
    ) -> Result<Opening, KeyError> {
        let Some(row) = found.data_key else { return Ok(Opening::UnknownKey) };
        if !ticket.covers(found.at.seal.class, row.person) {
            return Err(KeyError::NotDisclosed);
        }
        let (Some(wrapped), Some(name)) = (row.wrapped, found.key_name()) else {
            return Ok(Opening::Erased);
        };
        let unlinked = row.person.is_none() && found.at.seal.class == RetentionClass::Accounting;
        if unlinked && !ticket.is_bookkeeping() {
            return Ok(Opening::Restricted);
        }
        // A year's key is not the person's, and no lease on it ends with a restriction.
        if let (Some(_), Some(person)) = (row.year, row.person)
            && !ticket.is_bookkeeping()
            && self.info(person)?.is_some_and(|info| info.state == PersonState::Restricted)
        {
            return Ok(Opening::Restricted);
        }
        let class = found.at.seal.class;
        let lease = match lease.map_or_else(|| self.key(name), Ok) {
            Ok(lease) => lease,
            Err(KeyError::Missing) => return self.without_key(class, &row),
            Err(error) => return Err(error),
        };
        *earliest = lease.until().min(*earliest);
        let key = match (lease.key.unwrap(&wrapped), row.person, row.year) {
            (Ok(key), ..) => Some(key),
            // The person's key may have been replaced since this one was lent.
            (Err(_), Some(person), None) => self.unwrap_elsewhere(person, class, &wrapped)?,
            (Err(_), ..) => None,
        };
        let opening = self.open_under(&lease, key.as_ref(), found);
        if lease.ended() {
            // Somebody was erased meanwhile, perhaps somebody else: what is stored says who.
            *earliest = Duration::ZERO;
        }
        Ok(opening)
    }

    fn key(&self, name: KeyName) -> Result<Arc<Lease>, KeyError> {
        match name {
            KeyName::Person(person, class) => self.person_key(person, class),
            KeyName::Period(class, year) => self.period_key(class, year),
            KeyName::Secret(name) => self.secret(name),
            KeyName::Tenant(_) => self.tenant_key(),
        }
    }

    /// There is no key, or none that may be used: why?
    fn without_key(&self, class: RetentionClass, row: &DataKeyRow) -> Result<Opening, KeyError> {
        if let Some(year) = row.year {
            let ended = self.log.has_ended(class, year)?;
            return Ok(if ended { Opening::Erased } else { Opening::UnknownKey });
        }
        let Some(person) = row.person else { return Ok(Opening::UnknownKey) };
        self.changed(person);
        Ok(match self.info(person)?.map(|info| info.state) {
            Some(PersonState::Erasing | PersonState::Erased) => Opening::Erased,
            Some(PersonState::Restricted) => Opening::Restricted,
            Some(PersonState::Live) | None => Opening::UnknownKey,
        })
    }

    fn open_under(&self, lease: &Lease, key: Option<&Key>, found: Found) -> Opening {
        let Some(mut ciphertext) = found.ciphertext else { return Opening::Tampered };
        let Some(key) = key else { return Opening::Tampered };
        let Some(content) = open_with(self.tenant, found.at, key, &mut ciphertext) else {
            return Opening::Tampered;
        };
        // The second look at the lease: whoever was erased in between is not handed out.
        if lease.ended() { Opening::Erased } else { Opening::Live(content) }
    }
}

impl SealAt {
    pub fn new(
        position: Position,
        kind: Kind,
        handle: Handle,
        class: RetentionClass,
        seal: u16,
    ) -> Self {
        Self { position, kind, seal: SealRef { handle, class, seal } }
    }
}
