//! Facets: the coarse, closed values that statistics may know of a booking.
//!
//! They are fixed when an entry is appended and are not personal, so statistics need no key and
//! come out the same, byte for byte, however many persons were erased since.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::ids::{GroupId, ServiceId};

macro_rules! closed {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ::serde::Serialize, ::serde::Deserialize,
        )]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::facet::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| value.name() == name)
                    .ok_or($crate::facet::UnknownName)
            }
        }
    };
}
pub(crate) use closed;

/// The word is none of the closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of the known words")]
pub struct UnknownName;

closed! {
    /// How the booking came in.
    Channel {
        Online = "online",
        Staff = "staff",
        Phone = "phone",
        WalkIn = "walk_in",
        Partner = "partner",
        Unknown = "unknown",
    }
}

closed! {
    /// How long before its start a booking was made.
    Lead {
        SameDay = "same_day",
        WithinThreeDays = "within_3_days",
        WithinWeek = "within_week",
        WithinMonth = "within_month",
        WithinQuarter = "within_quarter",
        Longer = "longer",
    }
}

closed! {
    /// How many people came.
    Party {
        One = "1",
        Two = "2",
        Few = "3-4",
        Many = "5+",
    }
}

closed! {
    /// The person's how-manieth booking with this tenant in the calendar year of its local start,
    /// among those not cancelled, counted at append and never renumbered.
    Nth {
        First = "1",
        Second = "2",
        Later = "3+",
    }
}

impl Lead {
    pub fn between(booked: Timestamp, start: Timestamp) -> Self {
        match (start.as_second() - booked.as_second()).max(0) / 86_400 {
            0 => Self::SameDay,
            1..=3 => Self::WithinThreeDays,
            4..=7 => Self::WithinWeek,
            8..=31 => Self::WithinMonth,
            32..=92 => Self::WithinQuarter,
            _ => Self::Longer,
        }
    }
}

impl Party {
    pub fn of(people: u16) -> Self {
        match people {
            0 | 1 => Self::One,
            2 => Self::Two,
            3 | 4 => Self::Few,
            _ => Self::Many,
        }
    }
}

impl Nth {
    /// The place after `prior` earlier ones.
    pub fn after(prior: u32) -> Self {
        match prior {
            0 => Self::First,
            1 => Self::Second,
            _ => Self::Later,
        }
    }
}

/// What statistics may know of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Facets {
    pub channel: Channel,
    /// The local date of the start.
    pub day: Date,
    pub group: GroupId,
    /// The local hour of the start.
    pub hour: i8,
    pub lead: Lead,
    pub nth: Nth,
    pub party: Party,
    pub service: ServiceId,
}
