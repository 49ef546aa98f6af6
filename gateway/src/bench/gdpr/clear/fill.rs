//! The comparison's server, filled as ours is.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use domain::catalogue::CatalogueCommand;
use domain::consent::{ConsentCommand, Medium, Occasion, Purpose, Text};
use domain::ids::Hash;
use domain::person::{PersonCommand, RestrictionGround};
use domain::policy::PolicyCommand;
use domain::sealed::{FieldSet, Sealed};
use domain::slot::Slot;
use domain::{Command, Field, GroupId, RegistrationId};
use eventstore::IdKind;
use tokio::net::TcpListener;

use super::changes::{self, Wish};
use super::rows::{self, NewBooking, NewConsent};
use super::writer::Answer;
use super::{Ask, Clear, Role, Rows, add_key, fence, number, routes, show};
use crate::app::App;
use crate::bench::gdpr::model::{Model, Standing};
use crate::bench::gdpr::place::{self, OBJECTS};
use crate::bench::gdpr::records::{PURPOSES, RECIPIENTS, RESOURCES, Record, Scale, index};
use crate::bench::gdpr::side::{Keys, Side, System, Time};
use crate::bench::gdpr::{Ground, failed};
use crate::cli::CliError;
use crate::http;

const UNDER_WAY: usize = 400;

/// A server on a file of its own, filled. The layers around its routes are ours.
pub(in crate::bench::gdpr) fn open(
    ground: &Ground<'_>,
    app: &Arc<App>,
    folder: &Path,
) -> Result<Arc<Side>, CliError> {
    let (env, time) = Time::environment();
    let file = folder.join("clear.sqlite");
    let clear = Arc::new(Clear::new(&file, Arc::clone(&env.clock))?);
    let scale = Scale::of(ground.stored, env.clock.now());
    let mut filling = Filling::furnish(&clear, scale)?;
    filling.fill(ground)?;
    let keys = filling.issue()?;
    let Filling { model, resources, .. } = filling;
    let resources = resources.iter().map(|id| show(IdKind::Resource, *id)).collect();
    let listener = ground.runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = http::layered(routes(Arc::clone(&clear)), Arc::clone(app));
    ground.serve(async move { http::serve_router(&listener, &router).await });
    let system = System::Clear(clear);
    Ok(Arc::new(Side::new(address, (keys, resources), system, time, model)))
}

struct Filling<'a> {
    clear: &'a Clear,
    model: Model,
    services: Vec<u64>,
    resources: Vec<u64>,
}

fn wait(answer: Answer) -> Result<u64, CliError> {
    Ok(answer.blocking_recv().map_err(failed)?.map_err(failed)?.first)
}

impl<'a> Filling<'a> {
    fn furnish(clear: &'a Clear, scale: Scale) -> Result<Self, CliError> {
        let policy = PolicyCommand::Set { expected: None, policy: place::policy() };
        make(clear, Command::Policy(policy), Box::new(|_, _| Ok(())))?;
        let group = CatalogueCommand::DefineGroup { name: "Bench".to_owned() };
        let group = GroupId(make(clear, Command::Catalogue(group), Box::new(|_, _| Ok(())))?);
        let (mut resources, mut services) = (Vec::new(), Vec::new());
        for number in 0..RESOURCES {
            let resource = CatalogueCommand::DefineResource(place::resource(group, number));
            resources.push(make(clear, Command::Catalogue(resource), Box::new(|_, _| Ok(())))?);
        }
        for purpose in 0..PURPOSES {
            let service = place::service(purpose);
            let body = changes::body(&service);
            let rows: Rows = Box::new(move |tx, told| {
                let sql = "INSERT INTO c_service VALUES (?1, ?2, 1)";
                tx.prepare_cached(sql)?.execute((number(told.first), body)).map(drop)
            });
            let service = Command::Catalogue(CatalogueCommand::DefineService(service));
            services.push(make(clear, service, rows)?);
        }
        let shown = services.iter().map(|id| show(IdKind::Service, *id)).collect();
        Ok(Self { clear, model: Model::new(scale, shown), services, resources })
    }

    fn fill(&mut self, ground: &Ground<'_>) -> Result<(), CliError> {
        let scale = self.model.scale;
        let mut waiting = VecDeque::new();
        for person in 0..scale.persons {
            waiting.push_back(self.register(person)?);
        }
        let mut registrations = Vec::new();
        for (person, waited) in (0..).zip(waiting.drain(..)) {
            registrations.push(RegistrationId(wait(waited)?));
            self.model.add_person(show(IdKind::Client, person), person % RECIPIENTS);
        }
        self.consents()?;
        let mut waiting = VecDeque::new();
        for key in 0..scale.records {
            let record = scale.record(key);
            waiting.push_back((record, self.booking(&record)?));
            if waiting.len() >= UNDER_WAY
                && let Some((record, waited)) = waiting.pop_front()
            {
                self.model.add(show(IdKind::Booking, wait(waited)?), record);
                ground.progress(key, scale.records);
            }
        }
        for (record, waited) in waiting.drain(..) {
            self.model.add(show(IdKind::Booking, wait(waited)?), record);
        }
        ground.progress(1, 1);
        self.objections(&registrations)
    }

