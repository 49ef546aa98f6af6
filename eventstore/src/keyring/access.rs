//! The ticket without which nothing opens.

use std::collections::BTreeSet;

use domain::RetentionClass;
use domain::ledger::ReadPurpose;

use super::person::PersonId;

/// Shows that a reader's access stands in the access ledger, durably. Only the access ledger hands
/// it out, after appending; it cannot be copied, is good for one request, and opens only what the
/// record speaks of.
pub struct Disclosure {
    purpose: ReadPurpose,
    classes: Vec<RetentionClass>,
    /// Nobody in particular where it is empty: the record then says that anybody may be meant.
    whom: BTreeSet<PersonId>,
}

impl Disclosure {
    pub(crate) fn recorded(
        purpose: ReadPurpose,
        classes: &[RetentionClass],
        whom: &[PersonId],
    ) -> Self {
        Self { purpose, classes: classes.to_vec(), whom: whom.iter().copied().collect() }
    }

    pub fn purpose(&self) -> ReadPurpose {
        self.purpose
    }

    pub(crate) fn is_bookkeeping(&self) -> bool {
        self.purpose == ReadPurpose::Bookkeeping
    }

    /// Whether the record speaks of this class, and of this person where it names any.
    pub(crate) fn covers(&self, class: RetentionClass, person: Option<PersonId>) -> bool {
        let named = person.is_none_or(|person| self.whom.contains(&person));
        self.classes.contains(&class) && (named || self.whom.is_empty())
    }
}
