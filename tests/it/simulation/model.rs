//! What a hotel must be: its entries folded anew, by a complete book and by rules so simple that
//! they can be believed.

use std::collections::{BTreeMap, BTreeSet};

use domain::booking::{BookingCommand, Change, Hold, Status};
use domain::facet::Facets;
use domain::sealed::SealRef;
use domain::{
    Actor, Book, BookingId, Command, ConsentId, Context, Draft, Event, Handle, Position, Refusal,
    RegistrationId, RetentionClass, Tag,
};
use eventstore::{PersonId, SealAt};
use jiff::Timestamp;

/// A seal: whose, and what it says or why it says nothing.
struct Said {
    at: SealAt,
    person: PersonId,
    text: String,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) book: Book,
    pub(super) bookings: Vec<BookingId>,
    pub(super) consents: Vec<ConsentId>,
    said: BTreeMap<(Position, u16), Said>,
    whose: BTreeMap<Handle, PersonId>,
    parts: BTreeMap<BookingId, Vec<Handle>>,
    /// Bookings that are not given up, by booker and local year.
    visits: BTreeMap<(PersonId, i16), u32>,
    held: BTreeMap<BookingId, Vec<Hold>>,
    erased: BTreeSet<PersonId>,
    registered: BTreeMap<PersonId, RegistrationId>,
}

const GONE: &str = "erased";
const UNUSED: &str = "restricted";

impl Model {
    pub(super) fn next(&self) -> Position {
        self.book.next
    }

    pub(super) fn decide(
        &self,
        command: &Command,
        now: Timestamp,
        actor: Actor,
        booker: Option<PersonId>,
    ) -> Result<Vec<Draft>, Refusal> {
        let visits = self
            .visits
            .iter()
            .filter(|((person, _), count)| Some(*person) == booker && **count > 0);
        let visits = visits.map(|((_, year), count)| (*year, *count)).collect();
        let held = self.keeps(command);
        self.book.decide(command, &Context { now, occurred_at: now, actor, visits, held })
    }

    /// The classes that a legal hold keeps of what a command would end.
    fn keeps(&self, command: &Command) -> BTreeSet<RetentionClass> {
        let Command::Booking(BookingCommand::Change { booking, change, .. }) = command else {
            return BTreeSet::new();
        };
        if !matches!(change, Change::EraseContent | Change::Expire) {
            return BTreeSet::new();
        }
        let parts = self.parts.get(booking).into_iter().flatten();
        let persons = parts.map(|handle| self.whose[handle]);
        let registrations: Vec<RegistrationId> = persons
            .filter(|person| !self.is_erased(*person))
            .filter_map(|person| self.registered.get(&person).copied())
            .collect();
        let held = |class: &RetentionClass| {
            registrations.iter().any(|id| self.book.holds_class(*id, *class))
        };
        RetentionClass::ALL.into_iter().filter(held).collect()
    }

    pub(super) fn is_held(&self, person: PersonId) -> bool {
        let id = self.registered.get(&person);
        !self.is_erased(person) && id.is_some_and(|id| self.book.legal_holds.contains_key(id))
    }

    pub(super) fn is_restricted(&self, person: PersonId) -> bool {
        let id = self.registered.get(&person);
        !self.is_erased(person) && id.is_some_and(|id| self.book.restricted.contains(id))
    }

    pub(super) fn registration(&self, person: PersonId) -> RegistrationId {
        self.registered[&person]
    }

    pub(super) fn is_erased(&self, person: PersonId) -> bool {
        self.erased.contains(&person)
    }

    /// The parts of a booking, as they were asked for.
    pub(super) fn parts(&self, booking: BookingId) -> &[Handle] {
        &self.parts[&booking]
    }

    pub(super) fn whose(&self, handle: Handle) -> PersonId {
        self.whose[&handle]
    }

    /// Whether what was said around a booking was erased.
    pub(super) fn is_blank(&self, handle: Handle) -> bool {
        let mut seals = self.said.values().filter(|said| {
            said.at.seal.handle == handle && said.at.seal.class == RetentionClass::Booking
        });
        seals.any(|said| said.text == GONE)
    }

    /// How many of the bookings that a person has made are to come or under way.
    pub(super) fn open_bookings(&self, person: PersonId, now: Timestamp) -> u32 {
        let of_person = self
            .parts
            .iter()
            .filter(|(_, parts)| parts.first().is_some_and(|booker| self.whose[booker] == person));
        let open = of_person.filter(|(id, _)| {
            let booking = self.book.bookings.get(id).unwrap();
            booking.status.is_open() && booking.slot_end > now
        });
        u32::try_from(open.count()).unwrap()
    }

    /// How many seals an erasure of this person would end.
    pub(super) fn ending(&self, person: PersonId) -> u64 {
        self.said.values().filter(|said| said.person == person && said.ends_with_person()).count()
            as u64
    }

    /// Every seal there ever was, with what must come of opening it.
    pub(super) fn said(&self) -> impl Iterator<Item = (SealAt, &str)> {
        self.said.values().map(|said| {
            let unused = said.ends_with_person() && self.is_restricted(said.person);
            (said.at, if unused { UNUSED } else { said.text.as_str() })
        })
    }

