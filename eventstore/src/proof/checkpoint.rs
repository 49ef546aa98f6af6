//! Checkpoints (C2SP tlog-checkpoint): whose tree it is, how large, and its root.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::ids::Hash;

use super::note::{NoteError, Signer, Verifier};
use crate::ledger::log::Head;
use crate::tree;

/// The file in which a log's present checkpoint lies.
pub const FILE: &str = "checkpoint";
/// The file in which the key lies that checks it.
pub const KEY_FILE: &str = "log.vkey";

/// Whose log it is: a name that is nobody else's, and says nothing of whose it is.
///
/// A ledger that was taken up again from an older copy begins a new log: what was promised of the
/// old one cannot be kept, and the new one says so by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin of the ledger with this head.
    pub fn of(head: &Head) -> Self {
        let id = Hash(tree::hash(&[b"tidbok/log/1", &head.tenant.0])).to_string();
        Self(format!("tidbok.invalid/{id:.32}/{}", head.origin))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The head of a log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: tree::Hash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.root);
        write!(f, "{}\n{}\n{root}\n", self.origin, self.size)
    }
}

impl Checkpoint {
    /// The checkpoint of a ledger's head.
    pub fn of(head: &Head) -> Self {
        let frontier = &head.frontier;
        let origin = Origin::of(head).as_str().to_owned();
        Self { origin, size: frontier.size(), root: frontier.root() }
    }

    /// The checkpoint as a signed note.
    pub fn signed(&self, signer: &Signer) -> String {
        signer.sign(&self.to_string())
    }

    /// The checkpoint in a note that this key has signed.
    ///
    /// # Errors
    /// Where the signature is not good, or the text is no checkpoint of the log with that name.
    pub fn open(note: &str, verifier: &Verifier) -> Result<Self, NoteError> {
        let checkpoint = Self::parse(verifier.open(note)?).ok_or(NoteError::Malformed)?;
        let ours = checkpoint.origin == verifier.name();
        if ours { Ok(checkpoint) } else { Err(NoteError::Malformed) }
    }

    /// The checkpoint in a note whose signature nobody has checked.
    pub fn unchecked(note: &str) -> Option<Self> {
        Self::parse(note)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (origin, number, root) = (lines.next()?, lines.next()?, lines.next()?);
        lines.next()?;
        let size: u64 = number.parse().ok()?;
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        // One number is written in one way.
        let plain = !origin.is_empty() && size.to_string() == number;
        plain.then(|| Self { origin: origin.to_owned(), size, root })
    }
}
