//! Our side: a tenant as any other, filled by way of the intake, and the real server on it.

use std::sync::Arc;

use domain::booking::{Past, PastStep, Role as Part, Status, Wanted};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Resource, ResourceKind, Service};
use domain::consent::{Medium, Occasion, Purpose, Text};
use domain::ids::Hash;
use domain::person::{PersonCommand, RestrictionGround};
use domain::policy::{Policy, PolicyCommand, Recipient, RecipientRole};
use domain::slot::{Hours, Slot, Zone};
use domain::{Actor, Command, Field, GroupId, ResourceId, RetentionClass, ServiceId};
use eventstore::keyring::provider::KeyStore;
use eventstore::ledger::appender::{Append, AppendError, Appended};
use eventstore::store::Databases;
use eventstore::{IdKind, PersonId, Personal, StoreError, Tenant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Ground;
use super::failed;
use super::model::{Model, Standing, name_of};
use super::records::{KEPT_DAYS, PURPOSES, RECIPIENTS, RESOURCES, Record, Scale, index};
use super::side::{Keys, Side, System, Time};
use crate::app::App;
use crate::cli::CliError;
use crate::intake::{self, BookingIn, ConsentIn, PartIn, Sender, Who};
use crate::keys::{self, Role};
use crate::{http, reactors};

/// For which recipient the processor reads.
pub(super) const PROCESSOR: u64 = 0;
/// One of so many persons has objected.
pub(super) const OBJECTS: usize = 100;
/// How many answers of the ledger are waited for at once.
const UNDER_WAY: usize = 400;

pub(super) fn recipient(number: u64) -> String {
    format!("share-{number}")
}

pub(super) fn recipient_name(number: u64) -> String {
    format!("Recipient {number}")
}

pub(super) fn service_name(number: u64) -> String {
    format!("Purpose {number}")
}

/// What a tenant collects, for how long, and who is given it.
pub(super) fn policy() -> Policy {
    let mut policy = Policy::new(Zone::utc());
    policy.collect.insert(Field::Address);
    policy.retention_days.insert(RetentionClass::Booking, KEPT_DAYS);
    let given = |number: u64| Recipient {
        classes: [RetentionClass::Contact, RetentionClass::Booking].into(),
        country: "SE".to_owned(),
        endpoint: None,
        name: recipient_name(number),
        purpose: "to work on bookings".to_owned(),
        retired: false,
        role: RecipientRole::Processor,
        secret_number: 0,
    };
    policy.recipients = (0..RECIPIENTS).map(|number| (recipient(number), given(number))).collect();
    policy
}

/// What there is to be booked.
pub(super) fn resource(group: GroupId, number: u64) -> Resource {
    Resource {
        capacity: 64,
        group,
        hours: Hours::always(),
        kind: ResourceKind::Room,
        name: format!("Room {number}"),
        zone: Zone::utc(),
    }
}

pub(super) fn service(number: u64) -> Service {
    Service {
        buffer_after: 0,
        buffer_before: 0,
        confirmation: match number % 2 {
            0 => Confirmation::Instant,
            _ => Confirmation::Staff,
        },
        length: Length::Fixed { minutes: 10 },
        name: service_name(number),
        price: None,
        requires: [Field::Name].into(),
        resources: [].into(),
    }
}

/// Contact data of a person.
pub(super) fn contact(person: u64) -> [(Field, String); 3] {
    let name = name_of(usize::try_from(person).unwrap_or(0));
    [
        (Field::Name, name),
        (Field::Email, format!("person{person}@example.org")),
        (Field::Phone, format!("+4670{person:07}")),
    ]
}

/// What a record that is over has behind it.
pub(super) fn past(record: &Record) -> Option<Past> {
    let steps = vec![(record.end(), PastStep::Reached(Status::Completed))];
    record.expires.map(|_| Past { steps })
}

/// A server on a tenant of its own, filled.
pub(super) fn open(ground: &Ground<'_>, folder: &std::path::Path) -> Result<Arc<Side>, CliError> {
    let (data, secret) = (folder.join("data"), folder.join("data.keys"));
    let (env, time) = Time::environment();
    let Databases { ledger, .. } = ground.databases;
    if ledger.is_some() {
        // Whatever else the database holds is under other keys.
        KeyStore::create(&secret, &env).map_err(StoreError::from)?;
    }
    let app = Arc::new(App::open_at(ground.databases, &data, &secret, env)?);
    let origin = app.env.clock.now();
    let name = format!("gdpr-{}", origin.as_microsecond());
    let tenant = app.store.create_tenant(&name, Zone::utc())?;
    let scale = Scale::of(ground.stored, origin);
    let mut filling = Filling::furnish(&tenant, scale)?;
    filling.fill(ground)?;
    let Filling { mut model, resources, .. } = filling;
    let desk = app.desk(&name)?;
    desk.follow()?;
    let keys = ground.runtime.block_on(issue(&app, &tenant, &mut model))?;
    let show = |id: &ResourceId| tenant.ids().show(IdKind::Resource, id.0);
    let resources = resources.iter().map(show).collect();
    app.keep_following(ground.runtime);
    let listener = ground.runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    ground.serve(http::serve(Arc::clone(&app), listener, std::future::pending::<()>()));
    ground.serve(reactors::keep_up(Arc::clone(&app)));
    let system = System::Ours(app, desk);
    Ok(Arc::new(Side::new(address, (keys, resources), system, time, model)))
}

/// A key for everybody who works there, and for each person their own.
async fn issue(app: &App, tenant: &Tenant, model: &mut Model) -> Result<Keys, CliError> {
    let issue = async |role, person, recipient| {
        let issued = keys::issue(tenant, role, "bench", (person, recipient), &app.env).await;
        issued.map(|(_, key)| key).map_err(failed)
    };
    for person in &mut model.persons {
        let id = tenant.ids().read(IdKind::Client, &person.id).map(PersonId);
        if person.standing == Standing::Live {
            person.key = issue(Role::Client, id, None).await?;
        }
    }
    Ok(Keys {
        admin: issue(Role::Admin, None, None).await?,
        staff: issue(Role::Staff, None, None).await?,
        auditor: issue(Role::Auditor, None, None).await?,
        processor: issue(Role::Staff, None, Some(recipient(PROCESSOR))).await?,
    })
}

/// A tenant that is being filled.
struct Filling<'a> {
    tenant: &'a Tenant,
    model: Model,
    services: Vec<ServiceId>,
    resources: Vec<ResourceId>,
    persons: Vec<PersonId>,
}

