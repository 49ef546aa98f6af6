//! An auditor replays a ledger and reads what happened, names nobody, and sees what was erased.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use domain::booking::{BookingCommand, Change, Reason, Role, Side, Wanted};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Resource, ResourceKind, Service};
use domain::facet::Channel;
use domain::ids::ActorId;
use domain::slot::{Hours, Slot, Zone};
use domain::{Actor, BookingId, Command, Field, GroupId, Position, ResourceId, ServiceId};
use eventstore::ledger::audit::verify;
use eventstore::{
    Append, Appended, Clock, Entropy, Environment, IdKind, Part, PersonId, Personal, Store, Tenant,
};
use gateway::audit::{AsOf, Replay, ReplayError, Scope, Summary, Told};
use gateway::intake::{self, BookingIn, CancelIn, PartIn, Sender, Who};
use jiff::Timestamp;

const CHAIR: ResourceId = ResourceId(2);
const ROOM: ResourceId = ResourceId(3);
const CUT: ServiceId = ServiceId(4);
/// The name of everybody who ever comes here.
const NAME: &str = "Anna Ek";
const NOON: i64 = 1_800_014_400;

struct World {
    seconds: AtomicI64,
    bytes: AtomicU64,
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds.load(Ordering::Relaxed)).unwrap()
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::Relaxed).unsigned_abs())
    }
}

impl Entropy for World {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.bytes.fetch_add(1, Ordering::Relaxed);
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            chunk.copy_from_slice(&mixed[..chunk.len()]);
        }
    }
}

struct Salon {
    world: Arc<World>,
    tenant: Arc<Tenant>,
    _store: Store,
    _dir: tempfile::TempDir,
}

impl Salon {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let seconds = AtomicI64::new(NOON - 24 * 3600);
        let world = Arc::new(World { seconds, bytes: AtomicU64::new(1) });
        let clock = Arc::clone(&world) as Arc<dyn Clock>;
        let env = Environment { clock, entropy: Arc::clone(&world) as Arc<dyn Entropy> };
        let store = Store::open(&dir.path().join("data"), &dir.path().join("keys"), env).unwrap();
        let tenant = store.create_tenant("salon", Zone::utc()).unwrap();
        let salon = Self { world, tenant, _store: store, _dir: dir };
        salon.tell(CatalogueCommand::DefineGroup { name: "Salon".to_owned() });
        for name in ["Chair", "Room"] {
            salon.tell(CatalogueCommand::DefineResource(resource(name)));
        }
        salon.tell(CatalogueCommand::DefineService(service()));
        salon
    }

    fn tell(&self, command: CatalogueCommand) {
        self.append(Append::new(Command::Catalogue(command), staff().actor));
    }

    fn append(&self, append: Append) -> Appended {
        self.tenant.ledger.append_blocking(append).unwrap()
    }

    /// A booking of somebody new, an hour long.
    fn book(&self, resource: ResourceId, hour: i64) -> (BookingId, Part) {
        let fields = Personal::default()
            .with(Field::Name, NAME.to_owned())
            .with(Field::Note, "fringe".to_owned());
        let part = PartIn { who: Who::New, role: Role::Booker, fields, references: Vec::new() };
        let booking = BookingIn {
            service: CUT,
            wanted: vec![Wanted { resource, units: 1 }],
            slot: slot(hour),
            parts: vec![part],
            party: 1,
            channel: Channel::Online,
            policy: None,
            price: None,
            past: None,
        };
        let (append, parts) = intake::booking(&self.tenant, booking, 2027, staff()).unwrap();
        (intake::booking_id(&self.append(append), 1), parts[0])
    }

    fn reschedule(&self, booking: BookingId, resource: ResourceId, hour: i64) {
        let wanted = Some(vec![Wanted { resource, units: 1 }]);
        let change = Change::Reschedule { slot: slot(hour), wanted };
        let command = BookingCommand::Change { booking, expected: None, change };
        self.append(Append::new(Command::Booking(command), staff().actor));
    }

    fn cancel(&self, booking: BookingId, part: Part) {
        let (by, reason) = (Side::Client, Reason::Illness);
        let cancel = CancelIn { booking, expected: None, by, reason };
        let note = Some((part.person, part.handle, "is ill".to_owned()));
        let sender = Sender::new(Actor::Client(part.handle));
        self.append(intake::cancel(&self.tenant, cancel, note, sender).unwrap());
    }

    fn erase(&self, person: PersonId) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let erasure = self.tenant.ledger.erase(person).await.unwrap();
            erasure.cleared.await.unwrap().unwrap();
        });
    }

    fn wait(&self, seconds: i64) {
        self.world.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn replay(&self, scope: Scope, as_of: Option<AsOf>) -> (Vec<Told>, Summary) {
        let mut told = Vec::new();
        let (log, ids) = (self.tenant.log(), self.tenant.ids());
        let replay = Replay { log, ids, scope, as_of };
        let summary = replay.run(&mut |entry| told.push(entry.clone()), &mut |_, _| ()).unwrap();
        assert_eq!(summary.entries, told.len() as u64);
        (told, summary)
    }

    fn kinds(&self, scope: Scope, as_of: Option<AsOf>) -> Vec<&'static str> {
        self.replay(scope, as_of).0.iter().map(|told| told.kind).collect()
    }
}

fn staff() -> Sender {
    Sender::new(Actor::Staff(ActorId(1)))
}

fn resource(name: &str) -> Resource {
    let (capacity, group, kind) = (1, GroupId(1), ResourceKind::Room);
    Resource {
        capacity,
        group,
        hours: Hours::always(),
        kind,
        name: name.to_owned(),
        zone: Zone::utc(),
    }
}

