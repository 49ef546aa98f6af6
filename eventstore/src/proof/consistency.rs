//! Proofs that a tree begins with an older one (RFC 9162, section 2.1.4).

use super::inclusion::split;
use super::nodes::Tree;
use crate::ledger::log::ReadError;
use crate::tree::{Hash, node_hash};

/// The hashes that show that the tree of `size` begins with the one of `old` entries.
///
/// # Errors
/// Where the ledger cannot be read, or the old tree is the larger.
pub fn prove(tree: &Tree<'_>, old: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
    if old > size {
        return Err(ReadError::Head);
    }
    if old == 0 || old == size {
        return Ok(Vec::new());
    }
    let (mut low, mut high) = (0, size);
    let mut ranges = Vec::new();
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    // The old tree itself is known to whoever asks.
    if low > 0 {
        ranges.push((low, high));
    }
    ranges.into_iter().rev().map(|(low, high)| tree.range(low, high)).collect()
}

/// Whether a proof leads from the old root to the new one.
pub fn holds(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    match (old, new) {
        ((0, _), _) => proof.is_empty(),
        ((old, _), (new, _)) if old > new => false,
        ((old, was), (new, is)) if old == new => proof.is_empty() && was == is,
        ((old, was), (new, is)) => roots(old, was, new, proof) == Some((*was, *is)),
    }
}

/// Both roots as the proof gives them.
fn roots(old: u64, was: &Hash, new: u64, proof: &[Hash]) -> Option<(Hash, Hash)> {
    let mut proof = proof.iter();
    let first = if old.is_power_of_two() { was } else { proof.next()? };
    let (mut node, mut last) = (old - 1, new - 1);
    while node % 2 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut before, mut after) = (*first, *first);
    for beside in proof {
        if last == 0 {
            return None;
        }
        if node % 2 == 1 || node == last {
            before = node_hash(beside, &before);
            after = node_hash(beside, &after);
            while node.is_multiple_of(2) && node > 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            after = node_hash(&after, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some((before, after))
}