type Answer = oneshot::Receiver<Result<Appended, AppendError>>;

fn answer(answer: Answer) -> Result<u64, CliError> {
    Ok(answer.blocking_recv().map_err(|_| AppendError::Stopped)??.first.0)
}

impl<'a> Filling<'a> {
    fn furnish(tenant: &'a Tenant, scale: Scale) -> Result<Self, CliError> {
        let make = |command| -> Result<u64, CliError> {
            Ok(tenant.ledger.append_blocking(Append::new(command, Actor::System))?.first.0)
        };
        make(Command::Policy(PolicyCommand::Set { expected: None, policy: policy() }))?;
        let catalogue = |command| make(Command::Catalogue(command));
        let group = CatalogueCommand::DefineGroup { name: "Bench".to_owned() };
        let group = GroupId(catalogue(group)?);
        let (mut resources, mut services) = (Vec::new(), Vec::new());
        for number in 0..RESOURCES {
            let resource = CatalogueCommand::DefineResource(resource(group, number));
            resources.push(ResourceId(catalogue(resource)?));
        }
        for number in 0..PURPOSES {
            let service = CatalogueCommand::DefineService(service(number));
            services.push(ServiceId(catalogue(service)?));
        }
        let show = |id: &ServiceId| tenant.ids().show(IdKind::Service, id.0);
        let model = Model::new(scale, services.iter().map(show).collect());
        Ok(Self { tenant, model, services, resources, persons: Vec::new() })
    }

