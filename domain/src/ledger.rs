//! Events of the ledger about itself, and of the second ledger that records who read what.

use serde::{Deserialize, Serialize};

use crate::entry::{Context, Draft};
use crate::ids::Hash;
use crate::sealed::{RetentionClass, Sealed, Whom};
use crate::slot::Zone;

/// The ledger was taken up again from an older copy, on the operator's word, and what lay behind
/// the copy is lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reopened {
    /// How many fences the lost part held that are appended again.
    pub fences: u32,
    /// The root of the ledger at the newest mark.
    pub lost_root: Hash,
    /// The size of the ledger at the newest mark.
    pub lost_size: u64,
    /// The number of the new origin: 2 after the first such loss.
    pub origin: u32,
}

/// Everything that the living's seals hang on was wrapped anew under the key of another epoch. Once
/// the keys of earlier epochs are destroyed, no copy made before opens what has been erased since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotated {
    /// The number of the epoch.
    pub epoch: u32,
    /// How many persons' keys hang on it now.
    pub persons: u64,
}

/// The ledger's checkpoints are signed with another key from here on. Whoever trusts one of the two
/// learns of the other from an entry that a checkpoint covers which the one has signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKeyRotated {
    /// The key before, as C2SP signed-note writes it.
    pub former: String,
    /// The new one, likewise.
    pub vkey: String,
}

/// The ledger lies elsewhere from here on, whole. No copy that was left behind has this entry, so
/// none is taken for the ledger again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub to: Residence,
}

crate::facet::closed! {
    /// What holds a ledger.
    Residence {
        Files = "files",
        Database = "database",
    }
}

/// What the law keeps of a year is over, and the year's key destroyed: nothing that hung on it opens
/// any more, whosever it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeriodEnded {
    pub class: RetentionClass,
    /// The calendar year in which the fiscal year ended.
    pub year: i16,
}

impl PeriodEnded {
    /// Decides to end a year of a class; nothing where the law, or a legal hold, keeps it still.
    pub(crate) fn decide(self, zone: &Zone, context: &Context) -> Option<Draft> {
        let kept = self.class.kept_through(self.year)?;
        let over = zone.local(context.now).date().year() > kept;
        (over && !context.held.contains(&self.class)).then(|| Draft::now(self))
    }
}

/// Somebody opened seals: who stands in the entry, whom only inside the seal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub classes: Vec<RetentionClass>,
    /// How many persons or parts were asked for.
    pub count: u32,
    pub purpose: ReadPurpose,
    pub whom: Sealed<Whom>,
}

crate::facet::closed! {
    /// Why seals were opened.
    ReadPurpose {
        Booking = "booking",
        Administration = "administration",
        OwnAccount = "own_account",
        Search = "search",
        Audit = "audit",
        Bookkeeping = "bookkeeping",
    }
}
