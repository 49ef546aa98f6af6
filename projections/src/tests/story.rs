//! A ledger in the making: wishes are decided by the book, and what follows is recorded.

use domain::booking::{
    BookingCommand, Change, NewPart, Reason, Request, Role, Side, Status, Wanted,
};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Resource, ResourceKind, Service};
use domain::consent::{ConsentCommand, Medium, Occasion, Purpose, Text};
use domain::facet::Channel;
use domain::ids::Hash;
use domain::person::PersonCommand;
use domain::policy::{Policy, PolicyCommand};
use domain::slot::{Hours, Slot, Zone};
use domain::{
    Actor, Book, BookingId, Command, ConsentId, Context, Event, FenceId, Field, GroupId, Handle,
    Recorded, RegistrationId, ResourceId, RetentionClass, Sealed, ServiceId,
};
use jiff::{Timestamp, ToSpan};

use crate::Feed;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn slot(start: &str, end: &str) -> Slot {
    Slot::new(at(start), at(end)).unwrap()
}

/// Two nights from so many days after the 1st of December 2026.
pub(super) fn day_slot(day: u8) -> Slot {
    let start = at("2026-12-01T14:00:00Z") + (24 * i64::from(day)).hours();
    Slot::new(start, start + 45.hours()).unwrap()
}

/// Under which handle the consents of [`Story::varied`] lie.
pub(super) fn consent_handle(nth: u64) -> Handle {
    Handle(9000 + nth)
}

/// A stand-in for the leaf hash of the entry at a position.
pub(super) fn leaf(position: u64) -> [u8; 32] {
    [u8::try_from(position % 251).unwrap(); 32]
}

pub(super) struct Story {
    pub(super) book: Book,
    pub(super) entries: Vec<Recorded>,
    pub(super) room: ResourceId,
    pub(super) service: ServiceId,
    handles: u64,
}

impl Story {
    /// A tenant with one house, one kind of room and one service.
    pub(super) fn opened() -> Self {
        let (room, service) = (ResourceId(2), ServiceId(3));
        let entries = Vec::new();
        let mut story = Self { book: Book::default(), entries, room, service, handles: 0 };
        let zone: Zone = "Europe/Stockholm".parse().unwrap();
        let resource = Resource {
            capacity: 200,
            group: GroupId(1),
            hours: Hours::always(),
            kind: ResourceKind::Room,
            name: "Single".to_owned(),
            zone: zone.clone(),
        };
        let service = Service {
            buffer_after: 30,
            buffer_before: 0,
            confirmation: Confirmation::Instant,
            length: Length::Nights { most: 100 },
            name: "Stay".to_owned(),
            price: None,
            requires: [].into(),
            resources: [].into(),
        };
        story.wish(&Command::Policy(PolicyCommand::Set {
            expected: None,
            policy: Policy::new(zone),
        }));
        let name = "House".to_owned();
        story.wish(&Command::Catalogue(CatalogueCommand::DefineGroup { name }));
        story.wish(&Command::Catalogue(CatalogueCommand::DefineResource(resource)));
        story.wish(&Command::Catalogue(CatalogueCommand::DefineService(service)));
        story
    }

    /// So many bookings that went different ways, and other matters between them.
    pub(super) fn varied(bookings: u8) -> Self {
        let mut story = Self::opened();
        for n in 0..bookings {
            let booking = story.book(n % 17, 1 + u16::from(n % 5));
            match n % 7 {
                0 => story.change(booking, Change::Complete),
                1 => story.cancel(booking, Side::Client),
                2 => story.change(booking, Change::NoShow),
                3 => {
                    let slot = day_slot(n % 11);
                    story.change(booking, Change::Reschedule { slot, wanted: None });
                    story.cancel(booking, Side::Staff);
                }
                4 => {
                    story.change(booking, Change::CheckIn);
                    story.change(booking, Change::Complete);
                    story.change(booking, Change::EraseContent);
                }
                5 => {
                    let consent = story.consent(consent_handle(u64::from(n)).0);
                    let withdraw = ConsentCommand::Withdraw { consent, occasion: Occasion::Link };
                    story.wish(&Command::Consent(withdraw));
                }
                _ => {
                    let registration = story.register(8000 + u64::from(n));
                    story.rectify(registration, 8500 + u64::from(n));
                }
            }
            if n == 0 {
                story.consent(consent_handle(0).0);
            }
        }
        story
    }

