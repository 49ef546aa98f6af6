//! Why a person's record is not changed.

use crate::sealed::Field;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonRefusal {
    #[error("there is no such registration")]
    Unknown,
    #[error("the person has been erased")]
    Erased,
    #[error("the tenant does not collect the field {0}")]
    FieldNotCollected(Field),
    #[error("a client needs at least one contact field or a label")]
    NothingGiven,
    #[error("the record has changed since: it is at version {current}")]
    VersionConflict { current: u32 },
}
