//! Proofs that an entry stands in a tree (RFC 9162, section 2.1.3).

use super::nodes::Tree;
use crate::ledger::log::ReadError;
use crate::tree::{Hash, node_hash};

/// The hashes that lead from an entry's leaf to the root of the tree of this size.
///
/// # Errors
/// Where the ledger cannot be read, or has no such entry.
pub fn prove(tree: &Tree<'_>, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
    if index >= size {
        return Err(ReadError::Head);
    }
    let (mut low, mut high) = (0, size);
    let mut beside = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            beside.push((middle, high));
            high = middle;
        } else {
            beside.push((low, middle));
            low = middle;
        }
    }
    beside.into_iter().rev().map(|(low, high)| tree.range(low, high)).collect()
}

/// Where a tree of this size divides: the largest power of two below it.
pub(super) fn split(size: u64) -> u64 {
    size.next_power_of_two() / 2
}

/// The root to which a leaf leads by a proof, if the proof has the right length.
pub fn root(leaf: &Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    let (mut node, mut last) = (index, size.checked_sub(1)?);
    if node > last {
        return None;
    }
    let mut hash = *leaf;
    for beside in proof {
        if last == 0 {
            return None;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(beside, &hash);
            while node.is_multiple_of(2) && node > 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}
