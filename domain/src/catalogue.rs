//! The catalogue: what can be booked. Groups of resources, resources with their opening hours, and
//! services with their length, price and the personal fields they need.
//!
//! Nothing here is personal: a resource is a chair, a room or a place on the rota, never a name.

pub mod command;
pub mod decision;
pub mod error;
pub mod event;
#[cfg(test)]
mod tests;

pub use command::CatalogueCommand;
pub use error::CatalogueRefusal;
pub use event::{
    GroupDefined, ResourceDefined, ResourceRetired, ResourceRevised, ServiceDefined,
    ServiceRetired, ServiceRevised,
};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::booking::Price;
use crate::ids::{GroupId, ResourceId};
use crate::sealed::Field;
use crate::slot::{Hours, Slot, Zone};

crate::facet::closed! {
    /// What a resource is.
    ResourceKind {
        Staff = "staff",
        Room = "room",
        Equipment = "equipment",
    }
}

crate::facet::closed! {
    /// Whether a request is confirmed at once or waits for staff.
    Confirmation {
        Instant = "instant",
        Staff = "staff",
    }
}

/// Something that can be held: a chair, a room type with several rooms, a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// How many places it has at any instant.
    pub capacity: u16,
    pub group: GroupId,
    pub hours: Hours,
    pub kind: ResourceKind,
    pub name: String,
    pub zone: Zone,
}

/// How long a booking of a service lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Length {
    /// Always so many minutes, within opening hours.
    Fixed { minutes: u32 },
    /// As the booker chooses, within opening hours.
    Between { from_minutes: u32, to_minutes: u32 },
    /// Over night, whatever the opening hours; no night is day use.
    Nights { most: u16 },
}

/// Something people come for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Minutes that the resource is kept after each booking.
    pub buffer_after: u16,
    /// Minutes that the resource is kept before each booking.
    pub buffer_before: u16,
    pub confirmation: Confirmation,
    pub length: Length,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The personal fields without which it cannot be booked.
    pub requires: BTreeSet<Field>,
    /// The resources it can be booked on; empty for all.
    pub resources: BTreeSet<ResourceId>,
}

impl Service {
    pub fn is_offered_on(&self, resource: ResourceId) -> bool {
        self.resources.is_empty() || self.resources.contains(&resource)
    }

    /// Whether a booking may last as long as `slot`, in the zone where it takes place.
    pub fn allows(&self, slot: Slot, zone: &Zone) -> bool {
        let minutes = slot.minutes();
        match self.length {
            Length::Fixed { minutes: exactly } => minutes == i64::from(exactly),
            Length::Between { from_minutes, to_minutes } => {
                (i64::from(from_minutes)..=i64::from(to_minutes)).contains(&minutes)
            }
            Length::Nights { most } => {
                let (first, last) =
                    (zone.local(slot.start()).date(), zone.local(slot.end()).date());
                first.until(last).is_ok_and(|span| span.get_days() <= i32::from(most))
            }
        }
    }

    /// Whether bookings must lie within opening hours.
    pub fn keeps_hours(&self) -> bool {
        match self.length {
            Length::Fixed { .. } | Length::Between { .. } => true,
            Length::Nights { .. } => false,
        }
    }
}

/// Names are for people and stay short; they must not hold what a log line could be forged with.
pub fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=100).contains(&length) && name.trim() == name && !name.chars().any(char::is_control)
}
