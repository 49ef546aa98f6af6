//! The ticket without which nothing opens.

use domain::ledger::ReadPurpose;

/// Shows that a reader's access stands in the access ledger, durably. Only the access ledger hands
/// it out, after appending; it cannot be copied and is good for one request.
pub struct Disclosure {
    purpose: ReadPurpose,
}

impl Disclosure {
    pub(crate) fn recorded(purpose: ReadPurpose) -> Self {
        Self { purpose }
    }

    pub fn purpose(&self) -> ReadPurpose {
        self.purpose
    }

    pub(crate) fn is_bookkeeping(&self) -> bool {
        self.purpose == ReadPurpose::Bookkeeping
    }
}
