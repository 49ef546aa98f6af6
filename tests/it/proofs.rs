//! Ledgers as logs: programs that others wrote verify them, and whatever is done to one is found
//! and named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventstore::IdKind;
use eventstore::proof::nodes::{self, Nodes, Tree};
use eventstore::proof::{bundle, consistency};
use gateway::intake::Who;
use serde_json::{Value, json};
use system_tests::TestApp;
use tempfile::TempDir;

use crate::hotel::{Guest, Hotel, NAME, NOON};
use crate::others::{said, target, with};
use crate::program::{Said, run, tidbok};
use crate::site::Site;

/// A hotel, and a folder beside it into which its log is exported.
struct House {
    hotel: Hotel,
    beside: TempDir,
}

impl House {
    /// With so many guests, each of whom is two entries.
    fn of(guests: i64) -> Self {
        let house = Self { hotel: Hotel::open(11, &[900]), beside: tempfile::tempdir().unwrap() };
        house.guests(0..guests);
        house
    }

    fn guests(&self, numbers: std::ops::Range<i64>) {
        numbers.for_each(|number| book(&self.hotel, number));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.beside.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("log")
    }

    fn export(&self) -> Value {
        export(&self.hotel, &self.log()).ended(0).json()
    }

    /// The present checkpoint, kept beside the export.
    fn keep(&self, name: &str) -> PathBuf {
        fs::copy(self.log().join("checkpoint"), self.path(name)).unwrap();
        self.path(name)
    }

    /// What a check of the exported files says, which needs no data directory.
    fn check(&self, more: &[&str]) -> Said {
        check(self.beside.path(), &self.log(), more)
    }
}

fn book(hotel: &Hotel, number: i64) {
    let guest = Guest { who: Who::New, name: "Astrid", note: "late" };
    hotel.book(0, NOON + 3600 * number, &[guest]);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn export(hotel: &Hotel, to: &Path) -> Said {
    let args = ["--json", "audit", "export", "--tenant", NAME, "--to", text(to)];
    run(&hotel.data(), &args)
}

fn check(nowhere: &Path, log: &Path, more: &[&str]) -> Said {
    let args = ["--json", "audit", "verify", "--from", text(log)];
    run(&nowhere.join("no data here"), &[&args, more].concat())
}

/// What stands in `findings`, as place and code.
fn findings(said: &Said) -> Vec<(Value, String)> {
    let found = said.json()["findings"].as_array().unwrap().clone();
    found
        .iter()
        .map(|one| (one["position"].clone(), one["code"].as_str().unwrap().into()))
        .collect()
}

fn at(position: u64, code: &str) -> (Value, String) {
    (json!(position), code.to_owned())
}

fn peers() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/peers-tlog"))
}

/// A Python that has `metamorphic-log`.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| with("venv-tlog", &["metamorphic-log==0.1.11"]))
}

/// The program that checks with `tlog_tiles` and `signed_note`.
fn peer() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--locked", "--manifest-path"]).arg(peers().join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target().join("peers-tlog")).arg("--");
    cargo
}

#[test]
fn a_rust_client_of_others_verifies_every_entry_and_the_continuation() {
    let house = House::of(60);
    // Two keys sign; whoever knows one of them lets the other's line be.
    house.hotel.tenant().ledger.rotate_log_key().unwrap();
    house.export();
    let older = house.keep("older");
    house.guests(60..140);
    let entries = house.export()["entries"].as_u64().unwrap();
    assert!(entries > 256, "more than one tile");
    let log = house.log();
    assert_eq!(said(peer().arg(&log).arg(&older)), entries.to_string());
    let first = log.join("tile/entries/000");
    let mut bytes = fs::read(&first).unwrap();
    bytes[100] ^= 1;
    fs::write(&first, bytes).unwrap();
    assert!(!peer().arg(&log).stderr(Stdio::null()).status().unwrap().success());
}

#[test]
fn a_python_client_of_others_verifies_a_booking_s_proof_and_the_continuation() {
    let house = House::of(5);
    let guest = Guest { who: Who::New, name: "Astrid", note: "late" };
    let (booking, _) = house.hotel.book(0, NOON + 900 * 3600, &[guest]);
    house.hotel.tenant().ledger.rotate_log_key().unwrap();
    house.export();
    let older = house.keep("older");
    let old = house.hotel.tenant().log().size();
    house.guests(5..9);
    house.export();
    let id = house.hotel.tenant().ids().show(IdKind::Booking, booking.0);
    let proof = house.path("proof");
    let args = ["audit", "proof", "--tenant", NAME, "--booking", &id, "--to", text(&proof)];
    run(&house.hotel.data(), &args).ended(0);
    let hashes = house.path("hashes");
    let lines = consistency_lines(&house.hotel, old);
    fs::write(&hashes, lines).unwrap();
    let (key, newer) = (house.log().join("log.vkey"), house.log().join("checkpoint"));
    let check = peers().join("check.py");
    let files = [&check, &key, &proof, &older, &newer, &hashes];
    let size = house.hotel.tenant().log().size().to_string();
    assert_eq!(said(Command::new(python()).args(files)), size);
}

