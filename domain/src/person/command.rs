//! What may be wished of a person's record.

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
    /// `ended` counts the seals that the person's keys still opened.
    Erase {
        fence: FenceId,
        classes: Vec<RetentionClass>,
        ended: u64,
    },
}
