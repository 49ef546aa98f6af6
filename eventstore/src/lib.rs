//! The ledger and the keyring: append-only, totally ordered, erasable.
//!
//! A [`Tenant`] has two ledgers, what happened and who read what, each in a file of its own or in schemas
//! of a PostgreSQL database. A [`Ledger`] is entries, their tree and the seals beside them; its keyring
//! (persons, keys, links, lookups) is written by the same commit. What holds:
//!
//! - Positions are 0, 1, 2 ... without gaps; an entry's bytes are stored as they were hashed.
//! - One writer per ledger decides commands in order and commits them in batches; a caller hears
//!   of success only after the commit is durable.
//! - Nothing personal stands in an entry. A seal opens only for the holder of a [`Disclosure`],
//!   and only appending an access record mints one.
//! - Every ledger is a transparency log (C2SP tlog-tiles) that programs of others can verify; how it
//!   is signed, cut into tiles and proved is in [`proof`].
//! - Destroying a person's keys ends the person, at a cost that does not depend on how much there
//!   is; links and seals are cleared after that.
//!
//! Time and randomness are arguments ([`Environment`]). Read in this order: [`tree`] and
//! [`ledger::codec`] (what is hashed), [`engine`] (what a database must do), [`ledger`] with its writer,
//! [`keyring`], [`store`]; then [`proof`].

pub mod engine;
pub mod environment;
pub mod keyring;
pub mod ledger;
pub mod postgres;
pub mod proof;
pub mod sqlite;
pub mod store;
pub mod tree;
mod wait;

pub use environment::{Clock, Entropy, Environment};
pub use keyring::access::Disclosure;
pub use keyring::ids::{IdKind, PublicIds};
pub use keyring::person::{PersonId, PersonState};
pub use keyring::personal::{Disclosed, Personal};
pub use keyring::seal::{Opening, SealAt};
pub use keyring::sealing::{Lookup, LookupKind, Part, Sealing};
pub use ledger::appender::{Append, AppendError, Appended, Erasure, Idempotency};
pub use ledger::log::{EntryBytes, Log};
pub use ledger::{Ledger, LedgerError};
pub use store::{Store, StoreError, Tenant};
