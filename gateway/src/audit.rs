//! Replaying a ledger for an auditor: what happened, entry by entry, told as a person would.
//!
//! Nothing is opened: of every seal it is said how it stands with it, and nobody is named. All ids
//! are the public ones. A replay stops where it is asked to (`--as-of`, by position or by the time
//! of recording); how it stands with seals is always told as of now, for what was erased is gone
//! from the past too.

mod names;
mod scope;
mod told;
mod words;

use std::str::FromStr;

use domain::{Position, Recorded};
use eventstore::ledger::audit::{Standing, standings, verify};
use eventstore::ledger::codec::CodecError;
use eventstore::ledger::log::{Log, ReadError};
use eventstore::{EntryBytes, PublicIds};
use jiff::Timestamp;
use serde::Serialize;

use names::Names;
use scope::Filter;
pub use scope::{Scope, UnknownThing};
pub use told::{By, SealTold, Told};

/// Entries read at a time.
const STRIDE: usize = 1000;

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Unknown(#[from] UnknownThing),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("entry {0} cannot be read")]
    Entry(Position, #[source] CodecError),
}

/// Up to where history is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// This entry is the last.
    Position(Position),
    /// What was recorded until then.
    Recorded(Timestamp),
}

/// Not a moment of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a position (a number) nor a time such as 2026-11-20T10:00:00Z")]
pub struct BadMoment;

impl FromStr for AsOf {
    type Err = BadMoment;

    fn from_str(text: &str) -> Result<Self, BadMoment> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(Position(position)));
        }
        text.parse().map(Self::Recorded).map_err(|_| BadMoment)
    }
}

impl AsOf {
    /// Whether an entry belongs to the past that is asked for.
    pub fn includes(self, recorded: &Recorded) -> bool {
        match self {
            Self::Position(last) => recorded.position <= last,
            Self::Recorded(until) => recorded.recorded_at <= until,
        }
    }
}

/// What was told, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Entries told.
    pub entries: u64,
    /// Seals that these refer to.
    pub seals: u64,
    /// Of these, seals that were lawfully ended.
    pub blanks: u64,
    /// Of these, seals that are missing without a reason.
    pub missing: u64,
    /// Whether the blanks of the ledger are those that its erasures account for. Only a whole
    /// ledger can say so.
    pub blanks_agree: Option<bool>,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { entries, seals, blanks, missing, blanks_agree } = self;
        write!(f, "{entries} entries with {seals} seals, of which {blanks} were erased")?;
        if *missing > 0 {
            write!(f, " and {missing} are missing without a reason")?;
        }
        match blanks_agree {
            Some(true) => write!(f, "; the blanks agree with the fences"),
            Some(false) => write!(f, "; the blanks do NOT agree with the fences"),
            None => Ok(()),
        }
    }
}

/// What a replay reads.
pub struct Replay<'a> {
    pub log: &'a Log,
    pub ids: &'a PublicIds,
    pub scope: Scope,
    pub as_of: Option<AsOf>,
}

impl Replay<'_> {
    /// Tells each entry to `tell`, in order; `progress` hears how far it is.
    ///
    /// # Errors
    /// Where the thing asked for is unknown, or the ledger cannot be read.
    pub fn run(
        &self,
        tell: &mut dyn FnMut(&Told),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Summary, ReplayError> {
        self.scope.check(self.log)?;
        let mut names = Names::new(self.log);
        let mut summary = Summary::default();
        match self.scope {
            Scope::Booking(id) => {
                for position in scope::positions(self.log, id)? {
                    let entries: Vec<EntryBytes> = self.log.entry(position)?.into_iter().collect();
                    self.tell_all(&entries, None, &mut names, &mut summary, tell)?;
                }
            }
            Scope::Whole | Scope::Resource(_) => {
                let mut filter = Filter::new(self.scope);
                let size = self.log.size();
                let mut next = Position(0);
                while next.0 < size {
                    let entries = self.log.entries(next, STRIDE)?;
                    let Some(last) = entries.last() else { break };
                    next = last.position.next();
                    let filter = Some(&mut filter);
                    if !self.tell_all(&entries, filter, &mut names, &mut summary, tell)? {
                        break;
                    }
                    progress(next.0.min(size), size);
                }
                progress(size, size);
            }
        }
        if self.scope == Scope::Whole && self.as_of.is_none() {
            summary.blanks_agree = Some(verify(self.log, progress)?.blanks_agree);
        }
        Ok(summary)
    }

    /// Tells those of some entries that are asked for; whether more may follow.
    fn tell_all(
        &self,
        entries: &[EntryBytes],
        mut filter: Option<&mut Filter>,
        names: &mut Names<'_>,
        summary: &mut Summary,
        tell: &mut dyn FnMut(&Told),
    ) -> Result<bool, ReplayError> {
        let mut wanted = Vec::new();
        let mut more = true;
        for entry in entries {
            let decoded =
                entry.decode().map_err(|error| ReplayError::Entry(entry.position, error))?;
            if self.as_of.is_some_and(|as_of| !as_of.includes(&decoded.recorded)) {
                more = false;
                break;
            }
            if filter.as_mut().is_none_or(|filter| filter.wants(&decoded.recorded)) {
                wanted.push(decoded.recorded);
            }
        }
        let seals: Vec<_> = wanted
            .iter()
            .flat_map(|entry| entry.event.seals().into_iter().map(|seal| (entry.position, seal)))
            .collect();
        let mut standings = standings(self.log, &seals)?.into_iter();
        for recorded in &wanted {
            let told = Told::new(recorded, names, self.ids, &mut standings)?;
            summary.add(&told);
            tell(&told);
            names.learn(recorded);
        }
        Ok(more)
    }
}

impl Summary {
    fn add(&mut self, told: &Told) {
        let count = |standing| {
            let alike = told.seals.iter().filter(|seal| seal.state == standing).count();
            u64::try_from(alike).unwrap_or(u64::MAX)
        };
        self.entries += 1;
        self.seals += u64::try_from(told.seals.len()).unwrap_or(u64::MAX);
        self.blanks += count(Standing::Erased);
        self.missing += count(Standing::Missing);
    }
}
