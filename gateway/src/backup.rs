//! Backups: each tenant's ledgers in parts, encrypted with age to whom the operator names, and how
//! a tenant comes back from them.
//!
//! The history, the seals and the keyring are archives of their own, each with the day on which it
//! is to be deleted. The keyring's, in which links and wrapped keys are, is also encrypted under a
//! key that hangs on the epoch's: once that ends, the archive opens for nobody.

mod archive;
mod manifest;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventstore::StoreError;
use eventstore::keyring::provider::Epoch;
use eventstore::sqlite::parts::Part;
use eventstore::store::backup::{Parts, Which, inspect, join, part};
use jiff::{SignedDuration, Timestamp};

use crate::app::{App, AppError};
pub use archive::{Identities, Recipients};
use manifest::{Archive, MANIFEST, Manifest, Wrapping};

/// Why there is no backup, or why nothing comes back from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(
        "{0} is no age recipient, or not the whole of one: copy all of the age1... that age-keygen has printed"
    )]
    Recipient(String),
    #[error("{0} holds no age identity that can be read")]
    Identity(PathBuf),
    #[error("{0} cannot be read or written")]
    File(PathBuf, #[source] std::io::Error),
    #[error("an archive could not be encrypted")]
    Encrypt(#[from] age::EncryptError),
    #[error("no identity fits this backup: it was encrypted to others")]
    Foreign,
    #[error("{0} is damaged or cut off; nothing was restored from it. Take another copy")]
    Damaged(PathBuf),
    #[error("{0} is no backup that this program can read")]
    NoBackup(PathBuf),
    #[error(
        "the keys of the epoch {0}, under which this backup was made, are not in the key store. If \
         they were destroyed it opens nothing any more: delete it. If the key store was lost, put \
         its own archive back first (`tidbok keys restore`)"
    )]
    Ended(u32, #[source] Box<StoreError>),
    #[error("the backup has no tenant {0}")]
    NoTenant(String),
    #[error(
        "the ledgers lie in a database, which has its own way of being backed up; with --keys-to the \
         key store is archived"
    )]
    Database,
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub folder: PathBuf,
    pub tenants: Vec<String>,
    pub archives: usize,
    pub bytes: u64,
    /// When seals and keyring are to be deleted.
    pub delete_by: Timestamp,
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    |error| BackupError::File(path, error)
}

/// Backs up all tenants into a new folder within `to`, while they are served. The folder has its
/// name only once it is whole.
///
/// # Errors
/// Where a tenant cannot be opened, or files cannot be read or written. Nothing is left then.
pub fn make(
    app: &App,
    to: &Path,
    recipients: &Recipients,
    window: Duration,
    progress: &dyn Fn(u64, u64),
) -> Result<Made, BackupError> {
    let now = app.env.clock.now();
    let name = format!("tidbok-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    // One that was killed in the same second may have left its own.
    let unique = u32::from_be_bytes(app.env.random());
    let (folder, beside) = (to.join(&name), to.join(format!(".{name}.{unique:08x}.part")));
    fs::create_dir_all(to).map_err(at(to))?;
    fs::create_dir(&beside).map_err(at(&beside))?;
    let made = fill(app, &beside, recipients, now, window, progress);
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(error) => {
            drop(fs::remove_dir_all(&beside));
            return Err(error);
        }
    };
    File::open(&beside).and_then(|beside| beside.sync_all()).map_err(at(&beside))?;
    fs::rename(&beside, &folder).map_err(at(&folder))?;
    File::open(to).and_then(|to| to.sync_all()).map_err(at(to))?;
    app.store.note_backup(now)?;
    Ok(Made {
        folder,
        tenants: manifest.tenants(),
        archives: manifest.archives.len(),
        bytes: manifest.archives.iter().map(|archive| archive.bytes).sum(),
        delete_by: manifest.delete_by,
    })
}

