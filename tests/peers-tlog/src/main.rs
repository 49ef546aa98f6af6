//! Checks an exported log with clients that others wrote: the note with `signed_note`, every record
//! and the tree at every older size with `tlog_tiles`.
//!
//! `peers-tlog FOLDER [OLDER_CHECKPOINT]` prints how many entries were proved, or fails.

use std::fs;
use std::path::{Path, PathBuf};

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash,
};

/// Tiles in a folder. The crate names them in Go's style, with the height in the path.
struct Folder(PathBuf);

impl TileReader for Folder {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            fs::read(self.0.join(path)).map_err(|_| Error::InvalidTile)
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// The checkpoint in a note, if the folder's key has signed it.
fn checkpoint(note: &Path, vkey: &str) -> Checkpoint {
    let verifier = StandardVerifier::new(vkey).expect("the key is a verifier key");
    let known = VerifierList::new(vec![Box::new(verifier)]);
    let note = Note::from_bytes(&fs::read(note).unwrap()).expect("the note is a note");
    let (verified, _) = note.verify(&known).expect("the note is signed by the key");
    assert_eq!(verified.len(), 1);
    Checkpoint::from_bytes(note.text()).expect("the text is a checkpoint")
}

/// The entries of one bundle: each behind its length.
fn entries(bundle: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while let [high, low, after @ ..] = rest {
        let (entry, after) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        entries.push(entry);
        rest = after;
    }
    assert!(rest.is_empty(), "the bundle ends where an entry does");
    entries
}

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = Folder(arguments.next().expect("a folder is named"));
    let vkey = fs::read_to_string(folder.0.join("log.vkey")).unwrap();
    let vkey = vkey.trim_end();
    let now = checkpoint(&folder.0.join("checkpoint"), vkey);
    let (size, root): (u64, Hash) = (now.size(), *now.hash());
    assert_eq!(vkey.split('+').next(), Some(now.origin()));
    let reader = TileHashReader::new(size, root, &folder);
    let mut proved = 0;
    for tile in Tile::new_tiles(8, 0, size).into_iter().filter(|tile| tile.level() == 0) {
        let path = tile.path().replacen("tile/8/0/", "tile/entries/", 1);
        for entry in entries(&fs::read(folder.0.join(path)).unwrap()) {
            let proof = prove_record(size, proved, &reader).expect("the tiles are the tree's");
            check_record(&proof, size, root, proved, record_hash(entry)).expect("it is proved");
            proved += 1;
        }
    }
    assert_eq!(proved, size);
    if let Some(older) = arguments.next() {
        let old = checkpoint(&older, vkey);
        let proof = prove_tree(size, old.size(), &reader).expect("the tiles are the tree's");
        check_tree(&proof, size, root, old.size(), *old.hash()).expect("the log was continued");
    }
    println!("{proved}");
}
