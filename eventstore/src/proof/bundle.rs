//! Bundles of entries (C2SP tlog-tiles): 256 entries in a row, each behind its length in 16 bits.

use domain::Position;

use super::tile::{Tile, WIDTH};
use crate::ledger::codec::CodecError;
use crate::ledger::log::{Log, ReadError};

/// The bundle of the entries below a tile of level 0.
///
/// # Errors
/// Where the ledger cannot be read, or lacks one of them.
pub fn of(log: &Log, tile: Tile) -> Result<Vec<u8>, ReadError> {
    let width = usize::try_from(tile.width).unwrap_or(usize::MAX);
    let entries = log.entries(Position(tile.index.saturating_mul(WIDTH)), width)?;
    if entries.len() != width {
        return Err(ReadError::Head);
    }
    let mut bundle = Vec::new();
    for entry in &entries {
        // Only one that was changed is larger than what is ever written.
        let too_large = |length| ReadError::Entry(entry.position, CodecError::TooLarge(length));
        push(&mut bundle, &entry.bytes).map_err(too_large)?;
    }
    Ok(bundle)
}

/// Adds an entry to a bundle.
///
/// # Errors
/// Its length, where 16 bits do not hold that.
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), usize> {
    let length = u16::try_from(entry.len()).map_err(|_| entry.len())?;
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    Ok(())
}

/// The entries of a bundle, and whether it ends where an entry does.
pub fn entries(bundle: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((entry, after)) = after.split_at_checked(length) else { break };
        entries.push(entry);
        rest = after;
    }
    (entries, rest.is_empty())
}
