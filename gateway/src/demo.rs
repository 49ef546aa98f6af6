//! Sample tenants for the demo: a salon by the hour and cabins by the night, with clients, past
//! and coming bookings, consents and a few cancellations. All names are made up.

mod people;

use std::collections::VecDeque;

use domain::availability;
use domain::booking::{Past, PastStep, Price, Reason, Role, Side, Status, Wanted};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Resource, ResourceKind, Service};
use domain::consent::{Medium, Occasion, Purpose, Text};
use domain::facet::Channel;
use domain::ids::Hash;
use domain::slot::{Day, Hours, Opening, Slot, Zone};
use domain::{Actor, Command, Field, GroupId, ResourceId, ServiceId};
use eventstore::ledger::appender::{Append, AppendError};
use eventstore::{IdKind, PersonId, PersonState, Tenant};
use jiff::{Span, Timestamp};

use crate::app::{App, AppError};
use crate::desk::{Desk, DeskError};
use crate::dice::Dice;
use crate::intake::{self, BookingIn, ConsentIn, IntakeError, PartIn, Sender, Who};

/// What to show of a sample tenant.
pub struct Guide {
    pub tenant: String,
    pub about: &'static str,
    pub client: PersonId,
    pub client_id: String,
    pub service_id: String,
    pub resource_id: String,
    /// A time that is free, as RFC 3339.
    pub free_start: String,
}

/// Why the samples could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(transparent)]
    Key(#[from] eventstore::keyring::KeyError),
    #[error("the sample tenant {0} has no service, resource or live client any more")]
    Empty(String),
}

const SALON: &str = "salon";
const CABINS: &str = "cabins";
const CLIENTS: u64 = 80;
const BOOKINGS: u64 = 600;

/// Makes the sample tenants where they are not there yet.
///
/// # Errors
/// Where files cannot be written.
pub fn furnish(app: &App, progress: &dyn Fn(u64, u64)) -> Result<Vec<Guide>, DemoError> {
    let known = app.store.tenants().map_err(AppError::from)?;
    let mut guides = Vec::new();
    for (name, about, zone) in [
        (SALON, "a hair salon in Stockholm, by the hour", "Europe/Stockholm"),
        (CABINS, "cabins by a Norwegian fjord, by the night", "Europe/Oslo"),
    ] {
        if !known.iter().any(|tenant| tenant == name) {
            let zone: Zone = zone.parse().unwrap_or_else(|_| Zone::utc());
            let desk = app.create_tenant(name, zone.clone())?;
            Sample::new(&desk.tenant, zone, app.env.clock.now()).fill(name, progress)?;
        }
        guides.push(guide(&*app.desk(name)?, about, app.env.clock.now())?);
    }
    Ok(guides)
}

/// Picks what to show: a live client, and a free time tomorrow or later.
fn guide(desk: &Desk, about: &'static str, now: Timestamp) -> Result<Guide, DemoError> {
    let name = desk.tenant.name().to_owned();
    let empty = || DemoError::Empty(name.clone());
    desk.follow()?;
    let persons = desk.tenant.keyring().page(PersonId(0), 1000)?;
    let client = persons.iter().find(|person| person.state == PersonState::Live);
    let client = client.ok_or_else(empty)?.id;
    let (service, resource, start) = desk
        .read(|reader| {
            let service = reader.catalogue().services()?.into_iter().next();
            let resource = reader.catalogue().resources()?.into_iter().next();
            let (Some(service), Some(resource)) = (service, resource) else {
                return Ok::<_, DeskError>(None);
            };
            let from = now.checked_add(Span::new().hours(24)).unwrap_or(now);
            let to = from.checked_add(Span::new().hours(24 * 14)).unwrap_or(from);
            let Ok(window) = Slot::new(whole_second(from), whole_second(to)) else {
                return Ok(None);
            };
            let dates = Zone::utc().local(from).date()..=Zone::utc().local(to).date();
            let days = reader.occupancy().days(resource.id, dates)?;
            let offers =
                availability::offers(&service.value, &resource.value, window, 15, |date| {
                    days.get(&date)
                });
            let offer = offers.first().map(|offer| offer.slot.start());
            Ok(offer.map(|start| (service.id, resource.id, start)))
        })?
        .ok_or_else(empty)?;
    let ids = desk.tenant.ids();
    Ok(Guide {
        tenant: name,
        about,
        client,
        client_id: ids.show(IdKind::Client, client.0),
        service_id: ids.show(IdKind::Service, service.0),
        resource_id: ids.show(IdKind::Resource, resource.0),
        free_start: start.to_string(),
    })
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

type Answer =
    tokio::sync::oneshot::Receiver<Result<eventstore::ledger::appender::Appended, AppendError>>;

/// One tenant being furnished.
struct Sample<'a> {
    tenant: &'a Tenant,
    zone: Zone,
    now: Timestamp,
    dice: Dice,
    waiting: VecDeque<Answer>,
}