fn fill(
    app: &App,
    folder: &Path,
    recipients: &Recipients,
    now: Timestamp,
    window: Duration,
    progress: &dyn Fn(u64, u64),
) -> Result<Manifest, BackupError> {
    let workshop = app.store.workshop()?;
    let (epoch, key, wrapped) = app.store.backup_key()?;
    let inner = archive::Inner::new();
    let wrapping = Wrapping::of(epoch, &wrapped, &inner, &key, &app.env);
    let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
    let delete_by = now.checked_add(window).unwrap_or(Timestamp::MAX);
    let mut archives = Vec::new();
    let names = app.store.tenants()?;
    let total = u64::try_from(names.len()).unwrap_or(u64::MAX);
    for (done, name) in (1..).zip(names) {
        let desk = app.visit(&name)?;
        for which in Which::ALL {
            let Some(parts) = part(&desk.tenant, which, workshop.folder())? else {
                if desk.tenant.log().path().is_none() {
                    return Err(BackupError::Database);
                }
                continue;
            };
            for (part, from) in Part::ALL.into_iter().zip(&parts) {
                let file = format!("{name}.{}.{}.age", which.name(), part.name());
                let inner = (part == Part::Keyring).then_some(&inner);
                let (bytes, sha256) = archive::write(from, &folder.join(&file), recipients, inner)?;
                fs::remove_file(from).map_err(at(from))?;
                let delete_by = (part != Part::History).then_some(delete_by);
                archives.push(Archive {
                    file,
                    tenant: name.clone(),
                    ledger: which.name().to_owned(),
                    part: part.name().to_owned(),
                    bytes,
                    sha256,
                    delete_by,
                });
            }
        }
        app.rest();
        progress(done, total);
    }
    let manifest = Manifest::new(now, delete_by, wrapping, archives);
    manifest.write(&folder.join(MANIFEST))?;
    Ok(manifest)
}

/// Archives the key store as one file within `to`: to be kept elsewhere than the data, and no longer
/// than backups are, for it opens them.
///
/// # Errors
/// Where the key store gives no key away, or the file cannot be written.
pub fn make_of_keys(app: &App, to: &Path, recipients: &Recipients) -> Result<PathBuf, BackupError> {
    let name = format!("tidbok-keys-{}.age", app.env.clock.now().strftime("%Y%m%dT%H%M%SZ"));
    let (file, beside) = (to.join(&name), to.join(format!(".{name}.part")));
    fs::create_dir_all(to).map_err(at(to))?;
    let packed = app.store.key_archive()?;
    archive::write_bytes(&packed, &beside, recipients)?;
    fs::rename(&beside, &file).map_err(at(&file))?;
    Ok(file)
}

/// What an archive of a key store holds.
///
/// # Errors
/// Where it cannot be opened.
pub fn keys_in(
    file: &Path,
    identities: &Identities,
) -> Result<zeroize::Zeroizing<Vec<u8>>, BackupError> {
    archive::read_bytes(file, identities)
}

/// Brings tenants back from a backup into places where there is nothing, and opens none of them.
/// Answers their names.
///
/// # Errors
/// Where the backup cannot be read with these identities, its epoch has ended, or a tenant is in
/// place already; that tenant is left as it was.
pub fn restore(
    app: &App,
    from: &Path,
    identities: &Identities,
    tenant: Option<&str>,
    progress: &dyn Fn(u64, u64),
) -> Result<Vec<String>, BackupError> {
    let manifest = Manifest::read(&from.join(MANIFEST))?;
    let mut names = manifest.tenants();
    if let Some(wanted) = tenant {
        names.retain(|name| name == wanted);
        if names.is_empty() {
            return Err(BackupError::NoTenant(wanted.to_owned()));
        }
    }
    let inner = inner(app, &manifest)?;
    let workshop = app.store.workshop()?;
    let total = u64::try_from(names.len()).unwrap_or(u64::MAX);
    for (done, name) in (1..).zip(&names) {
        app.store.place::<BackupError>(name, |folder| {
            for which in Which::ALL {
                let archives = manifest.of(name, which);
                if archives.is_empty() {
                    continue;
                }
                let parts = unpack(&archives, from, workshop.folder(), identities, &inner)?;
                join(&parts, which, folder)?;
            }
            Ok(())
        })?;
        progress(done, total);
    }
    Ok(names)
}

