//! What is left behind by moves, whole or cut off: it is deleted where it is nobody's, and only there.

use std::fs;
use std::path::{Path, PathBuf};

use eventstore::StoreError;
use system_tests::{TestApp, postgres};
use tokio::task::block_in_place;

use super::{audit_is_clean, furnished, north, people, schemas, seen};
use crate::program::run;

fn export(app: &TestApp, to: &Path) {
    block_in_place(|| app.app.hand_over("salon", || app.app.store.export("salon", to)).unwrap());
}

fn remove(app: &TestApp) -> Result<(), StoreError> {
    block_in_place(|| app.app.store.remove("salon")).map(drop)
}

/// Where a store in files has something of a tenant's.
fn at(app: &TestApp, name: &str) -> PathBuf {
    app.folder.path().join("data/tenants").join(name)
}

/// Two directories may have their keyrings in one database. A tenant that went from one to the other
/// keeps its keyring there when it is removed where it was; and it is deleted with the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_keyring_that_went_on_elsewhere_is_not_removed() {
    let (one, two, keys) = (postgres::database(), postgres::database(), postgres::database());
    let app = TestApp::at(Some(one.clone()), Some(keys.clone()), 1);
    let (salon, client) = furnished(&app).await;
    let both = people(&salon);
    drop(salon);
    let before = seen(&app, &both, &client).await;
    let out = tempfile::tempdir().unwrap();
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
    let (one, two, keys) = (postgres::database(), postgres::database(), postgres::database());
    let app = TestApp::at(Some(one), Some(keys.clone()), 1);
    let (salon, client) = furnished(&app).await;
    let both = people(&salon);
    drop(salon);
    let before = seen(&app, &both, &client).await;
    let out = tempfile::tempdir().unwrap();
    export(&app, out.path());
    let there = app.beside_on(Some(two.clone()), Some(keys.clone()), 2);
    cut_off_an_arrival(&there, &app, out.path());
    remove(&app).unwrap();
    let late = app.beside_on(Some(two.clone()), Some(keys.clone()), 3);
    block_in_place(|| late.app.store.import(out.path(), None).unwrap());
    assert_eq!(seen(&late, &both, &client).await, before);
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
