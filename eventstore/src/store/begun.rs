//! Tenants in files whose making was cut off by a crash.

use std::fs::{self, File};
use std::path::Path;

use super::StoreError;
use super::place::{self, Site, Which};
use crate::keyring::provider::Provider;

/// What the folder of a tenant that is being made ends with.
const BEGUN: &str = ".begun";

/// Gives tenants their names that were made but for that when a crash came: the key store has their marks, and
/// would wait for them for ever. What was not made yet is removed.
pub(super) fn finish(dir: &Path, provider: &dyn Provider) -> Result<(), StoreError> {
    let tenants = dir.join("tenants");
    for entry in fs::read_dir(&tenants)? {
        let (path, file) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = file.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(BEGUN));
        let Some(name) = name else { continue };
        let folder = place::folder(dir, name);
        let tenant =
            || Site::Folder(path.clone()).reader(Which::Ledger)?.head().map_err(StoreError::from);
        let is_made = tenant()
            .is_ok_and(|head| provider.marks(head.tenant).is_ok_and(|marks| !marks.is_empty()));
        if is_made && !folder.exists() && !place::is_out_of_use(dir, name) {
            fs::rename(&path, &folder)?;
        } else {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(File::open(tenants)?.sync_all()?)
}

/// What the folder of a tenant is called while it is made.
pub(super) fn folder(name: &str) -> String {
    format!(".{name}{BEGUN}")
}