/// That the log begins with what it was at `old`, a hash to each line.
fn consistency_lines(hotel: &Hotel, old: u64) -> String {
    let log = hotel.tenant().log();
    let mut nodes = Nodes::default();
    nodes.follow(log, log.size()).unwrap();
    let leaves = |from, count| nodes::leaves(log, from, count);
    let tree = Tree { nodes: &nodes, leaves: &leaves };
    let proof = consistency::prove(&tree, old, log.size()).unwrap();
    proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect()
}

#[test]
fn an_export_is_verified_with_nothing_but_its_files_and_continued() {
    let house = House::of(130);
    let first = house.export();
    let said = house.check(&[]).ended(0).json();
    assert_eq!((&said["entries"], &said["root"]), (&first["entries"], &first["root"]));
    assert_eq!(said["findings"], json!([]));
    let older = house.keep("older");
    let full = fs::metadata(house.log().join("tile/0/000")).unwrap().modified().unwrap();
    house.guests(130..135);
    let more = house.export();
    assert_eq!(more["written"], 2, "the last bundle and its tile, and none above them");
    assert!(more["entries"].as_u64() > first["entries"].as_u64());
    let again = fs::metadata(house.log().join("tile/0/000")).unwrap().modified().unwrap();
    assert_eq!(full, again, "what is whole is not written again");
    house.check(&["--since", text(&older)]).ended(0);
    let live = ["audit", "verify", "--tenant", NAME, "--since", text(&older)];
    run(&house.hotel.data(), &live).ended(0);
    assert_eq!(house.export()["written"], 0);
}

#[test]
fn a_flipped_byte_in_an_export_is_found_at_its_entry() {
    let house = House::of(6);
    house.export();
    let path = fs::read_dir(house.log().join("tile/entries/000.p")).unwrap();
    let path = path.map(|file| file.unwrap().path()).next().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let (entries, _) = bundle::entries(&bytes);
    let before: usize = entries.iter().take(5).map(|entry| entry.len() + 2).sum();
    bytes[before + 40] ^= 4;
    fs::write(&path, bytes).unwrap();
    let said = house.check(&[]).ended(1);
    assert_eq!(findings(&said).first(), Some(&at(5, "leaf_differs")));
    assert!(findings(&said).contains(&(Value::Null, "root_differs".to_owned())));
}

#[test]
fn a_removed_entry_in_an_export_is_found_at_its_place() {
    let house = House::of(6);
    house.export();
    let path = fs::read_dir(house.log().join("tile/entries/000.p")).unwrap();
    let path = path.map(|file| file.unwrap().path()).next().unwrap();
    let bytes = fs::read(&path).unwrap();
    let mut without = Vec::new();
    let (entries, _) = bundle::entries(&bytes);
    let others = entries.iter().enumerate().filter(|(at, _)| *at != 7);
    others.for_each(|(_, entry)| bundle::push(&mut without, entry).unwrap());
    fs::write(&path, without).unwrap();
    let said = house.check(&[]).ended(1);
    assert_eq!(findings(&said).first(), Some(&at(7, "leaf_differs")));
    let last = u64::try_from(entries.len()).unwrap() - 1;
    assert!(findings(&said).contains(&at(last, "bundle_short")), "{said:?}");
}

#[test]
fn a_tile_that_does_not_follow_from_the_entries_is_found() {
    let house = House::of(135);
    house.export();
    let path = house.log().join("tile/1/000.p/1");
    fs::write(&path, [7; 32]).unwrap();
    assert_eq!(findings(&house.check(&[]).ended(1)), [at(0, "tile_differs")]);
    fs::remove_file(path).unwrap();
    assert_eq!(findings(&house.check(&[]).ended(1)), [at(0, "file_missing")]);
}

#[test]
fn a_checkpoint_that_another_key_signed_is_found() {
    let (house, other) = (House::of(3), House::of(3));
    house.export();
    let other_tenant = Hotel::open(12, &[9]);
    export(&other_tenant, &other.log()).ended(0);
    let key = other.log().join("log.vkey");
    let said = house.check(&["--vkey", text(&key)]).ended(1);
    assert_eq!(findings(&said), [(Value::Null, "checkpoint".to_owned())]);
    house.check(&["--vkey", text(&house.log().join("log.vkey"))]).ended(0);
}

