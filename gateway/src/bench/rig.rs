//! What is measured on: a tenant in a temporary folder, with known persons and many bookings.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::booking::{Past, PastStep, Role, Status, Wanted};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Resource, ResourceKind, Service};
use domain::facet::Channel;
use domain::slot::{Hours, Slot, Zone};
use domain::{Actor, Command, Field, GroupId, ResourceId, ServiceId};
use eventstore::keyring::provider::KeyStore;
use eventstore::ledger::appender::{Append, AppendError};
use eventstore::store::Databases;
use eventstore::{PersonId, Personal, StoreError, Tenant};
use jiff::{Span, Timestamp};

use crate::app::App;
use crate::cli::CliError;
use crate::clock;
use crate::dice::Dice;
use crate::intake::{self, BookingIn, PartIn, Sender, Who};

pub(super) const RESOURCES: u64 = 100;
pub(super) const DAYS: u64 = 500;
pub(super) const PERSONS: u64 = 10_000;
const SLOTS: u64 = 144;

/// A tenant to be measured.
pub(super) struct Rig {
    pub folder: tempfile::TempDir,
    pub runtime: tokio::runtime::Handle,
    pub app: Arc<App>,
    /// The addresses of the ledger's database and the keyring's, where they are in some.
    pub addresses: (Option<String>, Option<String>),
    pub bench: Arc<Bench>,
    /// How many bookings the tenant holds.
    pub stored: u64,
}

/// What callers need to make bookings.
pub(super) struct Bench {
    pub tenant: Arc<Tenant>,
    pub service: ServiceId,
    pub resources: Vec<ResourceId>,
    pub persons: Vec<PersonId>,
    pub first_day: Timestamp,
}

impl Rig {
    /// A rig in files, or in the database behind an address.
    pub(super) fn new(
        runtime: tokio::runtime::Handle,
        databases: Databases<'_>,
    ) -> Result<Self, CliError> {
        let folder = tempfile::Builder::new()
            .prefix("tidbok-bench-")
            .tempdir()
            .map_err(|error| CliError::File("a temporary folder".to_owned(), error))?;
        let data = folder.path().join("data");
        let keys = folder.path().join("data.keys");
        let env = clock::system();
        if databases.ledger.is_some() {
            // Whatever else the database holds is under other keys.
            KeyStore::create(&keys, &env).map_err(StoreError::from)?;
        }
        let app = Arc::new(App::open_at(databases, &data, &keys, env)?);
        // A database may hold the tenants of earlier runs.
        let name = format!("bench-{}", app.env.clock.now().as_microsecond());
        let tenant = app.store.create_tenant(&name, Zone::utc())?;
        let bench = Arc::new(Bench::furnish(tenant, &app, PERSONS)?);
        let Databases { ledger, keyring, .. } = databases;
        let addresses = (ledger.map(str::to_owned), keyring.map(str::to_owned));
        Ok(Self { folder, runtime, app, addresses, bench, stored: 0 })
    }

    /// Fills the tenant up to so many bookings.
    pub(super) fn fill(
        &mut self,
        stored: u64,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), CliError> {
        let mut dice = Dice::new(1 + self.stored);
        let mut waiting = std::collections::VecDeque::new();
        while self.stored < stored {
            let append = self.bench.booking(&mut dice)?;
            waiting.push_back(self.bench.tenant.ledger.hand_in(append)?);
            if waiting.len() >= 400
                && let Some(answer) = waiting.pop_front()
                && accepted(&answer.blocking_recv())
            {
                self.stored += 1;
                if self.stored.is_multiple_of(4096) {
                    progress(self.stored, stored);
                }
            }
        }
        self.stored += waiting
            .into_iter()
            .map(|answer| u64::from(accepted(&answer.blocking_recv())))
            .sum::<u64>();
        progress(1, 1);
        Ok(())
    }

    /// Waits until the disk has what was written to these files and to the ledger, so that nothing
    /// measured pays for what came before it.
    pub(super) fn settle(&self, files: &[&Path]) -> Result<(), CliError> {
        let ledger = self.bench.tenant.log().path();
        for file in files.iter().copied().chain(ledger) {
            let synced = File::open(file).and_then(|file| file.sync_all());
            synced.map_err(|error| CliError::File(file.display().to_string(), error))?;
        }
        Ok(())
    }

    /// Bookings per second with so many callers at once, for so long.
    pub(super) fn rate(
        &mut self,
        callers: u64,
        run: Duration,
        wish: Wish,
    ) -> Result<f64, CliError> {
        let load = Load { callers, run, wish, seed: self.stored };
        let (done, rate) = load.on(&self.runtime, &[Arc::clone(&self.bench)])?;
        self.stored += done;
        Ok(rate)
    }
}

