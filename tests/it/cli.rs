//! The command line that operators and auditors write scripts against: fixed names, fixed shapes,
//! and three exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hotel::{Guest, Hotel, MARK, NAME, NOON};
use crate::program::{Said, bare, finish, run, tidbok};
use gateway::intake::Who;

/// A data directory, and the salon's example files beside it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/salon");
        for file in ["sample.csv", "mapping.toml"] {
            fs::copy(examples.join(file), folder.path().join(file)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("data.keys")
    }

    fn run(&self, args: &[&str]) -> Said {
        run(&self.data(), args)
    }

    /// The answer of a command that succeeds.
    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        self.run(&[&["--json"], args].concat()).ended(0).json()
    }

    /// A salon with its six appointments.
    fn salon() -> Self {
        let place = Self::new();
        place.json(&["tenant", "create", "salon", "--zone", "Europe/Stockholm"]);
        place.import(&[]);
        place
    }

    fn import(&self, more: &[&str]) -> Value {
        let (file, mapping) = (self.path("sample.csv"), self.path("mapping.toml"));
        let args = ["import", &file, "--mapping", &mapping, "--tenant", "salon"];
        self.json(&[&args, more].concat())
    }

    fn clients(&self) -> Vec<(String, String)> {
        let listed = self.json(&["clients", "list", "--tenant", "salon"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let listed = listed.as_array().unwrap().iter();
        listed.map(|client| (text(&client["id"]), text(&client["state"]))).collect()
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn is_hash(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Whoever finds a tenant out of use is told how it came to that and what to do.
#[test]
fn a_tenant_out_of_use_is_listed_with_what_comes_next() {
    let place = Place::salon();
    let folder = place.path("out");
    place.run(&["tenant", "export", "--tenant", "salon", "--to", &folder]).ended(0);
    let listed = place.run(&["tenant", "list"]).ended(0).out;
    assert!(listed.starts_with("salon  out of use: exported; import brings it back"), "{listed}");
    let listed = place.json(&["tenant", "list"]);
    assert_eq!((&listed[0]["in_use"], &listed[0]["state"]), (&json!(false), &json!("exported")));
    place.run(&["tenant", "import", "--from", &folder]).ended(0);
    assert_eq!(place.run(&["tenant", "list"]).ended(0).out, "salon\n");
}

#[test]
fn a_tenant_is_made_filled_and_counted() {
    let place = Place::new();
    let made = place.json(&["tenant", "create", "salon", "--zone", "Europe/Stockholm"]);
    assert_eq!(made, json!({"tenant": "salon"}));
    let listed = json!([{"tenant": "salon", "server": null, "in_use": true, "state": "in_use"}]);
    assert_eq!(place.json(&["tenant", "list"]), listed);
    let rehearsed = place.import(&["--dry-run"]);
    assert_eq!((&rehearsed["imported"], &rehearsed["dry_run"]), (&json!(6), &json!(true)));
    assert_eq!(place.json(&["clients", "list", "--tenant", "salon"]), json!([]));
    let report = place.import(&[]);
    let rows = ["rows", "imported", "skipped", "repeated"].map(|key| report[key].clone());
    assert_eq!(rows, [7, 6, 1, 0].map(Value::from));
    let by = |facets| place.json(&["stats", "--tenant", "salon", "--by", facets]);
    assert_eq!(by("outcome"), json!({"completed": 4, "cancelled": 1, "no_show": 1}));
    assert_eq!(place.json(&["stats", "--tenant", "salon"]), by("outcome"));
    assert_eq!(
        by("service,outcome"),
        json!({
            "Cut": {"completed": 2, "cancelled": 1, "no_show": 1},
            "Colour": {"completed": 2},
        })
    );
}

#[test]
fn clients_are_listed_without_anything_personal_and_erased_by_what_is_listed() {
    let place = Place::salon();
    let clients = place.clients();
    assert_eq!(clients.len(), 4);
    assert!(clients.iter().all(|(id, state)| id.starts_with("cli_") && state == "live"));
    let listed = place.run(&["clients", "list", "--tenant", "salon"]).ended(0).out;
    assert!(!listed.to_lowercase().contains("alma"));
    let (first, second) = (clients[0].0.as_str(), clients[1].0.as_str());
    let before = place.json(&["stats", "--tenant", "salon", "--by", "service,nth,outcome"]);
    let blocked = place.run(&["--json", "erase", "--tenant", "salon", "--person", first, second]);
    // The salon's appointments are in 2031; what is completed is over all the same.
    let erased = blocked.ended(0).json();
    assert_eq!((&erased[0]["id"], &erased[0]["state"]), (&json!(first), &json!("erased")));
    assert_eq!(keys(&erased[1]), ["fence", "id", "seals_ended", "state"]);
    let states: Vec<String> = place.clients().into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["erased", "erased", "live", "live"]);
    let again = place.json(&["erase", "--tenant", "salon", "--person", first]);
    assert_eq!(again, json!([{"id": first, "state": "erased", "already": true}]));
    let after = place.json(&["stats", "--tenant", "salon", "--by", "service,nth,outcome"]);
    assert_eq!(after, before);
}

#[test]
fn an_auditor_verifies_and_replays() {
    let place = Place::salon();
    let report = place.json(&["audit", "verify", "--tenant", "salon"]);
    assert!(is_hash(&report["root"]));
    assert_eq!(report["findings"], json!([]));
    let entries = report["entries"].as_u64().unwrap();
    let replay = |more: &[&str]| {
        let told = place.json(&[&["audit", "replay", "--tenant", "salon"], more].concat());
        told["entries"].as_array().unwrap().clone()
    };
    let all = replay(&[]);
    assert_eq!(all.len() as u64, entries);
    assert_eq!(replay(&["--as-of", "3"]).last().unwrap()["position"], 3);
    let booking = all.iter().find(|entry| entry["kind"] == "booking.requested").unwrap();
    let told = replay(&["--booking", booking["booking"].as_str().unwrap()]);
    assert_eq!(told[0], *booking);
    assert!(told.iter().all(|entry| entry["booking"] == booking["booking"]));
    let chair = all.iter().find(|entry| entry["kind"] == "resource.defined").unwrap();
    let of_chair = replay(&["--resource", chair["resources"][0].as_str().unwrap()]);
    assert!(of_chair.len() > 1 && of_chair.len() < all.len());
    let said = place.run(&["audit", "replay", "--tenant", "salon"]).ended(0).out;
    assert!(!said.to_lowercase().contains("alma"));
}

#[test]
fn read_models_are_rebuilt_and_compared() {
    let place = Place::salon();
    let hashes = place.json(&["projections", "rebuild", "--tenant", "salon", "--verify"]);
    assert!(keys(&hashes).contains(&"statistics") && keys(&hashes).contains(&"bookings"));
    for (name, both) in hashes.as_object().unwrap() {
        assert!(is_hash(&both["before"]) && both["before"] == both["after"], "{name}: {both}");
    }
    let status = place.json(&["projections", "status", "--tenant", "salon"]);
    assert!(status.as_array().unwrap().iter().all(|model| model["lag"] == 0), "{status}");
}

/// A count that somebody changed in a read model's file.
#[test]
fn a_read_model_that_is_not_what_the_ledger_says_is_told_by_code_1() {
    let place = Place::salon();
    place.json(&["stats", "--tenant", "salon"]);
    let file = place.data().join("tenants/salon/read.sqlite");
    let conn = rusqlite::Connection::open(file).unwrap();
    conn.execute("DELETE FROM statistic", []).unwrap();
    drop(conn);
    let rebuild = ["--json", "projections", "rebuild", "--tenant", "salon", "--verify"];
    let found = place.run(&rebuild).ended(1).json();
    assert_ne!(found["statistics"]["before"], found["statistics"]["after"]);
    place.run(&rebuild).ended(0);
}

#[test]
fn an_entry_that_was_changed_is_told_by_code_1() {
    let place = Place::salon();
    let conn =
        rusqlite::Connection::open(place.data().join("tenants/salon/ledger.sqlite")).unwrap();
    let change = "UPDATE entry SET bytes = zeroblob(80) WHERE position = 2";
    let refused = conn.execute(change, []).unwrap_err().to_string();
    assert!(refused.contains("entries are never changed"), "{refused}");
    conn.execute_batch("DROP TRIGGER entry_is_not_updated").unwrap();
    conn.execute(change, []).unwrap();
    drop(conn);
    let report = place.run(&["--json", "audit", "verify", "--tenant", "salon"]).ended(1).json();
    assert_eq!(report["findings"][0]["position"], 2);
}

/// Who read what is as hard to change as what happened.
#[test]
fn a_record_of_who_read_what_that_was_changed_is_told_by_code_1() {
    let place = Place::salon();
    let env = gateway::clock::system();
    let app = gateway::App::open(&place.data(), &place.keys(), env).unwrap();
    let desk = app.desk("salon").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let classes = [domain::RetentionClass::Contact];
    let purpose = domain::ledger::ReadPurpose::Audit;
    let read = desk.tenant.disclose(domain::Actor::System, purpose, &classes, &[]);
    runtime.block_on(read).unwrap();
    drop((desk, app));
    let report = place.json(&["audit", "verify", "--tenant", "salon"]);
    assert_eq!(
        (&report["access"]["entries"], &report["access"]["findings"]),
        (&json!(1), &json!([]))
    );
    let access = place.data().join("tenants/salon/access.sqlite");
    let conn = rusqlite::Connection::open(access).unwrap();
    let change = "DROP TRIGGER entry_is_not_updated; UPDATE entry SET bytes = zeroblob(80)";
    conn.execute_batch(change).unwrap();
    drop(conn);
    let report = place.run(&["--json", "audit", "verify", "--tenant", "salon"]).ended(1).json();
    assert_eq!(
        (&report["findings"], &report["access"]["findings"][0]["position"]),
        (&json!([]), &json!(0))
    );
    let said = place.run(&["audit", "verify", "--tenant", "salon"]).ended(1).out;
    assert!(
        said.contains("Who read what: 1 entries") && !said.contains("Nothing was found"),
        "{said}"
    );
}

#[test]
fn wrong_use_ends_with_code_2_and_changes_nothing() {
    let place = Place::salon();
    let (file, mapping) = (place.path("sample.csv"), place.path("mapping.toml"));
    let before = place.json(&["audit", "verify", "--tenant", "salon"]);
    let client = place.clients()[0].0.clone();
    for args in [
        ["frobnicate"].as_slice(),
        &["tenant", "create", "salon", "--zone", "Europe/Stockholm"],
        &["tenant", "create", "Not a name", "--zone", "Europe/Stockholm"],
        &["tenant", "create", "other", "--zone", "Europe/Atlantis"],
        &["tenant", "create", "other"],
        &["stats", "--tenant", "nobody"],
        &["stats", "--tenant", "salon", "--by", "shoe_size"],
        &["stats", "--tenant", "salon", "--as-of", "yesterday"],
        &["clients", "list", "--tenant", "nobody"],
        &["erase", "--tenant", "salon", "--person"],
        &["erase", "--tenant", "salon", "--person", &client, "cli_00"],
        &["audit", "verify", "--tenant", "nobody"],
        &["audit", "replay", "--tenant", "salon", "--booking", "bkg_00"],
        &["import", &file, "--tenant", "salon"],
        &["import", &file, "--mapping", &file, "--tenant", "salon"],
        &["import", &file, "--mapping", &mapping, "--tenant", "nobody"],
        &["restore", "--tenant", "salon"],
        &["bench", "nothing-of-this-name"],
    ] {
        let said = place.run(&[&["--json"], args].concat()).ended(2);
        assert!(said.out.is_empty() && !said.error.is_empty(), "{args:?}: {said:?}");
    }
    assert_eq!(place.json(&["audit", "verify", "--tenant", "salon"]), before);
    let nowhere = place.folder.path().join("nowhere");
    run(&nowhere, &["stats", "--tenant", "salon"]).ended(2);
    run(&nowhere, &["tenant", "list"]).ended(2);
    assert!(!nowhere.exists());
}

#[test]
fn whoever_has_open_bookings_is_erased_only_if_these_are_cancelled() {
    let mut hotel = Hotel::open(31, &[1]);
    let name = format!("{MARK}1");
    // In a year that is still to come when the program looks at its own clock.
    let guest = Guest { who: Who::New, name: &name, note: &name };
    hotel.book(0, NOON + 30 * 365 * 86_400, &[guest]);
    hotel.close();
    let tidbok = |args: &[&str]| run(&hotel.data(), &[&["--json"], args].concat());
    let listed = tidbok(&["clients", "list", "--tenant", NAME]).ended(0).json();
    let id = listed[0]["id"].as_str().unwrap();
    let erase = ["erase", "--tenant", NAME, "--person", id];
    let refused = tidbok(&erase).ended(1).json();
    let row = json!({"id": id, "state": "live", "refused": "erasure_blocked", "open_bookings": 1});
    assert_eq!(refused, json!([row]));
    let erased = tidbok(&[erase.as_slice(), &["--cancel-open"]].concat()).ended(0).json();
    assert_eq!(erased[0]["state"], "erased");
    let counts = tidbok(&["stats", "--tenant", NAME]).ended(0).json();
    assert_eq!(counts, json!({"cancelled": 1}));
}

/// A server, stopped at the end of a test.
struct Server(Child);

impl Server {
    fn start(place: &Place) -> Self {
        let mut serve = tidbok(&place.data(), &["serve", "--listen", "127.0.0.1:0"]);
        let server = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self(server);
        let socket = place.data().join("tidbok.sock");
        for _ in 0..600 {
            if socket.exists() {
                return server;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not start");
    }

    /// Asks the server to stop; its exit code.
    fn stop(mut self) -> Option<i32> {
        let told = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(told.unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_command_beside_a_running_server_works_through_it() {
    let place = Place::new();
    place.json(&["tenant", "create", "salon", "--zone", "Europe/Stockholm"]);
    let server = Server::start(&place);
    let lock = fs::File::open(place.data().join("tidbok.lock")).unwrap();
    assert!(lock.try_lock().is_err(), "the server has the lock");
    // Paths are meant from where the command is given.
    let import =
        ["--json", "import", "sample.csv", "--mapping", "mapping.toml", "--tenant", "salon"];
    let output = tidbok(&place.data(), &import).current_dir(place.folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["imported"], 6);
    let outcomes = json!({"completed": 4, "cancelled": 1, "no_show": 1});
    assert_eq!(place.json(&["stats", "--tenant", "salon"]), outcomes);
    let client = place.clients()[0].0.clone();
    let erased = place.json(&["erase", "--tenant", "salon", "--person", &client]);
    assert_eq!(erased[0]["state"], "erased");
    place.run(&["erase", "--tenant", "salon", "--person", "cli_00"]).ended(2);
    place.run(&["stats", "--tenant", "nobody"]).ended(2);
    place.run(&["audit", "verify", "--tenant", "salon"]).ended(0);
    place.run(&["projections", "rebuild", "--tenant", "salon", "--verify"]).ended(0);
    assert_eq!(place.json(&["stats", "--tenant", "salon"]), outcomes);
    assert_eq!(server.stop(), Some(0));
    assert!(lock.try_lock().is_ok(), "and gives it back");
    // Closing would not do: a child that another test is just starting may have the file open too.
    lock.unlock().unwrap();
    assert_eq!(place.clients()[0].1, "erased");
    assert_eq!(place.json(&["stats", "--tenant", "salon"]), outcomes);
}

/// The benchmark's answer has its shape, whatever the machine is worth.
#[test]
fn a_measurement_is_told_with_what_it_is_compared_to() {
    let place = Place::new();
    let small = ["--runs", "1", "--stored", "100", "--seconds", "1"];
    let measured = place.json(&[["bench", "replay"].as_slice(), &small].concat());
    let first = &measured[0];
    for key in ["name", "median", "unit", "baseline", "ratio"] {
        assert!(!first[key].is_null(), "{key}: {measured}");
    }
}

/// An address may hold a password, and what the program says of wrong use is kept in many places.
#[test]
fn no_password_is_printed_for_a_slip_of_the_finger() {
    const SECRET: &str = "kestrel";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    run(&data, &["tenant", "create", "salon", "--zone", "Europe/Stockholm"]);
    let address = format!("postgres://tidbok:{SECRET}@127.0.0.1:1/none");
    let witness = format!("no-key=https://me:{SECRET}@witness.example");
    let wrong: &[&[&str]] = &[
        &["--server", &format!("North={address}"), "tenant", "list"],
        &["--server", &address, "tenant", "list"],
        &["--server", &format!("north={address}"), &format!("south={address}"), "tenant", "list"],
        &["--ledger", &address, "tenant", &address],
        &["--ledger", &format!("postgres://tidbok:{SECRET}?{SECRET}@[/none"), "tenant", "list"],
        &["--keyring", &format!("postgres://tidbok:a/{SECRET}@none:x"), "tenant", "list"],
        &["serve", "--witness", &witness],
    ];
    for args in wrong {
        let said = run(&data, args);
        assert_ne!(said.code, 0, "{args:?}");
        assert!(!said.error.is_empty() && !said.error.contains(SECRET), "{}", said.error);
        assert!(!said.out.contains(SECRET), "{}", said.out);
    }
    let named = |name: &str, value: &str| {
        let mut command = tidbok(&data, &["tenant", "list"]);
        finish(command.env(name, value))
    };
    let said = named("TIDBOK_SERVERS", &format!("North={address}")).ended(2);
    assert!(said.error.contains("North") && !said.error.contains(SECRET), "{}", said.error);
}

/// A variable that is empty, or has two blanks in it, names nothing.
#[test]
fn an_empty_list_of_servers_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    run(&data, &["tenant", "create", "salon", "--zone", "Europe/Stockholm"]).ended(0);
    for value in ["", " ", "  "] {
        let mut command = tidbok(&data, &["tenant", "list"]);
        command.env_remove("TIDBOK_LEDGER").env_remove("TIDBOK_KEYRING");
        finish(command.env("TIDBOK_SERVERS", value)).ended(0);
    }
    let mut command = tidbok(&data, &["tenant", "list"]);
    let two = "north=postgres://a@b/c  south=postgres://a@b/d ";
    let said = finish(command.env("TIDBOK_SERVERS", two)).ended(2);
    assert!(said.error.contains("--ledger"), "{}", said.error);
}

/// What the environment names is somebody's own, and gets no sample tenants.
#[test]
fn the_demo_is_where_the_command_line_says_or_in_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (named, own) = (folder.path().join("named"), folder.path().join("own"));
    let args = ["--json", "demo", "--listen", "127.0.0.1:0"];
    assert_eq!(told_by_demo(bare().args(["--data"]).arg(&named).args(args)), named);
    assert!(named.join("tenants/salon").is_dir());
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let told = told_by_demo(bare().env("TIDBOK_DATA", &own).env("TMPDIR", &temporary).args(args));
    assert!(told.starts_with(&temporary) && !own.exists(), "{told:?}");
}

/// Where a demo says that its data is; it is stopped then.
fn told_by_demo(command: &mut Command) -> PathBuf {
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let told = serde_json::Deserializer::from_reader(demo.stdout.take().unwrap());
    let told: Value = told.into_iter().next().unwrap().unwrap();
    demo.kill().unwrap();
    demo.wait().unwrap();
    told["data"].as_str().unwrap().into()
}
