//! Old copies: a ledger that is older than what was promised is refused, with what to do; taken up
//! on the operator's word, the erased stay erased. A key store that does not fit is an error and
//! never somebody erased.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use domain::{Event, Position};
use eventstore::{PersonId, PersonState, SealAt};
use gateway::intake::Who;
use gateway::{App, clock};
use tempfile::TempDir;

use crate::hotel::{Guest, Hotel, MARK, NAME, NOON, copy_files};
use crate::index::wal_while;
use crate::program::{Said, run};

/// A hotel of four guests, each with a booking that is over.
struct Before {
    hotel: Hotel,
    persons: Vec<PersonId>,
    /// Everything as it was then.
    backup: TempDir,
}

fn before() -> Before {
    let mut hotel = Hotel::open(5, &[9]);
    let mut persons = Vec::new();
    for number in 0..4 {
        let name = format!("{MARK}{number}");
        let guest = Guest { who: Who::New, name: &name, note: &name };
        let (_, first) = hotel.book(0, NOON + 3600 * number, &[guest]);
        persons.push(hotel.person_at(first));
    }
    hotel.pass(24 * 3600);
    hotel.close();
    let backup = tempfile::tempdir().unwrap();
    copy_files(&hotel.data(), backup.path());
    hotel.reopen();
    Before { hotel, persons, backup }
}

impl Before {
    /// Puts the backup in the place of the data, the key store left as it is.
    fn restore(&mut self) {
        self.hotel.close();
        fs::remove_dir_all(self.hotel.data()).unwrap();
        copy_files(self.backup.path(), &self.hotel.data());
    }

    fn tidbok(&self, args: &[&str]) -> Said {
        run(&self.hotel.data(), args)
    }

    fn entries(&self) -> u64 {
        self.hotel.tenant().log().size()
    }

    /// What the contact seal of each says.
    fn contacts(&self) -> Vec<String> {
        let seals: Vec<SealAt> = contact_seals(&self.hotel);
        self.hotel.read(&seals)
    }
}

fn contact_seals(hotel: &Hotel) -> Vec<SealAt> {
    let registered = hotel.seals().into_iter().filter_map(|(entry, seal)| {
        let kind = entry.event.kind();
        matches!(entry.event, Event::PersonRegistered(_)).then_some(SealAt {
            position: entry.position,
            kind,
            seal,
        })
    });
    registered.collect()
}

const RESTORE: [&str; 4] = ["restore", "--accept-loss", "--tenant", NAME];

#[test]
fn an_older_ledger_is_refused_with_what_to_do() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let mut before = before();
    before.hotel.erase(before.persons[1]);
    before.restore();
    for args in [
        ["stats", "--tenant", NAME].as_slice(),
        &["audit", "verify", "--tenant", NAME],
        &["clients", "list", "--tenant", NAME],
        &["--json", "projections", "rebuild", "--tenant", NAME, "--verify"],
    ] {
        let said = before.tidbok(args).ended(1);
        assert_eq!(said.out, "");
        assert!(said.error.contains("tidbok restore --accept-loss --tenant hotel"), "{said:?}");
        assert!(said.error.contains("older than what was promised"), "{said:?}");
    }
    assert!(before.hotel.try_reopen().is_err());
}

