//! Bookings and the days they hold: what each becomes by its events.
//!
//! A [`Booking`] knows where it stands; a [`Day`] (one resource on one UTC day) knows what is held
//! there. The two are separate boundaries: to book is to depend on days alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Hold, Requested, Rescheduled, Status};
use crate::facet::Facets;
use crate::ids::{BookingId, Handle, ResourceId, ServiceId};
use crate::sealed::RetentionClass;
use crate::slot::{Slot, Zone};

/// Where one booking stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Booking {
    pub status: Status,
    pub service: ServiceId,
    pub slot_start: Timestamp,
    pub slot_end: Timestamp,
    pub zone: Zone,
    pub held: Vec<Hold>,
    pub facets: Facets,
    pub handles: Vec<Handle>,
    /// The part of whoever asked for it.
    pub booker: Option<Handle>,
    /// What was said around it, as far as it stands.
    pub content: Content,
    /// How many entries tell of the booking: its version.
    pub version: u32,
}

impl Booking {
    pub fn requested(event: &Requested) -> Self {
        let mut content = Content::default();
        let seals = event.parts.iter().flat_map(super::Part::seals);
        seals.for_each(|seal| content.add(seal.class));
        Self {
            status: event.status,
            service: event.service,
            slot_start: event.start,
            slot_end: event.end,
            zone: event.zone.clone(),
            held: event.held.clone(),
            facets: event.facets,
            handles: event.parts.iter().map(|part| part.handle).collect(),
            booker: event.booker(),
            content,
            version: 1,
        }
    }

    pub fn slot(&self) -> Option<Slot> {
        Slot::new(self.slot_start, self.slot_end).ok()
    }

    /// Whether the booking still holds its time.
    pub fn holds(&self) -> bool {
        self.status.holds()
    }

    pub fn became(&mut self, status: Status) {
        self.status = status;
        self.version = self.version.saturating_add(1);
    }

    pub fn rescheduled(&mut self, event: &Rescheduled) {
        self.slot_start = event.start;
        self.slot_end = event.end;
        self.zone = event.zone.clone();
        self.held.clone_from(&event.held);
        self.facets = event.facets;
        self.became(event.status);
    }
}

/// How many seals of a booking would end with each of its classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    booking: u32,
    health: u32,
}

impl Content {
    /// The classes that can end for one booking alone.
    pub const CLASSES: [RetentionClass; 2] = [RetentionClass::Booking, RetentionClass::Health];

    pub fn of(&self, class: RetentionClass) -> u32 {
        match class {
            RetentionClass::Booking => self.booking,
            RetentionClass::Health => self.health,
            RetentionClass::Contact
            | RetentionClass::Consent
            | RetentionClass::Accounting
            | RetentionClass::Access => 0,
        }
    }

    /// How many there are in some classes.
    pub fn within(&self, classes: &[RetentionClass]) -> u32 {
        classes.iter().map(|class| self.of(*class)).sum()
    }

    /// Another seal.
    pub fn add(&mut self, class: RetentionClass) {
        if let Some(count) = self.counted(class) {
            *count = count.saturating_add(1);
        }
    }

    /// A class has ended.
    pub fn end(&mut self, class: RetentionClass) {
        if let Some(count) = self.counted(class) {
            *count = 0;
        }
    }

    fn counted(&mut self, class: RetentionClass) -> Option<&mut u32> {
        match class {
            RetentionClass::Booking => Some(&mut self.booking),
            RetentionClass::Health => Some(&mut self.health),
            RetentionClass::Contact
            | RetentionClass::Consent
            | RetentionClass::Accounting
            | RetentionClass::Access => None,
        }
    }
}

impl Status {
    /// Whether a booking in this state keeps others from its time.
    pub fn holds(self) -> bool {
        match self {
            Self::Pending | Self::Confirmed | Self::CheckedIn | Self::Completed | Self::NoShow => {
                true
            }
            Self::Declined | Self::Cancelled => false,
        }
    }

    /// Whether something is still expected to happen.
    pub fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::Confirmed | Self::CheckedIn => true,
            Self::Completed | Self::NoShow | Self::Declined | Self::Cancelled => false,
        }
    }

    /// Whether a booking may go from this state to that one.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Pending => false,
            Self::Confirmed | Self::Declined => self == Self::Pending,
            Self::Cancelled => matches!(self, Self::Pending | Self::Confirmed | Self::CheckedIn),
            Self::CheckedIn | Self::NoShow => self == Self::Confirmed,
            Self::Completed => matches!(self, Self::Confirmed | Self::CheckedIn),
        }
    }
}

/// A span of a day that is held, by whom and in how many places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupied {
    pub from: Timestamp,
    pub until: Timestamp,
    pub units: u16,
}

/// What is held of one resource on one UTC day. Spans may reach beyond the day.
///
/// In order of the bookings, side by side: every request for the day looks at all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Day {
    held: Vec<(BookingId, Occupied)>,
}

impl Day {
    /// Takes in what a booking holds of this resource; `None` frees its place.
    pub fn set(&mut self, booking: BookingId, held: Option<Occupied>) {
        let at = self.held.binary_search_by_key(&booking, |(booking, _)| *booking);
        match (at, held) {
            (Ok(at), Some(held)) => {
                if let Some((_, old)) = self.held.get_mut(at) {
                    *old = held;
                }
            }
            (Ok(at), None) => drop(self.held.remove(at)),
            (Err(at), Some(held)) => self.held.insert(at, (booking, held)),
            (Err(_), None) => (),
        }
    }

    /// The most places held at any one instant of `slot`, without those of one booking.
    pub fn peak(&self, slot: Slot, without: Option<BookingId>) -> u32 {
        let inside = |(booking, held): &&(BookingId, Occupied)| {
            held.from < slot.end() && slot.start() < held.until && Some(*booking) != without
        };
        let mut rivals = self.held.iter().filter(inside).map(|(_, held)| held);
        // Most times have no rival or one, and then there is nothing to add up.
        let (Some(first), second) = (rivals.next(), rivals.next()) else { return 0 };
        let Some(second) = second else { return u32::from(first.units) };
        let mut changes: Vec<(Timestamp, i64)> = Vec::new();
        for held in [first, second].into_iter().chain(rivals) {
            let units = i64::from(held.units);
            changes.extend([(held.from.max(slot.start()), units), (held.until, -units)]);
        }
        // Where one ends as another begins, the end sorts first: spans that touch do not overlap.
        changes.sort_unstable();
        let running = changes.iter().scan(0, |sum, (_, units)| {
            *sum += units;
            Some(*sum)
        });
        running.max().map_or(0, |peak| u32::try_from(peak).unwrap_or(u32::MAX))
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// What a list of holds means for one resource on one day.
pub fn occupied_on(
    held: &[Hold],
    resource: ResourceId,
    date: jiff::civil::Date,
) -> Option<Occupied> {
    held.iter().find_map(|hold| {
        (hold.resource == resource && hold.slot()?.on_day(date).is_some()).then_some(Occupied {
            from: hold.from,
            until: hold.until,
            units: hold.units,
        })
    })
}
