//! A tenant's policy: which personal fields it collects, how long each class is kept, until when
//! clients may cancel, and in which zone it lives.

pub mod command;
pub mod decision;
pub mod error;
pub mod event;
pub mod recipient;
#[cfg(test)]
mod tests;

pub use command::PolicyCommand;
pub use error::PolicyRefusal;
pub use event::PolicySet;
pub use recipient::{Recipient, RecipientRole};

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::sealed::{Field, RetentionClass};
use crate::slot::Zone;

/// What an erasure waits for, so that none is made by mistake or by one alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureRule {
    /// Whether somebody else than who asked has to approve.
    pub approval: bool,
    /// For how many hours it can be withdrawn before it is carried out.
    pub cooling_off_hours: u32,
}

impl ErasureRule {
    /// The longest time: the law gives a month in all (GDPR Art. 12(3)).
    pub const LONGEST_HOURS: u32 = 14 * 24;

    /// Whether an erasure waits for anything.
    pub fn waits(self) -> bool {
        self.approval || self.cooling_off_hours > 0
    }
}

/// What a tenant has decided for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Clients may cancel until so many minutes before the start.
    pub cancel_before_minutes: u32,
    /// The personal fields that may be asked for; all others are refused.
    pub collect: BTreeSet<Field>,
    /// What an erasure waits for. Version 1 knew nothing to wait for.
    #[serde(default)]
    pub erasure: ErasureRule,
    /// The month (1 to 12) in which the fiscal year ends.
    pub fiscal_year_ends: u8,
    /// Who is given personal data, by a short name that stays. Version 1 knew nobody.
    #[serde(default)]
    pub recipients: BTreeMap<String, Recipient>,
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
            erasure: ErasureRule::default(),
            fiscal_year_ends: 12,
            recipients: BTreeMap::new(),
            retention_days: BTreeMap::new(),
            zone,
        }
    }

    /// The calendar year in which the fiscal year of a moment ends: by it accounting seals end.
    pub fn fiscal_year(&self, at: Timestamp) -> i16 {
        self.fiscal_year_of(self.zone.local(at).date())
    }

    /// As [`Self::fiscal_year`], of a day.
    pub fn fiscal_year_of(&self, day: Date) -> i16 {
        let ends = i8::try_from(self.fiscal_year_ends).unwrap_or(12);
        if day.month() > ends { day.year().saturating_add(1) } else { day.year() }
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
