//! What happens to a booking. Fields stand in alphabetical order: serialised as declared, the
//! body is canonical JSON (RFC 8785), which a test compares.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Reason, Side};
use crate::facet::Facets;
use crate::ids::{BookingId, Handle, Hash, ResourceId, ServiceId};
use crate::sealed::{Accounting, Details, Health, RetentionClass, SealRef, Sealed};
use crate::slot::{Slot, Zone};

crate::facet::closed! {
    /// Where a booking stands.
    Status {
        Pending = "pending",
        Confirmed = "confirmed",
        Declined = "declined",
        CheckedIn = "checked_in",
        Completed = "completed",
        Cancelled = "cancelled",
        NoShow = "no_show",
    }
}

crate::facet::closed! {
    /// What somebody does in a booking.
    Role {
        Booker = "booker",
        Participant = "participant",
        Guardian = "guardian",
    }
}

/// Places of a resource, held from one instant until just before another, buffers included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub from: Timestamp,
    pub resource: ResourceId,
    pub units: u16,
    pub until: Timestamp,
}

impl Hold {
    /// The span held. Entries are checked when written, so a stored hold is a slot.
    pub fn slot(&self) -> Option<Slot> {
        Slot::new(self.from, self.until).ok()
    }
}

/// One person's part in a booking.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Part {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounting: Option<Sealed<Accounting>>,
    pub details: Sealed<Details>,
    pub handle: Handle,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Sealed<Health>>,
    pub role: Role,
}

impl Part {
    pub fn seals(&self) -> impl Iterator<Item = SealRef> {
        [
            Some(self.details.reference()),
            self.health.map(|seal| seal.reference()),
            self.accounting.map(|seal| seal.reference()),
        ]
        .into_iter()
        .flatten()
    }
}

/// Money as a decimal string and an ISO 4217 code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub amount: String,
    pub currency: String,
}

impl Price {
    /// Whether the amount is a plain decimal and the currency three capital letters.
    pub fn is_sound(&self) -> bool {
        let (whole, cents) = self.amount.split_once('.').unwrap_or((&self.amount, "0"));
        let digits = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit())
        };
        digits(whole, 12)
            && digits(cents, 4)
            && self.currency.len() == 3
            && self.currency.bytes().all(|letter| letter.is_ascii_uppercase())
    }
}

/// Somebody asked for a time and got it, at once (`confirmed`) or until staff answers (`pending`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub end: Timestamp,
    pub facets: Facets,
    pub held: Vec<Hold>,
    pub parts: Vec<Part>,
    /// The version of the tenant's terms that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    pub service: ServiceId,
    pub start: Timestamp,
    pub status: Status,
    pub zone: Zone,
}

impl Requested {
    /// The part of whoever asked.
    pub fn booker(&self) -> Option<Handle> {
        self.parts.iter().find(|part| part.role == Role::Booker).map(|part| part.handle)
    }
}

/// The booking went on: confirmed, checked in, completed or missed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub booking: BookingId,
    pub facets: Facets,
    pub was: Status,
}

/// Staff turned a request down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Declined {
    pub booking: BookingId,
    pub facets: Facets,
    pub reason: Reason,
    pub was: Status,
}

/// The booking moved to another time or resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rescheduled {
    pub booking: BookingId,
    pub end: Timestamp,
    pub facets: Facets,
    pub facets_before: Facets,
    pub held: Vec<Hold>,
    pub start: Timestamp,
    pub status: Status,
    pub zone: Zone,
}

/// The booking was given up and holds nothing any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancelled {
    pub booking: BookingId,
    pub by: Side,
    pub facets: Facets,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Sealed<Details>>,
    pub reason: Reason,
    pub was: Status,
}

/// The booking was changed so many times before it came here, nobody knows in what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    pub booking: BookingId,
    pub times: u32,
}

/// What was said around this booking expired or was erased; the booking itself stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContentErased {
    pub booking: BookingId,
    pub classes: Vec<RetentionClass>,
    /// How many seals this ends.
    pub ended: u32,
    pub handles: Vec<Handle>,
}
