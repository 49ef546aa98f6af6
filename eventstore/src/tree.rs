//! The Merkle tree over a ledger's entries (RFC 6962, section 2.1).
//!
//! The ledger keeps only the tree's right edge, one hash for each bit set in its size, and each
//! leaf beside its entry. From these every root, tile and proof can be made.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of an entry: its bytes behind a zero byte (RFC 6962, section 2.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    hash(&[&[0], entry])
}

pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

/// The SHA-256 hash of the pieces, one after another.
pub fn hash(pieces: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize().into()
}

/// The right edge of a tree: the roots of its full subtrees, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    edge: Vec<Hash>,
}

impl Frontier {
    /// The frontier that was written as `bytes`, or none where the two do not fit.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && u32::try_from(hashes.len()) == Ok(size.count_ones());
        fits.then(|| Self { size, edge: hashes.to_vec() })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.edge.concat()
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Every full pair below the new leaf's place closes into one node.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.edge.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.edge.push(node);
        self.size += 1;
    }

    /// The tree's root; of an empty tree, the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut edge = self.edge.iter().rev();
        match edge.next() {
            None => hash(&[]),
            Some(last) => edge.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, section 2.1, word for word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => hash(&[]),
            [leaf] => *leaf,
            _ => {
                let half = leaves.len().next_power_of_two() / 2;
                node_hash(&by_definition(&leaves[..half]), &by_definition(&leaves[half..]))
            }
        }
    }

    #[test]
    fn the_frontier_gives_the_root_of_the_definition_at_every_size() {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        for number in 0..70_u8 {
            assert_eq!(frontier.root(), by_definition(&leaves));
            let again = Frontier::from_bytes(frontier.size(), &frontier.to_bytes());
            assert_eq!(again.as_ref(), Some(&frontier));
            leaves.push(leaf_hash(&[number]));
            frontier.push(leaf_hash(&[number]));
        }
    }
}
