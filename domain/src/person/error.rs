//! Why a person's record is not changed.

use crate::sealed::Field;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonRefusal {
    #[error("there is no such registration")]
    Unknown,
    #[error("the person has been erased")]
    Erased,
    #[error("a legal hold keeps what there is of the person until it is lifted")]
    Held,
    #[error("records of who read what are not a client's to be held")]
    ClassNotHeld,
    #[error("a legal hold on this ground is in place already")]
    AlreadyHeld,
    #[error("there is no legal hold on this ground")]
    NotHeld,
    #[error("the person's data is restricted already")]
    AlreadyRestricted,
    #[error("the day until which data is restricted is over")]
    UntilOver,
    #[error("the person's data is not restricted")]
    NotRestricted,
    #[error("the tenant does not collect the field {0}")]
    FieldNotCollected(Field),
    #[error("a client needs at least one contact field or a label")]
    NothingGiven,
    #[error("the record has changed since: it is at version {current}")]
    VersionConflict { current: u32 },
}
