//! Backups: made while a server works, of use to who has the identity, until their epoch ends; and
//! what comes back from one keeps every promise made since.

use std::fs;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519;
use jiff::SignedDuration;
use serde_json::{Value, json};
use system_tests::{TestApp, on_postgres};

use crate::erasure::{STAYS, stays};
use crate::hotel::{MARK, files};
use crate::program::{LEDGER, run, tidbok};

/// A data directory with imported guests, and somebody who may open its backups.
struct Place {
    folder: tempfile::TempDir,
    recipient: String,
}

impl Place {
    fn new() -> Self {
        Self::at(None)
    }

    /// With its ledgers in a database.
    fn at(ledger: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(address) = ledger {
            fs::write(folder.path().join(LEDGER), address).unwrap();
        }
        let identity = x25519::Identity::generate();
        let text = identity.to_string();
        fs::write(folder.path().join("identity"), text.expose_secret()).unwrap();
        let place = Self { folder, recipient: identity.to_public().to_string() };
        place.said(&["tenant", "create", "hotel", "--zone", "Europe/Stockholm"]);
        fs::write(place.path("stays.csv"), stays(60, 20)).unwrap();
        fs::write(place.path("stays.toml"), STAYS).unwrap();
        let (file, mapping) = (place.name("stays.csv"), place.name("stays.toml"));
        place.said(&["import", "--tenant", "hotel", "--mapping", &mapping, &file]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn said(&self, args: &[&str]) -> Value {
        run(&self.data(), &[&["--json"], args].concat()).ended(0).json()
    }

    fn backup(&self) -> PathBuf {
        let to = self.name("backups");
        let made = self.said(&["backup", "--to", &to, "--recipient", &self.recipient]);
        PathBuf::from(made["folder"].as_str().unwrap())
    }

    fn restore(&self, from: &Path, more: &[&str]) -> crate::program::Said {
        let (from, identity) = (from.display().to_string(), self.name("identity"));
        let args = ["--json", "restore", "--from", &from, "--identity", &identity];
        run(&self.data(), &[&args, more].concat())
    }

    /// Removes the tenant, as a broken disk would.
    fn lose(&self) {
        fs::remove_dir_all(self.data().join("tenants/hotel")).unwrap();
    }

    fn counts(&self) -> Value {
        self.said(&["stats", "--tenant", "hotel", "--by", "outcome"])
    }

    fn clients(&self) -> Vec<String> {
        let listed = run(&self.data(), &["--json", "clients", "list", "--tenant", "hotel"]);
        let rows = listed.ended(0).json();
        let ids = rows.as_array().unwrap().iter();
        ids.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    fn assert_sound(&self) {
        let verified = self.said(&["audit", "verify", "--tenant", "hotel"]);
        assert_eq!(verified["findings"], json!([]));
        self.said(&["projections", "rebuild", "--tenant", "hotel", "--verify"]);
    }
}

#[test]
fn a_tenant_comes_back_as_it_was() {
    let place = Place::new();
    let (counts, clients) = (place.counts(), place.clients());
    let folder = place.backup();
    for file in files(&folder) {
        let bytes = fs::read(&file).unwrap();
        let age = file.extension().is_some_and(|suffix| suffix == "age");
        assert!(!age || bytes.starts_with(b"age-encryption.org/v1"), "{}", file.display());
        let marked = bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes());
        assert!(!marked && !bytes.windows(6).any(|window| window == b"SQLite"));
    }
    assert!(!place.data().join("backup.tmp").exists(), "nothing is left in the clear");
    let status = place.said(&["keys", "status"]);
    assert!(status["newest_backup"].is_string(), "{status}");
    assert_eq!(status["newest_verified_backup"], Value::Null);
    let checked = place.restore(&folder, &["--check"]).ended(0).json();
    assert!(checked["verified"] == true && checked["tenants"][0]["entries"].as_u64() > Some(20));
    assert!(!place.data().join("backup.tmp").exists());
    let status = place.said(&["keys", "status"]);
    assert_eq!(status["newest_verified_backup"], checked["made_at"]);
    place.lose();
    let back = place.restore(&folder, &[]).ended(0).json();
    assert_eq!(back["tenants"][0]["opens"], true);
    assert_eq!((place.counts(), place.clients()), (counts, clients));
    place.assert_sound();
    // What is in place is not written over.
    let refused = place.restore(&folder, &[]);
    assert!(refused.ended(1).error.contains("exists"));
}

/// The erased stay erased, whatever is put back.
#[test]
fn who_was_erased_since_stays_erased() {
    let place = Place::new();
    let folder = place.backup();
    let (goes, counts) = (place.clients().remove(3), place.counts());
    let erase = ["erase", "--tenant", "hotel", "--person", &goes];
    let shown = place.said(&[&erase[..], &["--dry-run"]].concat());
    assert_eq!((&shown[0]["state"], &shown[0]["open_bookings"]), (&json!("live"), &json!([])));
    let erased = place.said(&erase);
    assert_eq!(erased[0]["seals_ended"], shown[0]["seals"]);
    place.lose();
    let refused = place.restore(&folder, &[]);
    assert!(refused.out.contains("older than what was promised"), "{}", refused.out);
    refused.ended(1);
    let loss = place.said(&["restore", "--tenant", "hotel", "--accept-loss"]);
    assert_eq!(loss["fences_set_again"], 1);
    let again = run(&place.data(), &["--json", "erase", "--tenant", "hotel", "--person", &goes]);
    assert!(again.ended(0).out.contains("\"already\":true"));
    assert_eq!(place.counts(), counts);
    place.assert_sound();
    let told = run(&place.data(), &["audit", "replay", "--tenant", "hotel"]).ended(0).out;
    assert!(told.contains("taken up from an older copy"), "the log says so");
    // Or both at once.
    place.lose();
    let back = place.restore(&folder, &["--accept-loss"]).ended(0).json();
    assert_eq!(back["tenants"][0]["fences_set_again"], 1);
    place.assert_sound();
    // Where nothing is lost, nothing is accepted: checkpoints and receipts of before go on being of this log.
    let whole = run(&place.data(), &["restore", "--tenant", "hotel", "--accept-loss"]).ended(2);
    assert!(whole.error.contains("no loss to accept"), "{}", whole.error);
    place.assert_sound();
}

#[test]
fn once_its_epoch_has_ended_a_backup_opens_for_nobody() {
    let place = Place::new();
    let folder = place.backup();
    place.said(&["keys", "rotate"]);
    let keys = place.path("data.keys");
    assert!(keys.join("epoch-1.key").exists());
    place.lose();
    // Within the window it is a backup; what is newer than it is the rotation.
    place.restore(&folder, &["--accept-loss"]).ended(0);
    place.assert_sound();
    // As the end of the epoch does.
    fs::remove_file(keys.join("epoch-1.key")).unwrap();
    place.lose();
    let refused = place.restore(&folder, &[]);
    assert!(refused.error.contains("epoch 1") && refused.error.contains("delete it"));
    refused.ended(1);
    assert!(!place.data().join("tenants/hotel").exists(), "nothing half");
}

#[test]
fn a_key_store_that_was_lost_comes_back_from_its_own_archive() {
    let place = Place::new();
    let (counts, to) = (place.counts(), place.name("elsewhere"));
    let folder = place.backup();
    let made = place.said(&["backup", "--keys-to", &to, "--recipient", &place.recipient]);
    let archive = made["keys"].as_str().unwrap();
    fs::remove_dir_all(place.data()).unwrap();
    fs::remove_dir_all(place.path("data.keys")).unwrap();
    let lost = place.restore(&folder, &[]);
    assert!(lost.error.contains("no key store"), "{}", lost.error);
    lost.ended(2);
    assert!(!place.path("data.keys").exists(), "none is made that opens nothing");
    let identity = place.name("identity");
    let back = ["keys", "restore", "--from", archive, "--identity", &identity];
    place.said(&back);
    run(&place.data(), &back).ended(2);
    place.restore(&folder, &[]).ended(0);
    assert_eq!(place.counts(), counts);
    place.assert_sound();
}

/// Whoever watches the server hears of it when nobody has checked a backup for half the window.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_warns_while_no_backup_was_checked() {
    let app = TestApp::default();
    let _salon = app.salon("salon").await;
    let warnings = async || app.anybody().get("/ready").await.ok().body["warnings"].clone();
    app.clock.advance(SignedDuration::from_hours(10 * 24));
    assert_eq!(warnings().await, Value::Null);
    app.clock.advance(SignedDuration::from_hours(24));
    let (missing, old) = match on_postgres() {
        true => (Value::Null, Value::Null),
        false => (json!(["no_verified_backup"]), json!(["verified_backup_old"])),
    };
    assert_eq!(warnings().await, missing);
    let noted = |days: i64| {
        let at = app.app.env.clock.now() - SignedDuration::from_hours(24 * days);
        app.app.store.note_verified(at).unwrap();
    };
    noted(11);
    assert_eq!(warnings().await, old);
    noted(1);
    assert_eq!(warnings().await, Value::Null);
}

/// Each says what is wrong, and nothing is there afterwards that was not before.
#[test]
fn what_cannot_be_restored_says_why_and_leaves_nothing() {
    let place = Place::new();
    let folder = place.backup();
    place.lose();
    let refused = |words: &str| {
        let said = place.restore(&folder, &[]);
        assert!(said.error.contains(words), "{} lacks {words}", said.error);
        said.ended(1);
        assert!(!place.data().join("tenants/hotel").exists());
        let checked = place.restore(&folder, &["--check"]).ended(1).error;
        assert!(checked.contains(words), "{checked} lacks {words}");
        assert!(!place.data().join("verified-backup").exists());
    };
    let seals = folder.join("hotel.ledger.seals.age");
    let whole = fs::read(&seals).unwrap();
    fs::write(&seals, &whole[..whole.len() - 100]).unwrap();
    refused("damaged or cut off");
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&seals, flipped).unwrap();
    refused("damaged or cut off");
    fs::remove_file(&seals).unwrap();
    refused("cannot be read");
    fs::write(&seals, &whole).unwrap();

