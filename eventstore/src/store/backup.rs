//! What backups are made of, and how a tenant comes back from one.
//!
//! The keyring's part is encrypted under a key that hangs on the epoch's: whoever keeps it longer
//! than that keeps nothing.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::Position;
use jiff::Timestamp;
use zeroize::Zeroizing;

pub use super::place::Which;
use super::place::{Place, is_out_of_use};
use super::{Store, StoreError, Tenant};
use crate::engine::Reader;
use crate::keyring::key::Key;
use crate::keyring::provider::Epoch;
use crate::ledger::log::ReadError;
use crate::sqlite::SqliteReader;
use crate::sqlite::parts::{Part, put_together, take_apart};

const WORKSHOP: &str = "backup.tmp";
/// Says when the newest backup was made.
const NOTED: &str = "newest-backup";
/// Says when the newest one was made of those that were seen to be whole.
const VERIFIED: &str = "verified-backup";

/// The parts of one ledger, as files.
pub type Parts = [PathBuf; 3];

impl Store {
    /// A key for what must end with the present epoch, and as what it is kept.
    ///
    /// # Errors
    /// Where the key store cannot be reached.
    pub fn backup_key(&self) -> Result<(Epoch, Key, Vec<u8>), StoreError> {
        let epoch = self.provider.current()?;
        let key = Key::random(&self.env);
        let wrapped = self.provider.wrap(epoch, &key)?;
        Ok((epoch, key, wrapped))
    }

    /// The key that was kept so, as long as its epoch lasts.
    ///
    /// # Errors
    /// Where the key store cannot be reached or has destroyed the epoch's key.
    pub fn backed_up_key(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, StoreError> {
        Ok(self.provider.unwrap(epoch, wrapped)?)
    }

    /// The key store in one piece.
    ///
    /// # Errors
    /// Where it cannot be read, or gives no key away.
    pub fn key_archive(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        Ok(self.provider.archive()?)
    }

    /// Takes note of a backup that is whole.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn note_backup(&self, at: Timestamp) -> Result<(), StoreError> {
        Ok(fs::write(self.dir.join(NOTED), at.to_string())?)
    }

    /// When the newest backup was made, if there is one.
    pub fn newest_backup(&self) -> Option<Timestamp> {
        fs::read_to_string(self.dir.join(NOTED)).ok()?.trim().parse().ok()
    }

    /// Takes note that a backup of this moment was seen to be whole.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn note_verified(&self, made_at: Timestamp) -> Result<(), StoreError> {
        if self.newest_verified().is_some_and(|newest| newest >= made_at) {
            return Ok(());
        }
        Ok(fs::write(self.dir.join(VERIFIED), made_at.to_string())?)
    }

    /// When the newest backup was made of those that were seen to be whole.
    pub fn newest_verified(&self) -> Option<Timestamp> {
        fs::read_to_string(self.dir.join(VERIFIED)).ok()?.trim().parse().ok()
    }

    /// Whether ledgers lie in files, which this program backs up, and not in a database.
    pub fn is_in_files(&self) -> bool {
        matches!(self.place, Place::Files)
    }

    /// A folder beside the data for what is taken apart. What a crash left there before is removed.
    ///
    /// # Errors
    /// Where it cannot be made, or somebody works in it.
    pub fn workshop(&self) -> Result<Workshop, StoreError> {
        if self.at_work.swap(true, Ordering::AcqRel) {
            return Err(StoreError::AtWork);
        }
        let folder = self.dir.join(WORKSHOP);
        let workshop = Workshop { folder, at_work: Arc::clone(&self.at_work) };
        clean(&self.dir)?;
        fs::DirBuilder::new().mode(0o700).create(&workshop.folder)?;
        Ok(workshop)
    }

    /// Puts a tenant in place that `make` brings into a folder: whole or not at all. The gate that it
    /// passes when it is opened says whether it is older than what was promised.
    ///
    /// # Errors
    /// Where the name is taken or no name, ledgers are in a database, or files cannot be written.
    pub fn place<E: From<StoreError>>(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let folder = super::place::folder(&self.dir, name);
        self.may_place(name, &folder)?;
        self.place_at(name, &folder, make)
    }

    /// As [`Self::place`], at this place.
    pub(super) fn place_at<E: From<StoreError>>(
        &self,
        name: &str,
        folder: &Path,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let tenants = self.dir.join("tenants");
        let beside = tenants.join(format!(".{name}.new"));
        let io = |error: std::io::Error| StoreError::from(error);
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(io)?;
        }
        fs::create_dir(&beside).map_err(io)?;
        make(&beside).inspect_err(|_| drop(fs::remove_dir_all(&beside)))?;
        File::open(&beside).and_then(|folder| folder.sync_all()).map_err(io)?;
        fs::rename(&beside, folder).map_err(io)?;
        Ok(File::open(tenants).and_then(|folder| folder.sync_all()).map_err(io)?)
    }

    fn may_place(&self, name: &str, folder: &Path) -> Result<(), StoreError> {
        if matches!(self.place, Place::Server(_)) {
            return Err(StoreError::NotInFiles);
        }
        if !super::is_tenant_name(name) {
            return Err(StoreError::BadName);
        }
        if folder.exists() || is_out_of_use(&self.dir, name) {
            return Err(StoreError::TenantExists);
        }
        Ok(())
    }
}

