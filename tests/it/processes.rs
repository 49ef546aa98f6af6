//! Two servers as processes of their own on one database, one of them killed in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gateway::clock;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use system_tests::patroni::Cluster;
use system_tests::postgres;
use tempfile::TempDir;

use crate::program::{LEDGER, run, tidbok};

/// How many callers there are, each a process of its own, half of them at each server.
const CALLERS: u64 = 8;
/// How many bookings are asked for before the first server is killed, while it is away, and after
/// that; `TIDBOK_RACE` says another number.
const EACH: u64 = 400;

type Span = (Timestamp, Timestamp);

/// One server with a data directory of its own.
struct Node {
    data: PathBuf,
    keys: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
}

impl Node {
    /// A node beside others that have this key store.
    fn new(folder: &Path, name: &str, ledger: &str, keys: &Path) -> Self {
        let own = folder.join(name);
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join(LEDGER), ledger).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        Self { data: own.join("data"), keys: keys.to_owned(), address, process: None }
    }

    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [&["--keys", self.keys.to_str().unwrap()], args].concat()
    }

    fn run(&self, args: &[&str]) -> crate::program::Said {
        run(&self.data, &self.args(args))
    }

    fn start(&mut self) {
        let listen = self.address.to_string();
        let mut serve = tidbok(&self.data, &self.args(&["serve", "--listen", &listen]));
        self.process = Some(serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        while call(self.address, "", "GET", "/ready", "").is_none_or(|answer| answer.0 != 200) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the node shows, as soon as it has heard of it.
    fn shown(&self, key: &str, path: &str) -> Value {
        loop {
            match call(self.address, key, "GET", path, "").unwrap() {
                (200, shown) => return shown,
                (status, shown) => assert_eq!(status, 404, "{shown}"),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// All bookings with their times, page by page.
    fn all(&self, key: &str) -> BTreeMap<String, Span> {
        let time = |shown: &Value| -> Timestamp { shown.as_str().unwrap().parse().unwrap() };
        let mut all = BTreeMap::new();
        let mut path = "/v1/bookings?limit=100".to_owned();
        loop {
            let page = self.shown(key, &path);
            for shown in page["data"].as_array().unwrap() {
                let id = shown["id"].as_str().unwrap().to_owned();
                all.insert(id, (time(&shown["start"]), time(&shown["end"])));
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/v1/bookings?limit=100&cursor={cursor}"),
                None => return all,
            }
        }
    }

    /// Sends the process a signal by name.
    fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// A salon with two servers, and the key of its administrator.
struct Salon {
    folder: TempDir,
    one: Node,
    other: Node,
    key: String,
}

impl Salon {
    fn open() -> Self {
        Self::on(&postgres::database())
    }

    fn on(ledger: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let keys = folder.path().join("keys");
        let mut one = Node::new(folder.path(), "one", ledger, &keys);
        let mut other = Node::new(folder.path(), "other", ledger, &keys);
        one.run(&["tenant", "create", "salon", "--zone", "UTC"]).ended(0);
        let create = ["--json", "key", "create", "--tenant", "salon", "--role", "admin"];
        let key = one.run(&create).ended(0).json()["key"].as_str().unwrap().to_owned();
        one.start();
        other.start();
        Self { folder, one, other, key }
    }
}

/// One request on a connection of its own; none where it is not answered.
pub(crate) fn call(
    address: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Option<(u16, Value)> {
    told(ask(address, key, method, path, body)?)
}

/// Sends a request, whether anybody reads it or not.
fn ask(address: SocketAddr, key: &str, method: &str, path: &str, body: &str) -> Option<TcpStream> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let (process, wish) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         idempotency-key: wish-{process}-{wish}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    Some(stream)
}

/// What is answered on a connection.
fn told(mut stream: TcpStream) -> Option<(u16, Value)> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// What callers wish for and what they were told.
struct Load {
    key: String,
    client: String,
    chair: String,
    cut: String,
    asked: AtomicU64,
    told: Mutex<BTreeMap<String, Span>>,
    lost: Mutex<BTreeSet<Span>>,
}

impl Load {
    /// Waits until so many more bookings were asked for and answered.
    fn more(&self, count: u64) {
        let until = self.asked.load(Ordering::Relaxed) + count;
        while self.asked.load(Ordering::Relaxed) < until {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many more bookings were granted.
    fn granted(&self, count: usize) {
        let granted = || self.told.lock().unwrap().len();
        let until = granted() + count;
        while granted() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes note of what a caller says of a wish.
    fn hear(&self, said: &str) {
        let mut words = said.split(' ');
        let what = words.next();
        let mut next = || words.next().unwrap();
        let mut time = || -> Timestamp { next().parse().unwrap() };
        match what {
            Some("lost") => drop(self.lost.lock().unwrap().insert((time(), time()))),
            Some("won") => {
                let span = (time(), time());
                let before = self.told.lock().unwrap().insert(next().to_owned(), span);
                assert_eq!(before, None, "one booking for each answer");
            }
            Some("away") => (),
            _ => return,
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a caller is told by whoever starts it.
const CALLER: &str = "TIDBOK_TEST_CALLER";

/// Not a test by itself: the process that books one time after the other until it is killed, and
/// says what became of each wish.
#[test]
fn a_caller_that_books() {
    let Some(told) = system_tests::variable(CALLER) else { return };
    let told: Value = serde_json::from_str(&told).unwrap();
    let of = |name: &str| told[name].as_str().unwrap();
    let address: SocketAddr = of("address").parse().unwrap();
    let mut chance = fastrand::Rng::with_seed(told["seed"].as_u64().unwrap());
    let opening: Timestamp = "2030-03-04T08:00:00Z".parse().unwrap();
    loop {
        let start = opening
            + SignedDuration::from_hours(24 * chance.i64(0..200))
            + SignedDuration::from_mins(15 * chance.i64(0..29));
        let end = start + SignedDuration::from_mins(15 * chance.i64(1..=3));
        let wish = json!({
            "service_id": of("cut"), "resource_ids": [of("chair")], "client_id": of("client"),
            "start": start.to_string(), "end": end.to_string(),
        });
        let answer = call(address, of("key"), "POST", "/v1/bookings", &wish.to_string());
        match answer {
            Some((201, body)) => {
                let id = body["id"].as_str().unwrap();
                system_tests::tell(&format!("\nwon {start} {end} {id}"));
            }
            Some((409, body)) => {
                assert_eq!(body["code"], "slot_unavailable");
                system_tests::tell(&format!("\nlost {start} {end}"));
            }
            Some((status, body)) => {
                assert_eq!(status, 503, "{body}");
                system_tests::tell("\naway");
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

impl Load {
    /// What is booked: a chair, a service, and somebody who comes.
    fn of(key: String, address: SocketAddr) -> Self {
        let made = |path: &str, body: &Value| {
            let answer = call(address, &key, "POST", path, &body.to_string()).unwrap();
            assert_eq!(answer.0, 201, "{}", answer.1);
            answer.1["id"].as_str().unwrap().to_owned()
        };
        let chair = made(
            "/v1/resources",
            &json!({
                "name": "Chair", "kind": "room", "capacity": 1, "group": "Salon",
                "time_zone": "UTC",
            }),
        );
        let length = json!({"between": {"from_minutes": 15, "to_minutes": 480}});
        let cut = made("/v1/services", &json!({"name": "Cut", "length": length}));
        let client = made("/v1/clients", &json!({"contact": {"name": "Astrid"}}));
        let (told, lost) = (Mutex::default(), Mutex::default());
        let asked = AtomicU64::new(0);
        Self { key, client, chair, cut, asked, told, lost }
    }
}

/// Callers, each a process, who book at both servers.
struct Callers(Vec<(Child, thread::JoinHandle<()>)>);

impl Callers {
    fn start(load: &Arc<Load>, one: SocketAddr, other: SocketAddr) -> Self {
        let callers = (0..CALLERS).map(|seed| {
            let address = if seed % 2 == 0 { one } else { other };
            let told = json!({
                "address": address.to_string(), "key": load.key, "client": load.client,
                "chair": load.chair, "cut": load.cut, "seed": seed,
            });
            let mut caller = Command::new(std::env::current_exe().unwrap());
            caller.args(["--exact", "processes::a_caller_that_books", "--nocapture"]);
            caller.env(CALLER, told.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut caller = caller.spawn().unwrap();
            let said = BufReader::new(caller.stdout.take().unwrap());
            let load = Arc::clone(load);
            let hearing = thread::spawn(move || {
                said.lines().map_while(Result::ok).for_each(|said| load.hear(&said));
            });
            (caller, hearing)
        });
        Self(callers.collect())
    }

    /// Kills them; what they have said is heard first.
    fn stop(self) {
        for (mut caller, hearing) in self.0 {
            assert!(caller.try_wait().unwrap().is_none(), "a caller books until it is killed");
            caller.kill().unwrap();
            caller.wait().unwrap();
            hearing.join().unwrap();
        }
    }
}

/// Everything that was acknowledged is there at both servers, nothing is sold twice, and the ledger
/// is whole.
fn nothing_is_lost(load: &Load, one: &mut Node, other: &mut Node) {
    let told = load.told.lock().unwrap();
    for (id, span) in told.iter() {
        for node in [&*one, &*other] {
            let shown = node.shown(&load.key, &format!("/v1/bookings/{id}"));
            let start: Timestamp = shown["start"].as_str().unwrap().parse().unwrap();
            assert_eq!(start, span.0);
        }
    }
    // Also what was booked and never acknowledged, for whoever should have was killed.
    let booked = other.all(&load.key);
    assert!(told.keys().all(|id| booked.contains_key(id)));
    let mut spans: Vec<Span> = booked.into_values().collect();
    spans.sort_unstable();
    for (one, next) in spans.iter().zip(spans.iter().skip(1)) {
        assert!(one.1 <= next.0, "{next:?} sold twice");
    }
    for lost in load.lost.lock().unwrap().iter() {
        let taken = spans.iter().any(|won| won.0 < lost.1 && lost.0 < won.1);
        assert!(taken, "{lost:?} was free");
    }
    let asked = load.asked.load(Ordering::Relaxed);
    system_tests::tell(&format!(
        "{asked} asked for, {} acknowledged, {} booked",
        told.len(),
        spans.len()
    ));
    one.kill();
    other.kill();
    let found = one.run(&["--json", "audit", "verify", "--tenant", "salon"]).ended(0).json();
    assert_eq!(found["findings"], json!([]));
    for node in [one, other] {
        node.run(&["projections", "rebuild", "--tenant", "salon", "--verify"]).ended(0);
    }
}

#[test]
fn a_server_that_is_killed_loses_nothing_and_the_other_goes_on() {
    let Salon { folder: _folder, mut one, mut other, key } = Salon::open();
    let load = Arc::new(Load::of(key, one.address));
    let callers = Callers::start(&load, one.address, other.address);
    let each = system_tests::scale("TIDBOK_RACE", EACH);
    load.more(each);
    one.kill();
    load.more(each);
    one.start();
    load.more(each);
    callers.stop();
    nothing_is_lost(&load, &mut one, &mut other);
}

/// The machine of the primary dies under load: the standby takes over, and the servers find it.
#[test]
fn a_primary_that_is_killed_loses_nothing_and_nobody_is_restarted() {
    let mut cluster = Cluster::start();
    let Salon { folder: _folder, mut one, mut other, key } = Salon::on(&cluster.address());
    let load = Arc::new(Load::of(key, one.address));
    let callers = Callers::start(&load, one.address, other.address);
    load.granted(50);
    let first = cluster.primary();
    cluster.kill(first);
    let clock = clock::system().clock;
    let killed = clock.since_boot();
    cluster.wait_for_other(first);
    load.granted(1);
    let away = clock.since_boot().saturating_sub(killed);
    load.granted(50);
    // What was the primary comes back as the standby of what is.
    cluster.join(first);
    cluster.wait_for_standby();
    load.granted(50);
    callers.stop();
    system_tests::tell(&format!("nothing was booked for {:.1} s", away.as_secs_f64()));
    nothing_is_lost(&load, &mut one, &mut other);
}

/// A receipt says that no node opens anything any more. So it waits for the last lease, also that of
/// a node which hears of nothing.
#[test]
fn a_server_that_was_stopped_meanwhile_opens_nobody_who_was_erased() {
    let Salon { folder, one, other, key } = Salon::open();
    let made = |name: &str| {
        let body = json!({"contact": {"name": name}}).to_string();
        let answer = call(one.address, &key, "POST", "/v1/clients", &body).unwrap();
        answer.1["id"].as_str().unwrap().to_owned()
    };
    let (stays, goes) = (made("Birger"), made("Astrid"));
    let path = |id: &str| format!("/v1/clients/{id}");
    assert_eq!(other.shown(&key, &path(&goes))["contact"]["name"], "Astrid");

    other.signal("STOP");
    let receipt = folder.path().join("receipt.json").display().to_string();
    let erase = ["erase", "--tenant", "salon", "--person", &goes, "--receipt", &receipt];
    one.run(&erase).ended(0);
    // It lies there when the other wakes up, before anything else.
    let asked = ask(other.address, &key, "GET", &path(&goes), "").unwrap();
    let search = json!({"name": "Astrid"}).to_string();
    let found = ask(other.address, &key, "POST", "/v1/clients/search", &search).unwrap();
    other.signal("CONT");
    let (status, shown) = told(asked).unwrap();
    assert!([404, 410].contains(&status) && !shown.to_string().contains("Astrid"), "{shown}");
    let (_, shown) = told(found).unwrap();
    assert!(!shown.to_string().contains("Astrid"), "{shown}");
    assert_eq!(other.shown(&key, &path(&stays))["contact"]["name"], "Birger");
    one.run(&["audit", "receipt", &receipt]).ended(0);
}
