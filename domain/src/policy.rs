//! A tenant's policy: which personal fields it collects, how long each class is kept, until when
//! clients may cancel, and in which zone it lives.

pub mod command;
pub mod decision;
pub mod error;
pub mod event;
#[cfg(test)]
mod tests;

pub use command::PolicyCommand;
pub use error::PolicyRefusal;
pub use event::PolicySet;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::sealed::{Field, RetentionClass};
use crate::slot::Zone;

/// What a tenant has decided for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Clients may cancel until so many minutes before the start.
    pub cancel_before_minutes: u32,
    /// The personal fields that may be asked for; all others are refused.
    pub collect: BTreeSet<Field>,
    /// The month (1 to 12) in which the fiscal year ends.
    pub fiscal_year_ends: u8,
    /// Days that a class is kept after its booking is over. Classes not named stay until the
    /// person is erased.
    pub retention_days: BTreeMap<RetentionClass, u32>,
    pub zone: Zone,
}

impl Policy {
    /// What a new tenant starts with: name, mail, phone and a note, and cancelling until the start.
    pub fn new(zone: Zone) -> Self {
        Self {
            cancel_before_minutes: 0,
            collect: [Field::Name, Field::Email, Field::Phone, Field::Note].into(),
            fiscal_year_ends: 12,
            retention_days: BTreeMap::new(),
            zone,
        }
    }

    /// Until when a class is kept of a booking whose time ends then; none where no rule says so.
    pub fn kept_until(&self, class: RetentionClass, end: Timestamp) -> Option<Timestamp> {
        let days = self.retention_days.get(&class)?;
        let kept = SignedDuration::from_hours(i64::from(*days).saturating_mul(24));
        Some(end.checked_add(kept).unwrap_or(Timestamp::MAX))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Zone::utc())
    }
}