#[test]
fn a_fork_is_found_by_an_older_checkpoint() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let house = House::of(4);
    let fork = house.hotel.on(house.hotel.copy());
    house.guests(4..6);
    house.export();
    let older = house.keep("older");
    // The same number of entries and more, all of them good, and not those.
    (10..14).for_each(|number| book(&fork, number));
    let live = ["--json", "audit", "verify", "--tenant", NAME, "--since", text(&older)];
    assert_eq!(findings(&run(&fork.data(), &live).ended(1)), [(Value::Null, "fork".into())]);
    let log = house.path("fork");
    export(&fork, &log).ended(0);
    let said = check(house.beside.path(), &log, &["--since", text(&older)]).ended(1);
    assert_eq!(findings(&said), [(Value::Null, "fork".to_owned())]);
    let refused = export(&fork, &house.log()).ended(1);
    assert!(refused.error.contains("history was changed"), "{refused:?}");
    house.check(&["--since", text(&older)]).ended(0);
}

#[test]
fn a_rollback_is_found_by_an_older_checkpoint() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let house = House::of(4);
    let back = house.hotel.on(house.hotel.copy());
    let size = back.tenant().log().size();
    house.guests(4..6);
    house.export();
    let older = house.keep("older");
    let live = ["--json", "audit", "verify", "--tenant", NAME, "--since", text(&older)];
    assert_eq!(findings(&run(&back.data(), &live).ended(1)), [at(size, "rollback")]);
    let log = house.path("back");
    export(&back, &log).ended(0);
    let said = check(house.beside.path(), &log, &["--since", text(&older)]).ended(1);
    assert_eq!(findings(&said), [at(size, "rollback")]);
    let refused = export(&back, &house.log()).ended(1);
    assert!(refused.error.contains("older copy"), "{refused:?}");
}

#[test]
fn a_swapped_seal_is_found_where_the_entries_and_the_log_are_good() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let house = House::of(3);
    house.export();
    let older = house.keep("older");
    let conn = rusqlite::Connection::open(house.hotel.ledger_file()).unwrap();
    let places: Vec<i64> = {
        let mut select = conn.prepare("SELECT id FROM seal ORDER BY id LIMIT 2").unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let seal = |id: i64| -> Vec<u8> {
        conn.query_row("SELECT ciphertext FROM seal WHERE id = ?1", [id], |row| row.get(0)).unwrap()
    };
    let (one, two) = (seal(places[0]), seal(places[1]));
    for (id, other) in [(places[0], two), (places[1], one)] {
        let changed = conn.execute("UPDATE seal SET ciphertext = ?2 WHERE id = ?1", (id, other));
        assert_eq!(changed.unwrap(), 1);
    }
    let live = ["--json", "audit", "verify", "--tenant", NAME, "--since", text(&older)];
    let said = run(&house.hotel.data(), &live).ended(1);
    let codes: Vec<String> = findings(&said).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["seal_changed", "seal_changed"]);
}

#[test]
fn a_proof_holds_under_the_log_s_key_and_a_changed_one_does_not() {
    let house = House::of(3);
    let guest = Guest { who: Who::New, name: "Astrid", note: "late" };
    let (booking, _) = house.hotel.book(0, NOON + 90 * 3600, &[guest]);
    house.export();
    let id = house.hotel.tenant().ids().show(IdKind::Booking, booking.0);
    let proof = house.path("proof");
    let data = house.hotel.data();
    let args = ["audit", "proof", "--tenant", NAME, "--booking", &id, "--to", text(&proof)];
    run(&data, &args).ended(0);
    let key = house.log().join("log.vkey");
    let check = ["--json", "audit", "check-proof", text(&proof), "--vkey", text(&key)];
    let said = run(house.beside.path(), &check).ended(0).json();
    assert_eq!((&said["kind"], &said["index"]), (&json!("booking.requested"), &json!(booking.0)));
    let file = fs::read_to_string(&proof).unwrap();
    fs::write(&proof, file.replacen("index ", "index 1", 1)).unwrap();
    assert_eq!(run(house.beside.path(), &check).ended(1).json()["proved"], false);
    let nobody = ["audit", "proof", "--tenant", NAME, "--booking", "bok_no", "--to", text(&proof)];
    run(&data, &nobody).ended(2);
}