/// Callers who book as fast as they can.
pub(super) struct Load {
    pub callers: u64,
    pub run: Duration,
    pub wish: Wish,
    /// Another one each time, for other wishes.
    pub seed: u64,
}

impl Load {
    /// Puts it on tenants, each caller on any of them each time; how many bookings were made, and
    /// how many a second.
    pub(super) fn on(
        &self,
        runtime: &tokio::runtime::Handle,
        tenants: &[Arc<Bench>],
    ) -> Result<(u64, f64), CliError> {
        let done = Arc::new(AtomicU64::new(0));
        let (start, wish) = (Instant::now(), self.wish);
        let until = start + self.run;
        let tasks: Vec<_> = (0..self.callers)
            .map(|caller| {
                let (tenants, done) = (tenants.to_vec(), Arc::clone(&done));
                let mut dice = Dice::new(self.seed.wrapping_mul(1000).wrapping_add(caller));
                let any = Dice::new(caller);
                runtime
                    .spawn(async move { book(&tenants, &mut dice, any, wish, until, &done).await })
            })
            .collect();
        for task in tasks {
            let ended = runtime.block_on(task);
            ended.map_err(|error| CliError::Bench("append", error.to_string()))??;
        }
        let done = done.load(Ordering::Relaxed);
        Ok((done, done as f64 / start.elapsed().as_secs_f64()))
    }
}

/// One caller.
async fn book(
    tenants: &[Arc<Bench>],
    dice: &mut Dice,
    mut any: Dice,
    wish: Wish,
    until: Instant,
    done: &AtomicU64,
) -> Result<(), CliError> {
    let count = u64::try_from(tenants.len()).unwrap_or(u64::MAX);
    while Instant::now() < until {
        let at = usize::try_from(any.roll(count)).unwrap_or(0);
        let Some(bench) = tenants.get(at) else { return Ok(()) };
        match bench.tenant.ledger.append(bench.wish(dice, wish)?).await {
            Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
            Err(AppendError::Refused(_)) => (),
            Err(error) => return Err(CliError::from(error)),
        }
    }
    Ok(())
}

/// What callers wish.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    /// Any time on any resource.
    Anywhere,
    /// The same, once so many days have passed.
    Later(u64),
    /// Three of ten on one resource and day.
    BusyDay,
}

fn accepted<T, E, R>(answer: &Result<Result<T, E>, R>) -> bool {
    matches!(answer, Ok(Ok(_)))
}

impl Bench {
    /// A tenant with rooms to book and so many persons.
    pub(super) fn furnish(tenant: Arc<Tenant>, app: &App, persons: u64) -> Result<Self, CliError> {
        let make = |command| -> Result<u64, CliError> {
            let append = Append::new(Command::Catalogue(command), Actor::System);
            Ok(tenant.ledger.append_blocking(append)?.first.0)
        };
        let group = GroupId(make(CatalogueCommand::DefineGroup { name: "Bench".to_owned() })?);
        let mut resources = Vec::new();
        for number in 0..RESOURCES {
            let resource = Resource {
                capacity: 4,
                group,
                hours: Hours::always(),
                kind: ResourceKind::Room,
                name: format!("Room {number}"),
                zone: Zone::utc(),
            };
            resources.push(ResourceId(make(CatalogueCommand::DefineResource(resource))?));
        }
        let service = Service {
            buffer_after: 0,
            buffer_before: 0,
            confirmation: Confirmation::Instant,
            length: Length::Fixed { minutes: 10 },
            name: "Visit".to_owned(),
            price: None,
            requires: [Field::Name].into(),
            resources: [].into(),
        };
        let service = ServiceId(make(CatalogueCommand::DefineService(service))?);
        let midnight = app.env.clock.now().as_second().div_euclid(86_400) + 2;
        let first_day = Timestamp::from_second(midnight * 86_400).unwrap_or(Timestamp::UNIX_EPOCH);
        let persons = register(&tenant, persons)?;
        Ok(Self { tenant, service, resources, persons, first_day })
    }

    /// A booking of a known person at a random time.
    pub(super) fn booking(&self, dice: &mut Dice) -> Result<Append, CliError> {
        self.wish(dice, Wish::Anywhere)
    }

