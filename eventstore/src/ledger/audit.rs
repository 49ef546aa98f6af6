//! Auditing a ledger: whether anything was changed, removed or slipped in, and whether every entry
//! is one that the rules could have made.
//!
//! One pass reads all entries in order with their seals beside them; nothing is opened and no key
//! is needed. What must agree: bytes, leaves and the tree with the head; seals with the hashes in
//! their entries; blanks with what erasures say they ended; both indexes with the entries; and the
//! whole with a replay of the rules. Memory grows with handles and open bookings, not with entries.
//!
//! An audit cannot tell a ledger from another one that is consistent in itself: for that its root
//! is held against checkpoints that others keep.

mod fault;
mod indexes;
mod keys;
mod seals;
mod standing;
#[cfg(test)]
mod tests;
mod walk;

use domain::Position;
use rusqlite::{Connection, Transaction};
use serde::Serialize;

use super::index::{self, Pending};
use super::log::{Head, Log, ReadError};
use crate::sqlite::read_head;
use crate::tree::Hash;
use fault::Fault;
use keys::Keys;
pub use standing::{Standing, standings};
use walk::Walk;

/// How many findings a report names; it counts all.
const NAMED: usize = 1000;
/// How often a moment is sought at which nothing is on its way between memory and tables.
const TRIES: u32 = 50;

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub entries: u64,
    /// The root of the tree over the entries as they are, in hexadecimal digits.
    pub root: String,
    /// The first of what was found.
    pub findings: Vec<Finding>,
    /// How much was found altogether.
    pub found: u64,
    /// Seals that are stored.
    pub seals: u64,
    /// Seals that an entry refers to and that were lawfully ended.
    pub blanks: u64,
    /// Seals that entries say they ended. More than `blanks` only where what was said around a
    /// booking was erased after one of its persons was.
    pub ended: u64,
    /// Whether the number of blanks is what the entries say.
    #[serde(skip)]
    pub blanks_agree: bool,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.found == 0
    }
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The entry it is about, if it is about one.
    pub position: Option<u64>,
    /// A stable word for it.
    pub code: &'static str,
    pub detail: String,
}

/// Findings as they come: all counted, the first ones kept.
#[derive(Debug, Default)]
struct Findings {
    named: Vec<Finding>,
    total: u64,
}

impl Findings {
    fn add(&mut self, position: impl Into<Option<Position>>, fault: &Fault) {
        self.total = self.total.saturating_add(1);
        if self.named.len() < NAMED {
            let position = position.into().map(|position| position.0);
            self.named.push(Finding { position, code: fault.code(), detail: fault.to_string() });
        }
    }
}

/// Audits a ledger as it stands at one moment. `progress` hears how many entries are done, and of
/// how many.
///
/// The moment is one read transaction: beside a running server the write-ahead log grows meanwhile.
///
/// # Errors
/// Where the file cannot be read. What is wrong in it is no error but a finding.
pub fn verify(log: &Log, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, ReadError> {
    log.with(|conn| {
        let Moment { tx, head, pending } = moment(log, conn)?;
        let mut findings = Findings::default();
        let keys = Keys::read(&tx, &mut findings)?;
        let mut walk = Walk::new(&head, keys, findings);
        walk.entries(&tx, progress)?;
        let (mut findings, sums) = walk.finish();
        let report = sums.compare(&tx, &pending, &mut findings)?;
        let Findings { named, total } = findings;
        Ok(Report { findings: named, found: total, ..report })
    })
}

/// A ledger at one moment: its tables, and the index rows that are still in memory.
struct Moment<'a> {
    tx: Transaction<'a>,
    head: Head,
    pending: Pending,
}

/// Entries appended between two looks would seem to lack their index rows: so the looks are
/// repeated until the head says that none were.
fn moment<'a>(log: &Log, conn: &'a Connection) -> Result<Moment<'a>, ReadError> {
    // A copy is older than what is in memory by now.
    let tries = if log.path().is_some() { TRIES } else { 0 };
    for _ in 0..tries {
        let size = log.size();
        let pending = log.pending().clone();
        let tx = conn.unchecked_transaction()?;
        let head = read_head(&tx)?;
        if head.frontier.size() == size {
            return Ok(Moment { tx, head, pending });
        }
    }
    // Another process writes it, or this one without a pause: what is in memory there is made
    // again from the entries.
    let tx = conn.unchecked_transaction()?;
    let head = read_head(&tx)?;
    let pending = index::rebuild(&*tx, head.indexed)?;
    Ok(Moment { tx, head, pending })
}

fn hex(hash: &Hash) -> String {
    domain::ids::Hash(*hash).to_string()
}
