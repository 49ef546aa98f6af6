//! A small tenant whose ledger is written, closed, tampered with and audited.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use domain::booking::{BookingCommand, Change, NewPart, Reason, Request, Role, Side, Wanted};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Resource, ResourceKind, Service};
use domain::consent::{ConsentCommand, Medium, Occasion, Purpose, Text};
use domain::facet::Channel;
use domain::person::{PersonCommand, RestrictionGround};
use domain::policy::{Policy, PolicyCommand};
use domain::sealed::{Accounting, Contact, Details, Evidence, Health};
use domain::slot::{Hours, Slot, Zone};
use domain::{Actor, BookingId, Command, Event, Field, GroupId, Position, ResourceId, ServiceId};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::environment::{Clock, Entropy, Environment};
use crate::keyring::person::PersonId;
use crate::keyring::personal::Personal;
use crate::keyring::sealing::{Part, Sealing};
use crate::ledger::appender::{Append, AppendError, Appended};
use crate::ledger::audit::{Report, verify};
use crate::ledger::log::Log;
use crate::store::{Store, Tenant};

const CHAIR: ResourceId = ResourceId(3);
const CUT: ServiceId = ServiceId(4);
/// A Monday morning.
const FIRST_HOUR: i64 = 1_800_000_000;

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed).unsigned_abs())
    }
}

/// Bytes that count: different each time, the same in every run.
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mixed = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
        }
    }
}

pub(super) struct Salon {
    dir: TempDir,
    clock: Arc<SetClock>,
    open: Option<(Store, Arc<Tenant>)>,
    parts: BTreeMap<BookingId, Vec<Part>>,
}

