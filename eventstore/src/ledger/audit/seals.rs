//! The seals beside the log, read in the same order as the entries they belong to.

use domain::Position;
use domain::sealed::SealRef;
use rusqlite::Rows;

use super::Findings;
use super::fault::Fault;
use super::keys::{KeyState, Keys};
use crate::sqlite::uint;
use crate::tree::{self, Hash};

/// A stored seal, by its hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    position: Position,
    n: u64,
    hash: Hash,
}

/// Reads the rows of the table of seals, one entry's at a time.
pub(super) struct SealRows<'a> {
    rows: Rows<'a>,
    next: Option<Stored>,
    pub(super) count: u64,
}

impl<'a> SealRows<'a> {
    /// `rows` are position, number and ciphertext, in order.
    pub(super) fn new(rows: Rows<'a>) -> rusqlite::Result<Self> {
        let mut seals = Self { rows, next: None, count: 0 };
        seals.advance()?;
        Ok(seals)
    }

    fn advance(&mut self) -> rusqlite::Result<()> {
        self.next = match self.rows.next()? {
            None => None,
            Some(row) => {
                self.count += 1;
                let hash = tree::hash(&[row.get_ref(2)?.as_blob()?]);
                Some(Stored { position: Position(uint(row.get(0)?)), n: uint(row.get(1)?), hash })
            }
        };
        Ok(())
    }

    /// The seals at a position. Those passed over belong to no entry.
    pub(super) fn at(
        &mut self,
        position: Position,
        findings: &mut Findings,
    ) -> rusqlite::Result<Vec<Stored>> {
        let mut here = Vec::new();
        while let Some(stored) = self.next.filter(|stored| stored.position <= position) {
            if stored.position == position {
                here.push(stored);
            } else {
                findings.add(stored.position, &Fault::SealExtra(stored.n));
            }
            self.advance()?;
        }
        Ok(here)
    }

    /// Whatever is left belongs to no entry.
    pub(super) fn rest(&mut self, findings: &mut Findings) -> rusqlite::Result<()> {
        self.at(Position(u64::MAX), findings).map(drop)
    }
}

/// Holds the seals of one entry against what the entry says, and counts the blanks.
pub(super) fn check(
    position: Position,
    (references, hashes): (&[SealRef], &[Hash]),
    stored: &[Stored],
    keys: &Keys,
    findings: &mut Findings,
) -> u64 {
    let in_order = (0..).zip(references).all(|(n, seal)| seal.seal == n);
    if references.len() != hashes.len() || !in_order {
        let (hashes, seals) = (hashes.len(), references.len());
        findings.add(position, &Fault::SealCount { hashes, seals });
    }
    let extra = stored.iter().filter(|stored| stored.n >= references.len() as u64);
    extra.for_each(|stored| findings.add(position, &Fault::SealExtra(stored.n)));
    let mut blanks = 0;
    for ((n, seal), said) in (0..).zip(references).zip(hashes) {
        let found = stored.iter().find(|stored| stored.n == n);
        if found.is_some_and(|found| found.hash != *said) {
            findings.add(position, &Fault::SealChanged(n));
        }
        let (handle, class) = (seal.handle, seal.class);
        match (keys.state(handle, class), found) {
            (KeyState::Unknown, _) => findings.add(position, &Fault::KeyUnknown { handle, class }),
            (KeyState::Live | KeyState::Kept, None) => {
                findings.add(position, &Fault::SealMissing(n));
            }
            (KeyState::Blank, found) => {
                blanks += 1;
                if found.is_some() && !keys.erasing {
                    findings.add(position, &Fault::SealNotDeleted(n));
                }
            }
            (KeyState::Dark, _) => blanks += 1,
            (KeyState::Live | KeyState::Kept, Some(_)) | (KeyState::Over, _) => (),
        }
    }
    blanks
}