    pub(super) fn wish(&self, dice: &mut Dice, wish: Wish) -> Result<Append, CliError> {
        let busy = matches!(wish, Wish::BusyDay) && dice.roll(10) < 3;
        let passed = if let Wish::Later(days) = wish { days } else { 0 };
        let (resource, day) =
            if busy { (0, 0) } else { (dice.roll(RESOURCES), passed + dice.roll(DAYS)) };
        let person = dice.roll(u64::try_from(self.persons.len()).unwrap_or(PERSONS));
        let minutes = i64::try_from(day * 1440 + dice.roll(SLOTS) * 10).unwrap_or(0);
        self.booking_at(index(&self.persons, person), index(&self.resources, resource), minutes)
    }

    /// A booking of ten minutes, so many minutes after the first day's midnight.
    pub(super) fn booking_at(
        &self,
        person: Option<PersonId>,
        resource: Option<ResourceId>,
        minutes: i64,
    ) -> Result<Append, CliError> {
        let broken = || CliError::Bench("append", "the rig is not furnished".to_owned());
        let start = self.first_day.checked_add(Span::new().minutes(minutes));
        let start = start.map_err(|_| broken())?;
        let end = start.checked_add(Span::new().minutes(10)).map_err(|_| broken())?;
        let note = "would like the place by the window, and comes by bus";
        let part = PartIn {
            who: Who::Known(person.ok_or_else(broken)?),
            role: Role::Booker,
            fields: Personal::default().with(Field::Note, note.to_owned()),
            references: Vec::new(),
        };
        let booking = BookingIn {
            service: self.service,
            wanted: vec![Wanted { resource: resource.ok_or_else(broken)?, units: 1 }],
            slot: Slot::new(start, end).map_err(|_| broken())?,
            parts: vec![part],
            party: 1,
            channel: Channel::Online,
            policy: None,
            price: None,
            past: None,
        };
        self.seal(booking)
    }

    /// A booking of ten minutes that is over and done.
    pub(super) fn over(&self, person: PersonId, minutes: i64) -> Result<Append, CliError> {
        let broken = |_| CliError::Bench("erase", "no such time".to_owned());
        let start = self.first_day.checked_add(Span::new().minutes(minutes)).map_err(broken)?;
        let end = start.checked_add(Span::new().minutes(10)).map_err(broken)?;
        let slot =
            Slot::new(start, end).map_err(|error| CliError::Bench("erase", error.to_string()))?;
        let resource = index(&self.resources, 1)
            .ok_or_else(|| CliError::Bench("erase", "the rig is not furnished".to_owned()))?;
        let part = PartIn {
            who: Who::Known(person),
            role: Role::Booker,
            fields: Personal::default().with(Field::Note, "came by bus".to_owned()),
            references: Vec::new(),
        };
        self.seal(BookingIn {
            service: self.service,
            wanted: vec![Wanted { resource, units: 1 }],
            slot,
            parts: vec![part],
            party: 1,
            channel: Channel::Online,
            policy: None,
            price: None,
            past: Some(Past { steps: vec![(end, PastStep::Reached(Status::Completed))] }),
        })
    }

    fn seal(&self, booking: BookingIn) -> Result<Append, CliError> {
        let sender = Sender::new(Actor::System);
        let (append, _) = intake::booking(&self.tenant, booking, 2026, sender)
            .map_err(|error| CliError::Bench("append", error.to_string()))?;
        Ok(append)
    }
}

fn index<T: Copy>(things: &[T], number: u64) -> Option<T> {
    things.get(usize::try_from(number).ok()?).copied()
}

/// Registers persons with a name, a mail address and a phone number.
pub(super) fn register(tenant: &Tenant, count: u64) -> Result<Vec<PersonId>, CliError> {
    let mut persons = Vec::new();
    let mut waiting = Vec::new();
    for number in 0..count {
        let fields = Personal::default()
            .with(Field::Name, format!("Person Number {number}"))
            .with(Field::Email, format!("person{number}@example.org"))
            .with(Field::Phone, format!("+4670{number:07}"));
        let sender = Sender::new(Actor::System);
        let (append, part) = intake::register(tenant, &fields, Vec::new(), sender)
            .map_err(|error| CliError::Bench("append", error.to_string()))?;
        persons.push(part.person);
        waiting.push(tenant.ledger.hand_in(append)?);
        if waiting.len() >= 1000 {
            drain(&mut waiting)?;
        }
    }
    drain(&mut waiting)?;
    Ok(persons)
}

type Answer =
    tokio::sync::oneshot::Receiver<Result<eventstore::ledger::appender::Appended, AppendError>>;

pub(super) fn drain(waiting: &mut Vec<Answer>) -> Result<(), CliError> {
    for answer in waiting.drain(..) {
        answer.blocking_recv().map_err(|_| AppendError::Stopped)??;
    }
    Ok(())
}
