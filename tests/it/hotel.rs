//! A small hotel on real files: tests open it, end it, copy it as a crash would leave it, and look
//! into every byte of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use domain::booking::{Change, Role, Wanted};
use domain::catalogue::{CatalogueCommand, Confirmation, Length, Resource, ResourceKind, Service};
use domain::facet::Channel;
use domain::ids::ActorId;
use domain::ledger::ReadPurpose;
use domain::policy::{Policy, PolicyCommand};
use domain::sealed::SealRef;
use domain::slot::{Hours, Slot, Zone};
use domain::{
    Actor, BookingId, Command, Event, Field, GroupId, Position, Recorded, ResourceId,
    RetentionClass, ServiceId,
};
use eventstore::ledger::audit::verify;
use eventstore::{
    Append, AppendError, Appended, Clock, Entropy, Environment, Opening, PersonId, PersonState,
    Personal, SealAt, Tenant,
};
use gateway::intake::{self, BookingIn, PartIn, Sender, Who};
use gateway::{App, AppError, Desk};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Stands in every personal text that a test seals, so that one search finds anybody's.
pub(crate) const MARK: &str = "zqperson";

/// Noon of the first day, a Monday.
pub(crate) const NOON: i64 = 1_900_022_400;

pub(crate) const NAME: &str = "hotel";

/// The time of day is what a test sets. What runs since the machine started goes on by itself, a
/// millisecond at each look, for some work waits for a moment.
struct SetClock {
    seconds: AtomicI64,
    looks: AtomicU64,
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds.load(Ordering::SeqCst)).unwrap()
    }

    fn since_boot(&self) -> Duration {
        let seconds = self.seconds.load(Ordering::SeqCst).unsigned_abs();
        Duration::from_millis(seconds * 1000 + self.looks.fetch_add(1, Ordering::SeqCst))
    }
}

struct Seeded(Mutex<fastrand::Rng>);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill(bytes);
    }
}

pub(crate) struct Hotel {
    folder: TempDir,
    /// The database, where the ledgers are in one.
    ledger: Option<String>,
    clock: Arc<SetClock>,
    env: Environment,
    open: Option<(App, Arc<Desk>)>,
    runtime: Runtime,
    pub(crate) group: GroupId,
    pub(crate) rooms: Vec<ResourceId>,
    pub(crate) visit: ServiceId,
}

/// What somebody says who books.
pub(crate) struct Guest<'a> {
    pub(crate) who: Who,
    /// Their name, for somebody new.
    pub(crate) name: &'a str,
    pub(crate) note: &'a str,
}

impl Hotel {
    /// Opens a hotel with rooms of these capacities; chance comes from the seed.
    pub(crate) fn open(seed: u64, rooms: &[u16]) -> Self {
        let ledger = system_tests::database();
        let (clock, env) =
            world(if ledger.is_some() { 1000 * system_tests::a_number() + seed } else { seed });
        let folder = tempfile::tempdir().unwrap();
        let (data, keys) = (data(&folder), keys(&folder));
        if let Some(address) = &ledger {
            fs::write(folder.path().join(crate::program::LEDGER), address).unwrap();
        }
        let app = system_tests::open_at(ledger.as_deref(), &data, &keys, env.clone()).unwrap();
        let desk = app.create_tenant(NAME, Zone::utc()).unwrap();
        let (open, runtime) = (Some((app, desk)), new_runtime());
        let (group, visit) = (GroupId(0), ServiceId(0));
        let rooms_made = Vec::new();
        let mut hotel =
            Self { folder, ledger, clock, env, open, runtime, group, rooms: rooms_made, visit };
        hotel.furnish(rooms);
        hotel
    }