    pub(super) fn feeds(&self) -> Vec<Feed<'_>> {
        let feed = |recorded| Feed { recorded, leaf: leaf(recorded.position.0) };
        self.entries.iter().map(feed).collect()
    }

    /// When the next entry will be recorded.
    pub(super) fn now(&self) -> Timestamp {
        at("2026-11-20T08:00:00Z") + i64::try_from(self.entries.len()).unwrap().seconds()
    }

    pub(super) fn wish(&mut self, command: &Command) {
        self.wish_at(command, self.now());
    }

    fn wish_at(&mut self, command: &Command, now: Timestamp) {
        let actor = Actor::System;
        let context = Context { now, occurred_at: now, actor, visits: [].into(), held: [].into() };
        for draft in self.book.decide(command, &context).unwrap() {
            let at = draft.occurred_at.unwrap_or(self.now().max(context.now));
            self.push(draft.event, at);
        }
    }

    /// Records an event, decided or not.
    pub(super) fn push(&mut self, event: Event, occurred_at: Timestamp) {
        let (position, recorded_at) = (self.book.next, self.now());
        let draft = domain::Draft { event: event.clone(), occurred_at: None };
        self.book.take(draft);
        let actor = Actor::System;
        self.entries.push(Recorded { position, recorded_at, occurred_at, actor, event });
    }

    pub(super) fn book(&mut self, day: u8, party: u16) -> BookingId {
        self.book_at(day_slot(day), party)
    }

    pub(super) fn book_at(&mut self, slot: Slot, party: u16) -> BookingId {
        let booking = BookingId(self.book.next.0);
        self.handles += 1;
        let handle = Handle(self.handles);
        let part = NewPart {
            handle,
            role: Role::Booker,
            details: Sealed::new(handle, 0),
            health: None,
            accounting: Some(Sealed::new(handle, 1)),
            fence: FenceId([1; 16]),
            given: [Field::Name].into_iter().collect(),
            registers: None,
        };
        let request = Request {
            service: self.service,
            wanted: vec![Wanted { resource: self.room, units: 1 }],
            slot,
            parts: vec![part],
            party,
            channel: Channel::Online,
            policy: Some(Hash([3; 32])),
            price: None,
            past: None,
        };
        self.wish(&Command::Booking(BookingCommand::Request(Box::new(request))));
        booking
    }

    pub(super) fn handle_of(&self, booking: BookingId) -> Handle {
        self.book.bookings.get(&booking).unwrap().handles[0]
    }

    fn cancel(&mut self, booking: BookingId, by: Side) {
        let note = Some(Sealed::new(self.handle_of(booking), 0));
        let reason = Reason::ClientRequest;
        self.change(booking, Change::Cancel { by, reason, note, fence: None });
    }

    /// What only happens once the time has come, happens half a year later.
    pub(super) fn change(&mut self, booking: BookingId, change: Change) {
        let status = self.book.bookings.get(&booking).unwrap().status;
        let over = matches!(change, Change::Complete | Change::NoShow | Change::EraseContent);
        let now = if over { at("2027-06-01T00:00:00Z") } else { self.now() };
        assert!(status.is_open() || over);
        assert_ne!(status, Status::Declined);
        let command = BookingCommand::Change { booking, expected: None, change };
        self.wish_at(&Command::Booking(command), now);
    }

    pub(super) fn consent(&mut self, handle: u64) -> ConsentId {
        let consent = ConsentId(self.book.next.0);
        self.wish(&Command::Consent(ConsentCommand::Give {
            evidence: Sealed::new(Handle(handle), 0),
            fence: FenceId([1; 16]),
            purpose: Purpose::Newsletter,
            medium: Medium::Email,
            occasion: Occasion::Booking,
            text: Text { hash: Hash([9; 32]), locale: "sv-SE".to_owned() },
        }));
        consent
    }

    pub(super) fn register(&mut self, handle: u64) -> RegistrationId {
        let registration = RegistrationId(self.book.next.0);
        let contact = Sealed::new(Handle(handle), 0);
        let given = [Field::Name].into_iter().collect();
        let fence = FenceId([1; 16]);
        self.wish(&Command::Person(PersonCommand::Register { contact, fence, given }));
        registration
    }

    pub(super) fn rectify(&mut self, registration: RegistrationId, handle: u64) {
        let contact = Sealed::new(Handle(handle), 0);
        let given = [Field::Name].into_iter().collect();
        let (fence, expected) = (FenceId([1; 16]), None);
        let rectify = PersonCommand::Rectify { registration, contact, fence, given, expected };
        self.wish(&Command::Person(rectify));
    }

    pub(super) fn erase(&mut self) {
        let classes = RetentionClass::ALL.to_vec();
        let erase = PersonCommand::Erase { fence: FenceId([1; 16]), classes, ended: 7 };
        self.wish(&Command::Person(erase));
    }

    pub(super) fn retire_service(&mut self) {
        self.wish(&Command::Catalogue(CatalogueCommand::RetireService(self.service)));
    }
}