impl<'a> Sample<'a> {
    fn new(tenant: &'a Tenant, zone: Zone, now: Timestamp) -> Self {
        Self { tenant, zone, now, dice: Dice::new(20), waiting: VecDeque::new() }
    }

    fn fill(mut self, name: &str, progress: &dyn Fn(u64, u64)) -> Result<(), DemoError> {
        let (services, resources) = if name == SALON { self.salon()? } else { self.cabins()? };
        let clients = self.clients()?;
        for number in 0..BOOKINGS {
            self.book(&services, &resources, &clients)?;
            progress(number + 1, BOOKINGS);
        }
        self.settle(0)
    }

    fn define(&self, command: CatalogueCommand) -> Result<u64, DemoError> {
        let append = Append::new(Command::Catalogue(command), Actor::System);
        Ok(self.tenant.ledger.append_blocking(append)?.first.0)
    }

    fn resource(
        &self,
        group: GroupId,
        name: &str,
        kind: ResourceKind,
        capacity: u16,
        hours: Hours,
    ) -> Result<ResourceId, DemoError> {
        let zone = self.zone.clone();
        let resource = Resource { capacity, group, hours, kind, name: name.to_owned(), zone };
        Ok(ResourceId(self.define(CatalogueCommand::DefineResource(resource))?))
    }

    fn service(
        &self,
        name: &str,
        length: Length,
        price: (&str, &str),
        buffer_after: u16,
        resources: &[ResourceId],
    ) -> Result<ServiceId, DemoError> {
        let service = Service {
            buffer_after,
            buffer_before: 0,
            confirmation: Confirmation::Instant,
            length,
            name: name.to_owned(),
            price: Some(Price { amount: price.0.to_owned(), currency: price.1.to_owned() }),
            requires: [Field::Name].into(),
            resources: resources.iter().copied().collect(),
        };
        Ok(ServiceId(self.define(CatalogueCommand::DefineService(service))?))
    }

    fn salon(&mut self) -> Result<(Vec<ServiceId>, Vec<ResourceId>), DemoError> {
        let group = GroupId(self.define(CatalogueCommand::DefineGroup { name: "Salon".into() })?);
        let week = Day::ALL.into_iter().filter(|day| *day != Day::Sunday);
        let clock = |text: &str| text.parse().unwrap_or(domain::slot::ClockTime::MIDNIGHT);
        let hours = Hours(
            week.map(|day| Opening { day, from: clock("09:00"), to: clock("18:00") }).collect(),
        );
        let mut chairs = Vec::new();
        for name in ["Chair 1", "Chair 2", "Chair 3", "Chair 4"] {
            chairs.push(self.resource(group, name, ResourceKind::Staff, 1, hours.clone())?);
        }
        let services = vec![
            self.service("Haircut", Length::Fixed { minutes: 45 }, ("495.00", "SEK"), 0, &chairs)?,
            self.service("Beard", Length::Fixed { minutes: 30 }, ("295.00", "SEK"), 0, &chairs)?,
            self.service(
                "Colour",
                Length::Fixed { minutes: 120 },
                ("1450.00", "SEK"),
                15,
                &chairs,
            )?,
        ];
        Ok((services, chairs))
    }

    fn cabins(&mut self) -> Result<(Vec<ServiceId>, Vec<ResourceId>), DemoError> {
        let mut resources = Vec::new();
        for (group, kinds) in [
            ("Fjord", [("Small cabin", 6), ("Large cabin", 3)]),
            ("Forest", [("Hut", 4), ("Lodge", 2)]),
        ] {
            let group = GroupId(self.define(CatalogueCommand::DefineGroup { name: group.into() })?);
            for (name, capacity) in kinds {
                resources.push(self.resource(
                    group,
                    name,
                    ResourceKind::Room,
                    capacity,
                    Hours::always(),
                )?);
            }
        }
        let stay = self.service("Stay", Length::Nights { most: 21 }, ("950.00", "NOK"), 60, &[])?;
        Ok((vec![stay], resources))
    }

