//! The key that signs a ledger's checkpoints: one for each tenant, wrapped like its other secrets.
//!
//! New tenants are founded with one. A tenant from before gets its own when its ledger is next
//! opened for writing. When another takes its place both sign, until it is said that everybody
//! knows the new one; and an entry of the ledger names both, so that who trusts one of them learns
//! of the other from what that has signed.

use domain::ledger::LogKeyRotated;
use domain::{Actor, Command, Event, Tag};

use super::key::Key;
use super::{KeyError, Keyring, SECRET_FORMER_LOG, SECRET_LOG};
use crate::engine::{Change, KeyRow, Writer};
use crate::ledger::appender::{Append, AppendError};
use crate::ledger::log::{Log, ReadError};
use crate::ledger::{Ledger, codec};
use crate::proof::checkpoint::Origin;
use crate::proof::note::{Signer, Verifier};

impl Keyring {
    /// Who signs for the ledger under this origin.
    ///
    /// # Errors
    /// Where the key store cannot be reached, or the ledger has no key yet.
    pub fn signer(&self, origin: &Origin) -> Result<Signer, KeyError> {
        let of = |seed: Key| Signer::new(origin.as_str(), seed.expose());
        // Not from memory: a key that was exchanged signs nowhere any more.
        let signer = of(self.log_key(SECRET_LOG)?.ok_or(KeyError::Missing)?);
        Ok(match self.log_key(SECRET_FORMER_LOG)? {
            Some(former) => signer.after(of(former)),
            None => signer,
        })
    }

    fn log_key(&self, name: &'static str) -> Result<Option<Key>, KeyError> {
        let wrapped = self.log.reader().wrapped(KeyRow::Secret(name))?;
        wrapped.map(|wrapped| self.of_tenant(&wrapped)).transpose()
    }

    /// A new random key under the tenant's.
    pub(crate) fn wrapped_for_tenant(&self) -> Result<Vec<u8>, KeyError> {
        Ok(self.tenant_key()?.key.wrap(&Key::random(&self.env)).to_vec())
    }

    /// Makes sure that there is a key to sign with. Whoever comes second keeps the first one's.
    pub(crate) fn ensure_log_key(&self, engine: &mut dyn Writer) -> Result<(), KeyError> {
        match self.secret(SECRET_LOG) {
            Err(KeyError::Missing) => (),
            known => return known.map(drop),
        }
        let wrapped = self.wrapped_for_tenant()?;
        let made = engine.change(&Change::Secret { name: SECRET_LOG, wrapped });
        made.map(drop).map_err(|error| ReadError::from(error).into())
    }
}

impl Ledger {
    /// Has the log signed with another key, and by the present one too until [`Self::forget_log_key`];
    /// or goes on where that was cut off. The entry that names both.
    ///
    /// # Errors
    /// Where the key store or the ledger cannot be read or written. It goes on when called again.
    pub fn rotate_log_key(&self) -> Result<LogKeyRotated, AppendError> {
        let (log, keyring) = (self.log(), self.keyring());
        let origin = Origin::of(&log.head()?);
        let told = rotations(log)?;
        let mut signer = keyring.signer(&origin)?;
        // One that was cut off has put its key in place and not said so.
        let cut_off = signer.former().is_some()
            && told.last().is_none_or(|last| last.vkey != signer.verifier().to_string());
        if !cut_off {
            let was = log.reader().wrapped(KeyRow::Secret(SECRET_LOG))?;
            let was = was.ok_or(KeyError::Missing)?;
            let wrapped = keyring.wrapped_for_tenant()?;
            self.change_blocking(Change::LogKey { was, wrapped })?;
            signer = keyring.signer(&origin)?;
        }
        let former = signer.former().map(ToString::to_string).unwrap_or_default();
        let rotated = LogKeyRotated { former, vkey: signer.verifier().to_string() };
        self.append_blocking(Append::new(Command::LogKey(rotated.clone()), Actor::System))?;
        Ok(rotated)
    }

    /// Has the log signed by its present key alone.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub fn forget_log_key(&self) -> Result<(), AppendError> {
        self.change_blocking(Change::ForgetLogKey).map(drop)
    }
}

/// The rotations of a log's key, in order.
fn rotations(log: &Log) -> Result<Vec<LogKeyRotated>, ReadError> {
    let mut positions = log.positions(Tag::ledger())?;
    positions.sort_unstable();
    positions.dedup();
    let entries = log.reader().entries_at(&positions)?;
    let rotated = entries.iter().filter_map(|entry| match codec::decode_event(&entry.bytes) {
        Ok(Event::LogKeyRotated(rotated)) => Some(rotated),
        Ok(_) | Err(_) => None,
    });
    Ok(rotated.collect())
}

/// The keys that a log was signed with, the present one first, as the log itself tells.
///
/// # Errors
/// Where the ledger cannot be read.
pub fn verifiers(log: &Log, present: &Verifier) -> Result<Vec<Verifier>, ReadError> {
    Ok(before(present, &rotations(log)?))
}

/// A key and those before it, of which entries tell that it, or one of them, has vouched for.
pub(crate) fn before(present: &Verifier, told: &[LogKeyRotated]) -> Vec<Verifier> {
    let mut known = vec![present.clone()];
    for rotated in told.iter().rev() {
        let vouched = known.iter().any(|known| known.to_string() == rotated.vkey);
        known.extend(vouched.then(|| rotated.former.parse().ok()).flatten());
    }
    known
}