/// Removes what a crash has left of a backup, and of tenants that were being brought back.
pub(super) fn clean(dir: &Path) -> std::io::Result<()> {
    let folder = dir.join(WORKSHOP);
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for entry in fs::read_dir(dir.join("tenants"))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".new")) {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// Where files are taken apart; it is removed with what lies there.
pub struct Workshop {
    folder: PathBuf,
    at_work: Arc<AtomicBool>,
}

impl Workshop {
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // The next backup removes what is left.
        drop(fs::remove_dir_all(&self.folder));
        self.at_work.store(false, Ordering::Release);
    }
}

/// Takes a ledger of a tenant apart, as it is at one moment, into files in a folder; none where the
/// ledger is no file, or is not there yet.
///
/// # Errors
/// Where files cannot be read or written.
pub fn part(tenant: &Tenant, which: Which, folder: &Path) -> Result<Option<Parts>, StoreError> {
    let file = tenant.folder().join(which.file());
    if tenant.log().path().is_none() || !file.exists() {
        return Ok(None);
    }
    let parts = Part::ALL.map(|part| folder.join(part.name()));
    for part in &parts {
        if part.exists() {
            fs::remove_file(part)?;
        }
    }
    let [history, seals, keyring] = &parts;
    take_apart(&file, [history, seals, keyring]).map_err(crate::sqlite::OpenError::from)?;
    Ok(Some(parts))
}

/// Whether a file that was made of parts is a ledger that can be read; how many entries it has.
///
/// # Errors
/// Where it is not.
pub fn inspect(which: Which, folder: &Path) -> Result<u64, StoreError> {
    let file = SqliteReader::open(&folder.join(which.file()))?;
    let head = file.with(|conn| {
        let sound: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound == "ok" { conn.head() } else { Err(ReadError::Head) }
    })?;
    let size = head.frontier.size();
    let last = size.checked_sub(1).map(Position);
    let found = file.entries_at(last.as_slice())?;
    if found.len() == last.iter().len() { Ok(size) } else { Err(ReadError::Head.into()) }
}

/// Makes a ledger's file of its parts, in the folder that is to be a tenant's.
///
/// # Errors
/// Where files cannot be read or written, or the parts are not those of one ledger.
pub fn join(parts: &Parts, which: Which, folder: &Path) -> Result<(), StoreError> {
    let [history, seals, keyring] = parts;
    Ok(put_together([history, seals, keyring], &folder.join(which.file()))?)
}
