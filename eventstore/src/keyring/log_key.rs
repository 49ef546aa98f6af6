//! The key that signs a ledger's checkpoints: one for each tenant, wrapped like its other secrets.
//!
//! New tenants are founded with one. A tenant from before gets its own when its ledger is next
//! opened for writing.

use super::key::Key;
use super::{KeyError, Keyring, SECRET_LOG};
use crate::engine::{Change, Writer};
use crate::ledger::log::ReadError;
use crate::proof::checkpoint::Origin;
use crate::proof::note::Signer;

impl Keyring {
    /// Who signs for the ledger under this origin.
    ///
    /// # Errors
    /// Where the key store cannot be reached, or the ledger has no key yet.
    pub fn signer(&self, origin: &Origin) -> Result<Signer, KeyError> {
        let seed = self.secret(SECRET_LOG)?;
        Ok(Signer::new(origin.as_str(), seed.key.expose()))
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
