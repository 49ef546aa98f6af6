//! What is left behind by moves, whole or cut off: it is deleted where it is nobody's, and only there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eventstore::StoreError;
use eventstore::store::listing::State;
use gateway::app::AppError;
use serde_json::json;
use system_tests::{Caller, TestApp, keyring_of, on_postgres, postgres};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::{Out, Seen, audit_is_clean, exported, furnished, import, north, people, schemas, seen};
use crate::program::{finish, run, tidbok};

fn export(app: &TestApp, to: &Path) {
    block_in_place(|| app.app.hand_over("salon", || app.app.store.export("salon", to)).unwrap());
}

fn remove(app: &TestApp) -> Result<(), StoreError> {
    block_in_place(|| app.app.store.remove("salon")).map(drop)
}

/// How the only tenant stands.
fn state(app: &TestApp) -> State {
    block_in_place(|| app.app.store.listed().unwrap())[0].state
}

/// Where a store in files has something of a tenant's.
fn at(app: &TestApp, name: &str) -> PathBuf {
    app.folder.path().join("data/tenants").join(name)
}

/// Copies a tenant's folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A tenant whose keyring is in a database of its own, and one more database for it to go to.
struct Apart {
    app: TestApp,
    one: String,
    two: String,
    keys: String,
    both: (Caller, Caller),
    client: String,
    before: Seen,
    out: TempDir,
}

async fn apart() -> Apart {
    let (one, two, keys) = (postgres::database(), postgres::database(), postgres::database());
    let app = TestApp::at(Some(one.clone()), Some(keys.clone()), 1);
    let (salon, client) = furnished(&app).await;
    let both = people(&salon);
    drop(salon);
    let before = seen(&app, &both, &client).await;
    let out = tempfile::tempdir().unwrap();
    Apart { app, one, two, keys, both, client, before, out }
}

/// Two directories may have their keyrings in one database. A tenant that went from one to the other
/// keeps its keyring there when it is removed where it was; and it is deleted with the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_keyring_that_went_on_elsewhere_is_not_removed() {
    let Apart { one, two, keys, app, both, client, before, out } = apart().await;
    let (first, second) = (out.path().join("first"), out.path().join("second"));
    export(&app, &first);
    let there = app.beside_on(Some(two.clone()), Some(keys.clone()), 2);
    block_in_place(|| there.app.store.import(&first, None).unwrap());
    remove(&app).unwrap();
    assert_eq!(schemas(&one), "0");
    // One that knows nothing yet.
    let late = app.beside_on(Some(two.clone()), Some(keys.clone()), 3);
    assert_eq!(seen(&late, &both, &client).await, before);
    audit_is_clean(&late);
    // And back, while what is left there is still there.
    export(&there, &second);
    block_in_place(|| app.app.store.import(&second, None).unwrap());
    remove(&there).unwrap();
    assert_eq!(schemas(&two), "0");
    let late = app.beside(4);
    assert_eq!(seen(&late, &both, &client).await, before);
    export(&app, &out.path().join("third"));
    remove(&app).unwrap();
    assert_eq!((schemas(&one), schemas(&keys)), ("0".to_owned(), "0".to_owned()));
}

/// An arrival that is cut off has its keyring too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_keyring_that_is_arriving_elsewhere_is_not_removed() {
    let Apart { two, keys, app, both, client, before, out, .. } = apart().await;
    export(&app, out.path());
    let there = app.beside_on(Some(two.clone()), Some(keys.clone()), 2);
    cut_off_an_arrival(&there, &app, out.path());
    remove(&app).unwrap();
    let late = app.beside_on(Some(two.clone()), Some(keys.clone()), 3);
    block_in_place(|| late.app.store.import(out.path(), None).unwrap());
    assert_eq!(seen(&late, &both, &client).await, before);
}

/// What is out of use is replaced though its keyring was deleted from where it had gone on to.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_lost_its_keyring_is_replaced() {
    let Apart { two, keys, app, both, client, before, out, .. } = apart().await;
    let (first, second) = (out.path().join("first"), out.path().join("second"));
    export(&app, &first);
    let there = app.beside_on(Some(two), Some(keys.clone()), 2);
    block_in_place(|| there.app.store.import(&first, None).unwrap());
    export(&there, &second);
    remove(&there).unwrap();
    assert_eq!(schemas(&keys), "0");
    block_in_place(|| app.app.store.import(&second, None).unwrap());
    assert_eq!(seen(&app, &both, &client).await, before);
    audit_is_clean(&app);
}

