//! The book: everything a decision may depend on, folded from entries.
//!
//! The catalogue, the policy, fences, restrictions and legal holds are few and always complete.
//! Bookings, days, consents and registrations are many, so each lies on a [`Shelf`] that knows which
//! of them it holds. Who decides looks first what a command [needs](Book::missing), puts it on the
//! shelf, and decides then: [`Book::decide`] is pure and depends on nothing else. A test or an audit
//! that folds a ledger from its first entry uses a book whose shelves are complete from the start.

pub mod audit;
mod fold;
pub mod shelf;
mod tags;
#[cfg(test)]
mod tests;
mod unbooked;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::booking::{self, Booking, BookingCommand, Change, Day, Hold, Wanted};
use crate::catalogue::{self, CatalogueCommand, Resource, Service};
use crate::consent::{self, Consent, ConsentCommand};
use crate::entry::{Context, Draft, Tagged};
use crate::event::Event;
use crate::ids::{
    BookingId, ConsentId, FenceId, GroupId, Position, RegistrationId, ResourceId, ServiceId,
};
use crate::person::{self, LegalHold, PersonCommand, Registration};
use crate::policy::{self, Policy, PolicyCommand};
use crate::refusal::Refusal;
use crate::sealed::RetentionClass;
use crate::slot::Slot;
use crate::tag::{Tag, TagKind};

pub use shelf::Shelf;
use unbooked::Unbooked;

/// Everything that may be wished.
#[derive(Debug, Clone)]
pub enum Command {
    Booking(BookingCommand),
    Person(PersonCommand),
    Consent(ConsentCommand),
    Catalogue(CatalogueCommand),
    Policy(PolicyCommand),
    /// An entry that the ledger makes about itself, which no rule judges.
    Ledger(crate::ledger::Reopened),
    /// That keys were rotated: no rule judges that either.
    Keys(crate::ledger::Rotated),
    LogKey(crate::ledger::LogKeyRotated),
    Moved(crate::ledger::Moved),
    /// That a year of a class is to end, once the law keeps it no longer.
    Period(crate::ledger::PeriodEnded),
    /// An access record, in the second ledger.
    Access(crate::ledger::Opened),
}

/// Something that must be on its shelf before a command is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Booking(BookingId),
    Day(ResourceId, Date),
    Consent(ConsentId),
    Registration(RegistrationId),
}

impl Key {
    /// The tag under which the entries lie that make up this state.
    pub fn tag(self) -> Tag {
        match self {
            Self::Booking(id) => Tag::booking(id),
            Self::Day(resource, date) => Tag::day(resource, date),
            Self::Consent(id) => Tag::consent(id),
            Self::Registration(id) => Tag::registration(id),
        }
    }
}

/// The state of a ledger at one position.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Book {
    /// Where the next entry goes.
    pub next: Position,
    pub policy: Policy,
    pub groups: BTreeMap<GroupId, String>,
    pub resources: BTreeMap<ResourceId, Resource>,
    pub services: BTreeMap<ServiceId, Service>,
    pub retired_resources: BTreeSet<ResourceId>,
    pub retired_services: BTreeSet<ServiceId>,
    /// How many entries tell of each resource and service, and of the policy.
    versions: BTreeMap<Tag, u32>,
    pub fences: BTreeSet<FenceId>,
    pub restricted: BTreeSet<RegistrationId>,
    pub legal_holds: BTreeMap<RegistrationId, BTreeSet<LegalHold>>,
    pub bookings: Shelf<BookingId, Booking>,
    pub days: Shelf<(ResourceId, Date), Day>,
    /// Days that are on no shelf, of which it is known that there is nothing to be put on one.
    #[serde(skip)]
    unbooked: Unbooked,
    pub consents: Shelf<ConsentId, Consent>,
    pub registrations: Shelf<RegistrationId, Registration>,
}

impl Book {
    /// A book whose shelves hold only what is put on them, each about `limit` things.
    pub fn partial(limit: usize) -> Self {
        Self {
            bookings: Shelf::partial(limit),
            days: Shelf::partial(limit),
            consents: Shelf::partial(limit),
            registrations: Shelf::partial(limit),
            ..Self::default()
        }
    }

