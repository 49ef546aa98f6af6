//! Why a policy is not taken.

use crate::sealed::{Field, RetentionClass};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    #[error("the field {0} is the program's own and cannot be asked for")]
    FieldNotAskable(Field),
    #[error("the month in which the fiscal year ends is 1 to 12")]
    BadMonth,
    #[error("the class {0} ends by a law or a key of its own, not after days")]
    ClassNotTimed(RetentionClass),
    #[error("a service still requires the field {0}")]
    FieldRequired(Field),
    #[error("a deadline is at most 366 days")]
    BadDeadline,
    #[error("an erasure waits for at most 14 days")]
    BadCoolingOff,
    #[error("the recipient {0} is not called, described or addressed as one can be")]
    BadRecipient(String),
    #[error("the recipient {0} may have data and is still to be told: retire it instead")]
    RecipientDropped(String),
    #[error("the recipient {0} has a newer secret: a former one may be known to others")]
    SecretTakenBack(String),
    #[error("there are too many recipients")]
    TooManyRecipients,
    #[error("the policy has changed since: it is at version {current}")]
    VersionConflict { current: u32 },
}
