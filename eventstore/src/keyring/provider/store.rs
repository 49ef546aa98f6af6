//! The key store: a private folder outside the data with the record of epochs and the marks. The
//! epoch keys are files in it, or in an HSM that it names; a store that moves into one keeps both
//! until its last file's epoch has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::hsm::{Hsm, HsmPlace};
use super::{Epoch, EpochInfo, Mark, Provider, ProviderError, TenantId, archive, files};
use crate::environment::Environment;
use crate::keyring::key::{Key, Wrapped};

const MARKS: &str = "marks";
const HSM: &str = "hsm.json";

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

/// A key store on this machine.
pub struct KeyStore {
    folder: PathBuf,
    /// Once the store names one: from then on new keys are made there.
    hsm: OnceLock<Hsm>,
}

impl KeyStore {
    /// Makes a new key store with its first epoch key in a file.
    ///
    /// # Errors
    /// Where the folder cannot be made; an epoch key that exists is never overwritten.
    pub fn create(folder: &Path, env: &Environment) -> Result<Self, ProviderError> {
        let store = Self::at(folder)?;
        store.make(Epoch(1), env)?;
        Ok(store)
    }

    /// Opens a key store that exists.
    ///
    /// # Errors
    /// Where it is missing, or readable by others, or its HSM cannot be used.
    pub fn open(folder: &Path) -> Result<Self, ProviderError> {
        if !folder.is_dir() {
            return Err(ProviderError::Missing(folder.to_owned()));
        }
        let store = Self { folder: folder.to_owned(), hsm: OnceLock::new() };
        store.current()?;
        Ok(store)
    }

    /// Has epoch keys made in an HSM from now on: the first one, where there is no store yet, else
    /// with the next rotation. Nothing is changed before the HSM was used.
    ///
    /// # Errors
    /// Where the HSM cannot be used, or the store names another one.
    pub fn entrust(
        folder: &Path,
        (module, token, pin_file): (PathBuf, String, PathBuf),
        env: &Environment,
    ) -> Result<Self, ProviderError> {
        let name = env.random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let place = HsmPlace { module, token, pin_file, name };
        Hsm::new(place.clone()).kept()?;
        let store = Self::at(folder)?;
        if let Some(hsm) = store.hsm()? {
            let named = hsm.place();
            let same = HsmPlace { name: named.name.clone(), ..place } == *named;
            return if same { Ok(store) } else { Err(ProviderError::OtherHsm(folder.to_owned())) };
        }
        store.name(&place)?;
        if store.kept()?.is_empty() {
            store.make(Epoch(1), env)?;
        }
        Ok(store)
    }

    fn at(folder: &Path) -> Result<Self, ProviderError> {
        for folder in [folder.to_owned(), folder.join(MARKS)] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(Self { folder: folder.to_owned(), hsm: OnceLock::new() })
    }

    /// Writes down which HSM it is: whole or not at all.
    fn name(&self, place: &HsmPlace) -> Result<(), ProviderError> {
        let (path, beside) = (self.folder.join(HSM), self.folder.join(".hsm.new"));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(place).map_err(std::io::Error::from)?)?;
        file.sync_all()?;
        fs::rename(beside, path)?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    /// The HSM that the store names, if it names one; also when it came to do so while it was open.
    fn hsm(&self) -> Result<Option<&Hsm>, ProviderError> {
        if let Some(hsm) = self.hsm.get() {
            return Ok(Some(hsm));
        }
        let path = self.folder.join(HSM);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let place = serde_json::from_slice(&bytes).map_err(|_| ProviderError::Damaged(path))?;
        Ok(Some(self.hsm.get_or_init(|| Hsm::new(place))))
    }

    /// Makes an epoch key, and notes when.
    fn make(&self, epoch: Epoch, env: &Environment) -> Result<(), ProviderError> {
        match self.hsm()? {
            Some(hsm) => {
                // A token would take two of the same name: of several nodes one makes it.
                let lock = File::open(self.folder.join(HSM))?;
                lock.lock()?;
                if self.kept()?.contains(&epoch) {
                    return Err(std::io::Error::from(ErrorKind::AlreadyExists).into());
                }
                hsm.make(epoch)?;
            }
            None => files::make(&self.folder, epoch, env)?,
        }
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
        let mut kept = files::kept(&self.folder)?;
        if let Some(hsm) = self.hsm()? {
            kept.extend(hsm.kept()?);
        }
        Ok(kept)
    }

    pub(super) fn marks_path(&self, tenant: TenantId) -> PathBuf {
        self.folder.join(MARKS).join(format!("{tenant}.jsonl"))
    }
}

impl Provider for KeyStore {
    fn current(&self) -> Result<Epoch, ProviderError> {
        let noted = read_lines::<EpochLine>(&self.record_path())?;
        let noted = noted.iter().map(|line| Epoch(line.epoch)).max();
        // The newest is never destroyed: an older one in its place would seal what is lost with it.
        let kept = self.kept()?.pop_last().filter(|newest| Some(*newest) >= noted);
        match (kept, self.hsm()?, noted) {
            (Some(newest), ..) => Ok(newest),
            (None, Some(hsm), _) => Err(hsm.lacks_the_newest()),
            (None, None, Some(noted)) if noted > Epoch(1) => Err(ProviderError::NoEpoch(noted)),
            (None, None, _) => Err(ProviderError::Missing(self.folder.join("epoch-1.key"))),
        }
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
            Err(ProviderError::Io(error)) if error.kind() == ErrorKind::AlreadyExists => Ok(next),
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
        let of_file = files::destroy(&self.folder, epoch)?;
        let of_hsm = match self.hsm()? {
            Some(hsm) => hsm.destroy(epoch)?,
            None => false,
        };
        if of_file || of_hsm { Ok(()) } else { Err(ProviderError::NoEpoch(epoch)) }
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
        match (files::read(&self.folder, epoch)?, self.hsm()?) {
            (Some(epoch_key), _) => Ok(epoch_key.wrap(key)),
            (None, Some(hsm)) => hsm.wrap(epoch, key),
            (None, None) => Err(ProviderError::NoEpoch(epoch)),
        }
    }

    fn unwrap(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, ProviderError> {
        match (files::read(&self.folder, epoch)?, self.hsm()?) {
            (Some(epoch_key), _) => Ok(epoch_key.unwrap(wrapped)?),
            (None, Some(hsm)) => hsm.unwrap(epoch, wrapped),
            (None, None) => Err(ProviderError::NoEpoch(epoch)),
        }
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
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
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