fn service() -> Service {
    Service {
        buffer_after: 0,
        buffer_before: 0,
        confirmation: Confirmation::Instant,
        length: Length::Fixed { minutes: 60 },
        name: "Cut".to_owned(),
        price: None,
        requires: [].into(),
        resources: [].into(),
    }
}

fn slot(hour: i64) -> Slot {
    let at = |hour: i64| Timestamp::from_second(NOON + hour * 3600).unwrap();
    Slot::new(at(hour), at(hour + 1)).unwrap()
}

#[test]
fn a_booking_is_told_from_its_request_to_its_end() {
    let salon = Salon::open();
    let (booking, part) = salon.book(CHAIR, 0);
    salon.book(CHAIR, 5);
    salon.reschedule(booking, ROOM, 1);
    salon.cancel(booking, part);
    let (told, summary) = salon.replay(Scope::Booking(booking), None);
    let what: Vec<&str> = told.iter().map(|told| told.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "Cut was booked: Chair, 2027-01-15 12:00 to 13:00 UTC",
            "the booking was moved: Room, 2027-01-15 13:00 to 14:00 UTC",
            "the booking was cancelled by client (illness, with a note)",
        ]
    );
    assert_eq!((summary.seals, summary.blanks, summary.missing), (2, 0, 0));
}

#[test]
fn a_replay_names_nobody_and_shows_only_public_ids() {
    let salon = Salon::open();
    let (booking, part) = salon.book(CHAIR, 0);
    salon.cancel(booking, part);
    let (told, _) = salon.replay(Scope::Whole, None);
    let ids = salon.tenant.ids();
    let last = told.last().unwrap();
    assert_eq!(last.booking, Some(ids.show(IdKind::Booking, booking.0)));
    assert_eq!(last.by.id, Some(ids.show(IdKind::Part, part.handle.0)));
    for entry in &told {
        let text = format!("{entry}{}", serde_json::to_string(entry).unwrap());
        assert!(!text.contains(NAME) && !text.contains("fringe"), "{text}");
    }
}

#[test]
fn a_replay_ends_with_the_position_or_time_it_is_asked_for() {
    let salon = Salon::open();
    let (booking, _) = salon.book(CHAIR, 0);
    salon.wait(60);
    salon.reschedule(booking, CHAIR, 1);
    let whole = salon.kinds(Scope::Whole, None).len();
    let before = AsOf::Recorded(Timestamp::from_second(NOON - 24 * 3600 + 59).unwrap());
    assert_eq!(salon.kinds(Scope::Booking(booking), Some(before)), ["booking.requested"]);
    assert_eq!(salon.kinds(Scope::Whole, Some(before)).len(), whole - 1);
    let third = AsOf::Position(Position(2));
    let kinds = ["policy.set", "group.defined", "resource.defined"];
    assert_eq!(salon.kinds(Scope::Whole, Some(third)), kinds);
}

#[test]
fn a_resource_is_told_with_the_bookings_on_it_until_they_leave() {
    let salon = Salon::open();
    let (leaves, leaver) = salon.book(CHAIR, 0);
    let (comes, comer) = salon.book(ROOM, 1);
    salon.reschedule(leaves, ROOM, 3);
    salon.cancel(leaves, leaver);
    salon.reschedule(comes, CHAIR, 1);
    salon.cancel(comes, comer);
    let kinds = salon.kinds(Scope::Resource(CHAIR), None);
    let (asked, moved) = ("booking.requested", "booking.rescheduled");
    assert_eq!(kinds, ["resource.defined", asked, moved, moved, "booking.cancelled"]);
}

#[test]
fn what_was_erased_is_told_as_erased_and_the_blanks_agree() {
    let salon = Salon::open();
    let (booking, part) = salon.book(CHAIR, 0);
    let (_, other) = salon.book(CHAIR, 2);
    salon.cancel(booking, part);
    salon.erase(part.person);
    let (told, summary) = salon.replay(Scope::Whole, None);
    assert_eq!((summary.seals, summary.blanks, summary.missing), (5, 3, 0));
    assert_eq!(summary.blanks_agree, Some(true));
    let states = |handle| {
        let id = salon.tenant.ids().show(IdKind::Part, handle);
        let seals = told.iter().flat_map(|told| told.seals.clone());
        seals.filter(move |seal| seal.part == id).map(|seal| seal.state.name()).collect::<Vec<_>>()
    };
    assert_eq!(states(part.handle.0), ["erased", "erased"]);
    assert_eq!(states(other.handle.0), ["sealed"]);
    assert!(verify(salon.tenant.log(), &mut |_, _| ()).unwrap().is_clean());
}

#[test]
fn a_thing_that_is_not_in_the_ledger_is_not_replayed() {
    let salon = Salon::open();
    for scope in [
        Scope::Booking(BookingId(0)),
        Scope::Booking(BookingId(99)),
        Scope::Resource(ResourceId(1)),
    ] {
        let (log, ids) = (salon.tenant.log(), salon.tenant.ids());
        let replay = Replay { log, ids, scope, as_of: None };
        let failed = replay.run(&mut |_| (), &mut |_, _| ());
        assert!(matches!(failed, Err(ReplayError::Unknown(_))));
    }
}

#[test]
fn a_moment_is_a_position_or_a_time() {
    assert_eq!("17".parse(), Ok(AsOf::Position(Position(17))));
    let time = Timestamp::from_second(NOON).unwrap();
    assert_eq!(time.to_string().parse(), Ok(AsOf::Recorded(time)));
    assert!("yesterday".parse::<AsOf>().is_err());
}
