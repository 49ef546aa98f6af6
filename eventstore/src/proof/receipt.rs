//! Proofs of single entries as files (C2SP tlog-proof): the entry's place, the hashes that lead to
//! the root, and the checkpoint that signs it.
//!
//! The entry's own bytes travel along as the format's extra data, so that the file says by itself
//! what it proves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Position;

use super::checkpoint::Checkpoint;
use super::inclusion;
use super::nodes::{self, Nodes, Tree};
use super::note::{NoteError, Signer, Verifier};
use crate::ledger::log::{Log, ReadError};
use crate::tree::{Hash, leaf_hash};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error("this is no proof of an entry")]
    Malformed,
    #[error("the proof brings no entry")]
    Entry,
    #[error("the checkpoint of the proof is not good: {0}")]
    Note(#[from] NoteError),
    #[error("the proof does not lead to the root that was signed")]
    Root,
}

/// Why no proof is made.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(
        "witnesses have signed {0} entries of this log, and the ledger's first are others or fewer: an older \
         copy was put back, or history was changed. Nothing was proved"
    )]
    Contradicted(u64),
    #[error("entry {0} is not what the tree has for it: it was changed. Nothing was proved")]
    Altered(Position),
}

/// The hashes that lead from an entry to the root of a tree of this size, where no tree is at hand: by reading
/// the log.
///
/// # Errors
/// Where it cannot be read, or is not as large.
pub fn path(log: &Log, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
    let mut nodes = Nodes::default();
    nodes.follow(log, size)?;
    let leaves = |from, count| nodes::leaves(log, from, count);
    inclusion::prove(&Tree { nodes: &nodes, leaves: &leaves }, index, size)
}

/// The proof of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub index: u64,
    pub entry: Vec<u8>,
    pub path: Vec<Hash>,
    /// The checkpoint as it was signed.
    pub checkpoint: String,
}

impl Receipt {
    /// The proof of an entry, none where there is none: under the checkpoint that witnesses have signed where
    /// that goes as far, and under the log's own of now where it does not. `path` answers the hashes that lead
    /// from an entry to the root of a tree of some size.
    ///
    /// # Errors
    /// Where the ledger cannot be read, or is not what witnesses have signed.
    pub fn of(
        log: &Log,
        index: u64,
        signer: &Signer,
        witnessed: Option<&str>,
        path: impl Fn(u64, u64) -> Result<Vec<Hash>, ReadError>,
    ) -> Result<Option<Self>, ProveError> {
        let Some(entry) = log.entry(Position(index))? else { return Ok(None) };
        if leaf_hash(&entry.bytes) != entry.leaf {
            return Err(ProveError::Altered(entry.position));
        }
        let head = log.head()?;
        let now = Checkpoint::of(&head);
        let told = witnessed.and_then(|note| {
            // After an exchange of the key it may be signed by none but the one before.
            let told = Checkpoint::open(note, signer.verifier()).ok()?;
            (told.origin == now.origin && told.size > index).then_some((told, note))
        });
        let (path, checkpoint) = match told {
            Some((told, _)) if told.size > now.size => {
                return Err(ProveError::Contradicted(told.size));
            }
            Some((told, note)) => {
                let path = path(index, told.size)?;
                let root = inclusion::root(&entry.leaf, index, told.size, &path);
                if root != Some(told.root) {
                    return Err(ProveError::Contradicted(told.size));
                }
                (path, note.to_owned())
            }
            None => (path(index, now.size)?, now.signed(signer)),
        };
        Ok(Some(Self { index, entry: entry.bytes, path, checkpoint }))
    }

    /// The proof as a file.
    pub fn write(&self) -> String {
        let extra = STANDARD.encode(&self.entry);
        let path: String =
            self.path.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect();
        let Self { index, checkpoint, .. } = self;
        format!("{FIRST_LINE}\nextra {extra}\nindex {index}\n{path}\n{checkpoint}")
    }

    /// The proof in a file, unchecked.
    ///
    /// # Errors
    /// Where it is none, or brings no entry.
    pub fn read(file: &str) -> Result<Self, ReceiptError> {
        let (proof, checkpoint) = file.split_once("\n\n").ok_or(ReceiptError::Malformed)?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(ReceiptError::Malformed);
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let entry = STANDARD.decode(extra.ok_or(ReceiptError::Entry)?);
        let entry = entry.map_err(|_| ReceiptError::Malformed)?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(|index| index.parse().ok()).ok_or(ReceiptError::Malformed)?;
        let hash = |line| STANDARD.decode(line).ok()?.try_into().ok();
        let path = lines.map(hash).collect::<Option<_>>().ok_or(ReceiptError::Malformed)?;
        Ok(Self { index, entry, path, checkpoint: checkpoint.to_owned() })
    }

    /// Checks the signature, and that the entry leads to the root that was signed.
    ///
    /// # Errors
    /// Where either is not so.
    pub fn check(&self, verifier: &Verifier) -> Result<Checkpoint, ReceiptError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, verifier)?;
        let leaf = leaf_hash(&self.entry);
        let root = inclusion::root(&leaf, self.index, checkpoint.size, &self.path);
        if root == Some(checkpoint.root) { Ok(checkpoint) } else { Err(ReceiptError::Root) }
    }
}
