//! Rotation: everything opens as before, and of a copy made before nothing opens any more once the
//! window for backups has passed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use eventstore::engine::{Bundle, Hanging};
use eventstore::keyring::bundle::{self, Held, Wrapping};
use eventstore::keyring::key::Key;
use eventstore::keyring::provider::{Epoch, KeyStore, Provider};
use eventstore::store::rotation::{Rotation, WINDOW};
use eventstore::{StoreError, Tenant};
use gateway::app::AppError;
use jiff::SignedDuration;
use serde_json::json;
use system_tests::{Answer, Salon, TestApp, on_postgres};

use crate::program::run;

const NINE: &str = "2026-03-02T09:00:00+01:00[Europe/Stockholm]";
const TEN: &str = "2026-03-02T10:00:00+01:00[Europe/Stockholm]";

fn rotate(app: &TestApp) -> Result<Rotation, AppError> {
    let find = |name: &str| Ok(Arc::clone(&app.app.desk(name)?.tenant));
    tokio::task::block_in_place(|| app.app.store.rotate(WINDOW, &find, &|_, _| ()))
}

fn end_epochs(app: &TestApp, window: Duration) -> Result<Vec<Epoch>, AppError> {
    let find = |name: &str| Ok(Arc::clone(&app.app.desk(name)?.tenant));
    tokio::task::block_in_place(|| app.app.store.end_epochs(window, &find))
}

fn store(app: &TestApp) -> KeyStore {
    KeyStore::open(&app.folder.path().join("keys")).unwrap()
}

/// What a copy of a tenant's keyring holds.
struct Copy {
    tenant_keys: Vec<(u32, Vec<u8>)>,
    keys: Vec<Hanging>,
    persons: Vec<Bundle>,
}

impl Copy {
    fn of(tenant: &Tenant) -> Self {
        let reader = tenant.log().reader();
        let wrapped = |epoch| {
            let row = eventstore::engine::KeyRow::Tenant(epoch);
            (epoch, reader.wrapped(row).unwrap().unwrap())
        };
        let tenant_keys = reader.epochs().unwrap().into_iter().map(wrapped).collect();
        let keys = reader.hanging().unwrap();
        Self { tenant_keys, keys, persons: reader.bundles(i64::MIN, 1000).unwrap() }
    }

    /// How many rows of keys there are in it.
    fn len(&self) -> usize {
        self.keys.len() + self.persons.len()
    }

    /// What persons are found by.
    fn lookups(&self) -> Vec<&[u8]> {
        self.persons
            .iter()
            .flat_map(|row| row.lookups.chunks(18))
            .map(|entry| &entry[2..])
            .collect()
    }

    /// The tenant keys in it that a key store still unwraps.
    fn unwrapped(&self, provider: &KeyStore) -> Vec<Key> {
        let unwrap = |(epoch, row): &(u32, Vec<u8>)| provider.unwrap(Epoch(*epoch), row).ok();
        self.tenant_keys.iter().filter_map(unwrap).collect()
    }

    /// How many of its rows of keys open under any of these.
    fn opened_by(&self, keys: &[Key]) -> usize {
        let opens = |row: &&Hanging| keys.iter().any(|key| key.unwrap(&row.wrapped).is_ok());
        let persons = self.persons.iter().filter(|row| opened(row, keys).is_some());
        self.keys.iter().filter(opens).count() + persons.count()
    }
}

/// A person's keys, if their row opens under any of these.
fn opened(row: &Bundle, keys: &[Key]) -> Option<Vec<Held>> {
    let (epoch, person) = (bundle::epoch(&row.keys)?, row.person.cast_unsigned());
    let open = |key| bundle::open(&row.keys, person, &[Wrapping::new(epoch, key)]).ok();
    keys.iter().find_map(open)
}

/// A salon with somebody who stays and somebody who is to be erased, each with a booking.
async fn salon(app: &TestApp) -> (Salon, String, String, Answer) {
    let salon = app.salon("salon").await;
    let stays = salon.tenant.client("Astrid").await;
    let goes = salon.tenant.client("Birger").await;
    let mut wish = salon.wish(&stays, NINE, TEN);
    wish["fields"] = json!({"note": "by the window"});
    let booked = salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    (salon, stays, goes, booked)
}

