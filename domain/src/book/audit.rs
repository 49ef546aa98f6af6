//! Auditing by replay: whether a ledger's entries are ones that the rules could have made.
//!
//! An [`Auditor`] folds entries in order, as a complete book does, and holds every entry against
//! the book as it stood before. Bookings to which nothing can happen any more leave the shelf, so
//! that a ledger of any length is audited in little memory; what they hold stays on their days.

mod bookings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::Book;
use crate::booking::Status;
use crate::catalogue::{Resource, Service};
use crate::consent::Withdrawn;
use crate::entry::Recorded;
use crate::event::Event;
use crate::ids::{BookingId, ConsentId, Handle, Position, RegistrationId, ResourceId, ServiceId};
use crate::person::{LegalHold, Rectified};
use crate::tag::Tag;

/// What no decision could have brought about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("the tags are not those that the event has")]
    Tags,
    #[error("no booking begins at entry {0}")]
    BookingUnknown(BookingId),
    #[error("booking {0} is over, and nothing more can happen to it")]
    BookingOver(BookingId),
    #[error("the booking was {stands}, and the entry says {said}")]
    WasOther { stands: Status, said: Status },
    #[error("a booking that is {from} cannot become {to}")]
    Transition { from: Status, to: Status },
    #[error("the facets are not those of the booking")]
    Facets,
    #[error("what is held is not the booking's time with its buffers")]
    Held,
    #[error("resource {resource} is overbooked on {date}: {places} places are held of {capacity}")]
    Overbooked { resource: ResourceId, date: Date, places: u32, capacity: u16 },
    #[error("a booking has exactly one booker, and nobody twice")]
    Parts,
    #[error("handle {0} has no part in the booking")]
    ForeignHandle(Handle),
    #[error("{said} seals are said to end, and the booking has {stand}")]
    Ended { said: u32, stand: u32 },
    #[error("resource {0} is unknown or retired")]
    ResourceUnknown(ResourceId),
    #[error("service {0} is unknown")]
    ServiceUnknown(ServiceId),
    #[error("the group is unknown")]
    GroupUnknown,
    #[error("no registration stands at entry {0} under this handle")]
    RegistrationUnknown(RegistrationId),
    #[error("the registration at entry {0} was restricted, or held, otherwise than the entry says")]
    Standing(RegistrationId),
    #[error("no consent to this stands at entry {0}")]
    ConsentUnknown(ConsentId),
    #[error("the same fence was set before")]
    FenceRepeated,
}

impl Violation {
    /// A stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tags => "tags_differ",
            Self::BookingUnknown(_) => "booking_unknown",
            Self::BookingOver(_) => "booking_over",
            Self::WasOther { .. } => "status_differs",
            Self::Transition { .. } => "transition",
            Self::Facets => "facets_differ",
            Self::Held => "held_differs",
            Self::Overbooked { .. } => "overbooked",
            Self::Parts => "parts",
            Self::ForeignHandle(_) => "handle_foreign",
            Self::Ended { .. } => "ended_differs",
            Self::ResourceUnknown(_) => "resource_unknown",
            Self::ServiceUnknown(_) => "service_unknown",
            Self::GroupUnknown => "group_unknown",
            Self::RegistrationUnknown(_) => "registration_unknown",
            Self::Standing(_) => "standing_differs",
            Self::ConsentUnknown(_) => "consent_unknown",
            Self::FenceRepeated => "fence_repeated",
        }
    }
}

/// Replays a ledger and names what no rule allows.
#[derive(Debug, Default)]
pub struct Auditor {
    book: Book,
    begun: Begun,
}

impl Auditor {
    /// The book as it stands after the entries so far. Bookings that are over are not on it.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Holds the next entry, with the tags it carries, against the rules, and takes it in.
    pub fn check(&mut self, recorded: &Recorded, tags: &[Tag]) -> Vec<Violation> {
        let event = &recorded.event;
        self.book.next = recorded.position;
        let mut found = Vec::new();
        self.check_event(event, &mut found);
        let own = self.book.tags(event);
        if own != tags {
            found.push(Violation::Tags);
        }
        self.take_in(recorded.position, event, &own);
        found
    }