    /// What must be put on the shelves before `command` can be decided. Ask again after doing so:
    /// what is found may need more.
    pub fn missing(&mut self, command: &Command) -> Vec<Key> {
        let mut keys = Vec::new();
        match command {
            Command::Booking(BookingCommand::Request(request)) => {
                self.miss_days(&request.wanted, request.slot, Some(request.service), &mut keys);
            }
            Command::Booking(BookingCommand::Change { booking, change, .. }) => {
                if !self.bookings.touch(booking) {
                    keys.push(Key::Booking(*booking));
                } else if let Change::Reschedule { slot, wanted } = change
                    && let Some(known) = self.bookings.get(booking)
                {
                    let service = known.service;
                    let wanted = wanted.clone().unwrap_or_else(|| wanted_of(&known.held));
                    self.miss_days(&wanted, *slot, Some(service), &mut keys);
                }
            }
            Command::Consent(ConsentCommand::Withdraw { consent, .. }) => {
                if !self.consents.touch(consent) {
                    keys.push(Key::Consent(*consent));
                }
            }
            Command::Person(
                PersonCommand::Rectify { registration, .. }
                | PersonCommand::Restrict { registration, .. }
                | PersonCommand::PlaceHold { registration, .. },
            ) => {
                if !self.registrations.touch(registration) {
                    keys.push(Key::Registration(*registration));
                }
            }
            Command::Person(
                PersonCommand::Register { .. }
                | PersonCommand::Unrestrict { .. }
                | PersonCommand::LiftHold { .. }
                | PersonCommand::Erase { .. },
            )
            | Command::Consent(ConsentCommand::Give { .. } | ConsentCommand::Accept { .. })
            | Command::Catalogue(_)
            | Command::Policy(_)
            | Command::Ledger(_)
            | Command::Keys(_)
            | Command::LogKey(_)
            | Command::Moved(_)
            | Command::Period(_)
            | Command::Access(_) => (),
        }
        keys
    }

    fn miss_days(
        &mut self,
        wanted: &[Wanted],
        slot: Slot,
        service: Option<ServiceId>,
        keys: &mut Vec<Key>,
    ) {
        let held = self.held_slot(slot, service);
        for wanted in wanted {
            for date in held.days() {
                let day = (wanted.resource, date);
                if self.days.touch(&day) {
                    continue;
                }
                if self.unbooked.contains(Tag::day(wanted.resource, date)) {
                    self.days.put(day, Day::default());
                } else {
                    keys.push(Key::Day(wanted.resource, date));
                }
            }
        }
    }

    /// The slot with the service's buffers.
    pub(crate) fn held_slot(&self, slot: Slot, service: Option<ServiceId>) -> Slot {
        match service.and_then(|id| self.services.get(&id)) {
            Some(service) => slot.widened(service.buffer_before, service.buffer_after),
            None => slot,
        }
    }

    /// Decides a command. Everything it [needs](Book::missing) is on the shelves.
    ///
    /// # Errors
    /// Where a rule forbids it; nothing has changed then.
    pub fn decide(&self, command: &Command, context: &Context) -> Result<Vec<Draft>, Refusal> {
        Ok(match command {
            Command::Booking(command) => booking::decision::decide(self, command, context)?,
            Command::Person(command) => person::decision::decide(self, command, context)?,
            Command::Consent(command) => consent::decision::decide(self, command)?,
            Command::Catalogue(command) => catalogue::decision::decide(self, command)?,
            Command::Policy(command) => policy::decision::decide(self, command)?,
            Command::Ledger(reopened) => vec![Draft::now(reopened.clone())],
            Command::Keys(rotated) => vec![Draft::now(rotated.clone())],
            Command::LogKey(rotated) => vec![Draft::now(rotated.clone())],
            Command::Moved(moved) => vec![Draft::now(*moved)],
            Command::Period(period) => {
                period.decide(&self.policy.zone, context).into_iter().collect()
            }
            Command::Access(opened) => vec![Draft::now(opened.clone())],
        })
    }

    /// Takes off the shelves what the entries under a tag make up; whether there was a shelf to
    /// take it from. What is not on one has to be loaded whole.
    pub fn forget(&mut self, tag: Tag) -> bool {
        let Some(kind) = tag.kind() else { return false };
        match kind {
            TagKind::Booking => {
                self.bookings.remove(&BookingId(tag.number()));
            }
            TagKind::Consent => {
                self.consents.remove(&ConsentId(tag.number()));
            }
            TagKind::Registration => {
                self.registrations.remove(&RegistrationId(tag.number()));
            }
            TagKind::Day => {
                tag.as_day().map(|day| self.days.remove(&day));
                self.unbooked.remove(tag);
            }
            TagKind::Service
            | TagKind::Resource
            | TagKind::Policy
            | TagKind::Fence
            | TagKind::Group
            | TagKind::Ledger
            | TagKind::Standing => return false,
        }
        true
    }

    /// Takes over the shelves of a book that has forgotten what is new since.
    #[must_use]
    pub fn with_shelves_of(self, other: Self) -> Self {
        Self {
            bookings: other.bookings,
            days: other.days,
            unbooked: other.unbooked,
            consents: other.consents,
            registrations: other.registrations,
            ..self
        }
    }

    /// Takes off the shelves what began with the entry at a position, and that there was none.
    pub fn forget_begun_at(&mut self, position: Position) {
        self.bookings.remove(&BookingId(position.0));
        self.consents.remove(&ConsentId(position.0));
        self.registrations.remove(&RegistrationId(position.0));
    }

