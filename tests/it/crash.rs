//! Killed at any moment (SIGKILL), a process loses nothing that it acknowledged and leaves nothing
//! half-done: imports, appends and erasures, each killed many times over.
//!
//! The moments are random; a failure prints the seed. What is checked is a copy of the files, so
//! that the next process finds them as the crash left them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use domain::booking::{Role, Wanted};
use domain::facet::Channel;
use domain::{Event, FenceId, Handle, Position, ResourceId, RetentionClass, ServiceId};
use eventstore::{PersonId, PersonState, SealAt};
use gateway::intake::{self, BookingIn, Who};
use gateway::{App, Desk, clock};
use serde_json::Value;
use tempfile::TempDir;

use crate::erasure::{STAYS, statistics, stays};
use crate::hotel::{Guest, Hotel, MARK, NAME, NOON, copy_files, part, slot, staff};
use crate::program::{run, start};

const KILLS: u32 = 20;

/// Moments from a seed that a failure prints, for it is dropped then. They fit themselves to how
/// fast the machine is: later where a kill came before anything was done, earlier where the work
/// was over.
struct Chance {
    seed: u64,
    random: fastrand::Rng,
    most: u64,
}

impl Chance {
    fn new(seed: u64) -> Self {
        Self { seed, random: fastrand::Rng::with_seed(seed), most: 300 }
    }

    fn wait(&mut self) {
        thread::sleep(Duration::from_millis(self.random.u64(10..self.most)));
    }

    fn too_early(&mut self) {
        self.most += self.most / 3;
    }

    fn too_late(&mut self) {
        self.most -= self.most / 4;
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        if thread::panicking() {
            let said = writeln!(std::io::stderr(), "the moments of the kills: seed {}", self.seed);
            drop(said);
        }
    }
}

/// Files that processes work on, one after another.
struct Site(TempDir);

impl Site {
    /// A tenant without anything.
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        site.run(&["tenant", "create", NAME, "--zone", "Europe/Stockholm"]);
        fs::write(site.path("mapping.toml"), STAYS).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Runs the program to its end, which is a good one.
    #[track_caller]
    fn run(&self, args: &[&str]) -> Value {
        run(&self.data(), &[&["--json"], args].concat()).ended(0).json()
    }

    fn copy(&self) -> TempDir {
        let to = tempfile::tempdir().unwrap();
        copy_files(self.0.path(), to.path());
        to
    }

    /// What the next start finds, once what was under way has come to its end; sound in itself.
    #[track_caller]
    fn after_crash(&self) -> Hotel {
        let hotel = Hotel::of(self.copy());
        hotel.let_erasures_end();
        hotel.desk().follow().unwrap();
        hotel.assert_sound();
        hotel
    }
}

