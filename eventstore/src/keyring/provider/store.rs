//! The key store: a private folder outside the data with the record of epochs and the marks. The
//! epoch keys are files in it, or in an HSM or with a key service that it names; a store that moves
//! keeps both until its last file's epoch has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::vault::{Vault, VaultPlace};
use super::{Epoch, EpochInfo, Mark, Provider, ProviderError, TenantId, archive, files};
use crate::environment::Environment;
use crate::keyring::key::Key;

const MARKS: &str = "marks";

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
    /// For how long it can be called back then.
    #[serde(default, skip_serializing_if = "is_nothing")]
    lingering_days: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_nothing(days: &u32) -> bool {
    *days == 0
}

/// A key store on this machine.
pub struct KeyStore {
    folder: PathBuf,
    /// Once the store names one: from then on new keys are made there.
    vault: OnceLock<Box<dyn Vault>>,
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
        let store = Self { folder: folder.to_owned(), vault: OnceLock::new() };
        store.current()?;
        Ok(store)
    }

    /// Has epoch keys made in an HSM or by a key service from now on: the first one, where there is
    /// no store yet, else with the next rotation. Nothing is changed before it was used.
    ///
    /// # Errors
    /// Where it cannot be used, or the store names another one.
    pub fn entrust(
        folder: &Path,
        place: VaultPlace,
        env: &Environment,
    ) -> Result<Self, ProviderError> {
        place.clone().open(folder).kept()?;
        let store = Self::at(folder)?;
        if let Some(vault) = store.vault()? {
            let named = vault.place();
            let same = place.called_as(&named) == named;
            return if same {
                Ok(store)
            } else {
                Err(ProviderError::OtherVault(folder.to_owned()))
            };
        }
        place.write(folder)?;
        if store.kept()?.is_empty() {
            store.make(Epoch(1), env)?;
        }
        Ok(store)
    }

    fn at(folder: &Path) -> Result<Self, ProviderError> {
        for folder in [folder.to_owned(), folder.join(MARKS)] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(Self { folder: folder.to_owned(), vault: OnceLock::new() })
    }

    /// The one that the store names, if it names one; also when it came to do so while it was open.
    fn vault(&self) -> Result<Option<&dyn Vault>, ProviderError> {
        if let Some(vault) = self.vault.get() {
            return Ok(Some(vault.as_ref()));
        }
        let Some(place) = VaultPlace::of(&self.folder)? else { return Ok(None) };
        Ok(Some(self.vault.get_or_init(|| place.open(&self.folder)).as_ref()))
    }

    /// Makes an epoch key, and notes when.
    fn make(&self, epoch: Epoch, env: &Environment) -> Result<(), ProviderError> {
        let lingering_days = match self.vault()? {
            Some(vault) => {
                // It would make two of the same name: of several nodes one makes it.
                let lock = File::open(self.folder.join(vault.place().file()))?;
                lock.lock()?;
                if self.kept()?.contains(&epoch) {
                    return Err(std::io::Error::from(ErrorKind::AlreadyExists).into());
                }
                vault.make(epoch)?;
                vault.lingering_days()
            }
            None => {
                files::make(&self.folder, epoch, env)?;
                0
            }
        };
        let made_at = Some(env.clock.now());
        self.note(&EpochLine { epoch: epoch.0, made_at, lingering_days, ..EpochLine::default() })
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("epochs.jsonl")
    }

    fn note(&self, line: &EpochLine) -> Result<(), ProviderError> {
        append_lines(&self.record_path(), std::slice::from_ref(line))?;
        Ok(File::open(&self.folder)?.sync_all()?)
    }

    /// The numbers of the keys that are there.
    fn kept(&self) -> Result<BTreeSet<Epoch>, ProviderError> {
        let mut kept = files::kept(&self.folder)?;
        if let Some(vault) = self.vault()? {
            kept.extend(vault.kept()?);
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
        match (kept, self.vault()?, noted) {
            (Some(newest), ..) => Ok(newest),
            (None, Some(vault), _) => Err(vault.lacks_the_newest()),
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
            info.lingering_days = info.lingering_days.max(line.lingering_days);
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
        let of_vault = match self.vault()? {
            Some(vault) => vault.destroy(epoch)?,
            None => false,
        };
        if of_file || of_vault { Ok(()) } else { Err(ProviderError::NoEpoch(epoch)) }
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

    fn wrap(&self, epoch: Epoch, key: &Key) -> Result<Vec<u8>, ProviderError> {
        match (files::read(&self.folder, epoch)?, self.vault()?) {
            (Some(epoch_key), _) => Ok(epoch_key.wrap(key).to_vec()),
            (None, Some(vault)) => vault.wrap(epoch, key),
            (None, None) => Err(ProviderError::NoEpoch(epoch)),
        }
    }

    fn unwrap(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, ProviderError> {
        match (files::read(&self.folder, epoch)?, self.vault()?) {
            (Some(epoch_key), _) => Ok(epoch_key.unwrap(wrapped)?),
            (None, Some(vault)) => vault.unwrap(epoch, wrapped),
            (None, None) => Err(ProviderError::NoEpoch(epoch)),
        }
    }

    fn marks(&self, tenant: TenantId) -> Result<Vec<Mark>, ProviderError> {
        read_lines(&self.marks_path(tenant))
    }

    fn add_marks(&self, tenant: TenantId, marks: &[Mark]) -> Result<(), ProviderError> {
        let path = self.marks_path(tenant);
        let new = !path.exists();
        append_lines(&path, marks)?;
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
pub(super) fn read_lines<T: serde::de::DeserializeOwned>(
    path: &Path,
) -> Result<Vec<T>, ProviderError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let damaged = |_| ProviderError::Damaged(path.to_owned());
    lines.map(|line| serde_json::from_str(line).map_err(damaged)).collect()
}

/// Adds lines to a private file, durably.
pub(super) fn append_lines<T: Serialize>(path: &Path, values: &[T]) -> Result<(), std::io::Error> {
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut lines = Vec::new();
    for value in values {
        serde_json::to_writer(&mut lines, value)?;
        lines.push(b'\n');
    }
    cut_off_half_a_line(&file, path)?;
    file.write_all(&lines)?;
    file.sync_data()
}

/// A crash may have come into the middle of the last line, of which nobody was told.
fn cut_off_half_a_line(file: &File, path: &Path) -> Result<(), std::io::Error> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(()) };
    let mut end = [0];
    file.read_exact_at(&mut end, last)?;
    if end == *b"\n" {
        return Ok(());
    }
    let bytes = fs::read(path)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    file.set_len(u64::try_from(whole).unwrap_or(0))
}
