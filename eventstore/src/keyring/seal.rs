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

use domain::sealed::SealRef;
use domain::{Handle, Kind, Position, RetentionClass};
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use super::access::Disclosure;
use super::key::Key;
use super::lease::Lease;
use super::person::PersonState;
use super::personal::Personal;
use super::provider::TenantId;
use super::{DataKeyRow, KeyError, Keyring, data_key};
use crate::environment::Environment;
use crate::ledger::log::ReadError;
use crate::sqlite::int;

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

fn associated(tenant: TenantId, kind: Kind, seal: SealRef, header: [u8; HEADER]) -> Vec<u8> {
    let mut data = Vec::with_capacity(16 + 8 + 2 + 2 + HEADER);
    data.extend(tenant.0);
    data.extend(seal.handle.0.to_be_bytes());
    data.extend(kind.0.to_be_bytes());
    data.extend(seal.seal.to_be_bytes());
    data.extend(header);
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

/// Opens a seal with its data key, or says nothing where they do not belong together.
fn open_with(tenant: TenantId, at: SealAt, key: &Key, bytes: &[u8]) -> Option<Personal> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let (commitment, rest) = rest.split_first_chunk::<COMMITMENT>()?;
    let (nonce, text) = rest.split_first_chunk::<NONCE>()?;
    if *header != [FORMAT, PAYLOAD, at.seal.class.code(), 0] || *commitment != key.commitment() {
        return None;
    }
    let mut text = Zeroizing::new(text.to_vec());
    let data = associated(tenant, at.kind, at.seal, *header);
    let plain = key.decrypt(*nonce, &data, &mut text).ok()?;
    let (length, padded) = plain.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    Personal::from_bytes(padded.get(..length)?)
}

/// What is read of a seal before any key is used.
struct Found {
    at: SealAt,
    data_key: Option<DataKeyRow>,
    ciphertext: Option<Vec<u8>>,
}

impl Keyring {
    /// Opens seals, in the order asked for. Whoever asks holds a ticket: that they asked stands in
    /// the access ledger.
    ///
    /// # Errors
    /// Where the keyring or its key store cannot be read. Never for what a single seal turned out
    /// to be: that is its [`Opening`].
    pub fn open(&self, ticket: &Disclosure, seals: &[SealAt]) -> Result<Vec<Opening>, KeyError> {
        let found = self.log.with(|conn| find(conn, seals))?;
        found.into_iter().map(|found| self.open_one(ticket, &found)).collect()
    }

    fn open_one(&self, ticket: &Disclosure, found: &Found) -> Result<Opening, KeyError> {
        let Some(row) = found.data_key else { return Ok(Opening::UnknownKey) };
        let Some(wrapped) = row.wrapped else { return Ok(Opening::Erased) };
        let class = found.at.seal.class;
        let lease = match (row.person, row.year) {
            (None, Some(_)) if class == RetentionClass::Accounting && !ticket.is_bookkeeping() => {
                return Ok(Opening::Restricted);
            }
            (_, Some(year)) => self.period_key(class, year),
            (Some(person), None) => match self.info(person)?.map(|info| info.state) {
                Some(PersonState::Live) => self.person_key(person, class),
                Some(PersonState::Restricted) => return Ok(Opening::Restricted),
                Some(PersonState::Erasing | PersonState::Erased) => return Ok(Opening::Erased),
                None => return Ok(Opening::UnknownKey),
            },
            (None, None) => return Ok(Opening::Erased),
        };
        let lease = match lease {
            Ok(lease) => lease,
            Err(KeyError::Missing) => return Ok(self.without_key(&row)),
            Err(error) => return Err(error),
        };
        Ok(self.open_under(&lease, &wrapped, found))
    }

    /// A key was gone when it was looked for: erased meanwhile, or never there.
    fn without_key(&self, row: &DataKeyRow) -> Opening {
        let state = row.person.and_then(|person| {
            self.changed(person);
            self.info(person).ok().flatten().map(|info| info.state)
        });
        match state {
            Some(PersonState::Erasing | PersonState::Erased) => Opening::Erased,
            Some(PersonState::Live | PersonState::Restricted) | None => Opening::UnknownKey,
        }
    }

    fn open_under(&self, lease: &Lease, wrapped: &[u8], found: &Found) -> Opening {
        let Some(ciphertext) = &found.ciphertext else { return Opening::Tampered };
        let Ok(key) = lease.key.unwrap(wrapped) else { return Opening::Tampered };
        let Some(content) = open_with(self.tenant, found.at, &key, ciphertext) else {
            return Opening::Tampered;
        };
        // The second look at the lease: whoever was erased in between is not handed out.
        if lease.ended() { Opening::Erased } else { Opening::Live(content) }
    }
}

fn find(conn: &Connection, seals: &[SealAt]) -> Result<Vec<Found>, ReadError> {
    // One snapshot, so that a key and its seal are of the same moment.
    let tx = conn.unchecked_transaction()?;
    let mut found = Vec::with_capacity(seals.len());
    for at in seals {
        let mut select =
            tx.prepare_cached("SELECT ciphertext FROM seal WHERE id = ?1 * 65536 + ?2")?;
        let ciphertext =
            select.query_row((int(at.position.0), at.seal.seal), |row| row.get(0)).optional()?;
        let data_key = data_key(&tx, at.seal.handle, at.seal.class)?;
        found.push(Found { at: *at, data_key, ciphertext });
    }
    Ok(found)
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
