//! What outsiders can check: every ledger is a transparency log in the formats of C2SP.
//!
//! The entries' leaves make a Merkle tree (RFC 6962). Its root stands in a checkpoint
//! (tlog-checkpoint), which is a signed note (signed-note) under the ledger's own Ed25519 key. Tree
//! and entries are served as tiles and bundles (tlog-tiles), and one entry is proved by a file of
//! its own (tlog-proof). Nothing here is secret: entries hold no personal data, only the hashes of
//! what is sealed.
//!
//! Who holds an older checkpoint can tell whether the ledger still begins with what it began with
//! then. Nobody else can: a ledger that was rewritten whole is consistent in itself.

pub mod bundle;
pub mod checkpoint;
pub mod consistency;
pub mod folder;
pub mod inclusion;
pub mod nodes;
pub mod note;
pub mod receipt;
#[cfg(test)]
mod tests;
pub mod tile;
pub mod witness;
