//! Tests of trees, proofs, notes and paths against their definitions.

use super::checkpoint::Checkpoint;
use super::nodes::{Nodes, Tree};
use super::note::{NoteError, Signer, Verifier};
use super::receipt::{Receipt, ReceiptError};
use super::tile::{self, Named, Tile};
use super::{bundle, consistency, inclusion};
use crate::tree::{Hash, hash, leaf_hash, node_hash};

fn leaf(number: u64) -> Hash {
    leaf_hash(&number.to_be_bytes())
}

/// RFC 6962, section 2.1, word for word, over the entries from `low` to before `high`.
fn by_definition(low: u64, high: u64) -> Hash {
    match high - low {
        0 => hash(&[]),
        1 => leaf(low),
        size => {
            let middle = low + size.next_power_of_two() / 2;
            node_hash(&by_definition(low, middle), &by_definition(middle, high))
        }
    }
}

/// What `test` says of a tree of this size.
fn with_tree<T>(size: u64, test: impl FnOnce(&Tree<'_>) -> T) -> T {
    let mut nodes = Nodes::default();
    (0..size).for_each(|number| nodes.push(leaf(number)));
    let leaves = |from, count| Ok((from..from + count).map(leaf).collect());
    test(&Tree { nodes: &nodes, leaves: &leaves })
}

fn signer() -> Signer {
    Signer::new("tidbok.invalid/test", &[7; 32])
}

fn signed(size: u64, root: Hash) -> String {
    Checkpoint { origin: "tidbok.invalid/test".to_owned(), size, root }.signed(&signer())
}

#[test]
fn a_tree_of_tiles_has_the_root_of_the_definition() {
    for size in [1, 2, 3, 255, 256, 257, 511, 512, 770, 66_000] {
        let root = with_tree(size, |tree| tree.range(0, size).unwrap());
        assert_eq!(root, by_definition(0, size), "{size} entries");
    }
}

#[test]
fn every_entry_of_every_small_tree_is_proved_and_no_other_passes() {
    for size in (1..40).chain([256, 257, 600]) {
        let root = by_definition(0, size);
        with_tree(size, |tree| {
            for index in (0..size).step_by(if size < 40 { 1 } else { 37 }) {
                let mut proof = inclusion::prove(tree, index, size).unwrap();
                assert_eq!(inclusion::root(&leaf(index), index, size, &proof), Some(root));
                assert_ne!(inclusion::root(&leaf(size), index, size, &proof), Some(root));
                proof.push([0; 32]);
                assert_eq!(inclusion::root(&leaf(index), index, size, &proof), None);
            }
        });
    }
}

#[test]
fn every_small_tree_is_proved_to_begin_with_every_smaller_one() {
    for size in (1..34).chain([257, 520]) {
        let root = by_definition(0, size);
        with_tree(size, |tree| {
            for old in (1..=size).step_by(if size < 40 { 1 } else { 31 }) {
                let proof = consistency::prove(tree, old, size).unwrap();
                let was = by_definition(0, old);
                assert!(consistency::holds((old, &was), (size, &root), &proof), "{old} of {size}");
                assert!(!consistency::holds((old, &[1; 32]), (size, &root), &proof));
                assert!(!consistency::holds((old, &was), (size, &[1; 32]), &proof));
            }
        });
    }
}

#[test]
fn a_proof_asked_beyond_the_tree_is_refused() {
    with_tree(5, |tree| {
        assert!(inclusion::prove(tree, 5, 5).is_err());
        assert!(consistency::prove(tree, 6, 5).is_err());
        assert!(inclusion::prove(tree, 0, 1000).is_err());
    });
}

#[test]
fn a_tile_s_path_is_read_back_and_only_in_one_way() {
    let tile = |level, index, width| Tile { level, index, width };
    assert_eq!(tile(0, 1_234_067, 256).path(), "tile/0/x001/x234/067");
    assert_eq!(tile(1, 5, 17).path(), "tile/1/005.p/17");
    assert_eq!(tile(0, 1000, 256).bundle_path(), "tile/entries/x001/000");
    assert_eq!(tile::named("0/x001/x234/067"), Some(Named::Hashes(tile(0, 1_234_067, 256))));
    assert_eq!(tile::named("entries/005.p/17"), Some(Named::Bundle(tile(0, 5, 17))));
    for other in ["0/5", "0/x005", "0/005.p/0", "0/005.p/256", "8/000", "entries/", "", "0/../0"] {
        assert_eq!(tile::named(other), None, "{other}");
    }
}

#[test]
fn the_tiles_of_a_size_are_those_that_the_format_names() {
    let paths: Vec<String> = tile::all(65_792).map(Tile::path).collect();
    assert_eq!(paths.len(), 257 + 2 + 1);
    assert_eq!(paths[256], "tile/0/256");
    assert_eq!(paths[257..], ["tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"]);
    assert_eq!(tile::all(0).count(), 0);
}

#[test]
fn a_bundle_gives_its_entries_and_tells_of_a_cut() {
    let mut bundle = Vec::new();
    for entry in [b"one".as_slice(), b"", b"three"] {
        bundle::push(&mut bundle, entry).unwrap();
    }
    assert_eq!(bundle::entries(&bundle), (vec![b"one".as_slice(), b"", b"three"], true));
    assert_eq!(bundle::entries(&bundle[..bundle.len() - 1]).0.len(), 2);
    assert!(!bundle::entries(&bundle[..bundle.len() - 1]).1);
}

#[test]
fn a_key_is_written_and_read_and_a_wrong_one_refused() {
    let text = signer().verifier().to_string();
    assert_eq!(text.parse::<Verifier>().as_ref(), Ok(signer().verifier()));
    assert_eq!(text.replace("test", "rest").parse::<Verifier>(), Err(NoteError::Key));
    assert_eq!("nothing".parse::<Verifier>(), Err(NoteError::Key));
}

#[test]
fn a_checkpoint_opens_under_its_key_alone() {
    let note = signed(9, [3; 32]);
    let open = |note: &str, seed: u8, name: &str| {
        Checkpoint::open(note, Signer::new(name, &[seed; 32]).verifier()).map(|read| read.size)
    };
    assert_eq!(open(&note, 7, "tidbok.invalid/test"), Ok(9));
    assert_eq!(open(&note, 8, "tidbok.invalid/test"), Err(NoteError::Unsigned));
    assert_eq!(open(&note, 7, "tidbok.invalid/other"), Err(NoteError::Unsigned));
    let forged = note.replacen("\n9\n", "\n8\n", 1);
    assert_eq!(open(&forged, 7, "tidbok.invalid/test"), Err(NoteError::Signature));
    assert_eq!(open("no note", 7, "tidbok.invalid/test"), Err(NoteError::Malformed));
}

#[test]
fn a_receipt_is_written_and_read_and_proves_its_entry_alone() {
    let entry = 3_u64.to_be_bytes().to_vec();
    let path = with_tree(6, |tree| inclusion::prove(tree, 3, 6).unwrap());
    let receipt = Receipt { index: 3, entry, path, checkpoint: signed(6, by_definition(0, 6)) };
    let read = Receipt::read(&receipt.write()).unwrap();
    assert_eq!(read, receipt);
    assert!(read.check(signer().verifier()).is_ok());
    let other = Receipt { index: 2, ..read.clone() };
    assert_eq!(other.check(signer().verifier()), Err(ReceiptError::Root));
    let other = Receipt { entry: vec![0], ..read };
    assert_eq!(other.check(signer().verifier()), Err(ReceiptError::Root));
}