    fn clients(&mut self) -> Result<Vec<PersonId>, DemoError> {
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let fields = people::contact(&mut self.dice, number);
            let sender = Sender::new(Actor::System);
            let (append, part) = intake::register(self.tenant, &fields, Vec::new(), sender)?;
            clients.push(part.person);
            self.hand_in(append)?;
        }
        self.settle(0)?;
        for person in clients.iter().step_by(3) {
            let consent = ConsentIn {
                purpose: Purpose::Newsletter,
                medium: Medium::Email,
                occasion: Occasion::Booking,
                text: Text { hash: Hash([7; 32]), locale: "sv".to_owned() },
                evidence: "ticked the box while booking".to_owned(),
            };
            let sender = Sender::new(Actor::System);
            let (append, _) = intake::consent(self.tenant, *person, consent, sender)?;
            self.hand_in(append)?;
        }
        Ok(clients)
    }

    /// One booking somewhere between two months ago and three weeks ahead.
    fn book(
        &mut self,
        services: &[ServiceId],
        resources: &[ResourceId],
        clients: &[PersonId],
    ) -> Result<(), DemoError> {
        let nights = services.len() == 1;
        let (Some(service), Some(resource), Some(client)) =
            (self.dice.pick(services), self.dice.pick(resources), self.dice.pick(clients))
        else {
            return Ok(());
        };
        let Some(slot) = self.slot(nights, services.iter().position(|known| *known == service))
        else {
            return Ok(());
        };
        let booked = slot.start().checked_sub(Span::new().hours(self.dice.number(24 * 30)));
        let booked = booked.unwrap_or(self.now).min(self.now);
        let part = PartIn {
            who: Who::Known(client),
            role: Role::Booker,
            fields: people::note(&mut self.dice),
            references: Vec::new(),
        };
        let booking = BookingIn {
            service,
            wanted: vec![Wanted { resource, units: 1 }],
            slot,
            parts: vec![part],
            party: u16::try_from(1 + self.dice.roll(if nights { 4 } else { 1 })).unwrap_or(1),
            channel: self
                .dice
                .pick(&[Channel::Online, Channel::Online, Channel::Phone, Channel::WalkIn])
                .unwrap_or(Channel::Online),
            policy: None,
            price: None,
            past: Some(self.past(slot, booked)),
        };
        let sender = Sender { occurred_at: Some(booked), ..Sender::new(Actor::System) };
        let year = self.zone.local(slot.start()).year();
        let (append, _) = intake::booking(self.tenant, booking, year, sender)?;
        self.hand_in(append)
    }

    fn slot(&mut self, nights: bool, service: Option<usize>) -> Option<Slot> {
        let day = i64::try_from(self.dice.roll(82)).ok()? - 60;
        let today = self.zone.local(self.now).date();
        let date = today.checked_add(Span::new().days(day)).ok()?;
        let (start, end) = if nights {
            let leave = date.checked_add(Span::new().days(self.dice.number(5) + 1)).ok()?;
            (date.at(15, 0, 0, 0), leave.at(11, 0, 0, 0))
        } else {
            let minutes = match service {
                Some(0) => 45,
                Some(1) => 30,
                _ => 120,
            };
            let quarter = i64::try_from(self.dice.roll(28)).ok()?;
            let start = date.at(9, 0, 0, 0).checked_add(Span::new().minutes(15 * quarter)).ok()?;
            (start, start.checked_add(Span::new().minutes(minutes)).ok()?)
        };
        if !nights && Day::of(date) == Day::Sunday {
            return None;
        }
        let (start, end) = (self.zone.instant(start).ok()?, self.zone.instant(end).ok()?);
        Slot::new(start, end).ok()
    }

    /// What has happened to a booking by now.
    fn past(&mut self, slot: Slot, booked: Timestamp) -> Past {
        let luck = self.dice.roll(100);
        let mut steps = Vec::new();
        if luck < 8 {
            let reason = if luck < 5 { Reason::ClientRequest } else { Reason::Illness };
            steps.push((booked, PastStep::Cancelled { by: Side::Client, reason }));
        } else if slot.end() <= self.now {
            if luck < 13 {
                steps.push((slot.end(), PastStep::Reached(Status::NoShow)));
            } else {
                steps.push((slot.start(), PastStep::Reached(Status::CheckedIn)));
                steps.push((slot.end(), PastStep::Reached(Status::Completed)));
            }
        }
        Past { steps }
    }

    fn hand_in(&mut self, append: Append) -> Result<(), DemoError> {
        self.waiting.push_back(self.tenant.ledger.hand_in(append)?);
        self.settle(200)
    }

    /// Waits until at most so many commands are on their way. A time that is taken is nobody's
    /// fault here.
    fn settle(&mut self, most: usize) -> Result<(), DemoError> {
        while self.waiting.len() > most
            && let Some(answer) = self.waiting.pop_front()
        {
            match answer.blocking_recv().map_err(|_| AppendError::Stopped)? {
                Ok(_) | Err(AppendError::Refused(_)) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
