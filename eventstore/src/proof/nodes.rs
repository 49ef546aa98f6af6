//! The inner nodes of a ledger's tree, from which tiles and proofs are made.
//!
//! In memory stands one hash for every 256 entries and what follows above them: 33 bytes for each
//! 256 entries. The leaves themselves are read from the ledger when they are asked for.

use domain::Position;

use super::tile::{Tile, WIDTH};
use crate::ledger::log::{Log, ReadError};
use crate::tree::{Frontier, Hash, node_hash};

/// How many entries are read at once.
const PAGE: usize = 1024;

/// The nodes of a tree as far as it was followed: whole tiles' roots, level by level.
#[derive(Debug, Default)]
pub struct Nodes {
    size: u64,
    /// Leaves that no whole tile holds yet.
    tail: Vec<Hash>,
    /// The hashes of level 1 and above.
    upper: Vec<Vec<Hash>>,
}

impl Nodes {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.size += 1;
        self.tail.push(leaf);
        if whole(self.tail.len()) {
            let mut root = root(&self.tail);
            self.tail.clear();
            for level in 0.. {
                if self.upper.len() == level {
                    self.upper.push(Vec::new());
                }
                let Some(row) = self.upper.get_mut(level) else { break };
                row.push(root);
                if !whole(row.len()) {
                    break;
                }
                root = row.rchunks(256).next().map(self::root).unwrap_or_default();
            }
        }
    }

    /// Follows the ledger up to a size.
    ///
    /// # Errors
    /// Where it cannot be read, or ends before.
    pub fn follow(&mut self, log: &Log, size: u64) -> Result<(), ReadError> {
        while self.size < size {
            let entries = log.entries(Position(self.size), PAGE)?;
            if entries.first().is_none_or(|entry| entry.position.0 != self.size) {
                return Err(ReadError::Head);
            }
            let missing = usize::try_from(size - self.size).unwrap_or(usize::MAX);
            entries.iter().take(missing).for_each(|entry| self.push(entry.leaf));
        }
        Ok(())
    }

    /// Hashes of a level above the leaves.
    fn upper(&self, level: u8, from: u64, count: u64) -> Option<&[Hash]> {
        let row = self.upper.get(usize::from(level).checked_sub(1)?)?;
        let from = usize::try_from(from).ok()?;
        row.get(from..from.checked_add(usize::try_from(count).ok()?)?)
    }
}

fn whole(length: usize) -> bool {
    u64::try_from(length).is_ok_and(|length| length.is_multiple_of(WIDTH))
}

/// The root over hashes of which there are at most a tile's.
fn root(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}

/// Reads leaves: from where on, and how many.
pub type Leaves<'a> = dyn Fn(u64, u64) -> Result<Vec<Hash>, ReadError> + 'a;

/// A tree that can be asked for any of its nodes.
pub struct Tree<'a> {
    pub nodes: &'a Nodes,
    pub leaves: &'a Leaves<'a>,
}

impl Tree<'_> {
    /// The hashes of a tile.
    ///
    /// # Errors
    /// Where the ledger cannot be read, or the tree has no such tile.
    pub fn tile(&self, tile: Tile) -> Result<Vec<Hash>, ReadError> {
        self.row(tile.level, tile.index.saturating_mul(WIDTH), tile.width)
    }

    /// The root over the entries from `low` to before `high`. `low` is a multiple of a power of two
    /// that is no less than how many there are.
    ///
    /// # Errors
    /// Where the ledger cannot be read, or the tree is not as large.
    pub fn range(&self, low: u64, high: u64) -> Result<Hash, ReadError> {
        let mut whole = Vec::new();
        let mut from = low;
        while from < high {
            let fits = (high - from).ilog2();
            let height = if from == 0 { fits } else { fits.min(from.trailing_zeros()) };
            whole.push(self.node(height, from >> height)?);
            from += 1 << height;
        }
        let mut whole = whole.into_iter().rev();
        let last = whole.next().unwrap_or_else(|| root(&[]));
        Ok(whole.fold(last, |right, left| node_hash(&left, &right)))
    }

    /// The root of a whole subtree of this height.
    fn node(&self, height: u32, index: u64) -> Result<Hash, ReadError> {
        let level = u8::try_from(height / 8).map_err(|_| ReadError::Head)?;
        let count = 1 << (height % 8);
        Ok(root(&self.row(level, index * count, count)?))
    }

    fn row(&self, level: u8, from: u64, count: u64) -> Result<Vec<Hash>, ReadError> {
        let row = match level {
            0 => (self.leaves)(from, count)?,
            level => self.nodes.upper(level, from, count).ok_or(ReadError::Head)?.to_vec(),
        };
        let whole = u64::try_from(row.len()) == Ok(count);
        if whole { Ok(row) } else { Err(ReadError::Head) }
    }
}

/// Leaves as the ledger has them.
///
/// # Errors
/// Where it cannot be read.
pub fn leaves(log: &Log, from: u64, count: u64) -> Result<Vec<Hash>, ReadError> {
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let entries = log.entries(Position(from), limit)?;
    Ok(entries.into_iter().map(|entry| entry.leaf).collect())
}
