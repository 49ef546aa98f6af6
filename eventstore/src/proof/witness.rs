//! Witnesses (C2SP tlog-witness, tlog-cosignature): others who sign a checkpoint too, once they have
//! seen that it continues what they signed before.
//!
//! Who asks for the signatures of enough of them needs to hold no older checkpoint: a history that
//! was rewritten finds no witness.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::note::{self, NoteError};
use crate::tree::{self, Hash};

/// The type byte of an Ed25519 key that makes cosignatures.
const COSIGNATURE_KEY: u8 = 4;

/// A witness's key. As text: `name+id+key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

impl Witness {
    fn new(name: &str, key: [u8; 32]) -> Self {
        let [a, b, c, d, ..] = tree::hash(&[name.as_bytes(), b"\n", &[COSIGNATURE_KEY], &key]);
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }

    /// Whether both are one signer, whatever it is called.
    pub fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line of its good signature among lines, with which it has signed a text, and the second
    /// since 1970 at which it says it did.
    pub fn cosignature<'a>(&self, text: &str, lines: &'a str) -> Option<(&'a str, u64)> {
        lines.lines().find_map(|line| {
            let signature = note::signature(line)?;
            let (time, bytes) = signature.bytes.split_first_chunk::<8>()?;
            let time = u64::from_be_bytes(*time);
            let signed = format!("cosignature/v1\ntime {time}\n{text}");
            let by_us = signature.name == self.name && signature.id == self.id;
            let good = by_us && note::is_signed(&self.key, signed.as_bytes(), bytes);
            good.then_some((line, time))
        })
    }

    /// Whether it has signed a note.
    pub fn has_signed(&self, note: &str) -> bool {
        note::parts(note).is_some_and(|(text, lines)| self.cosignature(text, lines).is_some())
    }
}

/// Too few witnesses have signed a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{have} of the witnesses have signed the checkpoint, and {need} are asked for; not {who}")]
pub struct Unwitnessed {
    have: usize,
    need: usize,
    /// Those who have not.
    who: String,
}

/// Whether so many of these witnesses have signed a note.
///
/// # Errors
/// Where fewer have.
pub fn signed_by(note: &str, witnesses: &[Witness], need: usize) -> Result<(), Unwitnessed> {
    let lacking = |witness: &&Witness| !witness.has_signed(note);
    let who: Vec<&str> = witnesses.iter().filter(lacking).map(Witness::name).collect();
    let have = witnesses.len() - who.len();
    if have < need { Err(Unwitnessed { have, need, who: who.join(", ") }) } else { Ok(()) }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id);
        let key = STANDARD.encode([&[COSIGNATURE_KEY], self.key.as_slice()].concat());
        write!(f, "{}+{id:08x}+{key}", self.name)
    }
}

impl FromStr for Witness {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, said, key) = note::key_of(text, COSIGNATURE_KEY)?;
        let witness = Self::new(name, key);
        if said == witness.id { Ok(witness) } else { Err(NoteError::Key) }
    }
}

/// What a witness is asked: to sign a checkpoint, with the proof that it continues the log's first
/// `old` entries, which it signed before.
pub fn request(old: u64, proof: &[Hash], checkpoint: &str) -> String {
    let proof: String = proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
    format!("old {old}\n{proof}\n{checkpoint}")
}
