//! Who keeps the epoch keys, and the mark that tells an old copy from the present.
//!
//! Epoch keys exist only at the provider, never beside the data. The provider is not restored with
//! the ledger or the keyring, so what it remembers of fences and sizes shows on every start whether
//! either is older than what was already promised.

#[cfg(test)]
mod tests;

mod archive;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use domain::FenceId;
use domain::ids::Hash;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key::{Key, Wrapped, WrongKey};
use crate::environment::Environment;

/// The number of an epoch key: 1, 2, 3 ...
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// A tenant's permanent random id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantId(pub [u8; 16]);

impl TenantId {
    /// Reads what [`std::fmt::Display`] shows.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut id = [0; 16];
        let digits = text.as_bytes();
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        (digits.len() == 32).then_some(Self(id))
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the provider remembers of a ledger: its size and root when a fence was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The fence that was set; none for the mark of a ledger's beginning or reopening.
    pub fence: Option<FenceId>,
    pub size: u64,
    pub root: Hash,
    /// The leaf of the last entry, to be compared without reading the whole tree.
    pub last_leaf: Hash,
    pub origin: u32,
}

/// An epoch, as the provider remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochInfo {
    pub epoch: Epoch,
    /// None of the first epoch of a store that is older than this record.
    pub made_at: Option<Timestamp>,
    /// When the rotation to it was through: none while one is to be gone on with, and of the first.
    pub finished_at: Option<Timestamp>,
    /// None while there is a key.
    pub destroyed_at: Option<Timestamp>,
}

impl EpochInfo {
    fn of(epoch: Epoch) -> Self {
        Self { epoch, made_at: None, finished_at: None, destroyed_at: None }
    }

    /// Whether everything hangs on it that should.
    pub fn is_finished(&self) -> bool {
        self.epoch == Epoch(1) || self.finished_at.is_some()
    }
}

/// A line of the record of epochs.
#[derive(Default, Serialize, Deserialize)]
struct EpochLine {
    epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    destroyed_at: Option<Timestamp>,
}

/// Why the provider could not help. None of these ever means that somebody was erased.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the key store {0} is missing; put it back or say with --keys where it is")]
    Missing(PathBuf),
    #[error(
        "the key store has no key for epoch {}: it is another store, or this copy is older than \
         all that can still be opened",
        .0.0
    )]
    NoEpoch(Epoch),
    #[error("the key store is another one: its key does not open this tenant")]
    WrongStore,
    #[error("the key store's file {0} is damaged")]
    Damaged(PathBuf),
    #[error("the key store's file {0} may be read by others; make it private (chmod 600)")]
    Exposed(PathBuf),
    #[error("the key store could not be read or written")]
    Io(#[from] std::io::Error),
}

impl From<WrongKey> for ProviderError {
    fn from(_: WrongKey) -> Self {
        Self::WrongStore
    }
}

/// Keeps epoch keys and marks.
pub trait Provider: Send + Sync {
    /// The epoch under which new tenant keys are wrapped.
    ///
    /// # Errors
    /// Where the store cannot be reached.
    fn current(&self) -> Result<Epoch, ProviderError>;

    /// Wraps a key under an epoch key.
    ///
    /// # Errors
    /// Where the store cannot be reached or has no such epoch.
    fn wrap(&self, epoch: Epoch, key: &Key) -> Result<Wrapped, ProviderError>;

