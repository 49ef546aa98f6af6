//! What happens to a person, in words that name nobody.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::LegalHold;
use crate::ids::{FenceId, Handle, RegistrationId};
use crate::sealed::{Contact, RetentionClass, Sealed};

/// Somebody became a client.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    pub contact: Sealed<Contact>,
}

/// A registration's contact fields were put right; the old ones cannot be opened any more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rectified {
    pub contact: Sealed<Contact>,
    /// How many seals this ends.
    pub ended: u32,
    pub registration: RegistrationId,
    /// The handle whose contact key was destroyed.
    pub was: Handle,
}

/// A fence: what was sealed for one person ends here, and nothing more is sealed for them. The id
/// was random and nowhere before; nothing here says whose entries they were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Erased {
    pub classes: Vec<RetentionClass>,
    /// How many seals this ends.
    pub ended: u64,
    pub fence: FenceId,
}

/// Somebody's data is kept and not used: nothing sealed for them opens, and nothing more is sealed
/// (GDPR Art. 18).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Restricted {
    pub ground: RestrictionGround,
    pub registration: RegistrationId,
    /// When it is to be looked at again. Nothing lifts itself: the person is told first (Art. 18(3)).
    pub until: Option<Date>,
}

/// Somebody's data may be used again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Unrestricted {
    pub registration: RegistrationId,
}

/// What is kept of somebody stays, whatever is asked or due, until the hold is lifted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HoldPlaced {
    /// Of which class; none for all. Version 1 knew no classes.
    #[serde(default)]
    pub class: Option<RetentionClass>,
    pub ground: HoldGround,
    pub registration: RegistrationId,
}

/// A hold is over. Where others are in place, they stand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HoldLifted {
    /// Of which class; none for all. Version 1 knew no classes.
    #[serde(default)]
    pub class: Option<RetentionClass>,
    pub ground: HoldGround,
    pub registration: RegistrationId,
}

impl HoldPlaced {
    pub fn hold(&self) -> LegalHold {
        LegalHold { class: self.class, ground: self.ground }
    }
}

impl HoldLifted {
    pub fn hold(&self) -> LegalHold {
        LegalHold { class: self.class, ground: self.ground }
    }
}

crate::facet::closed! {
    /// On what ground data is restricted: the four of GDPR Art. 18(1).
    RestrictionGround {
        AccuracyContested = "accuracy_contested",
        Unlawful = "unlawful",
        LegalClaim = "legal_claim",
        Objection = "objection",
    }
}

crate::facet::closed! {
    /// On what ground data must not be erased (GDPR Art. 17(3)).
    HoldGround {
        LegalClaim = "legal_claim",
        LegalObligation = "legal_obligation",
        AuthorityOrder = "authority_order",
    }
}