/// An erasure reaches every backup, whoever has it.
#[tokio::test(flavor = "multi_thread")]
async fn no_copy_from_before_opens_once_the_window_has_passed() {
    let app = TestApp::default();
    let (salon, stays, goes, booked) = salon(&app).await;
    let tenant = Arc::clone(&salon.tenant.desk.tenant);
    let staff = &salon.tenant.staff;
    let copy = Copy::of(&tenant);
    let all = copy.len();
    let ask = json!({"kind": "erasure", "client_id": goes});
    staff.post("/v1/privacy-requests", &ask).await.is(202);

    app.clock.advance(SignedDuration::from_hours(24));
    let rotation = rotate(&app).unwrap();
    assert_eq!((rotation.epoch, rotation.ended.len()), (Epoch(2), 0));
    let (_, done) = &rotation.tenants[0];
    assert_eq!((done.persons, done.lookups), (1, 1));
    // Within the window a backup is one: it opens with the key store.
    assert_eq!(copy.opened_by(&copy.unwrapped(&store(&app))), all);

    app.clock.advance(SignedDuration::from_hours(22 * 24));
    let rotation = rotate(&app).unwrap();
    assert_eq!((rotation.epoch, rotation.ended), (Epoch(3), vec![Epoch(1)]));
    // Whoever has the copy, all that is there now and the key store opens nothing of it.
    let now = Copy::of(&tenant);
    let mut keys = copy.unwrapped(&store(&app));
    assert!(keys.is_empty());
    keys.extend(now.unwrapped(&store(&app)));
    assert_eq!(keys.len(), 2, "of the second epoch and the third");
    assert_eq!(copy.opened_by(&keys), 0);
    assert_eq!(now.opened_by(&keys), now.len());
    // Nor does it say whether somebody was in it.
    assert_eq!((copy.lookups().len(), now.lookups().len()), (2, 1));
    assert!(copy.lookups().iter().all(|value| !now.lookups().contains(value)));

    // And everything else is as it was.
    let mail = json!({"email": "astrid@example.org"});
    let found = staff.post("/v1/clients/search", &mail).await.ok();
    assert_eq!(found.body["data"][0]["id"], json!(stays));
    let page = staff.get_after("/v1/bookings", &booked).await.ok();
    assert_eq!(page.body["data"][0]["parts"][0]["details"]["fields"]["note"], "by the window");
    let reach = app.app.store.reach(&tenant, WINDOW).unwrap();
    assert!(reach[0].out_of_reach && reach[0].out_of_reach_at.is_some());
}

/// The data keys of a class that hang on a tenant's persons, as they are wrapped.
fn data_keys(tenant: &Tenant, class: i64) -> Vec<Vec<u8>> {
    let ids: Vec<i64> = (0..100).map(|handle| handle * 8 + class).collect();
    let found = tenant.log().reader().data_keys(&ids).unwrap();
    found.into_iter().map(|(_, wrapped)| wrapped).collect()
}

/// All keys that come of some, down to the persons', from these rows.
fn keys_under(keys: Vec<Key>, copies: &[&Copy]) -> Vec<Key> {
    let persons = copies.iter().flat_map(|copy| &copy.persons);
    let persons = persons.filter_map(|row| opened(row, &keys)).flatten().map(|held| held.key);
    let persons: Vec<Key> = persons.collect();
    keys.into_iter().chain(persons).collect()
}

