//! What surrounds an event: who acted, when it happened, where it stands.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::ids::{ActorId, Handle, Position};
use crate::sealed::RetentionClass;
use crate::tag::Tag;

/// Who acted. Nobody by name: staff, support and keys by a stable opaque number, a client as
/// their part of the booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", content = "id")]
pub enum Actor {
    Client(Handle),
    Staff(ActorId),
    Support(ActorId),
    Key(ActorId),
    System,
}

/// An entry as it stands in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub position: Position,
    /// The ledger's clock, never decreasing.
    pub recorded_at: Timestamp,
    /// When it happened; an import has old ones.
    pub occurred_at: Timestamp,
    pub actor: Actor,
    pub event: Event,
}

/// An event that a decision wants appended.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub event: Event,
    /// When it happened, where that differs from the command's own time.
    pub occurred_at: Option<Timestamp>,
}

impl Draft {
    pub fn now(event: impl Into<Event>) -> Self {
        Self { event: event.into(), occurred_at: None }
    }
}

/// A draft with its tags, as the ledger packs them.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged {
    pub draft: Draft,
    pub tags: Vec<Tag>,
}

/// What a decision is told of the world outside the book.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// The ledger's clock at this decision.
    pub now: Timestamp,
    /// When the command happened: `now`, but for an import.
    pub occurred_at: Timestamp,
    pub actor: Actor,
    /// How many bookings, not cancelled, the booker already has with this tenant, by the calendar
    /// year of their local start.
    pub visits: BTreeMap<i16, u32>,
    /// The classes that a legal hold keeps of what the command would end: of somebody who has a part
    /// in the booking, or of whom the year has something.
    pub held: BTreeSet<RetentionClass>,
}
