//! Writing a log into a folder. Every file is written beside its place and then renamed, and the
//! checkpoint last, so that whoever reads meanwhile finds all that it promises.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::keyring::log_key::verifiers;
use crate::ledger::log::{Log, ReadError};
use crate::proof::bundle;
use crate::proof::checkpoint::{self, Checkpoint};
use crate::proof::nodes::{Nodes, Tree, leaves};
use crate::proof::note::{NoteError, Signer, Verifier};
use crate::proof::tile;

/// Why a log could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the folder cannot be written")]
    Io(#[from] io::Error),
    #[error("the folder has a checkpoint that this log has not signed: {0}; take an empty folder")]
    Other(#[from] NoteError),
    #[error(
        "the folder's log has {folder} entries and the ledger {ledger}: an older copy was put \
         back. The folder is left as it is, for it is the proof"
    )]
    Rollback { folder: u64, ledger: u64 },
    #[error(
        "the ledger's first {0} entries are not those of the folder: history was changed. The \
         folder is left as it is, for it is the proof"
    )]
    Fork(u64),
    #[error("the ledger's entries do not make the tree of its head: run `tidbok audit verify`")]
    Tree,
}

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    pub checkpoint: Checkpoint,
    /// Tiles and bundles that were not there before.
    pub written: u64,
}

/// Writes the log as its head stands into a folder that is empty or has an earlier export of it.
/// What is there and whole is not written again. Where a checkpoint of it has been signed by others
/// too, the log is written as that says, unless the folder goes further already.
///
/// # Errors
/// Where the folder holds another log or another history, or cannot be written.
pub fn export(
    log: &Log,
    signer: &Signer,
    witnessed: Option<&str>,
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, ExportError> {
    let head = log.head()?;
    let mut checkpoint = Checkpoint::of(&head);
    let mut note = checkpoint.signed(signer);
    let there = fs::read_to_string(folder.join(checkpoint::FILE)).unwrap_or_default();
    let there = Checkpoint::unchecked(&there).map_or(0, |there| there.size);
    let in_reach = |told: &Checkpoint| {
        told.origin == checkpoint.origin && (there..=checkpoint.size).contains(&told.size)
    };
    if let Some((told, signed)) = witnessed
        // After an exchange of the key it may be signed by none but the one before.
        .and_then(|note| Some((Checkpoint::open(note, signer.verifier()).ok()?, note)))
        .filter(|(told, _)| in_reach(told))
    {
        (checkpoint, note) = (told, signed.to_owned());
    }
    let size = checkpoint.size;
    let mut nodes = Nodes::default();
    nodes.follow(log, size)?;
    let leaves = |from, count| leaves(log, from, count);
    let tree = Tree { nodes: &nodes, leaves: &leaves };
    if tree.range(0, size)? != checkpoint.root {
        return Err(ExportError::Tree);
    }
    before(folder, &verifiers(log, signer.verifier())?, &tree, size)?;
    let mut written = 0;
    for tile in tile::all(size) {
        if tile.level == 0 && place(folder, &tile.bundle_path(), || Ok(bundle::of(log, tile)?))? {
            written += 1;
        }
        if place(folder, &tile.path(), || Ok(tree.tile(tile)?.concat()))? {
            written += 1;
        }
        if tile.level == 0 {
            progress(tile.first() + tile.width, size);
        }
    }
    replace(&folder.join(checkpoint::KEY_FILE), format!("{}\n", signer.verifier()).as_bytes())?;
    replace(&folder.join(checkpoint::FILE), note.as_bytes())?;
    Ok(Exported { checkpoint, written })
}

/// Holds the ledger against the checkpoint that the folder has already.
fn before(
    folder: &Path,
    verifiers: &[Verifier],
    tree: &Tree<'_>,
    size: u64,
) -> Result<(), ExportError> {
    let path = folder.join(checkpoint::FILE);
    if !path.exists() {
        return Ok(());
    }
    let note = fs::read_to_string(path)?;
    // The key may have been exchanged since.
    let mut opened = verifiers.iter().map(|verifier| Checkpoint::open(&note, verifier));
    let unsigned = |last: Result<Checkpoint, NoteError>| {
        if matches!(last, Err(NoteError::Unsigned)) { None } else { Some(last) }
    };
    let old = opened.find_map(unsigned).unwrap_or(Err(NoteError::Unsigned))?;
    if old.size > size {
        return Err(ExportError::Rollback { folder: old.size, ledger: size });
    }
    if tree.range(0, old.size)? == old.root { Ok(()) } else { Err(ExportError::Fork(old.size)) }
}

/// Writes a file that is not there yet; whether it had to.
fn place(
    folder: &Path,
    path: &str,
    content: impl FnOnce() -> Result<Vec<u8>, ExportError>,
) -> Result<bool, ExportError> {
    let path = folder.join(path);
    if path.exists() {
        return Ok(false);
    }
    replace(&path, &content()?)?;
    Ok(true)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let beside = path.with_file_name(".new");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(beside, path)
}
