//! What resources, services and groups are called, as of the entry that is being told.

use std::collections::BTreeMap;

use domain::{Event, GroupId, Position, Recorded, ResourceId, ServiceId};
use eventstore::ledger::log::{Log, ReadError};

/// Names by the position of the entry that began the thing. A replay that skips entries finds the
/// name a thing had at first.
pub(super) struct Names<'a> {
    log: &'a Log,
    known: BTreeMap<u64, String>,
}

impl<'a> Names<'a> {
    pub(super) fn new(log: &'a Log) -> Self {
        Self { log, known: BTreeMap::new() }
    }

    /// Takes note of a name that an entry gives.
    pub(super) fn learn(&mut self, recorded: &Recorded) {
        if let Some((number, name)) = named(recorded.position, &recorded.event) {
            self.known.insert(number, name);
        }
    }

    pub(super) fn resource(&mut self, id: ResourceId) -> Result<String, ReadError> {
        self.of(id.0)
    }

    pub(super) fn service(&mut self, id: ServiceId) -> Result<String, ReadError> {
        self.of(id.0)
    }

    pub(super) fn group(&mut self, id: GroupId) -> Result<String, ReadError> {
        self.of(id.0)
    }

    fn of(&mut self, number: u64) -> Result<String, ReadError> {
        if let Some(name) = self.known.get(&number) {
            return Ok(name.clone());
        }
        let entry = self.log.entry(Position(number))?.and_then(|entry| entry.decode().ok());
        let named = entry.and_then(|entry| named(Position(number), &entry.recorded.event));
        let name = named.map_or_else(|| "unknown".to_owned(), |(_, name)| name);
        self.known.insert(number, name.clone());
        Ok(name)
    }
}

fn named(position: Position, event: &Event) -> Option<(u64, String)> {
    match event {
        Event::GroupDefined(event) => Some((position.0, event.name.clone())),
        Event::ResourceDefined(event) => Some((position.0, event.resource.name.clone())),
        Event::ResourceRevised(event) => Some((event.id.0, event.resource.name.clone())),
        Event::ServiceDefined(event) => Some((position.0, event.service.name.clone())),
        Event::ServiceRevised(event) => Some((event.id.0, event.service.name.clone())),
        Event::BookingRequested(_)
        | Event::BookingConfirmed(_)
        | Event::BookingDeclined(_)
        | Event::BookingRescheduled(_)
        | Event::BookingCancelled(_)
        | Event::BookingCheckedIn(_)
        | Event::BookingCompleted(_)
        | Event::BookingMissed(_)
        | Event::BookingChanged(_)
        | Event::BookingContentErased(_)
        | Event::PersonRegistered(_)
        | Event::PersonRectified(_)
        | Event::PersonErased(_)
        | Event::PersonRestricted(_)
        | Event::PersonUnrestricted(_)
        | Event::HoldPlaced(_)
        | Event::HoldLifted(_)
        | Event::ConsentGiven(_)
        | Event::ConsentWithdrawn(_)
        | Event::PolicyAccepted(_)
        | Event::ResourceRetired(_)
        | Event::ServiceRetired(_)
        | Event::PolicySet(_)
        | Event::LedgerReopened(_)
        | Event::KeysRotated(_)
        | Event::LogKeyRotated(_)
        | Event::LedgerMoved(_)
        | Event::PeriodEnded(_)
        | Event::SealsOpened(_) => None,
    }
}