    fn register(&self, person: u64) -> Result<Answer, CliError> {
        let values = place::contact(person).map(|(_, value)| value);
        let rows: Rows = Box::new(move |tx, told| {
            let at = told.at.as_microsecond();
            rows::add_person(tx, person, (told.first, at), &values)?;
            rows::share(tx, person, &place::recipient(person % RECIPIENTS), at)
        });
        let given = FieldSet::default().with(Field::Name).with(Field::Email).with(Field::Phone);
        let contact = Sealed::new(self.clear.handle(), 0);
        let command = PersonCommand::Register { contact, fence: fence(person), given };
        let (ask, answer) = Ask::new(vec![Command::Person(command)], rows);
        self.clear.hand_in(ask)?;
        Ok(answer)
    }

    fn consents(&mut self) -> Result<(), CliError> {
        let mut waiting = Vec::new();
        for person in 0..self.model.scale.persons {
            let (purpose, medium, occasion) =
                (Purpose::Newsletter, Medium::Email, Occasion::Account);
            let text = Text { hash: Hash([0x5f; 32]), locale: "sv".to_owned() };
            let new = NewConsent {
                person,
                purpose: Some(purpose.name().to_owned()),
                medium: Some(medium.name().to_owned()),
                occasion: occasion.name().to_owned(),
                hash: text.hash.to_string(),
                locale: text.locale.clone(),
            };
            let (evidence, fence) = (Sealed::new(self.clear.handle(), 0), fence(person));
            let give = ConsentCommand::Give { evidence, fence, purpose, medium, occasion, text };
            let rows: Rows = Box::new(move |tx, told| {
                rows::add_consent(tx, told.first, told.at.as_microsecond(), &new)
            });
            let (ask, answer) = Ask::new(vec![Command::Consent(give)], rows);
            self.clear.hand_in(ask)?;
            waiting.push(answer);
        }
        for (person, waited) in self.model.persons.iter_mut().zip(waiting) {
            let id = show(IdKind::Consent, wait(waited)?);
            person.given.insert(id.clone());
            person.consents.insert("newsletter", id);
        }
        Ok(())
    }

    fn booking(&self, record: &Record) -> Result<Answer, CliError> {
        let broken = || failed("the store is not furnished");
        let person = record.person;
        let service = index(&self.services, record.purpose).ok_or_else(broken)?;
        let resource = index(&self.resources, record.resource).ok_or_else(broken)?;
        let slot = Slot::new(record.start, record.end()).map_err(failed)?;
        let status = match (record.expires, record.purpose % 2) {
            (Some(_), _) => "completed",
            (None, 0) => "confirmed",
            (None, _) => "pending",
        };
        let new = NewBooking {
            person,
            service,
            resource,
            status,
            start: record.start.as_microsecond(),
            end: record.end().as_microsecond(),
            channel: record.channel.name(),
            note: record.data(),
        };
        let past = place::past(record);
        let wish = Wish { person, service, resource, slot, channel: record.channel, past };
        let rows: Rows = Box::new(move |tx, told| {
            rows::add_booking(tx, told.first, told.at.as_microsecond(), &new)
        });
        let (ask, answer) = Ask::new(vec![changes::request(self.clear, wish)], rows);
        self.clear.hand_in(Ask { person: Some(person), ..ask })?;
        Ok(answer)
    }

    fn objections(&mut self, registrations: &[RegistrationId]) -> Result<(), CliError> {
        let all = registrations.iter().zip(0_u64..).zip(&mut self.model.persons);
        for ((registration, person), known) in all.skip(7).step_by(OBJECTS) {
            let (registration, ground) = (*registration, RestrictionGround::Objection);
            let command = PersonCommand::Restrict { registration, ground, until: None };
            let rows: Rows = Box::new(move |tx, told| {
                rows::restrict(tx, person, Some(told.at.as_microsecond()))
            });
            make(self.clear, Command::Person(command), rows)?;
            known.standing = Standing::Restricted;
        }
        Ok(())
    }

    /// A key for everybody who works there, and for each person their own.
    fn issue(&mut self) -> Result<Keys, CliError> {
        let mut all = Vec::new();
        let mut issue = |role: Role| {
            let number = self.clear.handles.fetch_add(1, Ordering::Relaxed);
            let secret = format!("tbk.clear.{number:064x}");
            all.push((eventstore::tree::hash(&[secret.as_bytes()]), role));
            secret
        };
        for (number, person) in (0..).zip(&mut self.model.persons) {
            if person.standing == Standing::Live {
                person.key = issue(Role::Client(number));
            }
        }
        let (admin, auditor) = (issue(Role::Admin), issue(Role::Auditor));
        let (staff, processor) = (issue(Role::Staff), issue(Role::Staff));
        let mut keys = self.clear.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.extend(all.iter().copied());
        drop(keys);
        let rows: Rows = Box::new(move |tx, _| {
            for (hash, role) in &all {
                match role {
                    Role::Client(person) => add_key(tx, hash, "client", Some(*person))?,
                    Role::Staff => add_key(tx, hash, "staff", None)?,
                    Role::Admin => add_key(tx, hash, "admin", None)?,
                    Role::Auditor => add_key(tx, hash, "auditor", None)?,
                }
            }
            Ok(())
        });
        let (ask, answer) = Ask::new(Vec::new(), rows);
        self.clear.hand_in(ask)?;
        wait(answer)?;
        Ok(Keys { admin, staff, auditor, processor })
    }
}

fn make(clear: &Clear, command: Command, rows: Rows) -> Result<u64, CliError> {
    let (ask, answer) = Ask::new(vec![command], rows);
    clear.hand_in(ask)?;
    wait(answer)
}
