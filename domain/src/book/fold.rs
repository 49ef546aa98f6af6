//! What each kind of event makes of the book. Every fold names every kind, so that a new one is
//! forgotten by none.

use super::Book;
use crate::booking::{Booking, Hold, Status};
use crate::consent::Consent;
use crate::event::Event;
use crate::ids::{BookingId, ConsentId, GroupId, Position, RegistrationId, ResourceId, ServiceId};
use crate::person::Registration;
use crate::sealed::RetentionClass;

impl Book {
    /// Takes in a booking's entry; says what the booking now holds, where that may have changed.
    pub(super) fn fold_booking(
        &mut self,
        position: Position,
        event: &Event,
    ) -> Option<(BookingId, Vec<Hold>)> {
        match event {
            Event::BookingRequested(event) => {
                let id = BookingId(position.0);
                self.bookings.put(id, Booking::requested(event));
                Some((id, event.held.clone()))
            }
            Event::BookingRescheduled(event) => {
                if let Some(booking) = self.bookings.get_mut(&event.booking) {
                    booking.rescheduled(event);
                }
                Some((event.booking, event.held.clone()))
            }
            Event::BookingDeclined(event) => {
                self.booking_became(event.booking, Status::Declined);
                Some((event.booking, Vec::new()))
            }
            Event::BookingCancelled(event) => {
                self.booking_became(event.booking, Status::Cancelled);
                if let (Some(_), Some(booking)) =
                    (event.note, self.bookings.get_mut(&event.booking))
                {
                    booking.content.add(RetentionClass::Booking);
                }
                Some((event.booking, Vec::new()))
            }
            Event::BookingConfirmed(event) => self.booking_became(event.booking, Status::Confirmed),
            Event::BookingCheckedIn(event) => self.booking_became(event.booking, Status::CheckedIn),
            Event::BookingCompleted(event) => self.booking_became(event.booking, Status::Completed),
            Event::BookingMissed(event) => self.booking_became(event.booking, Status::NoShow),
            Event::BookingChanged(event) => self.booking_noted(event.booking, &[]),
            Event::BookingContentErased(event) => self.booking_noted(event.booking, &event.classes),
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
            | Event::SealsOpened(_) => None,
        }
    }

    fn booking_became(&mut self, id: BookingId, status: Status) -> Option<(BookingId, Vec<Hold>)> {
        if let Some(booking) = self.bookings.get_mut(&id) {
            booking.became(status);
        }
        None
    }

    fn booking_noted(
        &mut self,
        id: BookingId,
        ended: &[RetentionClass],
    ) -> Option<(BookingId, Vec<Hold>)> {
        if let Some(booking) = self.bookings.get_mut(&id) {
            let status = booking.status;
            booking.became(status);
            ended.iter().for_each(|class| booking.content.end(*class));
        }
        None
    }

    pub(super) fn fold_standing(&mut self, position: Position, event: &Event) {
        match event {
            Event::GroupDefined(event) => {
                self.groups.insert(GroupId(position.0), event.name.clone());
            }
            Event::ResourceDefined(event) => {
                self.resources.insert(ResourceId(position.0), event.resource.clone());
            }
            Event::ResourceRevised(event) => {
                self.resources.insert(event.id, event.resource.clone());
                self.retired_resources.remove(&event.id);
            }
            Event::ResourceRetired(event) => {
                self.retired_resources.insert(event.id);
            }
            Event::ServiceDefined(event) => {
                self.services.insert(ServiceId(position.0), event.service.clone());
            }
            Event::ServiceRevised(event) => {
                self.services.insert(event.id, event.service.clone());
                self.retired_services.remove(&event.id);
            }
            Event::ServiceRetired(event) => {
                self.retired_services.insert(event.id);
            }
            Event::PolicySet(event) => self.policy = event.policy.clone(),
            Event::PersonErased(event) => {
                self.fences.insert(event.fence);
            }
            Event::PersonRestricted(event) => {
                self.restricted.insert(event.registration);
            }
            Event::PersonUnrestricted(event) => {
                self.restricted.remove(&event.registration);
            }
            Event::HoldPlaced(event) => {
                self.legal_holds.entry(event.registration).or_default().insert(event.hold());
            }
            Event::HoldLifted(event) => {
                if let Some(holds) = self.legal_holds.get_mut(&event.registration) {
                    holds.remove(&event.hold());
                    if holds.is_empty() {
                        self.legal_holds.remove(&event.registration);
                    }
                }
            }
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
            | Event::ConsentGiven(_)
            | Event::ConsentWithdrawn(_)
            | Event::PolicyAccepted(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_)
            | Event::SealsOpened(_) => (),
        }
    }

    pub(super) fn fold_matters(&mut self, position: Position, event: &Event) {
        match event {
            Event::PersonRegistered(event) => {
                let registration = Registration { handle: event.contact.handle, version: 1 };
                self.registrations.put(RegistrationId(position.0), registration);
            }
            Event::PersonRectified(event) => {
                if let Some(registration) = self.registrations.get_mut(&event.registration) {
                    registration.handle = event.contact.handle;
                    registration.version = registration.version.saturating_add(1);
                }
            }
            Event::ConsentGiven(event) => {
                let allows = Some((event.purpose, event.medium));
                let handle = event.evidence.handle;
                let consent = Consent { handle, allows, withdrawn: false };
                self.consents.put(ConsentId(position.0), consent);
            }
            Event::PolicyAccepted(event) => {
                let handle = event.evidence.handle;
                let consent = Consent { handle, allows: None, withdrawn: false };
                self.consents.put(ConsentId(position.0), consent);
            }
            Event::ConsentWithdrawn(event) => {
                if let Some(consent) = self.consents.get_mut(&event.consent) {
                    consent.withdrawn = true;
                }
            }
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
            | Event::PersonErased(_)
            | Event::PersonRestricted(_)
            | Event::PersonUnrestricted(_)
            | Event::HoldPlaced(_)
            | Event::HoldLifted(_)
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
}