/// What is forgotten of somebody who stays: a booking's content, and what they were called before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_of_the_living_opens_from_no_copy_either() {
    const BOOKING: i64 = 2;
    let app = TestApp::default();
    let (salon, stays, _, booked) = salon(&app).await;
    let tenant = Arc::clone(&salon.tenant.desk.tenant);
    let (staff, admin) = (&salon.tenant.staff, &salon.tenant.admin);
    let over = booked.id();
    let tuesday = |hour: &str| NINE.replace("03-02T09", &format!("03-24T{hour}"));
    let mut wish = salon.wish(&stays, &tuesday("09"), &tuesday("10"));
    wish["fields"] = json!({"note": "and by the door"});
    let later = staff.post("/v1/bookings", &wish).await.created();

    let copy = Copy::of(&tenant);
    let sealed = data_keys(&tenant, BOOKING);
    app.clock.set("2026-03-02T12:00:00Z");
    admin.post(&format!("/v1/bookings/{over}/erase-content"), &json!({})).await.ok();
    let left = data_keys(&tenant, BOOKING);
    let gone: Vec<&Vec<u8>> = sealed.iter().filter(|key| !left.contains(key)).collect();
    assert_eq!((sealed.len(), gone.len()), (2, 1));
    let opens = |keys: &[Key]| keys.iter().any(|key| key.unwrap(gone[0]).is_ok());

    let rotation = rotate(&app).unwrap();
    assert_eq!(rotation.tenants[0].1.replaced, 1);
    let read = || async {
        let read = staff.get_after(&format!("/v1/bookings/{}", later.id()), &later).await.ok();
        assert_eq!(read.body["parts"][0]["details"]["fields"]["note"], "and by the door");
    };
    read().await;
    // Within the window the copy opens what it held, as a backup should.
    assert!(opens(&keys_under(copy.unwrapped(&store(&app)), &[&copy])));

    app.clock.advance(SignedDuration::from_hours(22 * 24));
    let rotation = rotate(&app).unwrap();
    assert_eq!(rotation.ended, vec![Epoch(1)]);
    let now = Copy::of(&tenant);
    let mut keys = copy.unwrapped(&store(&app));
    keys.extend(now.unwrapped(&store(&app)));
    assert!(!opens(&keys_under(keys, &[&copy, &now])));
    read().await;
    app.clock.advance(SignedDuration::from_hours(1));
    read().await;
}

/// A salon with a note that hangs on a key which a rotation has replaced, as that of somebody who sealed
/// it under the old key and committed it after.
async fn with_straggler(app: &TestApp) -> (Salon, Answer, Vec<u8>) {
    let (salon, stays, _, booked) = salon(app).await;
    let tenant = Arc::clone(&salon.tenant.desk.tenant);
    let (staff, admin) = (&salon.tenant.staff, &salon.tenant.admin);
    let tuesday = |hour: &str| NINE.replace("03-02T09", &format!("03-24T{hour}"));
    let mut wish = salon.wish(&stays, &tuesday("09"), &tuesday("10"));
    wish["fields"] = json!({"note": "and by the door"});
    let later = staff.post("/v1/bookings", &wish).await.created();
    app.clock.set("2026-03-02T12:00:00Z");
    admin.post(&format!("/v1/bookings/{}/erase-content", booked.id()), &json!({})).await.ok();
    let before = Copy::of(&tenant);
    rotate(app).unwrap();

    let under = |copy: &Copy| keys_under(copy.unwrapped(&store(app)), &[copy]);
    let (old, new) = (under(&before), under(&Copy::of(&tenant)));
    let wrapped = data_keys(&tenant, 2).remove(0);
    assert!(!old.iter().any(|key| key.unwrap(&wrapped).is_ok()), "it hangs on the new key");
    let key = new.iter().find_map(|key| key.unwrap(&wrapped).ok()).unwrap();
    // As it was before the rotation: under each old key in turn there is one that it belongs to.
    let person = tenant.log().reader();
    let rows = person.retired_of(salon.tenant.person(&stays)).unwrap();
    let [(10, retired)] = &rows[..] else { panic!("of class 2 in epoch 1: {rows:?}") };
    let retired = old.iter().find_map(|key| key.unwrap(retired).ok()).unwrap();
    let file = rusqlite::Connection::open(tenant.folder().join("ledger.sqlite")).unwrap();
    let hang = "UPDATE data_key SET wrapped = ?2 WHERE wrapped = ?1";
    let straggler = retired.wrap(&key).to_vec();
    assert_eq!(file.execute(hang, (&wrapped, &straggler)).unwrap(), 1);
    // The next rotation has no reason of its own to look after this person.
    file.execute("DELETE FROM data_key WHERE wrapped IS NULL", []).unwrap();
    (salon, later, straggler)
}

