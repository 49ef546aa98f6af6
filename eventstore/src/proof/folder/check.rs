//! Checking a log in a folder, from nothing but its files: signature, entries, tiles, root, what
//! an older checkpoint promised, and a replay of the rules.
//!
//! After the first entry that is not what the tree says the rules are not replayed any further:
//! whatever they said then would follow from that one.

use std::fs;
use std::path::Path;

use domain::Event;
use domain::book::audit::Auditor;
use domain::ledger::LogKeyRotated;
use serde::Serialize;

use super::fault::LogFault;
use crate::keyring::log_key::before;
use crate::ledger::audit::Finding;
use crate::ledger::codec;
use crate::proof::checkpoint::{self, Checkpoint};
use crate::proof::nodes::Nodes;
use crate::proof::note::{NoteError, Verifier};
use crate::proof::tile::{self, Tile};
use crate::proof::witness::{self, Witness};
use crate::proof::{bundle, nodes};
use crate::tree::{self, Frontier, Hash};

/// How many findings are named; all are counted.
const NAMED: usize = 1000;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub entries: u64,
    /// The root over the entries as they are, in hexadecimal digits.
    pub root: String,
    /// The first of what was found.
    pub findings: Vec<Finding>,
    /// How much was found altogether.
    pub found: u64,
}

impl Checked {
    fn add(&mut self, position: Option<u64>, fault: &LogFault) {
        self.found += 1;
        if self.findings.len() < NAMED {
            let (code, detail) = (fault.code(), fault.to_string());
            self.findings.push(Finding { position, code, detail });
        }
    }

    /// Has it found unless so many of these witnesses have signed the folder's checkpoint.
    pub fn hold_to(&mut self, folder: &Path, witnesses: &[Witness], need: usize) {
        let note = fs::read_to_string(folder.join(checkpoint::FILE)).unwrap_or_default();
        if let Err(unwitnessed) = witness::signed_by(&note, witnesses, need) {
            self.add(None, &unwitnessed.into());
        }
    }
}

/// A check under way.
pub struct Check<'a> {
    folder: &'a Path,
    checked: Checked,
    frontier: Frontier,
    /// The root at the older checkpoint's size.
    then: Option<(Checkpoint, Option<Hash>)>,
    nodes: Nodes,
    /// The rules, as long as all entries were good.
    rules: Option<Auditor>,
    recorded_at: i64,
    /// Which keys have signed the log before, as its entries tell.
    told: Vec<LogKeyRotated>,
}

impl<'a> Check<'a> {
    /// Checks the log in a folder with a key, against an older checkpoint where there is one.
    pub fn run(
        folder: &'a Path,
        verifier: &Verifier,
        older: Option<&str>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Checked {
        let mut check = Self {
            folder,
            checked: Checked::default(),
            frontier: Frontier::default(),
            then: None,
            nodes: Nodes::default(),
            rules: Some(Auditor::default()),
            recorded_at: i64::MIN,
            told: Vec::new(),
        };
        if let Some(checkpoint) = check.checkpoint(verifier) {
            let old = older.map(|note| comparable(note, verifier.name(), checkpoint.size));
            check.then = old.as_ref().and_then(|old| Some((old.as_ref().ok()?.clone(), None)));
            check.note_then();
            for tile in tile::of_level(checkpoint.size, 0) {
                check.bundle(tile);
                if check.checked.findings.len() >= NAMED {
                    // A checkpoint may claim more than anybody could look for.
                    break;
                }
                progress(tile.first() + tile.width, checkpoint.size);
            }
            check.upper_tiles(checkpoint.size);
            // Which keys may have signed it is known now.
            let keys = before(verifier, &check.told);
            if let Some((note, old)) = older.zip(old)
                && let Err((position, fault)) = vouched(note, &keys, old)
            {
                check.checked.add(position, &fault);
            }
            check.finish(&checkpoint);
        }
        check.checked
    }

    fn checkpoint(&mut self, verifier: &Verifier) -> Option<Checkpoint> {
        let Ok(note) = fs::read_to_string(self.folder.join(checkpoint::FILE)) else {
            self.checked.add(None, &LogFault::FileMissing(checkpoint::FILE.to_owned()));
            return None;
        };
        match Checkpoint::open(&note, verifier) {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                let file = checkpoint::FILE.to_owned();
                self.checked.add(None, &LogFault::Checkpoint(file, error.to_string()));
                // What it says is still worth holding against the entries.
                Checkpoint::unchecked(&note)
            }
        }
    }

    fn note_then(&mut self) {
        if let Some((old, root)) = &mut self.then
            && old.size == self.frontier.size()
        {
            *root = Some(self.frontier.root());
        }
    }

    /// Checks the entries of one bundle with their tile.
    fn bundle(&mut self, tile: Tile) {
        let Some(bytes) = self.read(tile.bundle_path(), tile) else { return };
        let (entries, whole) = bundle::entries(&bytes);
        let are = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let said = self.read(tile.path(), tile).unwrap_or_default();
        let mut said = said.as_chunks::<32>().0.iter();
        for (at, entry) in (tile.first()..).zip(entries) {
            let leaf = tree::leaf_hash(entry);
            if said.next() != Some(&leaf) {
                self.bad(at, &LogFault::Leaf(tile.path()));
            }
            self.nodes.push(leaf);
            self.frontier.push(leaf);
            self.note_then();
            self.entry(at, entry);
        }
        if are != tile.width || !whole {
            let (path, said) = (tile.bundle_path(), tile.width);
            self.bad(tile.first() + are.min(said), &LogFault::BundleShort { path, are, said });
        }
    }

