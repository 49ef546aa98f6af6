//! What a backup says of itself, in the clear: its archives, their hashes, when each is of no use.

use std::fs;
use std::io::Write;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventstore::Environment;
use eventstore::keyring::key::Key;
use eventstore::keyring::provider::Epoch;
use eventstore::store::backup::Which;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::archive::{Identities, Inner};
use super::{BackupError, at};

pub(super) const MANIFEST: &str = "manifest.json";
const FORMAT: &str = "tidbok backup 1";
/// What the inner identity is bound to.
const PURPOSE: &[u8] = b"tidbok backup keyring";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: String,
    pub made_at: Timestamp,
    /// The day by which seals and keyrings are to be deleted.
    pub delete_by: Timestamp,
    pub wrapping: Wrapping,
    pub archives: Vec<Archive>,
}

/// Under what the keyrings' archives are encrypted besides: it ends with the epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wrapping {
    pub epoch: u32,
    /// A key, wrapped under the epoch's.
    key: String,
    nonce: String,
    /// An age identity, encrypted under that key.
    identity: String,
}

/// One file of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Archive {
    pub file: String,
    pub tenant: String,
    pub ledger: String,
    pub part: String,
    pub bytes: u64,
    pub sha256: String,
    /// None for history, which names nobody and is of use as long as the ledger is.
    pub delete_by: Option<Timestamp>,
}

impl Manifest {
    pub(super) fn new(
        made_at: Timestamp,
        delete_by: Timestamp,
        wrapping: Wrapping,
        archives: Vec<Archive>,
    ) -> Self {
        Self { format: FORMAT.to_owned(), made_at, delete_by, wrapping, archives }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), BackupError> {
        let text =
            serde_json::to_vec_pretty(self).map_err(std::io::Error::from).map_err(at(path))?;
        let mut file = fs::File::create_new(path).map_err(at(path))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(at(path))
    }

    pub(super) fn read(path: &Path) -> Result<Self, BackupError> {
        let none = || BackupError::NoBackup(path.to_owned());
        let text = fs::read(path).map_err(at(path))?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|_| none())?;
        // No name in it leads out of the folder.
        let within = |archive: &Archive| !archive.file.contains('/') && archive.file != "..";
        let sound = manifest.format == FORMAT && manifest.archives.iter().all(within);
        if sound { Ok(manifest) } else { Err(none()) }
    }

    pub(super) fn tenants(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.archives.iter().map(|archive| archive.tenant.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn of(&self, tenant: &str, which: Which) -> Vec<&Archive> {
        let of_it = |archive: &&Archive| archive.tenant == tenant && archive.ledger == which.name();
        self.archives.iter().filter(of_it).collect()
    }
}

impl Wrapping {
    pub(super) fn of(
        epoch: Epoch,
        wrapped: &[u8],
        inner: &Inner,
        key: &Key,
        env: &Environment,
    ) -> Self {
        let nonce: [u8; 12] = env.random();
        let mut secret = inner.secret();
        key.encrypt(nonce, PURPOSE, &mut secret);
        Self {
            epoch: epoch.0,
            key: STANDARD.encode(wrapped),
            nonce: STANDARD.encode(nonce),
            identity: STANDARD.encode(&*secret),
        }
    }

    pub(super) fn key(&self) -> Result<Vec<u8>, BackupError> {
        STANDARD.decode(&self.key).map_err(|_| self.damaged())
    }

    /// What opens the keyrings' archives.
    pub(super) fn identity(&self, key: &Key) -> Result<Identities, BackupError> {
        let nonce = STANDARD.decode(&self.nonce).ok().and_then(|nonce| nonce.try_into().ok());
        let nonce: [u8; 12] = nonce.ok_or_else(|| self.damaged())?;
        let sealed = STANDARD.decode(&self.identity).map_err(|_| self.damaged())?;
        let mut sealed = Zeroizing::new(sealed);
        let secret = key.decrypt(nonce, PURPOSE, &mut sealed).map_err(|_| self.damaged())?;
        Identities::parse(secret).ok_or_else(|| self.damaged())
    }

    fn damaged(&self) -> BackupError {
        BackupError::Damaged(MANIFEST.into())
    }
}