    fn furnish(&mut self, rooms: &[u16]) {
        let mut policy = Policy::new(Zone::utc());
        policy.collect.extend([Field::HealthNote, Field::InvoiceName]);
        self.tell(Command::Policy(PolicyCommand::Set { expected: None, policy }));
        let group = CatalogueCommand::DefineGroup { name: "House".to_owned() };
        self.group = GroupId(self.tell(Command::Catalogue(group)).first.0);
        for (number, capacity) in rooms.iter().enumerate() {
            let room = self.room(&format!("Room {number}"), *capacity);
            let define = Command::Catalogue(CatalogueCommand::DefineResource(room));
            let defined = self.tell(define);
            self.rooms.push(ResourceId(defined.first.0));
        }
        let visit = CatalogueCommand::DefineService(service("Visit", Confirmation::Instant));
        self.visit = ServiceId(self.tell(Command::Catalogue(visit)).first.0);
        let ledger = &self.tenant().ledger;
        for year in [2030, 2031] {
            self.wait(ledger.ensure_period(RetentionClass::Accounting, year)).unwrap();
        }
    }

    pub(crate) fn room(&self, name: &str, capacity: u16) -> Resource {
        Resource {
            capacity,
            group: self.group,
            hours: Hours::always(),
            kind: ResourceKind::Room,
            name: name.to_owned(),
            zone: Zone::utc(),
        }
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.open.as_ref().unwrap().1
    }

    pub(crate) fn tenant(&self) -> &Tenant {
        &self.desk().tenant
    }

    pub(crate) fn data(&self) -> PathBuf {
        data(&self.folder)
    }

    pub(crate) fn keys(&self) -> PathBuf {
        keys(&self.folder)
    }

    pub(crate) fn ledger_file(&self) -> PathBuf {
        self.data().join("tenants").join(NAME).join("ledger.sqlite")
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.seconds.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    #[track_caller]
    pub(crate) fn tell(&self, command: Command) -> Appended {
        self.append(Append::new(command, staff().actor)).unwrap()
    }

    pub(crate) fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.tenant().ledger.append_blocking(append)
    }

