//! A booking wished for: the command that asks for it and the event that grants it.

use crate::book::Command;
use crate::booking::{
    BookingCommand, Change, Hold, NewPart, Part, Past, PastStep, Request, Requested, Role, Status,
    Wanted,
};
use crate::catalogue::CatalogueCommand;
use crate::consent::ConsentCommand;
use crate::event::Event;
use crate::facet::{Channel, Facets, Lead, Nth, Party};
use crate::ids::{BookingId, FenceId, Handle, ResourceId, ServiceId};
use crate::person::PersonCommand;
use crate::policy::PolicyCommand;
use crate::sealed::{Field, FieldSet, Sealed};
use crate::slot::Slot;

use super::{CHAIR, CUT, NOW, SALON, at, stockholm};

/// A cut on the chair by one nameless person, to be varied by its methods.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) request: Request,
    pub(crate) held: Slot,
    pub(crate) facets: Facets,
    pub(crate) status: Status,
}

/// A slot of the salon: `10:00-11:00` on its Friday, or `2026-11-20T10:00/2026-11-21T11:00`, local
/// time both.
#[track_caller]
pub(crate) fn slot(text: &str) -> Slot {
    let friday = |time: &str| format!("2026-11-20T{time}");
    let (start, end) = match text.split_once('/') {
        Some((start, end)) => (start.to_owned(), end.to_owned()),
        None => text.split_once('-').map(|(from, to)| (friday(from), friday(to))).unwrap(),
    };
    let instant = |local: String| stockholm().instant(local.parse().unwrap()).unwrap();
    Slot::new(instant(start), instant(end)).unwrap()
}

pub(crate) fn fence(number: u8) -> FenceId {
    FenceId([number; 16])
}

#[track_caller]
pub(crate) fn booking(text: &str) -> Wish {
    let slot = slot(text);
    let local = stockholm().local(slot.start());
    let facets = Facets {
        channel: Channel::Staff,
        day: local.date(),
        group: SALON,
        hour: local.hour(),
        lead: Lead::between(at(NOW), slot.start()),
        nth: Nth::First,
        party: Party::One,
        service: CUT,
    };
    let request = Request {
        service: CUT,
        wanted: vec![Wanted { resource: CHAIR, units: 1 }],
        slot,
        parts: vec![part(1, Role::Booker)],
        party: 1,
        channel: Channel::Staff,
        policy: None,
        price: None,
        past: None,
    };
    Wish { request, held: slot, facets, status: Status::Confirmed }
}

fn part(number: u8, role: Role) -> NewPart {
    let handle = Handle(number.into());
    NewPart {
        handle,
        role,
        details: Sealed::new(handle, 0),
        health: None,
        accounting: None,
        fence: fence(number),
        given: FieldSet::default(),
        registers: None,
    }
}

impl Wish {
    pub(crate) fn of(mut self, service: ServiceId) -> Self {
        self.request.service = service;
        self.facets.service = service;
        self
    }

    pub(crate) fn on(mut self, wanted: &[(ResourceId, u16)]) -> Self {
        let wanted = wanted.iter().map(|(resource, units)| (*resource, *units));
        self.request.wanted = wanted.map(|(resource, units)| Wanted { resource, units }).collect();
        self
    }

    /// What is held, where buffers make it more than the slot.
    pub(crate) fn holding(mut self, text: &str) -> Self {
        self.held = slot(text);
        self
    }

    pub(crate) fn pending(mut self) -> Self {
        self.status = Status::Pending;
        self
    }

    pub(crate) fn also(mut self, number: u8, role: Role) -> Self {
        self.request.parts.push(part(number, role));
        self
    }

    pub(crate) fn giving(mut self, fields: &[Field]) -> Self {
        let given = fields.iter().copied().collect();
        self.request.parts.iter_mut().for_each(|part| part.given = given);
        self
    }

    pub(crate) fn with_past(mut self, steps: &[(&str, PastStep)]) -> Self {
        let steps = steps.iter().map(|(text, step)| (at(text), *step)).collect();
        self.request.past = Some(Past { steps });
        self
    }

    pub(crate) fn asked(&self) -> Command {
        BookingCommand::Request(Box::new(self.request.clone())).into()
    }

    pub(crate) fn granted(&self) -> Event {
        let (from, until) = (self.held.start(), self.held.end());
        let hold = |w: &Wanted| Hold { from, resource: w.resource, units: w.units, until };
        let part = |part: &NewPart| Part {
            accounting: part.accounting,
            details: part.details,
            handle: part.handle,
            health: part.health,
            role: part.role,
        };
        Event::from(Requested {
            end: self.request.slot.end(),
            facets: self.facets,
            held: self.request.wanted.iter().map(hold).collect(),
            parts: self.request.parts.iter().map(part).collect(),
            policy: self.request.policy,
            price: self.request.price.clone(),
            service: self.request.service,
            start: self.request.slot.start(),
            status: self.status,
            zone: stockholm(),
        })
    }
}

pub(crate) fn change(booking: BookingId, change: Change) -> Command {
    BookingCommand::Change { booking, expected: None, change }.into()
}

impl From<BookingCommand> for Command {
    fn from(command: BookingCommand) -> Self {
        Self::Booking(command)
    }
}

impl From<PersonCommand> for Command {
    fn from(command: PersonCommand) -> Self {
        Self::Person(command)
    }
}

impl From<ConsentCommand> for Command {
    fn from(command: ConsentCommand) -> Self {
        Self::Consent(command)
    }
}

impl From<CatalogueCommand> for Command {
    fn from(command: CatalogueCommand) -> Self {
        Self::Catalogue(command)
    }
}

impl From<PolicyCommand> for Command {
    fn from(command: PolicyCommand) -> Self {
        Self::Policy(command)
    }
}
