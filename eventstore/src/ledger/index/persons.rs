//! What each entry brings to the index from persons, and how handles are resolved for it.

use std::cell::RefCell;

use domain::RetentionClass::{self, Consent, Contact};
use domain::booking::{Cancelled, Requested, Rescheduled};
use domain::{BookingId, Event, Handle, Position};

use super::PersonRow;
use crate::engine::{Read, Reader};
use crate::keyring::person::PersonId;
use crate::ledger::codec;
use crate::ledger::log::ReadError;

/// What the index from persons must know to place an entry.
pub trait Links {
    /// Whose handle, and whether what the person sealed under it can still be opened.
    fn person(&self, handle: Handle) -> Option<PersonId>;

    /// Whether what was sealed under a handle in this class can still be opened.
    fn is_live(&self, handle: Handle, class: RetentionClass) -> bool;

    /// The parts of a booking, the booker's first.
    fn parts(&self, booking: BookingId) -> Vec<Handle>;
}

/// The rows that an entry brings to the index from persons.
pub fn rows_of(position: Position, event: &Event, links: &impl Links) -> Vec<PersonRow> {
    let at = Place { position, links };
    match event {
        Event::BookingRequested(event) => at.requested(event),
        Event::BookingRescheduled(event) => at.rescheduled(event),
        Event::BookingCancelled(event) => at.cancelled(event),
        Event::BookingDeclined(event) => {
            at.given_up(event.booking, event.facets.day.year()).into_iter().collect()
        }
        Event::PersonRegistered(event) => at.matter(event.contact.handle, Contact),
        Event::PersonRectified(event) => at.matter(event.contact.handle, Contact),
        Event::ConsentGiven(event) => at.matter(event.evidence.handle, Consent),
        Event::PolicyAccepted(event) => at.matter(event.evidence.handle, Consent),
        Event::BookingConfirmed(_)
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
        | Event::ConsentWithdrawn(_)
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
        | Event::SealsOpened(_) => Vec::new(),
    }
}

/// Where an entry stands, and how its handles are resolved.
struct Place<'a, L> {
    position: Position,
    links: &'a L,
}

impl<L: Links> Place<'_, L> {
    /// A row that counts nothing yet, where the handle is somebody's.
    fn row(&self, handle: Handle) -> Option<PersonRow> {
        let person = self.links.person(handle)?;
        let position = self.position;
        let (until, booking, seals, year, visits) = (0, None, 0, 0, 0);
        Some(PersonRow { person, until, position, handle, booking, seals, year, visits })
    }

    /// A matter of a person's own, with one seal.
    fn matter(&self, handle: Handle, class: RetentionClass) -> Vec<PersonRow> {
        let seals = u32::from(self.links.is_live(handle, class));
        self.row(handle).map(|row| PersonRow { seals, ..row }).into_iter().collect()
    }

    fn requested(&self, event: &Requested) -> Vec<PersonRow> {
        let booker = event.booker();
        let booking = Some(BookingId(self.position.0));
        let (until, year) = (event.end.as_second(), event.facets.day.year());
        let parts = event.parts.iter().filter_map(|part| {
            let ending = part.seals().filter(|seal| {
                seal.class.ends_with_person() && self.links.is_live(part.handle, seal.class)
            });
            let seals = u32::try_from(ending.count()).unwrap_or(u32::MAX);
            let visits = i8::from(Some(part.handle) == booker);
            let row = self.row(part.handle)?;
            Some(PersonRow { until, booking, seals, year, visits, ..row })
        });
        parts.collect()
    }

    /// Every part's booking ends at another time now; the booker's visit may fall into another
    /// year.
    fn rescheduled(&self, event: &Rescheduled) -> Vec<PersonRow> {
        let booking = Some(event.booking);
        let until = event.end.as_second();
        let (before, year) = (event.facets_before.day.year(), event.facets.day.year());
        let mut rows = Vec::new();
        for (place, handle) in self.links.parts(event.booking).into_iter().enumerate() {
            let Some(row) = self.row(handle) else { continue };
            let moved = i8::from(place == 0 && before != year);
            rows.push(PersonRow { until, booking, year, visits: moved, ..row });
            if moved != 0 {
                rows.push(PersonRow { booking, year: before, visits: -1, ..row });
            }
        }
        rows
    }

    /// The note may be anybody's who has a part in the booking.
    fn cancelled(&self, event: &Cancelled) -> Vec<PersonRow> {
        let year = event.facets.day.year();
        let mut rows: Vec<PersonRow> = self.given_up(event.booking, year).into_iter().collect();
        let Some(note) = event.note else { return rows };
        let seals = u32::from(self.links.is_live(note.handle, note.reference().class));
        match rows.iter_mut().find(|row| row.handle == note.handle) {
            Some(booker) => booker.seals = seals,
            None => {
                let booking = Some(event.booking);
                rows.extend(self.row(note.handle).map(|row| PersonRow {
                    booking,
                    year,
                    seals,
                    ..row
                }));
            }
        }
        rows
    }

    /// The booker has one visit less.
    fn given_up(&self, booking: BookingId, year: i16) -> Option<PersonRow> {
        let booker = self.links.parts(booking).first().copied()?;
        let row = self.row(booker)?;
        Some(PersonRow { booking: Some(booking), year, visits: -1, ..row })
    }
}

/// Links as the tables hold them: for rebuilding, where nothing is in memory.
pub struct StoredLinks<'a> {
    reader: &'a dyn Reader,
    /// What could not be read, the first of it.
    failed: RefCell<Option<ReadError>>,
}

impl<'a> StoredLinks<'a> {
    pub fn new(reader: &'a dyn Reader) -> Self {
        Self { reader, failed: RefCell::default() }
    }

    /// Whether all that was asked for could be read: a row that is missing only because a table
    /// could not be read would be missing for good.
    ///
    /// # Errors
    /// Why not.
    pub fn sound(self) -> Result<(), ReadError> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    fn read<T: Default>(&self, answer: Read<T>) -> T {
        answer.unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            T::default()
        })
    }

    fn requested(&self, booking: BookingId) -> Option<Event> {
        let entry = self.read(self.reader.entries_at(&[Position(booking.0)])).pop()?;
        codec::decode_event(&entry.bytes).ok()
    }
}

impl Links for StoredLinks<'_> {
    fn person(&self, handle: Handle) -> Option<PersonId> {
        self.read(self.reader.links(&[handle])).remove(&handle)
    }

    fn is_live(&self, handle: Handle, class: RetentionClass) -> bool {
        self.read(self.reader.opens(handle, class))
    }

    fn parts(&self, booking: BookingId) -> Vec<Handle> {
        match self.requested(booking) {
            Some(Event::BookingRequested(event)) => {
                let booker = event.booker();
                let mut handles: Vec<Handle> = event.parts.iter().map(|part| part.handle).collect();
                handles.sort_by_key(|handle| Some(*handle) != booker);
                handles
            }
            Some(_) | None => Vec::new(),
        }
    }
}