    /// Gives a draft the tags that it has as the next entry.
    pub fn tagged(&self, draft: Draft) -> Tagged {
        Tagged { tags: self.tags(&draft.event), draft }
    }

    /// Gives a draft its tags and takes it in as the next entry.
    pub fn take(&mut self, draft: Draft) -> Tagged {
        let tagged = self.tagged(draft);
        self.apply_next(&tagged.draft.event, &tagged.tags);
        tagged
    }

    /// Takes in the entry that stands at `self.next`.
    pub fn apply_next(&mut self, event: &Event, tags: &[Tag]) {
        let position = self.next;
        self.next = position.next();
        for tag in tags {
            self.unbooked.remove(*tag);
            if let Some(TagKind::Resource | TagKind::Service | TagKind::Policy) = tag.kind() {
                let version = self.versions.entry(*tag).or_default();
                *version = version.saturating_add(1);
            }
        }
        self.fold_standing(position, event);
        self.fold_matters(position, event);
        let Some((booking, held)) = self.fold_booking(position, event) else { return };
        for tag in tags {
            if let Some((resource, date)) = tag.as_day()
                && let Some(day) = self.days.get_mut_or_default(&(resource, date))
            {
                day.set(booking, booking::aggregate::occupied_on(&held, resource, date));
            }
        }
    }

    /// Puts one thing on its shelf, folded from the entries under its tag, in order.
    ///
    /// `entries` holds for a booking, a consent or a registration also the entry that began it.
    pub fn load<'a>(&mut self, key: Key, entries: impl Iterator<Item = (Position, &'a Event)>) {
        let mut scratch = Self::default();
        let mut day = Day::default();
        for (position, event) in entries {
            scratch.next = position;
            scratch.fold_matters(position, event);
            if let (Some((booking, held)), Key::Day(resource, date)) =
                (scratch.fold_booking(position, event), key)
            {
                day.set(booking, booking::aggregate::occupied_on(&held, resource, date));
            }
        }
        match key {
            Key::Day(resource, date) => self.days.put((resource, date), day),
            Key::Booking(id) => self.bookings.put_or_absent(id, scratch.bookings.remove(&id)),
            Key::Consent(id) => self.consents.put_or_absent(id, scratch.consents.remove(&id)),
            Key::Registration(id) => {
                self.registrations.put_or_absent(id, scratch.registrations.remove(&id));
            }
        }
    }

    /// Takes note that of these day tags only some have entries; these are in order.
    pub fn learn(&mut self, stretch: RangeInclusive<Tag>, booked: &[Tag]) {
        self.unbooked.learn(stretch, booked);
    }

    /// The version of a resource, a service or the policy: how many entries tell of it.
    pub fn version(&self, tag: Tag) -> u32 {
        self.versions.get(&tag).copied().unwrap_or(0)
    }

    /// Whether a legal hold keeps a class of what there is of a registration.
    pub fn holds_class(&self, id: RegistrationId, class: RetentionClass) -> bool {
        let holds = self.legal_holds.get(&id).into_iter().flatten();
        holds.copied().any(|hold| hold.keeps(class))
    }

    /// Whether something that a fold of all entries would know is on its shelf.
    pub fn knows(&self, key: Key) -> bool {
        match key {
            Key::Booking(id) => self.bookings.knows(&id),
            Key::Day(resource, date) => {
                self.days.knows(&(resource, date))
                    || self.unbooked.contains(Tag::day(resource, date))
            }
            Key::Consent(id) => self.consents.knows(&id),
            Key::Registration(id) => self.registrations.knows(&id),
        }
    }

    /// What the tag's state is called on the shelves, where there is one shelf for it.
    pub fn key_of(tag: Tag) -> Option<Key> {
        match tag.kind()? {
            TagKind::Booking => Some(Key::Booking(BookingId(tag.number()))),
            TagKind::Day => tag.as_day().map(|(resource, date)| Key::Day(resource, date)),
            TagKind::Consent => Some(Key::Consent(ConsentId(tag.number()))),
            TagKind::Registration => Some(Key::Registration(RegistrationId(tag.number()))),
            TagKind::Service
            | TagKind::Resource
            | TagKind::Policy
            | TagKind::Fence
            | TagKind::Group
            | TagKind::Ledger
            | TagKind::Standing => None,
        }
    }
}

/// What would have to be wished to hold the same resources again.
pub(crate) fn wanted_of(held: &[Hold]) -> Vec<Wanted> {
    held.iter().map(|hold| Wanted { resource: hold.resource, units: hold.units }).collect()
}

/// The framework's view: given these events, when this is wished, then these follow.
impl Aggregate for Book {
    const TYPE: &'static str = "book";
    type Command = Command;
    type Event = Event;
    type Error = Refusal;
    type Services = Context;

    async fn handle(
        &mut self,
        command: Command,
        context: &Context,
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for draft in self.decide(&command, context)? {
            sink.write(draft.event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        let tags = self.tags(&event);
        self.apply_next(&event, &tags);
    }
}
