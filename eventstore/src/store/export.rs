//! All of a tenant in a folder: its two ledgers as files, and what says that they are whole.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use domain::Position;
use domain::ids::hex_digits;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::place::{Site, Which};
use crate::engine::Reader;
use crate::keyring::provider::TenantId;
use crate::ledger::index;
use crate::ledger::log::ReadError;
use crate::postgres::{PgReader, Scope};
use crate::sqlite::{self, SqliteReader};
use crate::tree::{Frontier, leaf_hash};

/// Says what else is in the folder, and that it is whole: it is written last.
const MANIFEST: &str = "tenant.json";
const FORMAT: &str = "tidbok-tenant/1";
/// How many entries are read at a time.
const STRETCH: usize = 1024;

/// What a folder has of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    format: String,
    pub tenant: String,
    /// The permanent id, in hexadecimal.
    id: String,
    pub ledger: Extent,
    pub access: Extent,
}

/// How far a ledger went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    pub size: u64,
    /// Of its tree, in hexadecimal.
    pub root: String,
}

impl Export {
    /// Says in a folder that it is whole. Where that fails it is not said, as far as that can be had.
    pub(super) fn write(&self, to: &Path) -> Result<(), StoreError> {
        let written = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        let written = written.and_then(|text| {
            let mut file = File::create_new(to.join(MANIFEST))?;
            file.write_all(&text)?;
            file.sync_all()?;
            File::open(to)?.sync_all()
        });
        if written.is_err() {
            // Whoever goes on by whether it is there looks for it.
            drop(fs::remove_file(to.join(MANIFEST)));
        }
        Ok(written?)
    }

    /// Whether a folder may say that it is whole.
    pub(super) fn may_be_in(folder: &Path) -> bool {
        match fs::symlink_metadata(folder.join(MANIFEST)) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }

    /// Reads what a folder says it has.
    ///
    /// # Errors
    /// Where it is no export that is whole.
    pub fn read(from: &Path) -> Result<Self, StoreError> {
        let text = match fs::read(from.join(MANIFEST)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::NoExport("there is no tenant.json"));
            }
            read => read?,
        };
        let export: Self = serde_json::from_slice(&text)
            .map_err(|_| StoreError::NoExport("its tenant.json cannot be read"))?;
        if export.format != FORMAT {
            return Err(StoreError::NoExport("it was made by another version of the program"));
        }
        Ok(export)
    }

    pub(super) fn extent(&self, which: Which) -> &Extent {
        match which {
            Which::Ledger => &self.ledger,
            Which::Access => &self.access,
        }
    }

    pub(super) fn id(&self) -> Result<TenantId, StoreError> {
        TenantId::from_hex(&self.id).ok_or(StoreError::NoExport("its tenant.json has no id"))
    }
}

/// Copies ledgers on a server, which are out of use, into files.
pub(super) fn copy(site: &Site, to: &Path) -> Result<(), StoreError> {
    make_folder(to)?;
    if let Site::Server { home, id, .. } = site {
        for which in Which::ALL {
            PgReader(Scope::of_owner(home, *id, which)).copy(&to.join(which.file()))?;
        }
    }
    Ok(())
}

/// Copies the files of a tenant that nobody has open; whose they are.
pub(super) fn copy_files(from: &Path, to: &Path) -> Result<TenantId, StoreError> {
    make_folder(to)?;
    for which in Which::ALL {
        let (from, to) = (from.join(which.file()), to.join(which.file()));
        let whole = sqlite::open_writer(&from)?;
        let sql = "VACUUM INTO ?1";
        whole.execute(sql, [to.to_string_lossy()]).map_err(sqlite::OpenError::from)?;
        File::open(&to)?.sync_all()?;
    }
    Ok(head_of(to)?.0)
}

fn make_folder(to: &Path) -> Result<(), StoreError> {
    if !to.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    }
    Ok(())
}

pub(super) fn head_of(folder: &Path) -> Result<(TenantId, u64), StoreError> {
    let head = SqliteReader::open(&folder.join(Which::Ledger.file()))?.head()?;
    Ok((head.tenant, head.frontier.size()))
}

/// Writes what of the indexes was not in the files' tables yet, and says how far the files go.
pub(super) fn complete(name: &str, id: TenantId, folder: &Path) -> Result<Export, StoreError> {
    let mut extents = Vec::new();
    for which in Which::ALL {
        let path = folder.join(which.file());
        let reader = SqliteReader::open(&path)?;
        let head = reader.head()?;
        let (tags, persons) = index::missing(&reader, head.indexed)?;
        let mut file = sqlite::open_writer(&path)?;
        let written = (|| {
            let tx = file.transaction()?;
            sqlite::insert_tags(&tx, &tags)?;
            sqlite::insert_persons(&tx, &persons)?;
            tx.execute("UPDATE head SET indexed = size", [])?;
            tx.commit()
        })();
        written.map_err(sqlite::OpenError::from)?;
        extents.push(extent(&reader)?);
        drop((reader, file));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        File::open(&path)?.sync_all()?;
    }
    let [ledger, access] = extents.try_into().map_err(|_| StoreError::from(ReadError::Head))?;
    let (format, tenant) = (FORMAT.to_owned(), name.to_owned());
    Ok(Export { format, tenant, id: id.to_string(), ledger, access })
}

/// How far a ledger in a file goes, by all of its entries.
pub(super) fn extent(reader: &SqliteReader) -> Result<Extent, StoreError> {
    let mut tree = Frontier::default();
    loop {
        let entries = reader.entries(Position(tree.size()), STRETCH)?;
        for entry in &entries {
            if entry.position.0 != tree.size() || leaf_hash(&entry.bytes) != entry.leaf {
                return Err(ReadError::Head.into());
            }
            tree.push(entry.leaf);
        }
        if entries.len() < STRETCH {
            break;
        }
    }
    if reader.head()?.frontier != tree {
        return Err(ReadError::Head.into());
    }
    let root = hex_digits(&tree.root()).collect();
    Ok(Extent { size: tree.size(), root })
}