    /// Ends the program in good order.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    pub(crate) fn try_reopen(&mut self) -> Result<(), AppError> {
        self.open = None;
        let (data, keys, ledger) = (self.data(), self.keys(), self.ledger.as_deref());
        let app = system_tests::open_at(ledger, &data, &keys, self.env.clone())?;
        let desk = app.desk(NAME)?;
        self.open = Some((app, desk));
        Ok(())
    }

    #[track_caller]
    pub(crate) fn reopen(&mut self) {
        self.try_reopen().unwrap();
    }

    /// Goes on with the files as a crash would have left them now.
    pub(crate) fn crash(&mut self) {
        let left = self.copy();
        self.go_on_with(left);
    }

    /// Goes on with other files.
    pub(crate) fn go_on_with(&mut self, files: TempDir) {
        self.open = None;
        self.folder = files;
        self.reopen();
    }

    /// All files as they are at one moment, the program's memory left out.
    pub(crate) fn copy(&self) -> TempDir {
        copy(&self.data(), &self.keys())
    }

    /// Another hotel on a copy of these files, at the same time.
    pub(crate) fn on(&self, files: TempDir) -> Self {
        let mut copy = Self::of(files);
        copy.clock.seconds.store(self.now(), Ordering::SeqCst);
        copy.rooms.clone_from(&self.rooms);
        Self { group: self.group, visit: self.visit, ..copy }
    }

    /// A hotel on files that something else has written.
    #[track_caller]
    pub(crate) fn of(files: TempDir) -> Self {
        let (clock, env) = world(1);
        let (open, rooms, runtime) = (None, Vec::new(), new_runtime());
        let (group, visit) = (GroupId(0), ServiceId(0));
        let (ledger, folder) = (None, files);
        let mut hotel = Self { folder, ledger, clock, env, open, runtime, group, rooms, visit };
        hotel.reopen();
        hotel
    }

    /// A visit of one hour, which staff books.
    pub(crate) fn book(
        &self,
        room: usize,
        start: i64,
        guests: &[Guest<'_>],
    ) -> (BookingId, Position) {
        let slot = slot(start, 1);
        let parts = guests.iter().zip(0..).map(|(guest, place)| {
            let role = if place == 0 { Role::Booker } else { Role::Participant };
            part(guest, role)
        });
        let booking = self.wish(self.rooms[room], slot, parts.collect());
        let (append, _) = intake::booking(self.tenant(), booking, 2030, staff()).unwrap();
        let appended = self.append(append).unwrap();
        let new = guests.iter().filter(|guest| guest.who == Who::New).count();
        (intake::booking_id(&appended, new), appended.first)
    }

    pub(crate) fn wish(&self, room: ResourceId, slot: Slot, parts: Vec<PartIn>) -> BookingIn {
        let wanted = vec![Wanted { resource: room, units: 1 }];
        let (service, party, channel) = (self.visit, 1, Channel::Online);
        let (policy, price, past) = (None, None, None);
        BookingIn { service, wanted, slot, parts, party, channel, policy, price, past }
    }

    pub(crate) fn change(
        &self,
        booking: BookingId,
        change: Change,
    ) -> Result<Appended, AppendError> {
        self.append(Append::new(changed(booking, change), staff().actor))
    }

    /// The person who was registered by this entry.
    pub(crate) fn person_at(&self, position: Position) -> PersonId {
        let Event::PersonRegistered(event) = self.entry(position).event else {
            panic!("nobody was registered at {position}");
        };
        let handle = event.contact.handle;
        self.tenant().keyring().persons_of(&[handle]).unwrap()[&handle]
    }

    /// Erases somebody, links and seals too.
    #[track_caller]
    pub(crate) fn erase(&self, person: PersonId) {
        self.wait(async {
            let erasure = self.tenant().ledger.erase(person).await.unwrap();
            erasure.cleared.await.unwrap().unwrap();
        });
    }

    pub(crate) fn state(&self, person: PersonId) -> PersonState {
        self.tenant().keyring().info(person).unwrap().unwrap().state
    }

    /// Waits until no erasure is under way any more.
    #[track_caller]
    pub(crate) fn let_erasures_end(&self) {
        for _ in 0..2000 {
            let persons = self.tenant().keyring().page(PersonId(0), 100_000).unwrap();
            if persons.iter().all(|person| person.state != PersonState::Erasing) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("an erasure does not end");
    }

    pub(crate) fn entry(&self, position: Position) -> Recorded {
        self.tenant().log().entry(position).unwrap().unwrap().decode().unwrap().recorded
    }

    /// Every seal that an entry refers to, with its entry.
    pub(crate) fn seals(&self) -> Vec<(Recorded, SealRef)> {
        let entries = self.tenant().log().entries(Position(0), usize::MAX >> 1).unwrap();
        let recorded = entries.iter().map(|entry| entry.decode().unwrap().recorded);
        recorded
            .flat_map(|entry| {
                entry.event.seals().into_iter().map(move |seal| (entry.clone(), seal))
            })
            .collect()
    }

    /// What comes of opening seals, as text: what they say, or why they say nothing.
    pub(crate) fn read(&self, seals: &[SealAt]) -> Vec<String> {
        self.read_for(ReadPurpose::Bookkeeping, seals)
    }

    pub(crate) fn read_for(&self, purpose: ReadPurpose, seals: &[SealAt]) -> Vec<String> {
        let classes = RetentionClass::ALL;
        let ticket = self.tenant().disclose(staff().actor, purpose, &classes, &[]);
        let ticket = self.wait(ticket).unwrap();
        let opened = self.tenant().keyring().open(&ticket, seals).unwrap();
        opened.iter().map(text).collect()
    }

    /// That nothing is wrong with ledger and read models.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        let report = verify(self.tenant().log(), &mut |_, _| ()).unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
        let (live, rebuilt) = self.desk().rebuild(&|_, _| ()).unwrap();
        assert_eq!(live, rebuilt);
    }

    /// Which of these texts stand in a file, capitals or not, with the file.
    pub(crate) fn found_in_files(&self, texts: &[&str]) -> Vec<(String, PathBuf)> {
        let all = files(self.folder.path());
        all.into_iter().flat_map(|file| found_in(&file, texts)).collect()
    }
}