/// Starts the program and kills it at some moment; whether it was still at work then.
fn killed(data: &Path, args: &[&str], chance: &mut Chance) -> bool {
    let mut child = start(data, args);
    chance.wait();
    let ended = child.try_wait().unwrap();
    assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    ended.is_none()
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was() {
    const ROWS: u32 = 1500;
    let mut chance = Chance::new(41);
    let mut site = Site::new();
    let file = site.path("rows.csv");
    fs::write(&file, stays(ROWS, 400)).unwrap();
    // Only kills that came while entries were written count.
    let (mut entries, mut kills) = (0, 0);
    while kills < KILLS {
        let (file, mapping) = (site.path("rows.csv"), site.path("mapping.toml"));
        let (file, mapping) = (file.to_str().unwrap(), mapping.to_str().unwrap());
        let import = ["import", file, "--mapping", mapping, "--tenant", NAME];
        if killed(&site.data(), &import, &mut chance) {
            let hotel = site.after_crash();
            let found = hotel.tenant().log().size();
            kills += u32::from(found > entries);
            assert!(found >= entries, "of {entries} entries {found} are left");
            if found == entries {
                chance.too_early();
            }
            entries = found;
            assert_rows_are_whole(&hotel);
        } else {
            chance.too_late();
            assert_imported(&site, ROWS);
            site = Site::new();
            fs::write(site.path("rows.csv"), stays(ROWS, 400)).unwrap();
            entries = 0;
        }
    }
    assert_imported(&site, ROWS);
}

/// That no row of the file is there without what became of it.
fn assert_rows_are_whole(hotel: &Hotel) {
    let outcomes = statistics(hotel).1[0].clone();
    let open: Vec<&String> = outcomes
        .as_object()
        .unwrap()
        .keys()
        .filter(|outcome| !["completed", "cancelled", "no_show"].contains(&outcome.as_str()))
        .collect();
    assert_eq!(open, [] as [&String; 0]);
}

/// That running the import once more ends it, with each row once.
#[track_caller]
fn assert_imported(site: &Site, rows: u32) {
    let (file, mapping) = (site.path("rows.csv"), site.path("mapping.toml"));
    let (file, mapping) = (file.to_str().unwrap(), mapping.to_str().unwrap());
    let report = site.run(&["import", file, "--mapping", mapping, "--tenant", NAME]);
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(number(&report["imported"]) + number(&report["repeated"]), u64::from(rows));
    let counts = site.run(&["stats", "--tenant", NAME, "--by", "outcome"]);
    assert_eq!(counts.as_object().unwrap().values().map(number).sum::<u64>(), u64::from(rows));
    site.run(&["audit", "verify", "--tenant", NAME]);
}

/// The catalogue of the hotel that the child books in.
const ROOM: ResourceId = ResourceId(3);
const VISIT: ServiceId = ServiceId(4);

/// Where the child finds its files; unset in every other run.
const CHILD: &str = "TIDBOK_CRASH_CHILD";

/// Not a test by itself: the process that the next test kills.
#[test]
fn a_child_that_appends() {
    let Some(folder) = env::var_os(CHILD).map(PathBuf::from) else { return };
    let app = App::open(&folder.join("data"), &folder.join("data.keys"), clock::system()).unwrap();
    let desk = app.desk(NAME).unwrap();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let desk = Arc::clone(&desk);
            thread::spawn(move || (0..i64::MAX).for_each(|number| append(&desk, thread, number)))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Appends a booking of somebody new and says so once it is acknowledged.
fn append(desk: &Desk, thread: i64, number: i64) {
    let name = format!("{MARK}{thread}-{number}");
    let booking = BookingIn {
        service: VISIT,
        wanted: vec![Wanted { resource: ROOM, units: 1 }],
        slot: slot(NOON + 3600 * (8 * number + thread), 1),
        parts: vec![part(&Guest { who: Who::New, name: &name, note: &name }, Role::Booker)],
        party: 1,
        channel: Channel::Online,
        policy: None,
        price: None,
        past: None,
    };
    let (append, _) = intake::booking(&desk.tenant, booking, 2030, staff()).unwrap();
    let appended = desk.tenant.ledger.append_blocking(append).unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "appended {} {name}", appended.last().0).unwrap();
}

/// What was acknowledged: the booking's position and what its note says.
type Acknowledged = Vec<(Position, String)>;

/// Starts the child on these files, kills it at some moment, and answers what it had said by then.
fn killed_child(folder: &Path, chance: &mut Chance) -> Acknowledged {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::a_child_that_appends", "--nocapture", "--test-threads=1"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    // What was written into the pipe before the kill is still read after it.
    let heard = thread::spawn(move || out.lines().map_while(Result::ok).collect::<Vec<_>>());
    chance.wait();
    assert!(child.try_wait().unwrap().is_none(), "the child works until it is killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let mut lines = heard.join().unwrap();
    lines.retain(|line| line.starts_with("appended "));
    let acknowledged = lines.iter().filter_map(|line| {
        let (position, name) = line.strip_prefix("appended ")?.split_once(' ')?;
        Some((Position(position.parse().ok()?), name.to_owned()))
    });
    acknowledged.collect()
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let mut chance = Chance::new(42);
    let mut kills = 0;
    let mut acknowledged = 0;
    while kills < KILLS {
        let mut empty = Hotel::open(42, &[60_000]);
        assert_eq!((empty.rooms.as_slice(), empty.visit), ([ROOM].as_slice(), VISIT));
        empty.close();
        let site = Site(tempfile::tempdir().unwrap());
        copy_files(empty.data().parent().unwrap(), site.0.path());
        let mut all = Acknowledged::new();
        for _ in 0..5 {
            let heard = killed_child(site.0.path(), &mut chance);
            if heard.is_empty() {
                chance.too_early();
            }
            all.extend(heard);
            kills += 1;
            assert_all_there(&site.after_crash(), &all);
        }
        acknowledged += all.len();
    }
    assert!(acknowledged > 100, "only {acknowledged} appends were acknowledged");
}

/// That every acknowledged booking stands where it was said to, and opens.
#[track_caller]
fn assert_all_there(hotel: &Hotel, all: &Acknowledged) {
    let mut seals = Vec::new();
    for (position, _) in all {
        let entry = hotel.entry(*position);
        assert!(matches!(entry.event, Event::BookingRequested(_)), "{position}: {entry:?}");
        let kind = entry.event.kind();
        seals.push(SealAt { position: *position, kind, seal: entry.event.seals()[0] });
    }
    let said: Vec<&String> = all.iter().map(|(_, name)| name).collect();
    assert_eq!(hotel.read(&seals).iter().collect::<Vec<_>>(), said);
}

#[test]
fn an_erasure_that_is_killed_is_not_begun_or_whole() {
    let mut chance = Chance::new(43);
    let site = Site::new();
    fs::write(site.path("rows.csv"), stays(200, 120)).unwrap();
    assert_imported(&site, 200);
    let before = statistics(&site.after_crash());
    let (mut site, untouched) = (Site(site.copy()), site);
    // Only kills that came while persons were erased count.
    let (mut kills, mut last) = (0, None);
    while kills < KILLS {
        let live = live_clients(&site);
        if live.is_empty() {
            site = Site(untouched.copy());
            last = None;
            continue;
        }
        let mut args = vec!["erase", "--tenant", NAME, "--person"];
        args.extend(live.iter().map(String::as_str));
        if killed(&site.data(), &args, &mut chance) {
            let hotel = site.after_crash();
            assert_eq!(statistics(&hotel), before);
            let erased = Some(assert_erased_or_not(&hotel));
            kills += u32::from(erased != last);
            if erased == last {
                chance.too_early();
            }
            last = erased;
        } else {
            chance.too_late();
            site = Site(untouched.copy());
            last = None;
        }
    }
    let all = live_clients(&untouched);
    let mut args = vec!["erase", "--tenant", NAME, "--person"];
    args.extend(all.iter().map(String::as_str));
    site.run(&args);
    let hotel = site.after_crash();
    assert_eq!(assert_erased_or_not(&hotel), all.len());
    assert_eq!(statistics(&hotel), before);
}

fn live_clients(site: &Site) -> Vec<String> {
    let clients = site.run(&["clients", "list", "--tenant", NAME]);
    let clients = clients.as_array().unwrap().iter();
    let live = clients.filter(|client| client["state"] == "live");
    live.map(|client| client["id"].as_str().unwrap().to_owned()).collect()
}

/// That everybody is either there with all that is theirs, or gone with all of it; that fences,
/// marks and tombstones agree. How many are erased.
#[track_caller]
fn assert_erased_or_not(hotel: &Hotel) -> usize {
    let keyring = hotel.tenant().keyring();
    let persons = keyring.page(PersonId(0), 10_000).unwrap();
    let erased = persons.iter().filter(|person| person.state == PersonState::Erased).count();
    let live = persons.iter().filter(|person| person.state == PersonState::Live).count();
    assert_eq!(erased + live, persons.len());

    let seals = hotel.seals();
    let handles: Vec<Handle> = seals.iter().map(|(_, seal)| seal.handle).collect();
    let linked = keyring.persons_of(&handles).unwrap();
    let at: Vec<SealAt> = seals
        .iter()
        .map(|(entry, seal)| SealAt {
            position: entry.position,
            kind: entry.event.kind(),
            seal: *seal,
        })
        .collect();
    for (at, said) in at.iter().zip(hotel.read(&at)) {
        let opens =
            linked.contains_key(&at.seal.handle) || at.seal.class == RetentionClass::Accounting;
        assert_eq!(said.contains(MARK), opens, "{at:?}: {said}");
        assert!(opens || said == "erased", "{at:?}: {said}");
    }
    let fences = fences(hotel);
    assert_eq!((fences.len(), fences), (erased, marked_fences(&hotel.keys())));
    erased
}

fn fences(hotel: &Hotel) -> BTreeSet<FenceId> {
    let entries = hotel.tenant().log().entries(Position(0), 100_000).unwrap();
    let events = entries.iter().map(|entry| entry.decode().unwrap().recorded.event);
    let fences = events.filter_map(|event| {
        let Event::PersonErased(event) = event else { return None };
        Some(event.fence)
    });
    fences.collect()
}

/// The fences that the key store knows of.
fn marked_fences(keys: &Path) -> BTreeSet<FenceId> {
    let marks = fs::read_dir(keys.join("marks")).unwrap();
    let text: String =
        marks.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let marks = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    marks.filter_map(|mark| serde_json::from_value(mark["fence"].clone()).ok()).collect()
}

/// The key store has its mark: it would wait for the tenant for ever, and no epoch of its keys would end.
#[test]
fn a_tenant_that_was_made_but_for_its_name_gets_it_with_the_next_start() {
    if system_tests::on_postgres() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, keys) = (folder.path().join("data"), folder.path().join("keys"));
    let open = || App::open(&data, &keys, clock::system()).unwrap();
    drop(open().create_tenant("salon", "Europe/Stockholm".parse().unwrap()).unwrap());
    let tenants = data.join("tenants");
    fs::rename(tenants.join("salon"), tenants.join(".salon.begun")).unwrap();
    fs::create_dir(tenants.join(".spa.begun")).unwrap();
    fs::create_dir(tenants.join(".old.new")).unwrap();
    let app = open();
    assert_eq!(app.store.tenants().unwrap(), ["salon"]);
    assert!(app.store.others().unwrap().is_empty());
    assert_eq!(fs::read_dir(&tenants).unwrap().count(), 1);
    app.create_tenant("spa", "Europe/Stockholm".parse().unwrap()).unwrap();
}