    /// Takes in the next entry. `texts` says what its seals hold, `whose` whose they are.
    pub(super) fn take(
        &mut self,
        event: &Event,
        tags: &[Tag],
        texts: &[String],
        whose: &BTreeMap<Handle, PersonId>,
    ) {
        let position = self.next();
        for (seal, text) in event.seals().into_iter().zip(texts) {
            let person = whose[&seal.handle];
            let at = SealAt { position, kind: event.kind(), seal };
            self.whose.insert(seal.handle, person);
            self.said.insert((position, seal.seal), Said { at, person, text: text.clone() });
        }
        if let Event::PersonRegistered(event) = event {
            self.registered.insert(whose[&event.contact.handle], RegistrationId(position.0));
        }
        if let Event::ConsentGiven(_) | Event::PolicyAccepted(_) = event {
            self.consents.push(ConsentId(position.0));
        }
        self.count(position, event);
        self.hold(position, event);
        self.forget(event);
        self.book.apply_next(event, tags);
    }

    fn count(&mut self, position: Position, event: &Event) {
        if let Event::BookingRequested(event) = event {
            let id = BookingId(position.0);
            let mut parts: Vec<Handle> = event.parts.iter().map(|part| part.handle).collect();
            parts.sort_by_key(|handle| Some(*handle) != event.booker());
            self.parts.insert(id, parts);
            self.bookings.push(id);
            self.visit(id, &event.facets, 1);
        }
        if let Event::BookingCancelled(event) = event {
            self.visit(event.booking, &event.facets, -1);
        }
        if let Event::BookingDeclined(event) = event {
            self.visit(event.booking, &event.facets, -1);
        }
        if let Event::BookingRescheduled(event) = event {
            self.visit(event.booking, &event.facets_before, -1);
            self.visit(event.booking, &event.facets, 1);
        }
    }

    fn visit(&mut self, booking: BookingId, facets: &Facets, by: i32) {
        let booker = self.whose[&self.parts[&booking][0]];
        let count = self.visits.entry((booker, facets.day.year())).or_default();
        *count = count.checked_add_signed(by).unwrap();
    }

    /// Holds what an event holds, and looks whether there was room for it.
    fn hold(&mut self, position: Position, event: &Event) {
        if let Event::BookingRequested(event) = event {
            self.take_room(BookingId(position.0), &event.held);
        }
        if let Event::BookingRescheduled(event) = event {
            self.take_room(event.booking, &event.held);
        }
        if let Event::BookingCancelled(event) = event {
            self.held.remove(&event.booking);
        }
        if let Event::BookingDeclined(event) = event {
            self.held.remove(&event.booking);
        }
    }

    fn take_room(&mut self, booking: BookingId, held: &[Hold]) {
        self.held.insert(booking, held.to_vec());
        for new in held {
            let of_resource =
                || self.held.values().flatten().filter(|hold| hold.resource == new.resource);
            // Somewhere the most places are held, and there one of the holds begins.
            let begins = of_resource().map(|hold| hold.from.max(new.from));
            let most = begins.filter(|at| *at < new.until).map(|at| {
                let there = of_resource().filter(|hold| hold.from <= at && at < hold.until);
                there.map(|hold| u32::from(hold.units)).sum::<u32>()
            });
            let (most, capacity) =
                (most.max().unwrap(), self.book.resources[&new.resource].capacity);
            assert!(
                most <= u32::from(capacity),
                "{booking:?}: {most} places of {capacity} are held"
            );
        }
    }

    fn forget(&mut self, event: &Event) {
        if let Event::PersonRectified(event) = event {
            self.blank(|said| {
                let SealRef { handle, class, .. } = said.at.seal;
                handle == event.was && class == RetentionClass::Contact
            });
        }
        if let Event::BookingContentErased(event) = event {
            self.blank(|said| {
                let SealRef { handle, class, .. } = said.at.seal;
                event.handles.contains(&handle) && event.classes.contains(&class)
            });
        }
    }

    /// Nothing that ends with this person says anything any more.
    pub(super) fn erased(&mut self, person: PersonId) {
        self.erased.insert(person);
        self.blank(|said| said.person == person && said.ends_with_person());
    }

    fn blank(&mut self, these: impl Fn(&Said) -> bool) {
        for said in self.said.values_mut().filter(|said| these(said)) {
            GONE.clone_into(&mut said.text);
        }
    }

    /// A booking that is in one of these states, by chance.
    pub(super) fn booking_in(
        &self,
        random: &mut fastrand::Rng,
        states: &[Status],
    ) -> Option<BookingId> {
        let is = |id: &&BookingId| states.contains(&self.book.bookings.get(id).unwrap().status);
        let found: Vec<&BookingId> = self.bookings.iter().filter(is).collect();
        random.choice(found).copied()
    }
}

impl Said {
    fn ends_with_person(&self) -> bool {
        self.text != GONE && self.at.seal.class.ends_with_person()
    }
}