    let manifest = folder.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("tidbok backup 1", "tidbok backup 9")).unwrap();
    refused("no backup that this program can read");
    fs::write(&manifest, text.replace("hotel.ledger.seals.age", "../identity")).unwrap();
    refused("no backup that this program can read");
    fs::write(&manifest, text).unwrap();

    let own = fs::read(place.path("identity")).unwrap();
    let other = x25519::Identity::generate();
    fs::write(place.path("identity"), other.to_string().expose_secret()).unwrap();
    refused("encrypted to others");
    fs::write(place.path("identity"), "AGE-SECRET-KEY-1WRONG").unwrap();
    refused("no age identity");
    fs::write(place.path("identity"), own).unwrap();
    place.restore(&folder, &["--tenant", "other"]).ended(1);
    place.restore(&folder, &["--tenant", "hotel"]).ended(0);
    place.assert_sound();

    let to = place.name("backups");
    let wrong = run(&place.data(), &["backup", "--to", &to, "--recipient", "age1nobody"]);
    assert!(wrong.error.contains("no age recipient"));
    wrong.ended(1);
    run(&place.data(), &["backup", "--to", &to]).ended(2);
    run(&place.data(), &["restore"]).ended(2);
}

/// Killed at any moment, a backup is whole under its name or not there, and the next one is made.
#[test]
fn a_backup_that_is_killed_leaves_nothing_under_its_name() {
    let place = Place::new();
    let to = place.name("backups");
    for pause in [0, 5, 10, 20, 40, 80] {
        let args = ["--json", "backup", "--to", &to, "--recipient", &place.recipient];
        let mut made = tidbok(&place.data(), &args).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        drop(made.kill());
        made.wait().unwrap();
    }
    place.assert_sound();
    assert!(!place.data().join("backup.tmp").exists());
    let folder = place.backup();
    let whole = fs::read_dir(&to).unwrap().map(|file| file.unwrap().path());
    for made in whole.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.')) {
        place.lose();
        place.restore(&made, &[]).ended(0);
    }
    assert!(folder.exists());
    place.assert_sound();
}