    fn check_event(&self, event: &Event, found: &mut Vec<Violation>) {
        match event {
            Event::BookingRequested(event) => self.requested(event, found),
            Event::BookingRescheduled(event) => self.rescheduled(event, found),
            Event::BookingConfirmed(step) => self.reached(step, Status::Confirmed, found),
            Event::BookingCheckedIn(step) => self.reached(step, Status::CheckedIn, found),
            Event::BookingCompleted(step) => self.reached(step, Status::Completed, found),
            Event::BookingMissed(step) => self.reached(step, Status::NoShow, found),
            Event::BookingDeclined(event) => self.declined(event, found),
            Event::BookingCancelled(event) => self.cancelled(event, found),
            Event::BookingChanged(event) => self.begun(event.booking, found),
            Event::BookingContentErased(event) => self.content_erased(event, found),
            Event::PersonRectified(event) => self.rectified(event, found),
            Event::PersonErased(event) => {
                if self.book.fences.contains(&event.fence) {
                    found.push(Violation::FenceRepeated);
                }
            }
            Event::PersonRestricted(event) => self.restricted(event.registration, false, found),
            Event::PersonUnrestricted(event) => self.restricted(event.registration, true, found),
            Event::HoldPlaced(event) => self.held(event.registration, event.hold(), false, found),
            Event::HoldLifted(event) => self.held(event.registration, event.hold(), true, found),
            Event::ConsentWithdrawn(event) => self.withdrawn(event, found),
            Event::ResourceDefined(event) => self.resource(&event.resource, found),
            Event::ResourceRevised(event) => {
                self.known_resource(event.id, found);
                self.resource(&event.resource, found);
            }
            Event::ResourceRetired(event) => self.known_resource(event.id, found),
            Event::ServiceDefined(event) => self.service(&event.service, found),
            Event::ServiceRevised(event) => {
                self.known_service(event.id, found);
                self.service(&event.service, found);
            }
            Event::ServiceRetired(event) => self.known_service(event.id, found),
            Event::PersonRegistered(_)
            | Event::ConsentGiven(_)
            | Event::PolicyAccepted(_)
            | Event::GroupDefined(_)
            | Event::PolicySet(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_)
            | Event::SealsOpened(_) => (),
        }
    }

    fn rectified(&self, event: &Rectified, found: &mut Vec<Violation>) {
        let known = self.book.registrations.get(&event.registration);
        if known.is_none_or(|known| known.handle != event.was) {
            found.push(Violation::RegistrationUnknown(event.registration));
        }
    }

    /// Somebody is restricted who was not before, or the other way round.
    fn restricted(&self, id: RegistrationId, was: bool, found: &mut Vec<Violation>) {
        self.known_registration(id, found);
        if self.book.restricted.contains(&id) != was {
            found.push(Violation::Standing(id));
        }
    }

    fn known_registration(&self, id: RegistrationId, found: &mut Vec<Violation>) {
        if self.book.registrations.get(&id).is_none() {
            found.push(Violation::RegistrationUnknown(id));
        }
    }

    fn held(&self, id: RegistrationId, hold: LegalHold, was: bool, found: &mut Vec<Violation>) {
        self.known_registration(id, found);
        let holds = self.book.legal_holds.get(&id);
        if holds.is_some_and(|holds| holds.contains(&hold)) != was {
            found.push(Violation::Standing(id));
        }
    }

    /// A consent that was withdrawn has left the shelf: it is not withdrawn twice.
    fn withdrawn(&self, event: &Withdrawn, found: &mut Vec<Violation>) {
        let known = self.book.consents.get(&event.consent);
        let allows = Some((event.purpose, event.medium));
        if known.is_none_or(|known| known.allows != allows) {
            found.push(Violation::ConsentUnknown(event.consent));
        }
    }

    fn resource(&self, resource: &Resource, found: &mut Vec<Violation>) {
        if !self.book.groups.contains_key(&resource.group) {
            found.push(Violation::GroupUnknown);
        }
    }

    fn service(&self, service: &Service, found: &mut Vec<Violation>) {
        service.resources.iter().for_each(|id| self.known_resource(*id, found));
    }

    fn known_resource(&self, id: ResourceId, found: &mut Vec<Violation>) {
        if !self.book.resources.contains_key(&id) {
            found.push(Violation::ResourceUnknown(id));
        }
    }

    fn known_service(&self, id: ServiceId, found: &mut Vec<Violation>) {
        if !self.book.services.contains_key(&id) {
            found.push(Violation::ServiceUnknown(id));
        }
    }

    fn take_in(&mut self, position: Position, event: &Event, tags: &[Tag]) {
        self.book.apply_next(event, tags);
        match event {
            Event::BookingRequested(_) => self.begun.insert(BookingId(position.0)),
            Event::ConsentWithdrawn(event) => drop(self.book.consents.remove(&event.consent)),
            Event::BookingDeclined(event) => self.let_go(event.booking),
            Event::BookingCancelled(event) => self.let_go(event.booking),
            Event::BookingCompleted(step) | Event::BookingMissed(step) => self.let_go(step.booking),
            Event::BookingConfirmed(_)
            | Event::BookingRescheduled(_)
            | Event::BookingCheckedIn(_)
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
            | Event::PolicyAccepted(_)
            | Event::GroupDefined(_)
            | Event::ResourceDefined(_)
            | Event::ResourceRevised(_)
            | Event::ResourceRetired(_)
            | Event::ServiceDefined(_)
            | Event::ServiceRevised(_)
            | Event::ServiceRetired(_)
            | Event::PolicySet(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_)
            | Event::SealsOpened(_) => (),
        }
    }

    fn let_go(&mut self, booking: BookingId) {
        drop(self.book.bookings.remove(&booking));
    }
}

/// Which entries began a booking, one bit each.
#[derive(Debug, Default)]
struct Begun(BTreeMap<u64, u64>);

impl Begun {
    fn insert(&mut self, id: BookingId) {
        *self.0.entry(id.0 / 64).or_default() |= 1 << (id.0 % 64);
    }

    fn contains(&self, id: BookingId) -> bool {
        self.0.get(&(id.0 / 64)).is_some_and(|bits| bits & (1 << (id.0 % 64)) != 0)
    }
}
