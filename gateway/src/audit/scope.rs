//! Of what a replay tells: a whole tenant, one resource or one booking.

use std::collections::BTreeSet;

use domain::booking::Hold;
use domain::{BookingId, Event, Position, Recorded, ResourceId, Tag};
use eventstore::ledger::log::{Log, ReadError};

use super::ReplayError;

/// Of what a replay tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Whole,
    Resource(ResourceId),
    Booking(BookingId),
}

/// What was asked for is not in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownThing {
    #[error("the ledger has no such booking")]
    Booking,
    #[error("the ledger has no such resource")]
    Resource,
}

impl Scope {
    /// Whether the thing exists: its id is the position of the entry that began it.
    pub(super) fn check(self, log: &Log) -> Result<(), ReplayError> {
        let (position, unknown) = match self {
            Self::Whole => return Ok(()),
            Self::Resource(id) => (Position(id.0), UnknownThing::Resource),
            Self::Booking(id) => (Position(id.0), UnknownThing::Booking),
        };
        let entry = log.entry(position)?.ok_or(unknown)?;
        let entry = entry.decode().map_err(|error| ReplayError::Entry(position, error))?;
        let begins = match self {
            Self::Whole => true,
            Self::Resource(_) => matches!(entry.recorded.event, Event::ResourceDefined(_)),
            Self::Booking(_) => matches!(entry.recorded.event, Event::BookingRequested(_)),
        };
        if begins { Ok(()) } else { Err(unknown.into()) }
    }
}

/// Where a booking's entries stand.
pub(super) fn positions(log: &Log, id: BookingId) -> Result<Vec<Position>, ReadError> {
    let mut positions = vec![Position(id.0)];
    positions.extend(log.positions(Tag::booking(id))?);
    Ok(positions)
}

/// Picks from all entries, in order, those that are asked for.
pub(super) struct Filter {
    resource: Option<ResourceId>,
    /// The bookings that are on the resource now, or were when they ended.
    on_it: BTreeSet<BookingId>,
}

impl Filter {
    pub(super) fn new(scope: Scope) -> Self {
        let resource = match scope {
            Scope::Resource(id) => Some(id),
            Scope::Whole | Scope::Booking(_) => None,
        };
        Self { resource, on_it: BTreeSet::new() }
    }

    pub(super) fn wants(&mut self, recorded: &Recorded) -> bool {
        let Some(resource) = self.resource else { return true };
        let holds = |held: &[Hold]| held.iter().any(|hold| hold.resource == resource);
        match &recorded.event {
            Event::BookingRequested(event) => {
                let wants = holds(&event.held);
                if wants {
                    self.on_it.insert(BookingId(recorded.position.0));
                }
                wants
            }
            Event::BookingRescheduled(event) => {
                let (left, comes) = (self.on_it.remove(&event.booking), holds(&event.held));
                if comes {
                    self.on_it.insert(event.booking);
                }
                left || comes
            }
            Event::BookingConfirmed(step)
            | Event::BookingCheckedIn(step)
            | Event::BookingCompleted(step)
            | Event::BookingMissed(step) => self.on_it.contains(&step.booking),
            Event::BookingDeclined(event) => self.on_it.contains(&event.booking),
            Event::BookingCancelled(event) => self.on_it.contains(&event.booking),
            Event::BookingChanged(event) => self.on_it.contains(&event.booking),
            Event::BookingContentErased(event) => self.on_it.contains(&event.booking),
            Event::ResourceDefined(_) => recorded.position.0 == resource.0,
            Event::ResourceRevised(event) => event.id == resource,
            Event::ResourceRetired(event) => event.id == resource,
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
            | Event::ServiceDefined(_)
            | Event::ServiceRevised(_)
            | Event::ServiceRetired(_)
            | Event::PolicySet(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_)
            | Event::SealsOpened(_) => false,
        }
    }
}