    fn entry(&mut self, at: u64, bytes: &[u8]) {
        let Some(mut rules) = self.rules.take() else { return };
        let Ok(entry) = codec::decode(bytes) else { return self.bad(at, &LogFault::Unreadable) };
        let recorded = &entry.recorded;
        if recorded.position.0 != at {
            return self.bad(at, &LogFault::Position(recorded.position));
        }
        let recorded_at = recorded.recorded_at.as_microsecond();
        if recorded_at < self.recorded_at {
            self.checked.add(Some(at), &LogFault::Clock);
        }
        self.recorded_at = self.recorded_at.max(recorded_at);
        for violation in rules.check(recorded, &entry.tags) {
            self.checked.add(Some(at), &LogFault::Rule(violation));
        }
        self.rules = Some(rules);
        if let Event::LogKeyRotated(rotated) = entry.recorded.event {
            self.told.push(rotated);
        }
    }

    /// An entry that is not what it should be: the rules end here.
    fn bad(&mut self, at: u64, fault: &LogFault) {
        self.rules = None;
        self.checked.add(Some(at), fault);
    }

    /// Holds the tiles above the leaves against what follows from the entries.
    fn upper_tiles(&mut self, size: u64) {
        if self.frontier.size() != size {
            return;
        }
        let nodes = std::mem::take(&mut self.nodes);
        let none = |_, _| Ok(Vec::new());
        let tree = nodes::Tree { nodes: &nodes, leaves: &none };
        for tile in (1..8).flat_map(|level| tile::of_level(size, level)) {
            let Some(bytes) = self.read(tile.path(), tile) else { continue };
            if tree.tile(tile).is_ok_and(|hashes| hashes.concat() != bytes) {
                self.checked.add(Some(tile.first()), &LogFault::Tile(tile.path()));
            }
        }
    }

    fn finish(&mut self, checkpoint: &Checkpoint) {
        let root = self.frontier.root();
        self.checked.entries = self.frontier.size();
        self.checked.root = domain::ids::Hash(root).to_string();
        if (self.frontier.size(), root) != (checkpoint.size, checkpoint.root) {
            self.checked.add(None, &LogFault::Root);
        }
        if let Some((old, then)) = self.then.take()
            && then.is_some_and(|then| then != old.root)
        {
            self.checked.add(None, &LogFault::Fork(old.size));
        }
    }

    fn read(&mut self, path: String, tile: Tile) -> Option<Vec<u8>> {
        let read = fs::read(self.folder.join(&path)).ok();
        if read.is_none() {
            self.bad(tile.first(), &LogFault::FileMissing(path));
        }
        read
    }
}

/// The older checkpoint in a note, if a log of `size` entries under one of these keys may be held
/// against it.
///
/// # Errors
/// What is wrong with it, and from which entry on.
pub fn since(
    note: &str,
    verifiers: &[Verifier],
    size: u64,
) -> Result<Checkpoint, (Option<u64>, LogFault)> {
    let name = verifiers.first().map(Verifier::name).unwrap_or_default();
    vouched(note, verifiers, comparable(note, name, size))
}

type Compared = Result<Checkpoint, (Option<u64>, LogFault)>;

/// What a checkpoint says, or what is wrong with it, where one of these keys has signed it: one that
/// nobody has signed says nothing, not even of a rollback.
fn vouched(note: &str, verifiers: &[Verifier], old: Compared) -> Compared {
    let other = matches!(old, Err((_, LogFault::OtherLog(_))));
    signed(note, verifiers).or_else(|fault| if other { Ok(()) } else { Err(fault) })?;
    old
}

/// What an older checkpoint says, where that is of the same log and not of a longer one.
fn comparable(note: &str, name: &str, size: u64) -> Compared {
    match Checkpoint::unchecked(note) {
        None => Err(unsigned(NoteError::Malformed)),
        Some(other) if other.origin != name => Err((None, LogFault::OtherLog(other.origin))),
        Some(old) if old.size > size => {
            Err((Some(size), LogFault::Rollback { old: old.size, now: size }))
        }
        Some(old) => Ok(old),
    }
}

/// Whether one of these keys has signed a checkpoint.
fn signed(note: &str, verifiers: &[Verifier]) -> Result<(), (Option<u64>, LogFault)> {
    let mut last = NoteError::Unsigned;
    for verifier in verifiers {
        match verifier.open(note) {
            Ok(_) => return Ok(()),
            Err(NoteError::Unsigned) => (),
            Err(error) => last = error,
        }
    }
    Err(unsigned(last))
}

fn unsigned(error: NoteError) -> (Option<u64>, LogFault) {
    (None, LogFault::Checkpoint("--since".to_owned(), error.to_string()))
}

impl From<(Option<u64>, LogFault)> for Finding {
    fn from((position, fault): (Option<u64>, LogFault)) -> Self {
        Self { position, code: fault.code(), detail: fault.to_string() }
    }
}
