//! What may be wished of a booking.

use jiff::Timestamp;

use super::{Price, Reason, Role, Side, Status};
use crate::facet::Channel;
use crate::ids::{BookingId, FenceId, Handle, Hash, ResourceId, ServiceId};
use crate::sealed::{Accounting, Contact, Details, FieldSet, Health, Sealed};
use crate::slot::Slot;

#[derive(Debug, Clone)]
pub enum BookingCommand {
    Request(Box<Request>),
    Change { booking: BookingId, expected: Option<u32>, change: Change },
}

/// A booking asked for, whole: it is granted in one decision or refused.
#[derive(Debug, Clone)]
pub struct Request {
    pub service: ServiceId,
    pub wanted: Vec<Wanted>,
    pub slot: Slot,
    pub parts: Vec<NewPart>,
    /// How many people come, named or not.
    pub party: u16,
    pub channel: Channel,
    pub policy: Option<Hash>,
    /// Another price than the service's.
    pub price: Option<Price>,
    /// What is already known to have happened since: an import.
    pub past: Option<Past>,
}

/// A resource to be held, and how many of its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub resource: ResourceId,
    pub units: u16,
}

/// One person's part, already sealed.
#[derive(Debug, Clone)]
pub struct NewPart {
    pub handle: Handle,
    pub role: Role,
    pub details: Sealed<Details>,
    pub health: Option<Sealed<Health>>,
    pub accounting: Option<Sealed<Accounting>>,
    /// The fence under which the person must not have been erased.
    pub fence: FenceId,
    /// Which fields the person gave, now or when registering.
    pub given: FieldSet,
    /// The contact seal of somebody who was no client before.
    pub registers: Option<Sealed<Contact>>,
}

/// What happened between the request and now, in order. History is recorded, not judged: only the
/// order of states and the capacity must be right.
#[derive(Debug, Clone, Default)]
pub struct Past {
    pub steps: Vec<(Timestamp, PastStep)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastStep {
    Changed { times: u32 },
    Cancelled { by: Side, reason: Reason },
    Reached(Status),
}

/// A change to a booking that exists.
#[derive(Debug, Clone)]
pub enum Change {
    Confirm,
    Decline {
        reason: Reason,
    },
    Reschedule {
        slot: Slot,
        wanted: Option<Vec<Wanted>>,
    },
    Cancel {
        by: Side,
        reason: Reason,
        note: Option<Sealed<Details>>,
        fence: Option<FenceId>,
    },
    CheckIn,
    Complete,
    NoShow,
    /// Ends what was said around a booking that is over.
    EraseContent,
    /// Ends of it what the tenant's policy keeps no longer.
    Expire,
}
