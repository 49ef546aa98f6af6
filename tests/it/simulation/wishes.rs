//! Wishes by chance: sound ones, ones that come too late, and nonsense.

use std::collections::BTreeSet;

use domain::booking::{BookingCommand, Change, Reason, Role, Side, Status, Wanted};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Service};
use domain::consent::{ConsentCommand, Medium, Occasion, Purpose, Text};
use domain::ids::Hash;
use domain::person::{HoldGround, LegalHold, PersonCommand, RestrictionGround};
use domain::policy::PolicyCommand;
use domain::slot::Slot;
use domain::{Actor, BookingId, Command, ConsentId, Field, ResourceId, RetentionClass, ServiceId};
use eventstore::keyring::KeyError;
use eventstore::{Append, PersonId, Personal};
use gateway::intake::{self, BookingIn, CancelIn, ConsentIn, IntakeError, PartIn, Sender, Who};
use jiff::civil::date;

use super::{Simulation, Wish};
use crate::hotel::{Guest, MARK, changed, contact, part, service, slot, staff};

impl Simulation {
    /// Any wish; none where chance chose somebody of whom nothing can be wished any more.
    pub(super) fn wish(&mut self) -> Option<Wish> {
        // Without a field that guests give there would be no bookings for long.
        let gives = self.model.book.policy.collect.contains(&Field::HealthNote);
        match self.random.u8(if gives { 0..22 } else { 14..20 }) {
            0 | 1 => self.registration(),
            2 => self.rectification(),
            3..=8 => self.request(),
            9..=12 => self.step(),
            13 => self.reschedule(),
            14 | 15 => self.cancellation(),
            16 => self.content_erasure(),
            17 => self.consent(),
            18 => Some(self.furniture()),
            20 | 21 => self.standing(),
            _ => Some(self.nonsense()),
        }
    }

    fn text(&mut self) -> String {
        self.said += 1;
        format!("{MARK}{}x{}", self.seed, self.said)
    }

    fn somebody(&mut self) -> Option<PersonId> {
        self.random.choice(&self.persons).copied()
    }

    fn registration(&mut self) -> Option<Wish> {
        let name = self.text();
        let fields = contact(Personal::default(), &name);
        let tenant = self.hotel.tenant();
        let (append, _) = intake::register(tenant, &fields, Vec::new(), staff()).unwrap();
        Some(Wish::new(append, vec![name]))
    }

    fn rectification(&mut self) -> Option<Wish> {
        let (person, name) = (self.somebody()?, self.text());
        let expected = self.random.bool().then(|| self.random.u32(1..4));
        let fields = contact(Personal::default(), &name);
        let append = intake::rectify(self.hotel.tenant(), person, &fields, expected, staff());
        let append = self.unless_erased(append, &[person])?;
        Some(Wish::new(append, vec![name]))
    }

