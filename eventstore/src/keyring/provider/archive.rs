//! A key store in one piece, to be kept elsewhere: its files by name.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{KeyStore, ProviderError};

/// The store's files, each as bytes under its name within the folder.
type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

const MARKS: &str = "marks";

pub(super) fn pack(folder: &Path) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
    let mut files = Files::new();
    for within in ["", MARKS] {
        for file in fs::read_dir(folder.join(within))? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            // What begins with a dot is about to become a key, or to go.
            let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
            if path.is_file() {
                let name = Path::new(within).join(name).to_string_lossy().into_owned();
                files.insert(name, Zeroizing::new(fs::read(&path)?));
            }
        }
    }
    let mut packed = Zeroizing::new(Vec::new());
    for (name, bytes) in &files {
        for piece in [name.as_bytes(), bytes] {
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            packed.extend(length.to_be_bytes());
            packed.extend(piece);
        }
    }
    Ok(packed)
}

impl KeyStore {
    /// Makes a key store of an archive, where there is none.
    ///
    /// # Errors
    /// Where something lies in its place, or the archive is not one.
    pub fn unpack(folder: &Path, packed: &[u8]) -> Result<Self, ProviderError> {
        let files = read(packed).ok_or_else(|| ProviderError::Damaged(folder.to_owned()))?;
        if folder.exists() {
            return Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists).into());
        }
        // Whole under its name or not there: half a store would be in the way of the whole one.
        let mut beside = folder.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        if beside.exists() {
            fs::remove_dir_all(&beside)?;
        }
        for within in [beside.clone(), beside.join(MARKS)] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(within)?;
        }
        for (name, bytes) in files {
            let path = beside.join(name);
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
        }
        fs::File::open(&beside)?.sync_all()?;
        fs::rename(&beside, folder)?;
        Self::open(folder)
    }
}

fn read(mut packed: &[u8]) -> Option<Files> {
    let mut files = Files::new();
    while !packed.is_empty() {
        let name = String::from_utf8(piece(&mut packed)?.to_vec()).ok()?;
        let within = name.strip_prefix("marks/").unwrap_or(&name);
        // No name leads anywhere else.
        if within.is_empty() || within.starts_with('.') || within.contains('/') {
            return None;
        }
        files.insert(name, Zeroizing::new(piece(&mut packed)?.to_vec()));
    }
    Some(files)
}

fn piece<'a>(packed: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = packed.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (piece, rest) = rest.split_at_checked(length)?;
    *packed = rest;
    Some(piece)
}