impl Salon {
    pub(super) fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SetClock(AtomicI64::new(FIRST_HOUR - 24 * 3600)));
        let entropy = Arc::new(Counted(AtomicU64::new(1)));
        let env = Environment { clock: Arc::clone(&clock) as Arc<dyn Clock>, entropy };
        let store = Store::open(&dir.path().join("data"), &dir.path().join("keys"), env).unwrap();
        let tenant = store.create_tenant("salon", Zone::utc()).unwrap();
        let salon = Self { dir, clock, open: Some((store, tenant)), parts: BTreeMap::new() };
        salon.furnish();
        salon
    }

    fn furnish(&self) {
        let mut policy = Policy::new(Zone::utc());
        policy.collect.extend([Field::HealthNote, Field::InvoiceName]);
        self.tell(Command::Policy(PolicyCommand::Set { expected: None, policy }));
        self.tell(catalogue(CatalogueCommand::DefineGroup { name: "Salon".to_owned() }));
        self.tell(catalogue(CatalogueCommand::DefineResource(Resource {
            capacity: 2,
            group: GroupId(2),
            hours: Hours::always(),
            kind: ResourceKind::Equipment,
            name: "Chair".to_owned(),
            zone: Zone::utc(),
        })));
        self.tell(catalogue(CatalogueCommand::DefineService(Service {
            buffer_after: 10,
            buffer_before: 5,
            confirmation: Confirmation::Instant,
            length: Length::Fixed { minutes: 60 },
            name: "Cut".to_owned(),
            price: None,
            requires: [].into(),
            resources: [].into(),
        })));
        let period = self.tenant().ledger.ensure_period(domain::RetentionClass::Accounting, 2027);
        wait(period).unwrap();
    }

    pub(super) fn tenant(&self) -> &Tenant {
        &self.open.as_ref().unwrap().1
    }

    fn tell(&self, command: Command) -> Appended {
        self.tenant().ledger.append_blocking(Append::new(command, Actor::System)).unwrap()
    }

    fn tell_sealed(&self, command: Command, sealing: Sealing) -> Appended {
        let append = Append::new(command, Actor::System).sealed(sealing);
        self.tenant().ledger.append_blocking(append).unwrap()
    }

    /// Somebody registers.
    pub(super) fn client(&mut self) -> PersonId {
        let mut sealing = self.tenant().ledger.sealing();
        let (part, contact) = registration(&mut sealing);
        let (fence, given) = (part.fence, part.fields);
        let command = PersonCommand::Register { contact, fence, given };
        self.tell_sealed(Command::Person(command), sealing);
        part.person
    }

    /// A booking of an hour, for people who are known.
    pub(super) fn book(&mut self, persons: &[PersonId], hour: i64) -> BookingId {
        let mut sealing = self.tenant().ledger.sealing();
        let mut index = 0;
        let parts = persons.iter().map(|person| {
            let part = sealing.known(*person).unwrap();
            (part, new_part(&mut sealing, part, &mut index))
        });
        let (known, mut parts): (Vec<Part>, Vec<NewPart>) = parts.collect();
        parts[0].role = Role::Booker;
        let appended = self.request(parts, hour, sealing);
        let booking = BookingId(appended.first.0);
        self.parts.insert(booking, known);
        booking
    }

    /// A booking that registers whoever asks for it.
    pub(super) fn book_new_client(&mut self, hour: i64) {
        let mut sealing = self.tenant().ledger.sealing();
        let (registered, contact) = registration(&mut sealing);
        let part = sealing.again(&registered).unwrap();
        let part = new_part(&mut sealing, part, &mut 0);
        let part = NewPart { registers: Some(contact), role: Role::Booker, ..part };
        self.request(vec![part], hour, sealing);
    }

    fn request(&self, parts: Vec<NewPart>, hour: i64, sealing: Sealing) -> Appended {
        let request = Request {
            service: CUT,
            wanted: vec![Wanted { resource: CHAIR, units: 1 }],
            slot: slot(hour),
            parts,
            party: 1,
            channel: Channel::Online,
            policy: None,
            price: None,
            past: None,
        };
        self.tell_sealed(booking(BookingCommand::Request(Box::new(request))), sealing)
    }

    pub(super) fn reschedule(&mut self, booking: BookingId, hour: i64) {
        self.change(booking, Change::Reschedule { slot: slot(hour), wanted: None });
    }

    /// Cancels with a note of somebody who has a part in it.
    pub(super) fn cancel(&mut self, id: BookingId, person: PersonId) {
        let handle = self.parts[&id].iter().find(|part| part.person == person).unwrap().handle;
        let mut sealing = self.tenant().ledger.sealing();
        let part = sealing.continued(person, handle).unwrap();
        let content = Personal::default().with(Field::CancelNote, "is ill".to_owned());
        let note = sealing.seal::<Details>(&part, Event::KIND_BOOKING_CANCELLED, 0, &content);
        let (note, fence) = (Some(note.unwrap()), Some(part.fence));
        let change = Change::Cancel { by: Side::Client, reason: Reason::Illness, note, fence };
        self.tell_sealed(changed(id, change), sealing);
    }

    pub(super) fn complete(&mut self, booking: BookingId) {
        self.change(booking, Change::Complete);
    }

    pub(super) fn erase_content(&mut self, booking: BookingId) {
        self.change(booking, Change::EraseContent);
    }

    fn change(&self, booking: BookingId, change: Change) {
        self.tell(changed(booking, change));
    }

    pub(super) fn consent(&mut self, person: PersonId) {
        let append = self.sealed_consent(person);
        self.hand_in(append).unwrap();
    }

    pub(super) fn hand_in(&self, append: Append) -> Result<Appended, AppendError> {
        self.tenant().ledger.append_blocking(append)
    }

    /// A consent for which everything is sealed, not handed in yet.
    pub(super) fn sealed_consent(&self, person: PersonId) -> Append {
        let mut sealing = self.tenant().ledger.sealing();
        let part = sealing.known(person).unwrap();
        let content = Personal::default().with(Field::Evidence, "said so".to_owned());
        let evidence = sealing.seal::<Evidence>(&part, Event::KIND_CONSENT_GIVEN, 0, &content);
        let text = Text { hash: domain::ids::Hash([7; 32]), locale: "sv".to_owned() };
        let command = ConsentCommand::Give {
            evidence: evidence.unwrap(),
            fence: part.fence,
            purpose: Purpose::Offers,
            medium: Medium::Email,
            occasion: Occasion::Desk,
            text,
        };
        Append::new(Command::Consent(command), Actor::System).sealed(sealing)
    }

    pub(super) fn rectify(&mut self, person: PersonId) {
        let info = self.tenant().keyring().info(person).unwrap().unwrap();
        let mut sealing = self.tenant().ledger.sealing();
        let part = sealing.known(person).unwrap();
        let content = Personal::default().with(Field::Name, "Anna Berg".to_owned());
        let given = content.fields();
        sealing.replace_lookups(person, given, &[]).unwrap();
        let kind = Event::KIND_PERSON_RECTIFIED;
        let contact = sealing.seal::<Contact>(&part, kind, 0, &content).unwrap();
        let (registration, fence) = (info.registration.unwrap(), part.fence);
        let command =
            PersonCommand::Rectify { registration, contact, fence, given, expected: None };
        self.tell_sealed(Command::Person(command), sealing);
    }

    pub(super) fn restrict(&mut self, person: PersonId) {
        let info = self.tenant().keyring().info(person).unwrap().unwrap();
        let (ground, until) = (RestrictionGround::Objection, None);
        let registration = info.registration.unwrap();
        self.tell(Command::Person(PersonCommand::Restrict { registration, ground, until }));
    }

    /// Erases somebody, and waits until links and seals are gone too.
    pub(super) fn erase(&mut self, person: PersonId) {
        let erasure = wait(self.tenant().ledger.erase(person)).unwrap();
        wait(erasure.cleared).unwrap().unwrap();
    }

    pub(super) fn wait_until(&mut self, hour: i64) {
        self.clock.0.store(FIRST_HOUR + hour * 3600, Ordering::Relaxed);
    }

    /// Closes the files.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("data/tenants/salon")
    }

    pub(super) fn audit(&self) -> Report {
        audit(&self.folder())
    }

    /// Does what only somebody can do who has the file.
    pub(super) fn tampered(&self, tamper: impl FnOnce(&Connection)) {
        assert!(self.open.is_none(), "nobody tampers with a ledger that is open");
        let conn = Connection::open(self.folder().join("ledger.sqlite")).unwrap();
        let triggers =
            ["entry_is_not_updated", "entry_is_not_deleted", "entry_has_the_next_position"];
        for trigger in triggers {
            conn.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
        }
        tamper(&conn);
    }

    /// The files as a crash would leave them.
    pub(super) fn copied_while_open(&self) -> TempDir {
        assert!(self.open.is_some());
        let copy = tempfile::tempdir().unwrap();
        for file in ["ledger.sqlite", "ledger.sqlite-wal"] {
            std::fs::copy(self.folder().join(file), copy.path().join(file)).unwrap();
        }
        copy
    }

    /// The first entry that is like this.
    pub(super) fn position_of(&self, is_like: impl Fn(&Event) -> bool) -> u64 {
        let log = Log::open(&self.folder().join("ledger.sqlite")).unwrap();
        let entries = log.entries(Position(0), 1000).unwrap();
        let found = entries.iter().find(|entry| is_like(&entry.decode().unwrap().recorded.event));
        found.unwrap().position.0
    }
}