    /// Persons with a consent each, all records, who was given what, and who has objected.
    fn fill(&mut self, ground: &Ground<'_>) -> Result<(), CliError> {
        let scale = self.model.scale;
        let mut waiting = Vec::new();
        for number in 0..scale.persons {
            let fields = contact(number).into_iter();
            let fields =
                fields.fold(Personal::default(), |all, (field, value)| all.with(field, value));
            let sender = Sender::new(Actor::System);
            let (append, part) =
                intake::register(self.tenant, &fields, Vec::new(), sender).map_err(failed)?;
            self.persons.push(part.person);
            let id = self.tenant.ids().show(IdKind::Client, part.person.0);
            self.model.add_person(id, number % RECIPIENTS);
            waiting.push(self.tenant.ledger.hand_in(append)?);
        }
        for waited in waiting {
            answer(waited)?;
        }
        self.consents()?;
        let mut waiting = std::collections::VecDeque::new();
        for key in 0..scale.records {
            let record = scale.record(key);
            waiting.push_back((record, self.tenant.ledger.hand_in(self.booking(&record)?)?));
            if waiting.len() >= UNDER_WAY
                && let Some(first) = waiting.pop_front()
            {
                self.stored(first)?;
                ground.progress(key, scale.records);
            }
        }
        for left in waiting.drain(..) {
            self.stored(left)?;
        }
        ground.progress(1, 1);
        self.shared(ground)?;
        self.objections()
    }

    fn stored(&mut self, (record, waited): (Record, Answer)) -> Result<(), CliError> {
        let id = self.tenant.ids().show(IdKind::Booking, answer(waited)?);
        self.model.add(id, record);
        Ok(())
    }

    fn consents(&mut self) -> Result<(), CliError> {
        let mut waiting = Vec::new();
        for person in &self.persons {
            let consent = ConsentIn {
                purpose: Purpose::Newsletter,
                medium: Medium::Email,
                occasion: Occasion::Account,
                text: Text { hash: Hash([0x5f; 32]), locale: "sv".to_owned() },
                evidence: String::new(),
            };
            let sender = Sender::new(Actor::System);
            let consent = intake::consent(self.tenant, *person, consent, sender).map_err(failed)?;
            waiting.push(self.tenant.ledger.hand_in(consent.0)?);
        }
        for (person, waited) in self.model.persons.iter_mut().zip(waiting) {
            let id = self.tenant.ids().show(IdKind::Consent, answer(waited)?);
            person.given.insert(id.clone());
            person.consents.insert("newsletter", id);
        }
        Ok(())
    }

    fn booking(&self, record: &Record) -> Result<Append, CliError> {
        let broken = || failed("the tenant is not furnished");
        let person = index(&self.persons, record.person).ok_or_else(broken)?;
        let resource = index(&self.resources, record.resource).ok_or_else(broken)?;
        let part = PartIn {
            who: Who::Known(person),
            role: Part::Booker,
            fields: Personal::default().with(Field::Note, record.data()),
            references: Vec::new(),
        };
        let booking = BookingIn {
            service: index(&self.services, record.purpose).ok_or_else(broken)?,
            wanted: vec![Wanted { resource, units: 1 }],
            slot: Slot::new(record.start, record.end()).map_err(failed)?,
            parts: vec![part],
            party: 1,
            channel: record.channel,
            policy: None,
            price: None,
            past: past(record),
        };
        let sender = Sender::new(Actor::System);
        Ok(intake::booking(self.tenant, booking, 2026, sender).map_err(failed)?.0)
    }

    fn shared(&self, ground: &Ground<'_>) -> Result<(), CliError> {
        let now = self.model.scale.origin;
        let many = usize::try_from(RECIPIENTS).unwrap_or(1);
        for (number, first) in (0..RECIPIENTS).zip(0_usize..) {
            let persons = self.persons.iter().copied().skip(first).step_by(many).collect();
            let name = recipient(number);
            ground.runtime.block_on(self.tenant.give(persons, &name, now))?;
        }
        Ok(())
    }

    fn objections(&mut self) -> Result<(), CliError> {
        let keyring = self.tenant.keyring();
        let all = self.persons.iter().zip(&mut self.model.persons);
        for (person, known) in all.skip(7).step_by(OBJECTS) {
            let info = keyring.info(*person)?.and_then(|info| info.registration);
            let registration = info.ok_or_else(|| failed("nobody is registered"))?;
            let ground = RestrictionGround::Objection;
            let command = PersonCommand::Restrict { registration, ground, until: None };
            let append = Append::new(Command::Person(command), Actor::System);
            self.tenant.ledger.append_blocking(append)?;
            known.standing = Standing::Restricted;
        }
        Ok(())
    }
}
