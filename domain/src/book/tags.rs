//! Under which tags an entry is found: what later decisions may depend on it.

use super::Book;
use crate::booking::Hold;
use crate::event::Event;
use crate::ids::{BookingId, GroupId, ResourceId, ServiceId};
use crate::tag::Tag;

impl Book {
    /// The tags of an event that would be the next entry.
    ///
    /// A booking's first entry is found by its id and needs no booking tag.
    pub fn tags(&self, event: &Event) -> Vec<Tag> {
        match event {
            Event::BookingRequested(event) => day_tags(&event.held),
            Event::BookingRescheduled(event) => {
                let mut tags = vec![Tag::booking(event.booking)];
                tags.extend(day_tags(&event.held));
                tags.extend(self.day_tags_of(event.booking));
                tags.sort_unstable();
                tags.dedup();
                tags
            }
            Event::BookingDeclined(event) => self.ending_tags(event.booking),
            Event::BookingCancelled(event) => self.ending_tags(event.booking),
            Event::BookingConfirmed(event)
            | Event::BookingCheckedIn(event)
            | Event::BookingCompleted(event)
            | Event::BookingMissed(event) => vec![Tag::booking(event.booking)],
            Event::BookingChanged(event) => vec![Tag::booking(event.booking)],
            Event::BookingContentErased(event) => vec![Tag::booking(event.booking)],
            Event::PersonRectified(event) => vec![Tag::registration(event.registration)],
            Event::PersonRestricted(event) => vec![Tag::standing(event.registration)],
            Event::PersonUnrestricted(event) => vec![Tag::standing(event.registration)],
            Event::PersonErased(event) => vec![Tag::fence(event.fence)],
            Event::HoldPlaced(event) => vec![Tag::standing(event.registration)],
            Event::HoldLifted(event) => vec![Tag::standing(event.registration)],
            Event::ConsentWithdrawn(event) => vec![Tag::consent(event.consent)],
            Event::PersonRegistered(_)
            | Event::ConsentGiven(_)
            | Event::PolicyAccepted(_)
            | Event::SealsOpened(_) => Vec::new(),
            Event::GroupDefined(_) => vec![Tag::group(GroupId(self.next.0))],
            Event::ResourceDefined(_) => vec![Tag::resource(ResourceId(self.next.0))],
            Event::ResourceRevised(event) => vec![Tag::resource(event.id)],
            Event::ResourceRetired(event) => vec![Tag::resource(event.id)],
            Event::ServiceDefined(_) => vec![Tag::service(ServiceId(self.next.0))],
            Event::ServiceRevised(event) => vec![Tag::service(event.id)],
            Event::ServiceRetired(event) => vec![Tag::service(event.id)],
            Event::PolicySet(_) => vec![Tag::policy()],
            Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::PeriodEnded(_) => {
                vec![Tag::ledger()]
            }
        }
    }

    fn ending_tags(&self, booking: BookingId) -> Vec<Tag> {
        let mut tags = vec![Tag::booking(booking)];
        tags.extend(self.day_tags_of(booking));
        tags
    }

    fn day_tags_of(&self, booking: BookingId) -> Vec<Tag> {
        self.bookings.get(&booking).map(|booking| day_tags(&booking.held)).unwrap_or_default()
    }
}

/// The day tags of what is held, each once, in order.
fn day_tags(held: &[Hold]) -> Vec<Tag> {
    let mut tags: Vec<Tag> = held
        .iter()
        .filter_map(|hold| Some((hold.resource, hold.slot()?)))
        .flat_map(|(resource, slot)| slot.days().map(move |date| Tag::day(resource, date)))
        .collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}