pub(super) fn audit(folder: &Path) -> Report {
    let log = Log::open(&folder.join("ledger.sqlite")).unwrap();
    verify(&log, &mut |_, _| ()).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn slot(hour: i64) -> Slot {
    let at = |hour: i64| Timestamp::from_second(FIRST_HOUR + hour * 3600).unwrap();
    Slot::new(at(hour), at(hour + 1)).unwrap()
}

fn catalogue(command: CatalogueCommand) -> Command {
    Command::Catalogue(command)
}

fn booking(command: BookingCommand) -> Command {
    Command::Booking(command)
}

fn changed(id: BookingId, change: Change) -> Command {
    booking(BookingCommand::Change { booking: id, expected: None, change })
}

fn registration(sealing: &mut Sealing) -> (Part, domain::Sealed<Contact>) {
    let content = Personal::default().with(Field::Name, "Anna Ek".to_owned());
    let part = sealing.new_person(content.fields(), &[]).unwrap();
    let contact = sealing.seal(&part, Event::KIND_PERSON_REGISTERED, 0, &content).unwrap();
    (part, contact)
}

/// A part with a seal of every class, `index` counting them.
fn new_part(sealing: &mut Sealing, part: Part, index: &mut u16) -> NewPart {
    let kind = Event::KIND_BOOKING_REQUESTED;
    let said = |field, text: &str| Personal::default().with(field, text.to_owned());
    let mut next = || {
        *index += 1;
        *index - 1
    };
    let details = said(Field::Note, "fringe");
    let details = sealing.seal::<Details>(&part, kind, next(), &details).unwrap();
    let health = said(Field::HealthNote, "allergic");
    let health = sealing.seal::<Health>(&part, kind, next(), &health).unwrap();
    let invoice = said(Field::InvoiceName, "Ek AB");
    let accounting = sealing.seal_for_year::<Accounting>(&part, 2027, kind, next(), &invoice);
    NewPart {
        handle: part.handle,
        role: Role::Participant,
        details,
        health: Some(health),
        accounting: Some(accounting.unwrap()),
        fence: part.fence,
        given: part.fields,
        registers: None,
    }
}