/// What the keyrings' archives open with besides, as long as their epoch lasts.
fn inner(app: &App, manifest: &Manifest) -> Result<Identities, BackupError> {
    let epoch = Epoch(manifest.wrapping.epoch);
    let key = app.store.backed_up_key(epoch, &manifest.wrapping.key()?);
    let key = key.map_err(|error| BackupError::Ended(epoch.0, Box::new(error)))?;
    manifest.wrapping.identity(&key)
}

/// Sees whether a backup can be brought back: decrypts all of it, puts it together beside the data,
/// reads it, and lets it go. Takes note of it; answers when it was made, and the tenants with how many
/// entries they have.
///
/// # Errors
/// As [`restore`], and where what comes out is no ledger.
pub fn check(
    app: &App,
    from: &Path,
    identities: &Identities,
    progress: &dyn Fn(u64, u64),
) -> Result<(Timestamp, Vec<(String, u64)>), BackupError> {
    let manifest = Manifest::read(&from.join(MANIFEST))?;
    let inner = inner(app, &manifest)?;
    let workshop = app.store.workshop()?;
    let (mut checked, names) = (Vec::new(), manifest.tenants());
    let total = u64::try_from(names.len()).unwrap_or(u64::MAX);
    for (done, name) in (1..).zip(names) {
        let folder = workshop.folder().join("checked");
        fs::create_dir(&folder).map_err(at(&folder))?;
        let mut entries = 0;
        for which in Which::ALL {
            let archives = manifest.of(&name, which);
            if archives.is_empty() {
                continue;
            }
            let parts = unpack(&archives, from, workshop.folder(), identities, &inner)?;
            join(&parts, which, &folder)?;
            let size = inspect(which, &folder)?;
            if which == Which::Ledger {
                entries = size;
            }
        }
        fs::remove_dir_all(&folder).map_err(at(&folder))?;
        checked.push((name, entries));
        progress(done, total);
    }
    app.store.note_verified(manifest.made_at)?;
    Ok((manifest.made_at, checked))
}

/// What is to be said of backups: that none was seen to be whole for longer than half the time for
/// which they are kept. Nothing of a database's, and nothing as long as the store is that new.
///
/// # Errors
/// Where the key store cannot be read.
pub fn warning(app: &App, window: Duration) -> Result<Option<&'static str>, StoreError> {
    if !app.store.is_in_files() {
        return Ok(None);
    }
    let age = |at: Timestamp| Duration::try_from(app.env.clock.now().duration_since(at));
    let is_old = |at: Timestamp| age(at).is_ok_and(|age| age > window / 2);
    if let Some(newest) = app.store.newest_verified() {
        return Ok(is_old(newest).then_some("verified_backup_old"));
    }
    let epochs = app.store.epochs(window)?;
    let first = epochs.first().and_then(|(info, _)| info.made_at);
    Ok(first.is_some_and(is_old).then_some("no_verified_backup"))
}

fn unpack(
    archives: &[&Archive],
    from: &Path,
    into: &Path,
    identities: &Identities,
    inner: &Identities,
) -> Result<Parts, BackupError> {
    let parts = Part::ALL.map(|part| into.join(part.name()));
    for (part, to) in Part::ALL.into_iter().zip(&parts) {
        let archive = archives.iter().find(|archive| archive.part == part.name());
        let archive = archive.ok_or_else(|| BackupError::NoBackup(from.to_owned()))?;
        let inner = (part == Part::Keyring).then_some(inner);
        let file = from.join(&archive.file);
        archive::read(&file, to, &archive.sha256, identities, inner)?;
    }
    Ok(parts)
}