async fn reads_the_note(salon: &Salon, booked: &Answer) {
    let path = format!("/v1/bookings/{}", booked.id());
    let read = salon.tenant.staff.get_after(&path, booked).await.ok();
    assert_eq!(read.body["parts"][0]["details"]["fields"]["note"], "and by the door");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_replaced_key_is_taken_over_before_that_ends() {
    if on_postgres() {
        return;
    }
    let app = TestApp::default();
    let (salon, later, straggler) = with_straggler(&app).await;
    reads_the_note(&salon, &later).await;
    app.clock.advance(SignedDuration::from_hours(22 * 24));
    assert_eq!(rotate(&app).unwrap().ended, vec![Epoch(1)]);
    assert!(!data_keys(&salon.tenant.desk.tenant, 2).contains(&straggler));
    reads_the_note(&salon, &later).await;
}

/// Whenever the keeper of epoch keys fails: either nothing ends, or nothing was lost by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_store_that_fails_at_any_moment_loses_nothing() {
    if on_postgres() {
        return;
    }
    let app = TestApp::default();
    let (salon, later, _) = with_straggler(&app).await;
    app.clock.advance(SignedDuration::from_hours(22 * 24));
    let keys = app.folder.path().join("keys");
    let open_to = |mode| {
        let keys = [1, 2].map(|epoch| keys.join(format!("epoch-{epoch}.key")));
        // One that has ended is not there.
        let set = move |key| drop(std::fs::set_permissions(key, Permissions::from_mode(mode)));
        move || keys.into_iter().for_each(set)
    };
    for moment in 0.. {
        // A key that others may read is refused, until somebody has seen to it.
        app.clock.at_moment(moment, open_to(0o644));
        let ended = end_epochs(&app, WINDOW);
        let over = app.clock.at_no_moment();
        open_to(0o600)();
        if let Ok(ended) = ended {
            assert_eq!(ended, [Epoch(1)]);
            reads_the_note(&salon, &later).await;
            assert!(moment > 3 || over, "it has failed at some moments");
            return;
        }
        reads_the_note(&salon, &later).await;
        app.clock.advance(SignedDuration::from_mins(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_cut_off_goes_on() {
    let app = TestApp::default();
    let (salon, ..) = salon(&app).await;
    let tenant = Arc::clone(&salon.tenant.desk.tenant);
    // The key store has the key of an epoch of which the tenant knows nothing.
    store(&app).begin_epoch(&app.app.env).unwrap();
    assert_eq!(rotate(&app).unwrap().epoch, Epoch(2));
    assert_eq!(Copy::of(&tenant).tenant_keys.len(), 2);
    // It ended: the next is another one. Whoever came in between has nothing to go on with.
    app.salon("other").await;
    assert_eq!(rotate(&app).unwrap().epoch, Epoch(3));
    let newest = provider_key(&app, &tenant, 3);
    assert_eq!(Copy::of(&tenant).opened_by(&[newest]), Copy::of(&tenant).len());
}

fn provider_key(app: &TestApp, tenant: &Tenant, epoch: u32) -> Key {
    let copy = Copy::of(tenant);
    let (_, row) = copy.tenant_keys.iter().find(|(known, _)| *known == epoch).unwrap();
    store(app).unwrap(Epoch(epoch), row).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_go_on_while_keys_are_rotated() {
    let app = TestApp::default();
    let (salon, ..) = salon(&app).await;
    let staff = &salon.tenant.staff;
    let newcomers = async {
        for number in 0..30 {
            salon.tenant.client(&format!("Cajsa{number}")).await;
        }
    };
    let rotations = async {
        for _ in 0..3 {
            rotate(&app).unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(newcomers, rotations);
    rotate(&app).unwrap();
    for number in 0..30 {
        let mail = json!({"email": format!("cajsa{number}@example.org")});
        let found = staff.post("/v1/clients/search", &mail).await.ok();
        let name = format!("Cajsa{number}");
        assert_eq!(found.body["data"][0]["contact"]["name"], json!(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_others_hang_on_are_not_destroyed() {
    let app = TestApp::default();
    salon(&app).await;
    rotate(&app).unwrap();
    // A tenant whose ledger is somewhere else.
    let marks = app.folder.path().join("keys/marks");
    std::fs::write(marks.join(format!("{}.jsonl", "ab".repeat(16))), "").unwrap();
    app.clock.advance(SignedDuration::from_hours(22 * 24));
    let rotation = rotate(&app).unwrap();
    assert_eq!((rotation.ended.len(), rotation.others.len()), (0, 1));
    let refused = end_epochs(&app, WINDOW).unwrap_err();
    assert!(matches!(refused, AppError::Store(StoreError::KeysOfOthers(_))), "{refused}");
    let epochs = app.app.store.epochs(WINDOW).unwrap();
    assert!(epochs.iter().all(|(info, ends)| info.destroyed_at.is_none() && ends.is_none()));
}

/// Two places with one key store: each goes on rotating, whoever began the epoch; no key ends, and nobody
/// names a day on which one would. In one place again, all ends as ever.
#[tokio::test(flavor = "multi_thread")]
async fn two_places_with_one_key_store_rotate_and_name_no_day() {
    let app = TestApp::with(None, 1);
    let (salon, _, goes, _) = salon(&app).await;
    drop(app.salon("other").await);
    let ask = json!({"kind": "erasure", "client_id": goes});
    salon.tenant.staff.post("/v1/privacy-requests", &ask).await.is(202);
    drop(salon);
    let moved = |from: &TestApp, to: &TestApp| {
        let folder = tempfile::tempdir().unwrap();
        tokio::task::block_in_place(|| {
            from.app.hand_over("salon", || from.app.store.export("salon", folder.path())).unwrap();
            to.app.store.import(folder.path(), None).unwrap();
            from.app.store.remove("salon").unwrap();
        });
    };
    let there = app.beside_on(None, None, 3);
    moved(&app, &there);
    let week = Duration::from_secs(7 * 24 * 3600);
    let look = |at: &TestApp| {
        tokio::task::block_in_place(|| gateway::rotation::look(&at.app, week, WINDOW).unwrap());
    };
    let newest = |at: &TestApp, name: &str| {
        let tenant = Arc::clone(&at.app.desk(name).unwrap().tenant);
        tenant.log().reader().epochs().unwrap()[0]
    };
    let days = |at: &TestApp| {
        let tenant = Arc::clone(&at.app.desk("salon").unwrap().tenant);
        let reach = at.app.store.reach(&tenant, WINDOW).unwrap();
        assert_eq!(reach.len(), 1);
        reach.iter().filter(|reach| reach.out_of_reach_at.is_some()).count()
    };
    for epoch in 2..=5 {
        app.clock.advance(SignedDuration::from_hours(7 * 24));
        look(&app);
        look(&there);
        assert_eq!((newest(&app, "other"), newest(&there, "salon")), (epoch, epoch));
    }
    assert_eq!(days(&there), 0);
    for at in [&app, &there] {
        let epochs = at.app.store.epochs(WINDOW).unwrap();
        assert!(epochs.iter().all(|(info, ends)| info.destroyed_at.is_none() && ends.is_none()));
    }
    moved(&there, &app);
    assert_eq!(days(&app), 1);
    app.clock.advance(SignedDuration::from_mins(11));
    look(&app);
    let epochs = app.app.store.epochs(WINDOW).unwrap();
    assert!(epochs[0].0.destroyed_at.is_some(), "{epochs:?}");
}

/// On the day that a receipt names, not with the rotation after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_ends_on_its_day_without_another_rotation() {
    let app = TestApp::default();
    let (salon, stays, ..) = salon(&app).await;
    rotate(&app).unwrap();
    app.clock.advance(SignedDuration::from_hours(21 * 24) - SignedDuration::from_secs(1));
    assert_eq!(end_epochs(&app, WINDOW).unwrap(), []);
    app.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(end_epochs(&app, WINDOW).unwrap(), [Epoch(1)]);
    assert_eq!(end_epochs(&app, WINDOW).unwrap(), []);
    assert_eq!(app.app.store.epochs(WINDOW).unwrap().len(), 2);
    salon.tenant.staff.get(&format!("/v1/clients/{stays}")).await.ok();
}

/// Where no backups are kept, whoever sealed under the key before still has time to arrive.
#[tokio::test(flavor = "multi_thread")]
async fn no_window_ends_an_epoch_at_once() {
    let app = TestApp::default();
    salon(&app).await;
    rotate(&app).unwrap();
    assert_eq!(end_epochs(&app, Duration::ZERO).unwrap(), []);
    app.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(end_epochs(&app, Duration::ZERO).unwrap(), [Epoch(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_cannot_be_rotated_is_named_and_holds_up_no_other() {
    if on_postgres() {
        return;
    }
    let app = TestApp::default();
    let (damaged, ..) = salon(&app).await;
    let other = app.salon("whole").await;
    let path = damaged.tenant.desk.tenant.folder().join("ledger.sqlite");
    let file = rusqlite::Connection::open(path).unwrap();
    let kept: Vec<u8> =
        file.query_row("SELECT wrapped FROM secret LIMIT 1", [], |row| row.get(0)).unwrap();
    let swap = "UPDATE secret SET wrapped = ?2 WHERE wrapped = ?1";
    let broken = vec![7; kept.len()];
    assert_eq!(file.execute(swap, (&kept, &broken)).unwrap(), 1);

    let refused = rotate(&app).unwrap_err();
    let AppError::Store(StoreError::NotRotated(name, _)) = &refused else { panic!("{refused}") };
    assert_eq!(name, "salon");
    let whole = Copy::of(&other.tenant.desk.tenant);
    let key = provider_key(&app, &other.tenant.desk.tenant, 2);
    assert_eq!(whole.opened_by(&[key]), whole.len());
    // Nothing ends before it is through.
    app.clock.advance(SignedDuration::from_hours(22 * 24));
    rotate(&app).unwrap_err();
    assert_eq!(end_epochs(&app, WINDOW).unwrap(), []);
    assert_eq!(file.execute(swap, (&broken, &kept)).unwrap(), 1);
    rotate(&app).unwrap();
    app.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(end_epochs(&app, WINDOW).unwrap(), [Epoch(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_opens_what_was_wrapped_anew() {
    if !on_postgres() {
        return;
    }
    let app = TestApp::default();
    let (salon, stays, ..) = salon(&app).await;
    let other = app.beside(7);
    let staff = other.with_key(salon.tenant.staff.key());
    staff.get(&format!("/v1/clients/{stays}")).await.ok();
    rotate(&app).unwrap();
    // The other node seals under the key that it knows, for a lease at the most.
    let contact = json!({"contact": {"name": "Dag", "email": "dag@example.org"}});
    staff.post("/v1/clients", &contact).await.created();
    app.clock.advance(SignedDuration::from_mins(1));
    for node in [&staff, &salon.tenant.staff] {
        for mail in ["astrid@example.org", "dag@example.org"] {
            let found = node.post("/v1/clients/search", &json!({"email": mail})).await.ok();
            assert_eq!(found.body["data"][0]["contact"]["email"], json!(mail));
        }
    }
}

#[test]
fn the_program_rotates_and_says_how_far_it_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let said = |args: &[&str]| run(&data, args).ended(0).json();
    said(&["--json", "tenant", "create", "salon", "--zone", "Europe/Stockholm"]);
    let rotated = said(&["--json", "keys", "rotate"]);
    assert_eq!((&rotated["epoch"], &rotated["destroyed"]), (&json!(2), &json!([])));
    let status = said(&["--json", "keys", "status"]);
    assert!(status["epochs"][0]["ends_at"].is_string(), "{status}");
    // Somebody who keeps no backups: what is under way under the keys before has time to arrive.
    let rotated = said(&["--json", "keys", "rotate", "--window", "0"]);
    assert_eq!((&rotated["epoch"], &rotated["destroyed"]), (&json!(3), &json!([])));
    let status = said(&["--json", "keys", "status", "--window", "0"]);
    assert!(status["epochs"][1]["ends_at"].is_string(), "{status}");
    let verified = said(&["--json", "audit", "verify", "--tenant", "salon"]);
    assert_eq!(verified["findings"], json!([]));
    let told = run(&data, &["audit", "replay", "--tenant", "salon"]).ended(0).out;
    assert!(told.contains("wrapped anew under epoch 3"), "{told}");
}

/// Somebody whose row was put back by hand is not carried into the new epoch.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_behind_a_fence_is_carried_into_the_next_epoch() {
    if on_postgres() {
        return; // It changes the file itself.
    }
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    let person = i64::try_from(salon.tenant.person(&id).0).unwrap();
    let file = app.folder.path().join("data/tenants/salon/ledger.sqlite");
    let conn = rusqlite::Connection::open(file).unwrap();
    let fence = "SELECT fence FROM person WHERE id = ?1";
    let fence: Vec<u8> = conn.query_row(fence, [person], |row| row.get(0)).unwrap();
    let erasure = json!({"kind": "erasure", "client_id": id});
    salon.tenant.admin.post("/v1/privacy-requests", &erasure).await.is(202);
    while !salon.tenant.desk.tenant.is_resting() {
        tokio::task::yield_now().await;
    }
    rotate(&app).unwrap();
    let back = "UPDATE person SET state = 1, fence = ?2, keys = x'00' WHERE id = ?1";
    conn.execute(back, (person, fence)).unwrap();
    let refused = rotate(&app).unwrap_err();
    let AppError::Store(StoreError::NotRotated(tenant, why)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(tenant, "salon");
    assert!(matches!(*why, StoreError::AliveBehindFence(_)), "{why:?}");
}