/// A move that is taken back clears the place where it was to go. Where that is the database with the
/// keyring in it, nothing is moved and nothing cleared.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_of_keyrings_is_no_server() {
    let (keys, servers) = north();
    let main = postgres::database();
    let app = TestApp::among(servers, Some(main.clone()), Some(keys), 1);
    let (salon, client) = furnished(&app).await;
    let both = people(&salon);
    drop(salon);
    let before = seen(&app, &both, &client).await;
    postgres::run(&main, "UPDATE tidbok.tenant SET state = 2, other = 'north'");
    block_in_place(|| app.app.follow_moves());
    assert!(block_in_place(|| app.app.store.move_to("salon", "main").unwrap()));
    let late = app.beside(2);
    assert_eq!(seen(&late, &both, &client).await, before);
    let refused = block_in_place(|| app.app.store.move_to("salon", "north").unwrap_err());
    assert!(refused.to_string().contains("--keyring names the database of north"), "{refused:?}");
    assert_eq!(seen(&app.beside(3), &both, &client).await, before);
    // Nor is it that of all ledgers.
    let (data, keys) = (tempfile::tempdir().unwrap(), app.folder.path().join("keys"));
    let keys = keys.to_str().unwrap();
    let args = ["--ledger", &main, "--keyring", &main, "--keys", keys, "tenant", "list"];
    run(data.path(), &args).ended(2);
}

/// Whoever removes a tenant while it is exported has not removed the only copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_removed_was_exported_whole() {
    let app = TestApp::seeded(1);
    furnished(&app).await;
    let (out, store) = (tempfile::tempdir().unwrap(), Arc::clone(&app.app));
    let folder = out.path().to_owned();
    let exporting = tokio::task::spawn_blocking(move || {
        loop {
            match store.hand_over("salon", || store.store.export("salon", &folder)) {
                // Whoever wants to remove it has it in hand while they look.
                Err(AppError::Store(StoreError::Moving(_))) => {}
                exported => return exported.map(drop),
            }
        }
    });
    while remove(&app).is_err() {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    exporting.await.unwrap().unwrap();
    block_in_place(|| app.app.store.import(out.path(), None).unwrap());
    audit_is_clean(&app);
}

/// An export that was cut off may not be whole: what is here is kept until one is.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_exported_whole_is_not_removed() {
    let Out { app, staff, folder } = exported().await;
    match &app.ledger {
        Some(ledger) => drop(postgres::run(ledger, "UPDATE tidbok.tenant SET state = 4")),
        None => fs::rename(at(&app, ".salon.exported"), at(&app, ".salon.exporting")).unwrap(),
    }
    assert_eq!(state(&app), State::Exporting);
    let refused = remove(&app).unwrap_err();
    assert!(matches!(refused, StoreError::NotWhole(_)), "{refused:?}");
    app.with_key(staff.key()).get("/v1/bookings").await.is(503);
    let again = tempfile::tempdir().unwrap();
    export(&app, again.path());
    remove(&app).unwrap();
    block_in_place(|| app.app.store.import(again.path(), None).unwrap());
    app.with_key(staff.key()).get("/v1/bookings").await.ok();
    audit_is_clean(&app);
    // One that fails is in use again.
    let nowhere = folder.path().join("tenant.json/none");
    block_in_place(|| {
        let failed = app.app.hand_over("salon", || app.app.store.export("salon", &nowhere));
        assert!(failed.is_err());
    });
    app.with_key(staff.key()).get("/v1/bookings").await.ok();
}

/// An arrival that was cut off, and overtaken elsewhere since, gives way to the newer export; and where
/// there is none to come, it is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_arrival_that_was_overtaken_gives_way() {
    for comes_back in [true, false] {
        let Out { app, staff, folder } = exported().await;
        assert_eq!(state(&app), State::Exported);
        cut_off_an_arrival(&app, &app, folder.path());
        assert_eq!(state(&app), State::Arriving);
        app.clock.advance(jiff::SignedDuration::from_secs(1));
        let elsewhere = app.beside_on(None, None, 7);
        block_in_place(|| elsewhere.app.store.import(folder.path(), None).unwrap());
        let guest = json!({"contact": {"name": "Cilla", "email": "cilla@example.org"}});
        let guest = elsewhere.with_key(staff.key()).post("/v1/clients", &guest).await.created();
        let second = tempfile::tempdir().unwrap();
        let refused = import(&app, folder.path());
        assert!(
            matches!(refused, StoreError::Behind { .. } | StoreError::Forked(_)),
            "{refused:?}"
        );
        if app.ledger.is_some() {
            let refused = block_in_place(|| app.app.store.move_to("salon", "main").unwrap_err());
            assert!(matches!(refused, StoreError::Overtaken(_)), "{refused:?}");
        }
        if comes_back {
            export(&elsewhere, second.path());
            block_in_place(|| app.app.store.import(second.path(), None).unwrap());
            let path = format!("/v1/clients/{}", guest.id());
            app.with_key(staff.key()).get(&path).await.ok();
            audit_is_clean(&app);
        } else {
            remove(&app).unwrap();
            app.with_key(staff.key()).get("/v1/bookings").await.is(401);
            audit_is_clean(&elsewhere);
        }
    }
}