    /// Unwraps a key that was wrapped under an epoch key.
    ///
    /// # Errors
    /// As [`Self::wrap`], and where the key is another one.
    fn unwrap(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, ProviderError>;

    /// All epochs that there have been, oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn epochs(&self) -> Result<Vec<EpochInfo>, ProviderError>;

    /// Makes the key of the next epoch, which is the current one from then on.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn begin_epoch(&self, env: &Environment) -> Result<Epoch, ProviderError>;

    /// Notes that everything hangs on the key of an epoch now.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn finish_epoch(&self, epoch: Epoch, at: Timestamp) -> Result<(), ProviderError>;

    /// Destroys an epoch key, for good. The current one is never destroyed.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn destroy(&self, epoch: Epoch, at: Timestamp) -> Result<(), ProviderError>;

    /// Every tenant whose keys hang on this store.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError>;

    /// All marks of a tenant, oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn marks(&self, tenant: TenantId) -> Result<Vec<Mark>, ProviderError>;

    /// Adds a mark, durably.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn add_mark(&self, tenant: TenantId, mark: &Mark) -> Result<(), ProviderError>;

    /// Everything in it, to be kept somewhere else. Nothing is behind it: it is to be encrypted.
    ///
    /// # Errors
    /// Where the store cannot be read, or gives no key away.
    fn archive(&self) -> Result<Zeroizing<Vec<u8>>, ProviderError>;
}

/// The provider of an installation without an HSM: a private folder outside the data.
pub struct FileProvider {
    folder: PathBuf,
}

impl FileProvider {
    /// Makes a new key store with its first epoch key.
    ///
    /// # Errors
    /// Where the folder cannot be made; an epoch key that exists is never overwritten.
    pub fn create(folder: &Path, env: &Environment) -> Result<Self, ProviderError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("marks"))?;
        let provider = Self { folder: folder.to_owned() };
        provider.make(Epoch(1), env)?;
        Ok(provider)
    }

    /// Opens a key store that exists.
    ///
    /// # Errors
    /// Where it is missing, or readable by others.
    pub fn open(folder: &Path) -> Result<Self, ProviderError> {
        let provider = Self { folder: folder.to_owned() };
        if !folder.is_dir() {
            return Err(ProviderError::Missing(folder.to_owned()));
        }
        provider.current()?;
        Ok(provider)
    }

    /// Makes an epoch key, and notes when.
    fn make(&self, epoch: Epoch, env: &Environment) -> Result<(), ProviderError> {
        // Whole under its name or not there: what a crash cut short would be in the way for good.
        let unique: String = env.random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let beside = self.folder.join(format!(".{unique}.new"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(Key::random(env).expose())?;
        file.sync_all()?;
        let linked = fs::hard_link(&beside, self.epoch_path(epoch));
        fs::remove_file(&beside)?;
        linked?;
        File::open(&self.folder)?.sync_all()?;
        let made_at = Some(env.clock.now());
        self.note(&EpochLine { epoch: epoch.0, made_at, ..EpochLine::default() })
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("epochs.jsonl")
    }

    fn note(&self, line: &EpochLine) -> Result<(), ProviderError> {
        append_line(&self.record_path(), line)?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    /// The numbers of the keys that are there.
    fn kept(&self) -> Result<BTreeSet<Epoch>, ProviderError> {
        let mut kept = BTreeSet::new();
        for file in fs::read_dir(&self.folder)? {
            let name = file?.file_name();
            let number = name.to_str().and_then(|name| {
                name.strip_prefix("epoch-")?.strip_suffix(".key")?.parse::<u32>().ok()
            });
            kept.extend(number.map(Epoch));
        }
        Ok(kept)
    }

    fn epoch_path(&self, epoch: Epoch) -> PathBuf {
        self.folder.join(format!("epoch-{}.key", epoch.0))
    }

    fn epoch_key(&self, epoch: Epoch) -> Result<Key, ProviderError> {
        let path = self.epoch_path(epoch);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ProviderError::NoEpoch(epoch));
            }
            Err(error) => return Err(error.into()),
        };
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(ProviderError::Exposed(path));
        }
        let mut bytes = Zeroizing::new([0; 32]);
        let complete = file.read_exact(bytes.as_mut_slice()).is_ok() && file.read(&mut [0])? == 0;
        if complete { Ok(Key::from_bytes(bytes)) } else { Err(ProviderError::Damaged(path)) }
    }

    fn marks_path(&self, tenant: TenantId) -> PathBuf {
        self.folder.join("marks").join(format!("{tenant}.jsonl"))
    }
}

impl Provider for FileProvider {
    fn current(&self) -> Result<Epoch, ProviderError> {
        let newest = self.kept()?.pop_last();
        newest.ok_or_else(|| ProviderError::Missing(self.folder.join("epoch-1.key")))
    }

