//! Persons: rows that only the keyring has, and what is known of each without any key.

use domain::sealed::FieldSet;
use domain::{FenceId, Handle, Position, RegistrationId};

/// A person, by a number that stands nowhere but in the keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(pub u64);

/// How it stands with a person's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PersonState {
    Live,
    /// Kept, not used (GDPR Art. 18).
    Restricted,
    /// Nothing opens any more; links and seals are still being cleared.
    Erasing,
    Erased,
}

impl PersonState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restricted => "restricted",
            Self::Erasing => "erasing",
            Self::Erased => "erased",
        }
    }

    /// The states before and after somebody is restricted, or freed.
    pub(crate) fn restriction(restricted: bool) -> (Self, Self) {
        if restricted { (Self::Live, Self::Restricted) } else { (Self::Restricted, Self::Live) }
    }

    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Live => 1,
            Self::Restricted => 2,
            Self::Erasing => 3,
            Self::Erased => 4,
        }
    }

    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            1 => Self::Live,
            2 => Self::Restricted,
            3 => Self::Erasing,
            _ => Self::Erased,
        }
    }
}

/// A person's row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PersonInfo {
    pub id: PersonId,
    pub state: PersonState,
    pub fence: Option<FenceId>,
    pub fields: FieldSet,
    pub registration: Option<RegistrationId>,
    /// Where the newest contact seal lies, and under which handle.
    pub contact: Option<(Position, Handle)>,
}
