//! What may be wished of a person's record.

use jiff::civil::Date;

use super::{LegalHold, RestrictionGround};
use crate::ids::{FenceId, RegistrationId};
use crate::sealed::{Contact, FieldSet, RetentionClass, Sealed};

#[derive(Debug, Clone)]
pub enum PersonCommand {
    Register {
        contact: Sealed<Contact>,
        fence: FenceId,
        given: FieldSet,
    },
    Rectify {
        registration: RegistrationId,
        contact: Sealed<Contact>,
        fence: FenceId,
        given: FieldSet,
        expected: Option<u32>,
    },
    Restrict {
        registration: RegistrationId,
        ground: RestrictionGround,
        until: Option<Date>,
    },
    Unrestrict {
        registration: RegistrationId,
    },
    PlaceHold {
        registration: RegistrationId,
        hold: LegalHold,
    },
    LiftHold {
        registration: RegistrationId,
        hold: LegalHold,
    },
    /// `ended` counts the seals that the person's keys still opened.
    Erase {
        fence: FenceId,
        classes: Vec<RetentionClass>,
        ended: u64,
    },
}