    fn epochs(&self) -> Result<Vec<EpochInfo>, ProviderError> {
        let kept = self.kept()?;
        let mut epochs = BTreeMap::new();
        for epoch in &kept {
            epochs.insert(*epoch, EpochInfo::of(*epoch));
        }
        for line in read_lines::<EpochLine>(&self.record_path())? {
            let epoch = Epoch(line.epoch);
            let info = epochs.entry(epoch).or_insert(EpochInfo::of(epoch));
            info.made_at = info.made_at.or(line.made_at);
            info.finished_at = info.finished_at.or(line.finished_at);
            info.destroyed_at = line.destroyed_at.or(info.destroyed_at);
        }
        // Noted before it was done, and cut off in between.
        for epoch in kept {
            epochs.entry(epoch).and_modify(|info| info.destroyed_at = None);
        }
        Ok(epochs.into_values().collect())
    }

    fn begin_epoch(&self, env: &Environment) -> Result<Epoch, ProviderError> {
        let next = Epoch(self.current()?.0 + 1);
        match self.make(next, env) {
            // Another node was faster.
            Err(ProviderError::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Ok(next)
            }
            made => made.map(|()| next),
        }
    }

    fn finish_epoch(&self, epoch: Epoch, at: Timestamp) -> Result<(), ProviderError> {
        let finished_at = Some(at);
        self.note(&EpochLine { epoch: epoch.0, finished_at, ..EpochLine::default() })
    }

    fn destroy(&self, epoch: Epoch, at: Timestamp) -> Result<(), ProviderError> {
        if epoch >= self.current()? {
            return Err(ProviderError::NoEpoch(epoch));
        }
        let destroyed_at = Some(at);
        self.note(&EpochLine { epoch: epoch.0, destroyed_at, ..EpochLine::default() })?;
        let path = self.epoch_path(epoch);
        // Written over first: a file that is only removed may be found again on some disks.
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.write_all(&[0; 32])?;
        file.sync_all()?;
        fs::remove_file(&path)?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError> {
        let mut tenants = Vec::new();
        for file in fs::read_dir(self.folder.join("marks"))? {
            let name = file?.file_name();
            let id =
                name.to_str().and_then(|name| TenantId::from_hex(name.strip_suffix(".jsonl")?));
            tenants.extend(id);
        }
        Ok(tenants)
    }

    fn wrap(&self, epoch: Epoch, key: &Key) -> Result<Wrapped, ProviderError> {
        Ok(self.epoch_key(epoch)?.wrap(key))
    }

    fn unwrap(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, ProviderError> {
        Ok(self.epoch_key(epoch)?.unwrap(wrapped)?)
    }

    fn marks(&self, tenant: TenantId) -> Result<Vec<Mark>, ProviderError> {
        read_lines(&self.marks_path(tenant))
    }

    fn add_mark(&self, tenant: TenantId, mark: &Mark) -> Result<(), ProviderError> {
        let path = self.marks_path(tenant);
        let new = !path.exists();
        append_line(&path, mark)?;
        if new {
            File::open(self.folder.join("marks"))?.sync_all()?;
        }
        Ok(())
    }

    fn archive(&self) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        archive::pack(&self.folder)
    }
}

/// The lines of a file, if there is one. A line without its end was cut off by a crash before
/// anybody was told of it.
fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, ProviderError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let damaged = |_| ProviderError::Damaged(path.to_owned());
    lines.map(|line| serde_json::from_str(line).map_err(damaged)).collect()
}

/// Adds a line to a private file, durably.
fn append_line<T: Serialize>(path: &Path, value: &T) -> Result<(), std::io::Error> {
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.set_len(whole_lines(path)?)?;
    file.write_all(&line)?;
    file.sync_data()
}

/// How much of the file is whole lines: a crash may have cut the last one off.
fn whole_lines(path: &Path) -> Result<u64, std::io::Error> {
    let bytes = fs::read(path)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    Ok(u64::try_from(end).unwrap_or(0))
}