/// F78: after a restore the erased stay erased.
#[test]
fn of_an_older_ledger_that_is_taken_up_the_erased_stay_erased() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let mut before = before();
    let size = before.entries();
    before.hotel.erase(before.persons[1]);
    before.hotel.erase(before.persons[3]);
    before.restore();
    let mut args = vec!["--json"];
    args.extend(RESTORE);
    let said = before.tidbok(&args).ended(0).json();
    assert_eq!((&said["entries"], &said["lost_size"]), (&size.into(), &(size + 2).into()));
    assert_eq!((&said["fences_set_again"], &said["origin"]), (&2.into(), &2.into()));

    before.hotel.reopen();
    before.hotel.let_erasures_end();
    let Event::LedgerReopened(reopened) = before.hotel.entry(Position(size)).event else {
        panic!("the first entry of the new origin says so");
    };
    assert_eq!((reopened.fences, reopened.lost_size, reopened.origin), (2, size + 2, 2));
    let states = before.persons.iter().map(|person| before.hotel.state(*person));
    use PersonState::{Erased, Live};
    assert_eq!(states.collect::<Vec<_>>(), [Live, Erased, Live, Erased]);
    let (zero, two) = (format!("{MARK}0"), format!("{MARK}2"));
    assert_eq!(before.contacts(), [&zero, "erased", &two, "erased"]);
    before.hotel.assert_sound();

    // It is the promised ledger now, and goes on.
    before.hotel.erase(before.persons[0]);
    before.hotel.reopen();
    before.hotel.assert_sound();
    before.hotel.close();
    before.tidbok(&["audit", "verify", "--tenant", NAME]).ended(0);
}

/// A crash cuts off the acceptance of a loss after some commit, and after some mark. Whichever it was, the
/// next start refuses the ledger, or all who were erased are; nobody comes back in between.
#[test]
fn a_loss_that_was_accepted_halfway_brings_nobody_back() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let mut before = before();
    for person in &before.persons[1..] {
        before.hotel.erase(*person);
    }
    before.restore();
    let marks = |keys: &Path| {
        let file = fs::read_dir(keys.join("marks")).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        (file, text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>())
    };
    let (_, promised) = marks(&before.hotel.keys());
    let wal = wal_while(&before.hotel, |hotel| {
        run(&hotel.data(), &RESTORE).ended(0);
    });
    let (_, all) = marks(&before.hotel.keys());
    assert!(wal.cuts.len() > 4, "an origin, an entry that says so, and a fence for each");
    for (commits, length) in wal.cuts.iter().enumerate() {
        for marked in promised.len()..=all.len() {
            let files = tempfile::tempdir().unwrap();
            let data = files.path().join("data");
            copy_files(wal.files.path(), &data);
            let log = data.join("tenants/hotel/ledger.sqlite-wal");
            fs::OpenOptions::new().write(true).open(log).unwrap().set_len(*length).unwrap();
            let keys = files.path().join("data.keys");
            copy_files(&before.hotel.keys(), &keys);
            fs::write(marks(&keys).0, all[..marked].concat()).unwrap();

            let place = format!("after {commits} commits and {marked} marks");
            let app = App::open(&data, &keys, clock::system()).unwrap();
            if app.store.tenant(NAME).is_err() {
                app.store.accept_loss(NAME).unwrap();
            }
            let tenant = app.store.tenant(NAME).unwrap();
            while !tenant.is_resting() {
                std::thread::yield_now();
            }
            let state = |person: &PersonId| tenant.keyring().info(*person).unwrap().unwrap().state;
            use PersonState::{Erased, Live};
            let states: Vec<PersonState> = before.persons.iter().map(state).collect();
            assert_eq!(states, [Live, Erased, Erased, Erased], "{place}");
        }
    }
}

#[test]
fn a_loss_can_be_accepted_twice() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let mut before = before();
    before.hotel.erase(before.persons[1]);
    before.restore();
    before.tidbok(&RESTORE).ended(0);
    before.restore();
    before.tidbok(&["stats", "--tenant", NAME]).ended(1);
    let said = before.tidbok(&[["--json"].as_slice(), &RESTORE].concat()).ended(0).json();
    assert_eq!((&said["fences_set_again"], &said["origin"]), (&1.into(), &3.into()));
    before.hotel.reopen();
    before.hotel.let_erasures_end();
    assert_eq!(before.hotel.state(before.persons[1]), PersonState::Erased);
    before.hotel.assert_sound();
}

