//! One entry as it is told: to programs as JSON, to people as a line or a few.

use std::fmt;

use domain::sealed::SealRef;
use domain::{Actor, BookingId, Event, Recorded, RetentionClass};
use eventstore::ledger::audit::Standing;
use eventstore::ledger::log::ReadError;
use eventstore::{IdKind, PublicIds};
use jiff::Timestamp;
use serde::Serialize;

use super::names::Names;
use super::words;

/// One entry, told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    pub position: u64,
    pub recorded_at: Timestamp,
    /// When it happened, where that was not when it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    pub kind: &'static str,
    pub what: String,
    pub by: By,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booking: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub seals: Vec<SealTold>,
}

/// Who acted: nobody by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct By {
    #[serde(rename = "type")]
    pub role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A seal of an entry, unopened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealTold {
    /// Whose part.
    pub part: String,
    pub class: RetentionClass,
    pub state: Standing,
}

impl Told {
    /// `standings` are those of all seals still to be told, in order.
    pub(super) fn new(
        recorded: &Recorded,
        names: &mut Names<'_>,
        ids: &PublicIds,
        standings: &mut impl Iterator<Item = Standing>,
    ) -> Result<Self, ReadError> {
        let event = &recorded.event;
        let seals = event.seals().into_iter().zip(standings);
        let (occurred_at, recorded_at) = (recorded.occurred_at, recorded.recorded_at);
        let things = Things::of(recorded);
        Ok(Self {
            position: recorded.position.0,
            recorded_at,
            occurred_at: (occurred_at != recorded_at).then_some(occurred_at),
            kind: event.kind().name(),
            by: By::of(recorded.actor, ids),
            booking: things.booking.map(|id| ids.show(IdKind::Booking, id.0)),
            service: things.service.map(|id| ids.show(IdKind::Service, id)),
            resources: things.resources.iter().map(|id| ids.show(IdKind::Resource, *id)).collect(),
            seals: seals.map(|(seal, state)| SealTold::of(seal, state, ids)).collect(),
            what: words::tell(recorded, names)?,
        })
    }
}

impl By {
    fn of(actor: Actor, ids: &PublicIds) -> Self {
        let (role, id) = match actor {
            Actor::Client(handle) => ("client", Some(ids.show(IdKind::Part, handle.0))),
            Actor::Staff(id) => ("staff", Some(ids.show(IdKind::Key, id.0))),
            Actor::Support(id) => ("support", Some(ids.show(IdKind::Key, id.0))),
            Actor::Key(id) => ("key", Some(ids.show(IdKind::Key, id.0))),
            Actor::System => ("system", None),
        };
        Self { role, id }
    }
}

impl SealTold {
    fn of(seal: SealRef, state: Standing, ids: &PublicIds) -> Self {
        Self { part: ids.show(IdKind::Part, seal.handle.0), class: seal.class, state }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, recorded_at, what, by, .. } = self;
        write!(f, "{position:>8}  {recorded_at:.0}  {what}, by {}", by.role)?;
        if let Some(id) = &by.id {
            write!(f, " {id}")?;
        }
        if let Some(occurred_at) = self.occurred_at {
            write!(f, "; it happened at {occurred_at}")?;
        }
        let things = self.booking.iter().chain(&self.service).chain(&self.resources);
        let things: Vec<&str> = things.map(String::as_str).collect();
        if !things.is_empty() {
            write!(f, "\n{:10}{}", "", things.join(" "))?;
        }
        for SealTold { part, class, state } in &self.seals {
            write!(f, "\n{:10}{class} of {part}: {}", "", state.name())?;
        }
        Ok(())
    }
}

/// The things that an entry is about.
#[derive(Default)]
struct Things {
    booking: Option<BookingId>,
    service: Option<u64>,
    resources: Vec<u64>,
}

impl Things {
    fn of(recorded: &Recorded) -> Self {
        let position = recorded.position.0;
        let booking = |id| Self { booking: Some(id), ..Self::default() };
        let resource = |id| Self { resources: vec![id], ..Self::default() };
        let service = |id| Self { service: Some(id), ..Self::default() };
        match &recorded.event {
            Event::BookingRequested(event) => Self {
                booking: Some(BookingId(position)),
                service: Some(event.service.0),
                resources: event.held.iter().map(|hold| hold.resource.0).collect(),
            },
            Event::BookingRescheduled(event) => Self {
                resources: event.held.iter().map(|hold| hold.resource.0).collect(),
                ..booking(event.booking)
            },
            Event::BookingConfirmed(step)
            | Event::BookingCheckedIn(step)
            | Event::BookingCompleted(step)
            | Event::BookingMissed(step) => booking(step.booking),
            Event::BookingDeclined(event) => booking(event.booking),
            Event::BookingCancelled(event) => booking(event.booking),
            Event::BookingChanged(event) => booking(event.booking),
            Event::BookingContentErased(event) => booking(event.booking),
            Event::ResourceDefined(_) => resource(position),
            Event::ResourceRevised(event) => resource(event.id.0),
            Event::ResourceRetired(event) => resource(event.id.0),
            Event::ServiceDefined(_) => service(position),
            Event::ServiceRevised(event) => service(event.id.0),
            Event::ServiceRetired(event) => service(event.id.0),
            Event::PersonRegistered(_)
            | Event::PersonRectified(_)
            | Event::PersonErased(_)
            | Event::PersonRestricted(_)
            | Event::PersonUnrestricted(_)
            | Event::HoldPlaced(_)
            | Event::HoldLifted(_)
            | Event::ConsentGiven(_)
            | Event::ConsentWithdrawn(_)
            | Event::PolicyAccepted(_)
            | Event::GroupDefined(_)
            | Event::PolicySet(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_)
            | Event::SealsOpened(_) => Self::default(),
        }
    }
}
