//! How much room everything takes beside the personal data in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use eventstore::keyring::KeyError;
use eventstore::proof::checkpoint::Origin;
use eventstore::proof::folder;
use eventstore::store::StoreError;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::failed;
use super::side::{Side, System};
use crate::cli::CliError;

/// Bytes by where they lie.
#[derive(Debug, Default)]
pub(super) struct Space {
    files: BTreeMap<String, u64>,
    /// Of the ledger's and the read models' files, by table and index.
    tables: BTreeMap<String, u64>,
    /// The ten fields of each record, as `GDPRbench` writes them.
    pub personal: u64,
    /// Of those the one that it calls data.
    data: u64,
    /// What the same takes without privacy.
    in_the_clear: u64,
}

impl Space {
    /// Measures our side's tenant, with the log as `audit export` writes it.
    pub(super) fn of(side: &Side, clear: &Side, at: &Path) -> Result<Self, CliError> {
        let (System::Ours(_, desk), System::Clear(clear)) = (&side.system, &clear.system) else {
            return Err(failed("no side of ours and one in the clear"));
        };
        let tenant = &desk.tenant;
        let mut space = Self::default();
        (space.personal, space.data) = side.model().personal();
        for name in ["ledger.sqlite", "access.sqlite", "read.sqlite"] {
            let file = tenant.folder().join(name);
            if file.exists() {
                space.tables.extend(checkpointed(&file)?);
                let size = fs::metadata(&file).map_err(failed)?.len();
                space.files.insert(name.to_owned(), size);
            }
        }
        checkpointed(&clear.file)?;
        space.in_the_clear = fs::metadata(&clear.file).map_err(failed)?.len();
        let tiles = at.join(format!("tiles-{}", tenant.log().size()));
        let head = tenant.log().head()?;
        let signer = tenant.keyring().signer(&Origin::of(&head));
        let signer = signer.map_err(|error: KeyError| StoreError::from(error))?;
        folder::export(tenant.log(), &signer, None, &tiles, &mut |_, _| ())?;
        space.files.insert("tiles".to_owned(), below(&tiles.join("tile"), false)?);
        space.files.insert("entry bundles".to_owned(), below(&tiles.join("tile/entries"), true)?);
        Ok(space)
    }

    pub(super) fn total(&self) -> u64 {
        self.files.values().sum()
    }

    pub(super) fn told(&self) -> Value {
        let factor = |personal: u64| self.total() as f64 / personal.max(1) as f64;
        json!({
            "bytes": self.files, "tables": self.tables, "personal": self.personal,
            "data": self.data, "in_the_clear": self.in_the_clear,
            "factor": factor(self.personal), "factor_of_data": factor(self.data),
        })
    }
}

/// Brings what waits in the write-ahead log to the file; answers what each table and index takes.
fn checkpointed(file: &Path) -> Result<BTreeMap<String, u64>, CliError> {
    let conn = Connection::open(file).map_err(failed)?;
    conn.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
    let base = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    // Only where SQLite was built with the table that tells.
    let sql = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name";
    let Ok(mut statement) = conn.prepare(sql) else { return Ok(BTreeMap::new()) };
    let row = |row: &rusqlite::Row<'_>| {
        let (name, size): (String, i64) = (row.get(0)?, row.get(1)?);
        Ok((format!("{base}.{name}"), u64::try_from(size).unwrap_or(0)))
    };
    let rows = statement.query_map([], row).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

/// The bytes of all files below a folder; of the tree's, without the entries' own.
fn below(folder: &Path, entries: bool) -> Result<u64, CliError> {
    let mut sum = 0;
    for file in fs::read_dir(folder).map_err(failed)? {
        let file = file.map_err(failed)?;
        let kind = file.file_type().map_err(failed)?;
        if kind.is_dir() && (entries || file.file_name() != "entries") {
            sum += below(&file.path(), entries)?;
        } else if kind.is_file() {
            sum += file.metadata().map_err(failed)?.len();
        }
    }
    Ok(sum)
}