#[test]
fn a_tail_tells_what_comes_as_it_comes() {
    let house = House::of(1);
    let size = house.hotel.tenant().log().size();
    let args = ["--json", "audit", "tail", "--tenant", NAME, "--count", "2"];
    let mut tail = tidbok(&house.hotel.data(), &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut number = 1;
    // Nobody knows when the tail began to look.
    while tail.try_wait().unwrap().is_none() {
        house.guests(number..number + 1);
        number += 1;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let output = tail.wait_with_output().unwrap();
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told.len() >= 2 && told[0]["position"].as_u64().unwrap() >= size);
    let next = told[0]["position"].as_u64().unwrap() + 1;
    assert_eq!(told[1]["position"], next);
    assert!(told.iter().any(|line| line["kind"] == "booking.requested"), "{told:?}");
}

#[tokio::test]
async fn the_server_serves_the_log_as_an_export_writes_it() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let auditor = &salon.tenant.auditor;
    let note = auditor.get("/v1/log/checkpoint").await.ok().text();
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    let key = auditor.get("/v1/log/vkey").await.ok().text();
    let key = key.parse().unwrap();
    let checkpoint = eventstore::proof::checkpoint::Checkpoint::open(&note, &key).unwrap();
    assert_eq!(checkpoint.size, size);
    let tile = auditor.get(&format!("/v1/log/tile/0/000.p/{size}")).await.ok();
    let entries = auditor.get(&format!("/v1/log/tile/entries/000.p/{size}")).await.ok();
    let (entries, whole) = bundle::entries(&entries.bytes);
    let leaves: Vec<u8> =
        entries.iter().flat_map(|entry| eventstore::tree::leaf_hash(entry)).collect();
    assert!(whole && leaves == tile.bytes);
    let beyond = format!("/v1/log/tile/0/000.p/{}", size + 1);
    auditor.get(&beyond).await.problem(404, "not_found");
    auditor.get("/v1/log/tile/0/0").await.problem(404, "not_found");
}

/// Whoever trusts one of the keys that have signed a log finds the others through it.
#[test]
fn a_log_s_key_is_exchanged_and_nobody_loses_the_thread() {
    let house = House::of(6);
    house.export();
    let older = house.keep("older");
    fs::copy(house.log().join("log.vkey"), house.path("first.vkey")).unwrap();
    let first = fs::read_to_string(house.path("first.vkey")).unwrap();
    let ledger = &house.hotel.tenant().ledger;
    let rotated = ledger.rotate_log_key().unwrap();
    assert_eq!(rotated.former, first.trim_end());
    assert_ne!(rotated.vkey, rotated.former);
    house.guests(6..8);
    let exported = house.export();
    assert_eq!(exported["vkey"], rotated.vkey);
    // By the new key with what the old one has signed before, and by the old one still.
    house.check(&["--since", text(&older)]).ended(0);
    house.check(&["--vkey", text(&house.path("first.vkey"))]).ended(0);
    let live = ["audit", "verify", "--tenant", NAME, "--since", text(&older)];
    run(&house.hotel.data(), &live).ended(0);
    let told = run(&house.hotel.data(), &["audit", "replay", "--tenant", NAME]).ended(0).out;
    assert!(told.contains(&rotated.vkey), "{told}");

    ledger.forget_log_key().unwrap();
    house.guests(8..9);
    house.export();
    house.check(&["--since", text(&older)]).ended(0);
    let said = house.check(&["--vkey", text(&house.path("first.vkey"))]).ended(1);
    assert_eq!(findings(&said)[0].1, "checkpoint");
    // What only pretends to be signed by one of them is not taken for it.
    let forged = fs::read_to_string(&older).unwrap().replace("\n\n", "\n\n\u{2014} nobody AAAA\n");
    let lines: Vec<&str> = forged
        .lines()
        .filter(|line| !line.contains("tidbok.invalid/") || !line.contains('\u{2014}'))
        .collect();
    fs::write(house.path("forged"), lines.join("\n") + "\n").unwrap();
    let said = house.check(&["--since", text(&house.path("forged"))]).ended(1);
    assert_eq!(findings(&said)[0].1, "checkpoint");
    assert_eq!(ledger.rotate_log_key().unwrap().former, rotated.vkey);
    run(&house.hotel.data(), &["audit", "verify", "--tenant", NAME]).ended(0);
}

#[test]
fn the_program_exchanges_the_key_of_a_log() {
    let site = Site::new();
    site.inn();
    let keys = |more: &[&str]| {
        let args = ["--json", "keys", "rotate-log", "--tenant", "inn"];
        site.run(&[&args, more].concat()).ended(0).json()
    };
    let (one, next) = (keys(&[]), keys(&[]));
    assert_eq!(next["former"], one["vkey"]);
    assert_eq!(keys(&["--forget-former"])["former"], Value::Null);
    site.run(&["audit", "verify", "--tenant", "inn"]).ended(0);
    site.run(&["keys", "rotate"]).ended(0);
    assert_eq!(keys(&[])["former"], next["vkey"]);
    site.run(&["keys", "rotate-log", "--tenant", "other"]).ended(2);
}