/// A server that is lost keeps no tenant out of use that came from it, once that is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_is_forsaken() {
    let nowhere = "nowhere=postgres://tidbok@127.0.0.1:1/none";
    let (main, out) = (postgres::database(), tempfile::tempdir().unwrap());
    let servers = vec![nowhere.parse().unwrap()];
    let app = TestApp::among(servers, Some(main.clone()), keyring_of(Some(&main)), 1);
    let (salon, client) = furnished(&app).await;
    let both = people(&salon);
    drop(salon);
    let before = seen(&app, &both, &client).await;
    // It has come from there, and nobody can say that nothing is left there.
    postgres::run(&main, "UPDATE tidbok.tenant SET state = 3, other = 'nowhere'");
    block_in_place(|| app.app.follow_moves());
    block_in_place(|| app.app.store.move_to("salon", "main").unwrap_err());
    let (data, keys) = (out.path().join("data"), app.folder.path().join("keys"));
    let mut command = tidbok(&data, &["--ledger", &main, "--keys", keys.to_str().unwrap()]);
    command.args(["--server", nowhere, "tenant", "place", "--tenant", "salon", "--on", "main"]);
    if let Some(keyring) = &app.keyring {
        command.args(["--keyring", keyring]);
    }
    finish(command.arg("--forsake")).ended(0);
    assert_eq!(seen(&app, &both, &client).await, before);
    // It was exported there.
    export(&app, &out.path().join("export"));
    postgres::run(&main, "UPDATE tidbok.tenant SET server = 'nowhere'");
    let folder = out.path().join("export");
    block_in_place(|| app.app.store.import(&folder, Some("main")).unwrap_err());
    block_in_place(|| app.app.store.import_forsaking(&folder, None).unwrap());
    assert_eq!(seen(&app, &both, &client).await, before);
    audit_is_clean(&app);
}

/// As an import is that was cut off before the key store had its mark.
fn cut_off_an_arrival(app: &TestApp, first: &TestApp, folder: &Path) {
    let marks = first.folder.path().join("keys/marks");
    let mark = fs::read_dir(marks).unwrap().next().unwrap().unwrap().path();
    let promised = fs::read(&mark).unwrap();
    block_in_place(|| app.app.store.import(folder, None).unwrap());
    fs::write(mark, promised).unwrap();
    match &app.ledger {
        Some(ledger) => drop(postgres::run(ledger, "UPDATE tidbok.tenant SET state = 3")),
        None => fs::rename(at(app, "salon"), at(app, ".salon.arriving")).unwrap(),
    }
}

/// Beside tenants that are out of use no key store is made, either.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_store_is_made_beside_what_is_out_of_use() {
    let Out { app, .. } = exported().await;
    let (data, keys) = (tempfile::tempdir().unwrap(), app.folder.path().join("keys"));
    let away = app.folder.path().join("away");
    fs::rename(&keys, &away).unwrap();
    let keys = keys.to_str().unwrap();
    let said = match &app.ledger {
        Some(ledger) => {
            let args = ["--ledger", ledger, "--keys", keys, "tenant", "list"];
            run(data.path(), &args)
        }
        None => {
            copy(&at(&app, ".salon.exported"), &data.path().join("copied"));
            fs::create_dir(data.path().join("tenants")).unwrap();
            fs::rename(data.path().join("copied"), data.path().join("tenants/.salon.exported"))
                .unwrap();
            run(data.path(), &["--keys", keys, "tenant", "list"])
        }
    };
    assert!(said.ended(1).error.contains("the key store"), "nothing is made in its place");
    assert!(!Path::new(keys).exists());
}

/// An import that was cut off when all was done but deleting what it replaced is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_is_deleted_by_whoever_comes_next() {
    if on_postgres() {
        return;
    }
    let Out { app, staff, folder } = exported().await;
    let kept = app.folder.path().join("kept");
    copy(&at(&app, ".salon.exported"), &kept);
    block_in_place(|| app.app.store.import(folder.path(), None).unwrap());
    fs::rename(&kept, at(&app, ".salon.exported")).unwrap();
    let listed = block_in_place(|| app.app.store.listed().unwrap());
    assert_eq!(listed.len(), 1, "{listed:?}");
    block_in_place(|| app.app.store.import(folder.path(), None).unwrap());
    assert!(!at(&app, ".salon.exported").exists());
    app.with_key(staff.key()).get("/v1/bookings").await.ok();
    audit_is_clean(&app);
}

/// What a node has of its own of a tenant goes with it.
#[tokio::test(flavor = "multi_thread")]
async fn read_models_are_removed_with_their_tenant() {
    let Out { app, .. } = exported().await;
    remove(&app).unwrap();
    let nodes = app.folder.path().join("data/nodes");
    assert!(!nodes.exists() || fs::read_dir(nodes).unwrap().next().is_none());
}

/// Whoever removes what is in use has used the program wrongly.
#[test]
fn a_removal_that_can_never_be_is_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    run(&data, &["tenant", "create", "salon", "--zone", "Europe/Stockholm"]).ended(0);
    run(&data, &["tenant", "remove", "--tenant", "salon"]).ended(2);
}