/// What was never promised is not missed: a copy from before anything was erased since the mark
/// is taken as it is only if nothing was marked behind it.
#[test]
fn a_copy_behind_which_nothing_was_marked_is_opened() {
    let mut before = before();
    let name = format!("{MARK}new");
    let guest = Guest { who: Who::New, name: &name, note: &name };
    before.hotel.book(0, before.hotel.now() + 3600, &[guest]);
    before.restore();
    before.hotel.reopen();
    before.hotel.assert_sound();
}

#[test]
fn another_ledger_of_the_same_length_is_refused() {
    if system_tests::on_postgres() {
        return; // It works on the file itself.
    }
    let mut before = before();
    before.hotel.erase(before.persons[1]);
    before.restore();
    // Longer than the mark, but with other entries.
    let keys = tempfile::tempdir().unwrap();
    copy_files(&before.hotel.keys(), keys.path());
    let files = tempfile::tempdir().unwrap();
    copy_files(before.backup.path(), &files.path().join("data"));
    copy_files(keys.path(), &files.path().join("data.keys"));
    fs::remove_dir_all(files.path().join("data.keys/marks")).unwrap();
    fs::create_dir(files.path().join("data.keys/marks")).unwrap();
    let lost = run(&files.path().join("data"), &["stats", "--tenant", NAME]).ended(1);
    assert!(lost.error.contains("no mark"), "{lost:?}");
    first_mark_only(&before.hotel.keys(), &files.path().join("data.keys"));
    let mut other = before.hotel.on(files);
    other.erase(before.persons[0]);
    other.erase(before.persons[2]);
    other.close();
    copy_files(&other.data(), &before.hotel.data());
    let said = before.tidbok(&["stats", "--tenant", NAME]).ended(1);
    assert!(said.error.contains("not the one that was promised"), "{said:?}");
}

/// A mark file as it was before anything was erased.
fn first_mark_only(from: &Path, to: &Path) {
    for file in fs::read_dir(from.join("marks")).unwrap() {
        let file = file.unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let first = text.lines().next().unwrap();
        fs::write(to.join("marks").join(file.file_name()), format!("{first}\n")).unwrap();
    }
}

/// A missing or misconfigured key store is an error, and nobody is erased by it.
#[test]
fn without_its_key_store_a_tenant_is_not_opened() {
    let mut before = before();
    before.hotel.close();
    let keys = before.hotel.keys();
    let away = keys.with_extension("away");
    let refuses = |before: &mut Before, why: &str| {
        for args in [["stats", "--tenant", NAME], ["audit", "verify", "--tenant"]] {
            let args = if args[0] == "audit" { [&args[..], &[NAME]].concat() } else { args.into() };
            let said = before.tidbok(&args).ended(1);
            assert!(said.error.contains(why), "{why}: {said:?}");
            assert!(!said.error.contains("erased"), "{said:?}");
        }
        assert!(before.hotel.try_reopen().is_err());
    };

    fs::rename(&keys, &away).unwrap();
    refuses(&mut before, "missing");
    assert!(!keys.exists(), "no new keys are made beside data");
    fs::create_dir(&keys).unwrap();
    refuses(&mut before, "missing");

    copy_files(&away, &keys);
    let epoch = keys.join("epoch-1.key");
    fs::write(&epoch, [7; 32]).unwrap();
    refuses(&mut before, "another one");
    fs::write(&epoch, [7; 31]).unwrap();
    refuses(&mut before, "damaged");
    fs::copy(away.join("epoch-1.key"), &epoch).unwrap();
    fs::set_permissions(&epoch, fs::Permissions::from_mode(0o644)).unwrap();
    refuses(&mut before, "others");

    fs::remove_dir_all(&keys).unwrap();
    fs::rename(&away, &keys).unwrap();
    before.hotel.reopen();
    assert_eq!(before.contacts()[0], format!("{MARK}0"));
    before.hotel.assert_sound();
}
