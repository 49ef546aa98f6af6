//! Epoch keys as private files of the key store.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use domain::ids::hex_digits;

use zeroize::Zeroizing;

use super::{Epoch, ProviderError};
use crate::environment::Environment;
use crate::keyring::key::Key;

/// Makes an epoch key; one that exists is never overwritten.
pub(super) fn make(folder: &Path, epoch: Epoch, env: &Environment) -> Result<(), ProviderError> {
    // Whole under its name or not there: what a crash cut short would be in the way for good.
    let unique: String = hex_digits(&env.random::<8>()).collect();
    let beside = folder.join(format!(".{unique}.new"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(Key::random(env).expose())?;
    file.sync_all()?;
    let linked = fs::hard_link(&beside, path(folder, epoch));
    fs::remove_file(&beside)?;
    linked?;
    Ok(File::open(folder)?.sync_all()?)
}

/// The numbers of the keys that are there.
pub(super) fn kept(folder: &Path) -> Result<BTreeSet<Epoch>, ProviderError> {
    let mut kept = BTreeSet::new();
    for file in fs::read_dir(folder)? {
        let name = file?.file_name();
        let number = name.to_str().and_then(|name| {
            name.strip_prefix("epoch-")?.strip_suffix(".key")?.parse::<u32>().ok()
        });
        kept.extend(number.map(Epoch));
    }
    Ok(kept)
}

fn path(folder: &Path, epoch: Epoch) -> PathBuf {
    folder.join(format!("epoch-{}.key", epoch.0))
}

/// Reads an epoch key, if there is one.
pub(super) fn read(folder: &Path, epoch: Epoch) -> Result<Option<Key>, ProviderError> {
    let path = path(folder, epoch);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    private(&file, &path)?;
    let mut bytes = Zeroizing::new([0; 32]);
    let complete = file.read_exact(bytes.as_mut_slice()).is_ok() && file.read(&mut [0])? == 0;
    if complete { Ok(Some(Key::from_bytes(bytes))) } else { Err(ProviderError::Damaged(path)) }
}

/// Refuses a file that others may read.
pub(super) fn private(file: &File, path: &Path) -> Result<(), ProviderError> {
    if file.metadata()?.permissions().mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(ProviderError::Exposed(path.to_owned()))
    }
}

/// Destroys an epoch key; whether there was one.
pub(super) fn destroy(folder: &Path, epoch: Epoch) -> Result<bool, ProviderError> {
    let path = path(folder, epoch);
    // Written over first: a file that is only removed may be found again on some disks.
    let mut file = match OpenOptions::new().write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    file.write_all(&[0; 32])?;
    file.sync_all()?;
    fs::remove_file(&path)?;
    File::open(folder)?.sync_all()?;
    Ok(true)
}