/// Killed at any moment, a tenant is back whole or not there, and so is a key store.
#[test]
fn a_restore_that_is_killed_leaves_nothing_half() {
    let place = Place::new();
    let (counts, folder, to) = (place.counts(), place.backup(), place.name("elsewhere"));
    let made = place.said(&["backup", "--keys-to", &to, "--recipient", &place.recipient]);
    let (archive, identity) = (made["keys"].as_str().unwrap(), place.name("identity"));
    let from = folder.display().to_string();
    let keys = ["keys", "restore", "--from", archive, "--identity", &identity];
    let tenants = ["restore", "--from", &from, "--identity", &identity];
    for pause in [0, 5, 10, 20, 40, 80] {
        fs::remove_dir_all(place.data()).unwrap();
        fs::remove_dir_all(place.path("data.keys")).unwrap();
        for (args, whole) in
            [(&keys[..], place.path("data.keys")), (&tenants[..], place.path("data/tenants/hotel"))]
        {
            let mut restore = tidbok(&place.data(), args).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(pause));
            drop(restore.kill());
            restore.wait().unwrap();
            if !whole.exists() {
                run(&place.data(), args).ended(0);
            }
        }
        assert_eq!(place.counts(), counts);
        place.assert_sound();
    }
}

#[test]
fn ledgers_in_a_database_are_not_backed_up_as_files() {
    if !on_postgres() {
        return;
    }
    let place = Place::at(Some(system_tests::postgres::database()));
    let to = place.name("backups");
    let args = ["backup", "--to", &to, "--recipient", &place.recipient];
    let refused = run(&place.data(), &args);
    assert!(refused.error.contains("database"));
    refused.ended(1);
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    // Nor is a backup of files put beside a database; its key store would not even fit.
    let files = Place::new();
    let backup = files.backup().display().to_string();
    let keys = files.name("data.keys");
    fs::write(files.path(LEDGER), system_tests::postgres::database()).unwrap();
    let identity = files.name("identity");
    let data = files.path("node");
    let args = ["--keys", &keys, "restore", "--from", &backup, "--identity", &identity];
    let refused = run(&data, &args);
    assert!(refused.error.contains("database"), "{}", refused.error);
    refused.ended(1);
    assert!(!data.join("tenants/hotel").exists());
}
