//! What the auditor holds against entries of bookings.

use std::collections::BTreeSet;

use super::{Auditor, Violation};
use crate::booking::{
    Booking, Cancelled, ContentErased, Declined, Hold, Requested, Rescheduled, Role, Status, Step,
};
use crate::facet::Facets;
use crate::ids::{BookingId, ServiceId};
use crate::slot::{Slot, Zone};

/// A booking's time as an entry states it.
struct Stated<'a> {
    id: BookingId,
    service: ServiceId,
    slot: Option<Slot>,
    held: &'a [Hold],
    zone: &'a Zone,
    facets: &'a Facets,
}

impl Auditor {
    pub(super) fn requested(&self, event: &Requested, found: &mut Vec<Violation>) {
        match event.status {
            Status::Pending | Status::Confirmed => (),
            to @ (Status::Declined
            | Status::CheckedIn
            | Status::Completed
            | Status::Cancelled
            | Status::NoShow) => found.push(Violation::Transition { from: Status::Pending, to }),
        }
        let bookers = event.parts.iter().filter(|part| part.role == Role::Booker).count();
        let handles: BTreeSet<_> = event.parts.iter().map(|part| part.handle).collect();
        if bookers != 1 || handles.len() != event.parts.len() {
            found.push(Violation::Parts);
        }
        self.known_service(event.service, found);
        self.time(
            &Stated {
                id: BookingId(self.book.next.0),
                service: event.service,
                slot: Slot::new(event.start, event.end).ok(),
                held: &event.held,
                zone: &event.zone,
                facets: &event.facets,
            },
            found,
        );
    }

    pub(super) fn rescheduled(&self, event: &Rescheduled, found: &mut Vec<Violation>) {
        let Some(known) = self.open(event.booking, found) else { return };
        let (stands, said) = (known.status, event.status);
        if stands != said {
            found.push(Violation::WasOther { stands, said });
        }
        match stands {
            Status::Pending | Status::Confirmed => (),
            Status::Declined
            | Status::CheckedIn
            | Status::Completed
            | Status::Cancelled
            | Status::NoShow => found.push(Violation::Transition { from: stands, to: said }),
        }
        // Of the facets only time, place and lead may move with the booking.
        let Facets { day, group, hour, lead, .. } = event.facets;
        let moved = Facets { day, group, hour, lead, ..known.facets };
        if event.facets_before != known.facets || event.facets != moved {
            found.push(Violation::Facets);
        }
        self.time(
            &Stated {
                id: event.booking,
                service: known.service,
                slot: Slot::new(event.start, event.end).ok(),
                held: &event.held,
                zone: &event.zone,
                facets: &event.facets,
            },
            found,
        );
    }

    pub(super) fn reached(&self, step: &Step, to: Status, found: &mut Vec<Violation>) {
        self.became(step.booking, step.was, to, &step.facets, found);
    }

    pub(super) fn declined(&self, event: &Declined, found: &mut Vec<Violation>) {
        self.became(event.booking, event.was, Status::Declined, &event.facets, found);
    }

    pub(super) fn cancelled(&self, event: &Cancelled, found: &mut Vec<Violation>) {
        let known = self.became(event.booking, event.was, Status::Cancelled, &event.facets, found);
        if let (Some(known), Some(note)) = (known, event.note)
            && !known.handles.contains(&note.handle)
        {
            found.push(Violation::ForeignHandle(note.handle));
        }
    }

    pub(super) fn content_erased(&self, event: &ContentErased, found: &mut Vec<Violation>) {
        self.begun(event.booking, found);
        let Some(known) = self.book.bookings.get(&event.booking) else { return };
        let stand = known.content.within(&event.classes);
        if event.ended != stand {
            found.push(Violation::Ended { said: event.ended, stand });
        }
        let foreign = event.handles.iter().filter(|handle| !known.handles.contains(handle));
        found.extend(foreign.map(|handle| Violation::ForeignHandle(*handle)));
    }

    /// The booking has begun; it may be over.
    pub(super) fn begun(&self, id: BookingId, found: &mut Vec<Violation>) {
        if !self.begun.contains(id) {
            found.push(Violation::BookingUnknown(id));
        }
    }

    /// The booking, where something can still happen to it.
    fn open(&self, id: BookingId, found: &mut Vec<Violation>) -> Option<&Booking> {
        let known = self.book.bookings.get(&id);
        if known.is_none() && self.begun.contains(id) {
            found.push(Violation::BookingOver(id));
        } else if known.is_none() {
            found.push(Violation::BookingUnknown(id));
        }
        known
    }

    fn became(
        &self,
        id: BookingId,
        said: Status,
        to: Status,
        facets: &Facets,
        found: &mut Vec<Violation>,
    ) -> Option<&Booking> {
        let known = self.open(id, found)?;
        let stands = known.status;
        if stands != said {
            found.push(Violation::WasOther { stands, said });
        }
        if !stands.may_become(to) {
            found.push(Violation::Transition { from: stands, to });
        }
        if *facets != known.facets {
            found.push(Violation::Facets);
        }
        Some(known)
    }

    /// The time that a booking states: what it holds, whether that was free, and its facets.
    fn time(&self, stated: &Stated<'_>, found: &mut Vec<Violation>) {
        let held = stated.slot.map(|slot| self.book.held_slot(slot, Some(stated.service)));
        let resources: BTreeSet<_> = stated.held.iter().map(|hold| hold.resource).collect();
        let sound = |hold: &Hold| hold.units > 0 && hold.slot() == held && held.is_some();
        if stated.held.is_empty()
            || resources.len() != stated.held.len()
            || !stated.held.iter().all(sound)
        {
            found.push(Violation::Held);
        }
        stated.held.iter().for_each(|hold| self.free(stated.id, hold, found));
        if !self.facets_fit(stated) {
            found.push(Violation::Facets);
        }
    }

    /// Whether the resource had the places at every instant.
    fn free(&self, id: BookingId, hold: &Hold, found: &mut Vec<Violation>) {
        let resource = hold.resource;
        let retired = self.book.retired_resources.contains(&resource);
        let Some(known) = self.book.resources.get(&resource).filter(|_| !retired) else {
            found.push(Violation::ResourceUnknown(resource));
            return;
        };
        let Some(slot) = hold.slot() else { return };
        for date in slot.days() {
            let Some(part) = slot.on_day(date) else { continue };
            let day = self.book.days.get(&(resource, date));
            let others = day.map_or(0, |day| day.peak(part, Some(id)));
            let places = others.saturating_add(u32::from(hold.units));
            let capacity = known.capacity;
            if places > u32::from(capacity) {
                found.push(Violation::Overbooked { resource, date, places, capacity });
            }
        }
    }

    fn facets_fit(&self, stated: &Stated<'_>) -> bool {
        let Some(slot) = stated.slot else { return false };
        let local = stated.zone.local(slot.start());
        let first = stated.held.first().and_then(|hold| self.book.resources.get(&hold.resource));
        let facets = stated.facets;
        facets.service == stated.service
            && (facets.day, facets.hour) == (local.date(), local.hour())
            && first.is_none_or(|first| facets.group == first.group && *stated.zone == first.zone)
    }
}
