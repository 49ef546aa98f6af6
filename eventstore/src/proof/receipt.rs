//! Proofs of single entries as files (C2SP tlog-proof): the entry's place, the hashes that lead to
//! the root, and the checkpoint that signs it.
//!
//! The entry's own bytes travel along as the format's extra data, so that the file says by itself
//! what it proves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::Checkpoint;
use super::inclusion;
use super::note::{NoteError, Verifier};
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
