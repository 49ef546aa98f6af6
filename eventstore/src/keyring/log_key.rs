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
        let mut changed = false;
        loop {
            let signer = keyring.signer(&Origin::of(&log.head()?))?;
            // One that was cut off has put its key in place and not said so.
            if let Some(rotated) = rotation(&signer)
                && (changed || !is_told(log, signer.verifier())?)
            {
                self.tell_log_key(&rotated)?;
                return Ok(rotated);
            }
            let was = log.reader().wrapped(KeyRow::Secret(SECRET_LOG))?;
            let was = was.ok_or(KeyError::Missing)?;
            let wrapped = keyring.wrapped_for_tenant()?;
            // Where another was faster, what that one did is looked at first.
            changed = self.change_blocking(Change::LogKey { was, wrapped })? > 0;
        }
    }

    /// Has the log signed by its present key alone. The entry that names both comes before that, if
    /// a rotation was cut off: without it nobody could get from the one to the other any more.
    ///
    /// # Errors
    /// Where the key store or the ledger cannot be read or written.
    pub fn forget_log_key(&self) -> Result<(), AppendError> {
        let log = self.log();
        let signer = self.keyring().signer(&Origin::of(&log.head()?))?;
        if let Some(rotated) = rotation(&signer)
            && !is_told(log, signer.verifier())?
        {
            self.tell_log_key(&rotated)?;
        }
        self.change_blocking(Change::ForgetLogKey).map(drop)
    }

    fn tell_log_key(&self, rotated: &LogKeyRotated) -> Result<(), AppendError> {
        let command = Command::LogKey(rotated.clone());
        self.append_blocking(Append::new(command, Actor::System)).map(drop)
    }
}

/// What is to be told of a signer who has taken another's place.
fn rotation(signer: &Signer) -> Option<LogKeyRotated> {
    let former = signer.former()?.to_string();
    Some(LogKeyRotated { former, vkey: signer.verifier().to_string() })
}

/// Whether the newest entry about the log's key names this one, under whatever origin.
fn is_told(log: &Log, present: &Verifier) -> Result<bool, ReadError> {
    let told = rotations(log)?.pop();
    let named = told.and_then(|told| told.vkey.parse::<Verifier>().ok());
    Ok(named.is_some_and(|named| named.is_key_of(present)))
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