    /// What could be sealed, for somebody who is there; nothing is sealed for the erased, nor for the
    /// restricted.
    fn unless_erased<T>(&self, sealed: Result<T, IntakeError>, persons: &[PersonId]) -> Option<T> {
        let erased = persons.iter().any(|person| self.model.is_erased(*person));
        let restricted = persons.iter().any(|person| self.model.is_restricted(*person));
        match sealed {
            Ok(sealed) => {
                assert!(!erased, "something was sealed for the erased among {persons:?}");
                assert!(!restricted, "something was sealed for the restricted among {persons:?}");
                Some(sealed)
            }
            Err(IntakeError::Key(KeyError::Restricted)) => {
                assert!(restricted, "nothing was sealed, and nobody of {persons:?} is restricted");
                None
            }
            Err(IntakeError::Key(KeyError::Erased)) => {
                assert!(erased, "nothing was sealed, and nobody of {persons:?} is erased");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A time around now, mostly to come.
    fn time(&mut self) -> Slot {
        let hour = self.hotel.now() / 3600 + self.random.i64(-2..60);
        slot(hour * 3600, self.random.i64(1..8))
    }

    fn room(&mut self) -> ResourceId {
        let rooms: Vec<ResourceId> = self.model.book.resources.keys().copied().collect();
        *self.random.choice(&rooms).unwrap()
    }

    fn service(&mut self) -> ServiceId {
        let services: Vec<ServiceId> = self.model.book.services.keys().copied().collect();
        *self.random.choice(&services).unwrap()
    }

    /// A booking of one or several, for one or several rooms.
    pub(super) fn request(&mut self) -> Option<Wish> {
        let (room, other) = (self.room(), self.room());
        let mut wanted =
            vec![Wanted { resource: room, units: 1 + u16::from(self.random.u8(0..4) == 0) }];
        if self.random.u8(0..4) == 0 {
            wanted.push(Wanted { resource: other, units: 1 });
        }
        let whom: Vec<Who> = (0..self.random.usize(1..4)).map(|_| self.who()).collect();
        let (slot, service) = (self.time(), self.service());
        self.requested(slot, service, wanted, &whom)
    }

    fn who(&mut self) -> Who {
        let known = self.random.u8(0..3) > 0;
        self.somebody().filter(|_| known).map_or(Who::New, Who::Known)
    }

    fn requested(
        &mut self,
        slot: Slot,
        service: ServiceId,
        wanted: Vec<Wanted>,
        whom: &[Who],
    ) -> Option<Wish> {
        let (mut contacts, mut notes, mut parts) = (Vec::new(), Vec::new(), Vec::<PartIn>::new());
        for who in whom {
            let (name, note) = (self.text(), self.text());
            let rare = self.random.u8(0..30) == 0;
            let role = if parts.is_empty() != rare { Role::Booker } else { Role::Participant };
            parts.push(part(&Guest { who: *who, name: &name, note: &note }, role));
            contacts.extend((*who == Who::New).then_some(name));
            notes.extend([note.clone(), note.clone(), note]);
        }
        let booker = parts.iter().find(|part| part.role == Role::Booker);
        let booker = booker.and_then(|part| known(part.who));
        let room = wanted[0].resource;
        let booking = BookingIn { service, wanted, ..self.hotel.wish(room, slot, parts) };
        let sealed = intake::booking(self.hotel.tenant(), booking, 2030, staff());
        let persons: Vec<PersonId> = whom.iter().filter_map(|who| known(*who)).collect();
        let (append, _) = self.unless_erased(sealed, &persons)?;
        contacts.extend(notes);
        Some(Wish { booker, ..Wish::new(append, contacts) })
    }

    /// Requests of known guests for one room and about the same time.
    pub(super) fn rivals(&mut self) -> Vec<Wish> {
        let live = self.persons.iter().filter(|person| {
            !self.model.is_erased(**person) && !self.model.is_restricted(**person)
        });
        let live: Vec<PersonId> = live.copied().collect();
        let (room, at) = (self.room(), self.time());
        let mut wishes = Vec::new();
        for _ in 0..self.random.usize(2..7) {
            let Some(person) = self.random.choice(&live).copied() else { break };
            let slot = slot(at.start().as_second() + self.random.i64(0..3) * 1800, 1);
            let wanted = vec![Wanted { resource: room, units: 1 }];
            wishes.extend(self.requested(slot, self.hotel.visit, wanted, &[Who::Known(person)]));
        }
        wishes
    }

    fn booking(&mut self) -> Option<BookingId> {
        self.random.choice(&self.model.bookings).copied()
    }

    fn step(&mut self) -> Option<Wish> {
        let reason = Reason::NoCapacity;
        let (change, fits) = match self.random.u8(0..5) {
            0 => (Change::Confirm, Status::Pending),
            1 => (Change::Decline { reason }, Status::Pending),
            2 => (Change::CheckIn, Status::Confirmed),
            3 => (Change::Complete, Status::CheckedIn),
            _ => (Change::NoShow, Status::Confirmed),
        };
        let fitting = self.model.booking_in(&mut self.random, &[fits]);
        let any = self.random.u8(0..4) == 0;
        let booking = if any { self.booking()? } else { fitting? };
        let expected = any.then(|| self.random.u32(1..4));
        let command = BookingCommand::Change { booking, expected, change };
        Some(Wish::new(Append::new(Command::Booking(command), staff().actor), Vec::new()))
    }

    fn reschedule(&mut self) -> Option<Wish> {
        let booking = self.booking()?;
        let (slot, room) = (self.time(), self.room());
        let wanted = self.random.bool().then(|| vec![Wanted { resource: room, units: 1 }]);
        let actor = self.actor(booking);
        let command = changed(booking, Change::Reschedule { slot, wanted });
        Some(Wish::new(Append::new(command, actor), Vec::new()))
    }

    fn actor(&mut self, booking: BookingId) -> Actor {
        let booker = self.model.parts(booking)[0];
        if self.random.bool() { staff().actor } else { Actor::Client(booker) }
    }

    fn cancellation(&mut self) -> Option<Wish> {
        let booking = self.booking()?;
        let actor = self.actor(booking);
        let by = if let Actor::Client(_) = actor { Side::Client } else { Side::Staff };
        let handle = *self.random.choice(self.model.parts(booking)).unwrap();
        let person = self.model.whose(handle);
        let (mut texts, mut note) = (Vec::new(), None);
        if self.random.bool() {
            texts.push(self.text());
            note = Some((person, handle, texts[0].clone()));
        }
        let noted = note.is_some();
        let cancel = CancelIn { booking, expected: None, by, reason: Reason::Illness };
        let append = intake::cancel(self.hotel.tenant(), cancel, note, Sender::new(actor));
        if noted && self.model.is_restricted(person) {
            assert!(matches!(append, Err(IntakeError::Key(KeyError::Restricted))));
            return None;
        }
        if noted && self.model.is_blank(handle) {
            // The booking's content has ended, or one of its people.
            let ended = matches!(append, Err(IntakeError::ContentEnded));
            assert!(ended || matches!(append, Err(IntakeError::Key(KeyError::Erased))));
            return None;
        }
        Some(Wish::new(append.unwrap_or_else(|error| panic!("{error}")), texts))
    }

    fn content_erasure(&mut self) -> Option<Wish> {
        let change = if self.random.bool() { Change::EraseContent } else { Change::Expire };
        let command = changed(self.booking()?, change);
        Some(Wish::new(Append::new(command, staff().actor), Vec::new()))
    }

    /// Somebody is restricted or freed, put under a hold or released: also where that is so already,
    /// and also somebody who is not there any more.
    fn standing(&mut self) -> Option<Wish> {
        let person = self.somebody()?;
        let registration = self.model.registration(person);
        let until = self.random.bool().then(|| date(2099, 1, 1));
        let command = match self.random.u8(0..6) {
            0 => PersonCommand::Restrict {
                registration,
                ground: RestrictionGround::Objection,
                until,
            },
            1 | 2 => PersonCommand::Unrestrict { registration },
            kind => {
                let ground = *self.random.choice(&HoldGround::ALL[..2]).unwrap();
                let class = [None, Some(RetentionClass::Booking), Some(RetentionClass::Health)];
                let hold = LegalHold { class: *self.random.choice(&class).unwrap(), ground };
                match kind {
                    3 => PersonCommand::PlaceHold { registration, hold },
                    _ => PersonCommand::LiftHold { registration, hold },
                }
            }
        };
        Some(Wish::new(Append::new(Command::Person(command), staff().actor), Vec::new()))
    }

    fn consent(&mut self) -> Option<Wish> {
        let occasion = Occasion::Desk;
        if self.random.bool() {
            let consent = *self.random.choice(&self.model.consents)?;
            let command = Command::Consent(ConsentCommand::Withdraw { consent, occasion });
            return Some(Wish::new(Append::new(command, staff().actor), Vec::new()));
        }
        let (person, evidence) = (self.somebody()?, self.text());
        let text = Text { hash: Hash([7; 32]), locale: "sv".to_owned() };
        let (tenant, said) = (self.hotel.tenant(), evidence.clone());
        let append = if self.random.bool() {
            intake::accept(tenant, person, occasion, text, said, staff())
        } else {
            let (purpose, medium) = (Purpose::Newsletter, Medium::Email);
            let consent = ConsentIn { purpose, medium, occasion, text, evidence: said };
            intake::consent(tenant, person, consent, staff())
        };
        let (append, _) = self.unless_erased(append, &[person])?;
        Some(Wish::new(append, vec![evidence]))
    }

    /// Something about the house itself.
    fn furniture(&mut self) -> Wish {
        if !self.model.book.policy.collect.contains(&Field::HealthNote) {
            return self.policy();
        }
        let command = match self.random.u8(0..8) {
            0 | 1 => {
                let (id, capacity) = (self.room(), self.random.u16(1..4));
                let resource = self.hotel.room("Revised room", capacity);
                CatalogueCommand::ReviseResource { id, expected: None, resource }
            }
            2 => CatalogueCommand::DefineResource(self.hotel.room("New room", 2)),
            3 if self.random.bool() => CatalogueCommand::RetireResource(self.room()),
            4 | 5 => CatalogueCommand::DefineService(self.new_service()),
            6 => {
                let (id, service) = (self.service(), self.new_service());
                CatalogueCommand::ReviseService { id, expected: None, service }
            }
            _ => return self.policy(),
        };
        Wish::new(Append::new(Command::Catalogue(command), staff().actor), Vec::new())
    }

    fn new_service(&mut self) -> Service {
        let confirmation =
            if self.random.bool() { Confirmation::Staff } else { Confirmation::Instant };
        let (before, after) = (self.random.u16(0..20), self.random.u16(0..20));
        let nights = Length::Nights { most: 3 };
        let offered = service("Service", confirmation);
        let length = if self.random.bool() { nights } else { offered.length };
        let price = None;
        Service { buffer_before: before, buffer_after: after, length, price, ..offered }
    }

    fn policy(&mut self) -> Wish {
        let mut policy = self.model.book.policy.clone();
        policy.cancel_before_minutes = self.random.u32(0..600);
        if !policy.collect.insert(Field::HealthNote) && self.random.u8(0..4) == 0 {
            policy.collect.remove(&Field::HealthNote);
        }
        let (class, days) = (RetentionClass::Booking, self.random.u32(0..4));
        policy.retention_days.insert(class, days);
        let command = Command::Policy(PolicyCommand::Set { expected: None, policy });
        Wish::new(Append::new(command, staff().actor), Vec::new())
    }

    /// What cannot be.
    fn nonsense(&mut self) -> Wish {
        let nowhere = self.model.next().0 + self.random.u64(0..100);
        let catalogue = |command| Command::Catalogue(command);
        let command = match self.random.u8(0..7) {
            0 => changed(BookingId(nowhere), Change::Complete),
            1 => changed(BookingId(0), Change::CheckIn),
            2 => Command::Consent(ConsentCommand::Withdraw {
                consent: ConsentId(nowhere),
                occasion: Occasion::Link,
            }),
            3 => catalogue(CatalogueCommand::DefineResource(self.hotel.room("No room", 0))),
            4 => catalogue(CatalogueCommand::DefineResource(self.hotel.room(" ", 1))),
            5 => catalogue(CatalogueCommand::RetireService(ServiceId(nowhere))),
            _ => {
                let resources = BTreeSet::from([ResourceId(nowhere)]);
                let offered = service("Nowhere", Confirmation::Instant);
                catalogue(CatalogueCommand::DefineService(Service { resources, ..offered }))
            }
        };
        Wish::new(Append::new(command, staff().actor), Vec::new())
    }
}

fn known(who: Who) -> Option<PersonId> {
    match who {
        Who::Known(person) => Some(person),
        Who::New => None,
    }
}
