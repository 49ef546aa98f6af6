//! Signed notes (C2SP signed-note): a text that ends with a newline, an empty line, and lines with
//! signatures, each by a name and the first bytes of a hash of its key.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::tree;

/// The type byte of an Ed25519 key.
const ED25519_KEY: u8 = 1;
/// How many signatures a note may have.
const MOST_SIGNATURES: usize = 100;

/// Why a note or a key to check it with is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("this is no signed note")]
    Malformed,
    #[error("this is no Ed25519 verifier key")]
    Key,
    #[error("the note is not signed by this key")]
    Unsigned,
    #[error("the signature is not by this key over this text")]
    Signature,
}

/// Signs notes under one name, with one key and, for whoever knows only that, the one before.
pub struct Signer {
    verifier: Verifier,
    pair: Ed25519KeyPair,
    former: Option<Box<Self>>,
}

impl Signer {
    /// The signer whose key is made of this seed.
    pub fn new(name: &str, seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed");
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        Self { verifier: Verifier::new(name, key), pair, former: None }
    }

    /// What others check the signatures with.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Has the key before sign too.
    pub fn after(self, former: Self) -> Self {
        Self { former: Some(Box::new(former)), ..self }
    }

    /// Whoever else signs.
    pub fn former(&self) -> Option<&Verifier> {
        self.former.as_ref().map(|former| &former.verifier)
    }

    /// The whole note over a text that ends with a newline.
    pub fn sign(&self, text: &str) -> String {
        let former = self.former.as_ref().map(|former| former.line(text)).unwrap_or_default();
        format!("{text}\n{}{former}", self.line(text))
    }

    fn line(&self, text: &str) -> String {
        let Verifier { name, id, .. } = &self.verifier;
        let signature = self.pair.sign(text.as_bytes());
        let blob = STANDARD.encode([id, signature.as_ref()].concat());
        format!("\u{2014} {name} {blob}\n")
    }
}

/// A key to check notes with. As text: `name+id+key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

impl Verifier {
    fn new(name: &str, key: [u8; 32]) -> Self {
        let [a, b, c, d, ..] = tree::hash(&[name.as_bytes(), b"\n", &[ED25519_KEY], &key]);
        Self { name: name.to_owned(), id: [a, b, c, d], key }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the same key, though perhaps by another name: a ledger's changes when it is
    /// taken up with a loss.
    pub(crate) fn is_key_of(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// The text of a note, if this key has signed it. Signatures of others are let be.
    ///
    /// # Errors
    /// Where it is no note, or has no good signature by this key.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = split(note)?;
        let mut by_us = signatures
            .iter()
            .filter(|signature| signature.name == self.name && signature.id == self.id)
            .peekable();
        by_us.peek().ok_or(NoteError::Unsigned)?;
        let good = |signature: &Signature| is_signed(&self.key, text.as_bytes(), &signature.bytes);
        if by_us.all(good) { Ok(text) } else { Err(NoteError::Signature) }
    }
}

/// Whether this is the key's signature of a text (RFC 8032).
pub(crate) fn is_signed(key: &[u8; 32], text: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(text, signature).is_ok()
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id);
        let key = STANDARD.encode([&[ED25519_KEY], self.key.as_slice()].concat());
        write!(f, "{}+{id:08x}+{key}", self.name)
    }
}

impl FromStr for Verifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, said, key) = key_of(text, ED25519_KEY)?;
        let verifier = Self::new(name, key);
        if said == verifier.id { Ok(verifier) } else { Err(NoteError::Key) }
    }
}

/// The name, the id and the key of a verifier key of some type.
pub(super) fn key_of(text: &str, kind: u8) -> Result<(&str, [u8; 4], [u8; 32]), NoteError> {
    let mut pieces = text.trim_end().splitn(3, '+');
    let mut piece = || pieces.next().ok_or(NoteError::Key);
    let (name, id, key) = (piece()?, piece()?, piece()?);
    let key = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
    let key = match key.split_first() {
        Some((first, key)) if *first == kind => key.try_into().map_err(|_| NoteError::Key)?,
        Some(_) | None => return Err(NoteError::Key),
    };
    let said = u32::from_str_radix(id, 16).map_err(|_| NoteError::Key)?;
    let fits = is_name(name) && id.len() == 8;
    if fits { Ok((name, said.to_be_bytes(), key)) } else { Err(NoteError::Key) }
}

/// One line under a note.
pub(super) struct Signature {
    pub name: String,
    pub id: [u8; 4],
    pub bytes: Vec<u8>,
}

/// A note's text with its last newline, and the lines below.
pub(super) fn parts(note: &str) -> Option<(&str, &str)> {
    let (text, lines) = note.rsplit_once("\n\n")?;
    Some((note.get(..=text.len())?, lines))
}

/// A note's text with its last newline, and the signatures below.
fn split(note: &str) -> Result<(&str, Vec<Signature>), NoteError> {
    let strange = |letter: char| letter != '\n' && letter.is_control();
    let (text, below) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    let lines = below.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    if note.contains(strange) || lines.lines().count() > MOST_SIGNATURES {
        return Err(NoteError::Malformed);
    }
    let signatures: Option<Vec<Signature>> = lines.split('\n').map(signature).collect();
    let (text, _) = note.split_at(text.len() + 1);
    Ok((text, signatures.ok_or(NoteError::Malformed)?))
}

pub(super) fn signature(line: &str) -> Option<Signature> {
    let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let blob = STANDARD.decode(blob).ok()?;
    let (id, bytes) = blob.split_first_chunk::<4>()?;
    let whole = is_name(name) && !bytes.is_empty();
    whole.then(|| Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter == '+')
}
