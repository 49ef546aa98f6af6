//! Where epoch keys are made and used without ever being seen: an HSM, or a key service over the
//! network. A key store names one, or keeps its keys in files.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::hsm::{Hsm, HsmPlace};
use super::kms::{Kms, KmsPlace};
use super::{Epoch, ProviderError};
use crate::keyring::key::Key;

/// Keys that are used where they are.
pub(super) trait Vault: Send + Sync {
    /// The numbers of the keys that are there, where it can be used.
    fn kept(&self) -> Result<BTreeSet<Epoch>, ProviderError>;

    /// Makes the key of an epoch. Nobody else makes one meanwhile.
    fn make(&self, epoch: Epoch) -> Result<(), ProviderError>;

    /// Destroys the key of an epoch; whether there was one.
    fn destroy(&self, epoch: Epoch) -> Result<bool, ProviderError>;

    fn wrap(&self, epoch: Epoch, key: &Key) -> Result<Vec<u8>, ProviderError>;

    fn unwrap(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, ProviderError>;

    /// That it lacks the key that all others hang on.
    fn lacks_the_newest(&self) -> ProviderError;

    /// For how many days a key that was destroyed can still be called back.
    fn lingering_days(&self) -> u32 {
        0
    }

    /// What names it in the key store.
    fn place(&self) -> VaultPlace;
}

/// Which one, and as whom it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultPlace {
    Hsm(HsmPlace),
    Kms(KmsPlace),
}

const HSM: &str = "hsm.json";
const KMS: &str = "kms.json";

impl VaultPlace {
    /// The file of the key store that names it.
    pub(super) fn file(&self) -> &'static str {
        match self {
            Self::Hsm(_) => HSM,
            Self::Kms(_) => KMS,
        }
    }

    /// The same but for what this store's keys are called there.
    pub(super) fn called_as(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Hsm(place), Self::Hsm(other)) => {
                Self::Hsm(HsmPlace { name: other.name.clone(), ..place })
            }
            (Self::Kms(place), Self::Kms(other)) => {
                Self::Kms(KmsPlace { name: other.name.clone(), ..place })
            }
            (place, _) => place,
        }
    }

    pub(super) fn open(self, folder: &Path) -> Box<dyn Vault> {
        match self {
            Self::Hsm(place) => Box::new(Hsm::new(place)),
            Self::Kms(place) => Box::new(Kms::new(place, folder)),
        }
    }

    /// The one that a key store names.
    pub(super) fn of(folder: &Path) -> Result<Option<Self>, ProviderError> {
        if let Some(place) = read(folder, HSM)? {
            return Ok(Some(Self::Hsm(place)));
        }
        Ok(read(folder, KMS)?.map(Self::Kms))
    }

    /// Writes down which it is: whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), ProviderError> {
        match self {
            Self::Hsm(place) => write(folder, HSM, place),
            Self::Kms(place) => write(folder, KMS, place),
        }
    }
}

fn read<T: DeserializeOwned>(folder: &Path, file: &str) -> Result<Option<T>, ProviderError> {
    let path = folder.join(file);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| ProviderError::Damaged(path))
}

fn write<T: Serialize>(folder: &Path, file: &str, place: &T) -> Result<(), ProviderError> {
    let beside = folder.join(format!(".{file}.new"));
    let mut open = OpenOptions::new();
    let mut new = open.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(&serde_json::to_vec_pretty(place).map_err(std::io::Error::from)?)?;
    new.sync_all()?;
    fs::rename(beside, folder.join(file))?;
    Ok(File::open(folder)?.sync_all()?)
}