fn world(seed: u64) -> (Arc<SetClock>, Environment) {
    let clock = Arc::new(SetClock { seconds: AtomicI64::new(NOON), looks: AtomicU64::new(0) });
    let entropy = Arc::new(Seeded(Mutex::new(fastrand::Rng::with_seed(seed))));
    let env = Environment { clock: Arc::clone(&clock) as Arc<dyn Clock>, entropy };
    (clock, env)
}

fn new_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn keys(folder: &TempDir) -> PathBuf {
    folder.path().join("data.keys")
}

pub(crate) fn staff() -> Sender {
    Sender::new(Actor::Staff(ActorId(1)))
}

pub(crate) fn service(name: &str, confirmation: Confirmation) -> Service {
    Service {
        buffer_after: 0,
        buffer_before: 0,
        confirmation,
        length: Length::Between { from_minutes: 15, to_minutes: 3 * 24 * 60 },
        name: name.to_owned(),
        price: None,
        requires: BTreeSet::new(),
        resources: BTreeSet::new(),
    }
}

pub(crate) fn slot(start: i64, hours: i64) -> Slot {
    let at = |second| Timestamp::from_second(second).unwrap();
    Slot::new(at(start), at(start + hours * 3600)).unwrap()
}

pub(crate) fn changed(booking: BookingId, change: Change) -> Command {
    let expected = None;
    Command::Booking(domain::booking::BookingCommand::Change { booking, expected, change })
}

/// A part with something of every class.
pub(crate) fn part(guest: &Guest<'_>, role: Role) -> PartIn {
    let note = guest.note.to_owned();
    let mut fields = Personal::default()
        .with(Field::Note, note.clone())
        .with(Field::HealthNote, note.clone())
        .with(Field::InvoiceName, note);
    if guest.who == Who::New {
        fields = contact(fields, guest.name);
    }
    PartIn { who: guest.who, role, fields, references: Vec::new() }
}

pub(crate) fn contact(fields: Personal, name: &str) -> Personal {
    let mail = format!("{name}@example.org");
    fields.with(Field::Name, name.to_owned()).with(Field::Email, mail)
}

/// What one of the fields says, or the name of the state.
pub(crate) fn text(opening: &Opening) -> String {
    match opening {
        Opening::Live(fields) => {
            let said = Field::ALL.into_iter().find_map(|field| fields.reveal(field));
            said.unwrap_or("nothing said").to_owned()
        }
        Opening::Restricted | Opening::Erased | Opening::UnknownKey | Opening::Tampered => {
            opening.state().to_owned()
        }
    }
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn found_in(file: &Path, texts: &[&str]) -> Vec<(String, PathBuf)> {
    // A socket is no place for anything.
    let Ok(mut bytes) = fs::read(file) else { return Vec::new() };
    bytes.make_ascii_lowercase();
    let stands = |text: &&&str| {
        let text = text.to_ascii_lowercase().into_bytes();
        bytes.windows(text.len()).any(|window| window == text)
    };
    texts.iter().filter(stands).map(|text| ((*text).to_owned(), file.to_owned())).collect()
}

/// A copy of data and keys at one moment, between two commits. A reader alone would not do: one that
/// begins when all of the write-ahead log is folded back lets it be begun anew under the copying,
/// and the beginning of an old log over a newer file is a state that never was.
pub(crate) fn copy(data: &Path, keys: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    // The mark first: it never promises more than the ledger has.
    copy_files(keys, &to.path().join("data.keys"));
    let moments: Vec<Connection> =
        files(data).iter().filter(|file| is_database(file)).map(|file| moment(file)).collect();
    copy_files(data, &to.path().join("data"));
    drop(moments);
    to
}

fn is_database(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "sqlite")
}

/// Keeps the file as it is now: whoever wants to write it waits.
fn moment(file: &Path) -> Connection {
    let conn = Connection::open(file).unwrap();
    conn.busy_timeout(Duration::from_secs(10)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn
}

/// Copies files; what only lives with the process stays behind.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    let stays = ["-shm", ".lock", ".sock"];
    for file in files(from) {
        let name = file.to_string_lossy().into_owned();
        let path = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !stays.iter().any(|ending| name.ends_with(ending)) {
            fs::copy(&file, &path).unwrap();
        }
    }
}
