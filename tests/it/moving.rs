//! Tenants that are moved: whole, once, and while others keep working.

mod left;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::Event;
use eventstore::StoreError;
use eventstore::ledger::audit::verify;
use eventstore::store::backup::Which;
use eventstore::store::cluster::NamedServer;
use eventstore::store::listing::State;
use gateway::app::AppError;
use serde_json::Value;
use system_tests::{Caller, Salon, TestApp, keyring_of, postgres};
use tempfile::TempDir;
use tokio::task::block_in_place;

const TEN: &str = "2026-03-02T10:00:00";
const ELEVEN: &str = "2026-03-02T11:00:00";
const NOON: &str = "2026-03-02T12:00:00";

/// What somebody sees of a salon, and what its auditor does.
#[derive(Debug, PartialEq)]
struct Seen {
    bookings: Value,
    client: Value,
    statistics: Value,
    hashes: Vec<(String, String)>,
}

async fn seen(app: &TestApp, (staff, admin): &(Caller, Caller), client: &str) -> Seen {
    let (staff, admin) = (app.with_key(staff.key()), app.with_key(admin.key()));
    let read = async |path: &str| staff.get(path).await.ok().body["data"].clone();
    let desk = block_in_place(|| app.app.desk("salon").unwrap());
    block_in_place(|| desk.follow().unwrap());
    let hashes = block_in_place(|| desk.read(|reader| reader.hashes()).unwrap());
    let shown = |(name, hash)| (format!("{name:?}"), format!("{hash:?}"));
    Seen {
        bookings: read("/v1/bookings").await,
        client: staff.get(&format!("/v1/clients/{client}")).await.ok().body,
        statistics: admin.get("/v1/statistics?by=outcome").await.ok().body,
        hashes: hashes.into_iter().map(shown).collect(),
    }
}

/// A salon with a booking that stands, one that was cancelled, and somebody who was erased.
async fn furnished(app: &TestApp) -> (Salon, String) {
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    salon.booked(&client, TEN, ELEVEN).await;
    let gone = salon.tenant.client("Bo").await;
    let erasure = serde_json::json!({"kind": "erasure", "client_id": gone});
    salon.tenant.admin.post("/v1/privacy-requests", &erasure).await.is(202);
    (salon, client)
}

/// Who works there, whichever node they ask.
fn people(salon: &Salon) -> (Caller, Caller) {
    (salon.tenant.staff.clone(), salon.tenant.admin.clone())
}

fn north() -> (String, Vec<NamedServer>) {
    let address = postgres::database();
    let server = format!("north={address}").parse().unwrap();
    (address, vec![server])
}

fn audit_is_clean(app: &TestApp) {
    let desk = block_in_place(|| app.app.desk("salon").unwrap());
    let report = block_in_place(|| verify(desk.tenant.log(), &mut |_, _| ()).unwrap());
    assert!(report.is_clean(), "{report:?}");
}

fn last_event(app: &TestApp) -> Event {
    let desk = block_in_place(|| app.app.desk("salon").unwrap());
    let log = desk.tenant.log();
    let last = domain::Position(log.size() - 1);
    block_in_place(|| log.entries(last, 1).unwrap().pop().unwrap().decode().unwrap().recorded.event)
}

/// Whether anything of a tenant's is left in a database.
fn schemas(address: &str) -> String {
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^(ledger|access|keyring)_'";
    postgres::run(address, sql)
}

/// A tenant that is moved to another server is there what it was, is booked at both nodes, and
/// nothing of it is left where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_moves_between_servers_under_two_nodes() {
    let (address, servers) = north();
    let main = postgres::database();
    let app = TestApp::among(servers, Some(main.clone()), keyring_of(Some(&main)), 1);
    let (salon, client) = furnished(&app).await;
    let other = app.beside(2);
    let before = seen(&other, &people(&salon), &client).await;
    let ids = block_in_place(|| app.app.store.moved().unwrap());
    assert!(ids.is_empty());

    for (on, left) in [("north", &main), ("main", &address)] {
        block_in_place(|| {
            let moved = app.app.hand_over("salon", || app.app.store.move_to("salon", on)).unwrap();
            assert!(moved);
            // Again is nothing.
            assert!(!app.app.store.move_to("salon", on).unwrap());
        });
        assert_eq!(schemas(left), "0", "nothing is left where it was");
        assert!(matches!(last_event(&app), Event::LedgerMoved(_)));
        // The other node finds out by itself before anybody is told anything old.
        let late = other.with_key(salon.tenant.staff.key());
        let wish = salon.wish(&client, ELEVEN, NOON);
        late.post("/v1/bookings", &wish).await.is(503);
        block_in_place(|| other.app.follow_moves());
        assert_eq!(seen(&other, &people(&salon), &client).await, before);
        assert_eq!(seen(&app, &people(&salon), &client).await, before);
        audit_is_clean(&app);
        let listed = block_in_place(|| app.app.store.listed().unwrap());
        assert_eq!(listed[0].server.as_deref(), (on != "main").then_some(on));
    }
    // It lives on: a booking at the one node is seen at the other.
    let booked = salon.booked(&client, ELEVEN, NOON).await;
    let shown = other.with_key(salon.tenant.staff.key());
    block_in_place(|| other.app.desk("salon").unwrap().follow().unwrap());
    shown.get(&format!("/v1/bookings/{booked}")).await.ok();
}

/// Nothing that was acknowledged is lost and nothing is sold twice while a tenant moves under load,
/// and another tenant notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_move_under_load_loses_nothing() {
    let (_, servers) = north();
    let main = postgres::database();
    let app = TestApp::among(servers, Some(main.clone()), keyring_of(Some(&main)), 1);
    let (salon, client) = furnished(&app).await;
    let calm = app.salon("calm").await;
    let guest = calm.tenant.client("Dag").await;
    let other = app.beside(2);
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for node in [&app, &other] {
        let staff = node.with_key(salon.tenant.staff.key());
        let (over, follows) = (Arc::clone(&over), Arc::clone(&node.app));
        let wishes: Vec<Value> = (0..480)
            .map(|k| {
                let start = "2026-04-01T07:00:00Z".parse::<jiff::Timestamp>().unwrap();
                let start = start + jiff::SignedDuration::from_hours(24 * (k / 8) + k % 8);
                let end = start + jiff::SignedDuration::from_mins(30);
                salon.wish(&client, &start.to_string(), &end.to_string())
            })
            .collect();
        callers.push(tokio::spawn(async move {
            let mut won = Vec::new();
            for wish in wishes {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let answer = staff.post("/v1/bookings", &wish).await;
                match answer.status.as_u16() {
                    201 => won.push(answer.id()),
                    409 => {}
                    503 => block_in_place(|| follows.follow_moves()),
                    status => panic!("{status}: {}", answer.text()),
                }
            }
            won
        }));
    }
    for on in ["north", "main", "north"] {
        let id = calm.booked(&guest, TEN, ELEVEN).await;
        block_in_place(|| {
            app.app.hand_over("salon", || app.app.store.move_to("salon", on)).unwrap();
        });
        let reason = serde_json::json!({"reason": "client_request"});
        calm.tenant.staff.post(&format!("/v1/bookings/{id}/cancel"), &reason).await.ok();
    }
    over.store(true, Ordering::Relaxed);
    let mut won = Vec::new();
    for caller in callers {
        won.extend(caller.await.unwrap());
    }
    assert!(!won.is_empty());
    for id in &won {
        salon.tenant.staff.get(&format!("/v1/bookings/{id}")).await.ok();
    }
    // No time is sold twice: the audit replays the rules.
    audit_is_clean(&app);
}

/// From files into a database and back: everything is what it was, entries and all, and what was
/// left behind is never taken for the ledger again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_moves_from_files_into_a_database_and_back() {
    let app = TestApp::with(None, 1);
    let (salon, client) = furnished(&app).await;
    let both = people(&salon);
    let before = seen(&app, &both, &client).await;
    drop(salon);
    let out = tempfile::tempdir().unwrap();
    let (first, second) = (out.path().join("first"), out.path().join("second"));
    let export = block_in_place(|| {
        app.app.hand_over("salon", || app.app.store.export("salon", &first)).unwrap()
    });
    assert_eq!(export.tenant, "salon");
    // Out of use: refused, neither unknown nor broken.
    app.with_key(both.0.key()).get("/v1/bookings").await.is(503);

    let ledger = postgres::database();
    let there = app.beside_on(Some(ledger.clone()), keyring_of(Some(&ledger)), 3);
    block_in_place(|| there.app.store.import(&first, None).unwrap());
    assert_eq!(seen(&there, &both, &client).await, before);
    audit_is_clean(&there);
    assert!(matches!(last_event(&there), Event::LedgerMoved(_)));
    // The folder is older than what was promised since, wherever it is brought.
    let refused = block_in_place(|| app.app.store.import(&first, None).unwrap_err());
    assert!(matches!(refused, StoreError::Behind { .. }), "{refused:?}");

    block_in_place(|| {
        there.app.hand_over("salon", || there.app.store.export("salon", &second)).unwrap();
        app.app.store.import(&second, None).unwrap();
        there.app.store.remove("salon").unwrap();
    });
    assert_eq!(schemas(&ledger), "0");
    assert_eq!(seen(&app, &both, &client).await, before);
    audit_is_clean(&app);
    let left: Vec<_> = fs::read_dir(app.folder.path().join("data/tenants"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left, ["salon"], "nothing is left of what was exported");
}

/// Somebody who has a tenant in hand is not cut off: the export waits, and then says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_in_files_is_not_taken_from_who_has_it() {
    let app = TestApp::with(None, 1);
    let (salon, _) = furnished(&app).await;
    let out = tempfile::tempdir().unwrap();
    let taken = block_in_place(|| app.app.store.export("salon", out.path()).unwrap_err());
    assert!(matches!(taken, StoreError::InUse(_)), "{taken:?}");
    salon.tenant.staff.get("/v1/bookings").await.ok();
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

struct Out {
    app: TestApp,
    staff: Caller,
    folder: TempDir,
}

/// A tenant that was exported, from wherever the tests have theirs.
async fn exported() -> Out {
    let app = TestApp::seeded(1);
    let (salon, _) = furnished(&app).await;
    let staff = salon.tenant.staff.clone();
    drop(salon);
    let folder = tempfile::tempdir().unwrap();
    block_in_place(|| {
        app.app.hand_over("salon", || app.app.store.export("salon", folder.path())).unwrap();
    });
    Out { app, staff, folder }
}

fn import(app: &TestApp, folder: &Path) -> StoreError {
    block_in_place(|| app.app.store.import(folder, None).unwrap_err())
}

/// What is no whole export is refused, each with what is wrong, and nothing is changed by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_export_is_refused_and_a_whole_one_brings_the_tenant_back() {
    let Out { app, staff, folder } = exported().await;
    let (folder, kept) = (folder.path(), tempfile::tempdir().unwrap());
    let manifest = fs::read_to_string(folder.join("tenant.json")).unwrap();

    let empty = import(&app, kept.path());
    assert!(empty.to_string().contains("there is no tenant.json"), "{empty}");
    for (was, is) in [("\"size\": ", "\"size\": 1"), ("\"root\": \"", "\"root\": \"0")] {
        fs::write(folder.join("tenant.json"), manifest.replacen(was, is, 1)).unwrap();
        let edited = import(&app, folder);
        assert!(edited.to_string().contains("not those of its tenant.json"), "{edited}");
    }
    fs::write(folder.join("tenant.json"), "{").unwrap();
    assert!(import(&app, folder).to_string().contains("cannot be read"));
    fs::write(folder.join("tenant.json"), manifest.replace("tenant/1", "tenant/2")).unwrap();
    assert!(import(&app, folder).to_string().contains("another version"));
    fs::write(folder.join("tenant.json"), &manifest).unwrap();

    // An entry's bytes changed, with its leaf as it was.
    let file = folder.join(Which::Ledger.name()).with_extension("sqlite");
    let whole = fs::read(&file).unwrap();
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute_batch(
        "DROP TRIGGER entry_is_not_updated;
         UPDATE entry SET bytes = CAST(bytes || x'00' AS BLOB) WHERE position = 3",
    )
    .unwrap();
    drop(conn);
    assert!(import(&app, folder).to_string().contains("head does not fit"), "a changed entry");
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    import(&app, folder);
    fs::write(&file, &whole).unwrap();

    // With another key store nothing of it would open.
    let foreign = TestApp::seeded(9);
    let refused = import(&foreign, folder);
    assert!(matches!(refused, StoreError::MarkLost(_)), "{refused:?}");
    // Nothing was changed by any of it: the tenant is out of use, and comes back.
    app.with_key(staff.key()).get("/v1/bookings").await.is(503);
    block_in_place(|| app.app.store.import(folder, None).unwrap());
    app.with_key(staff.key()).get("/v1/bookings").await.ok();
    audit_is_clean(&app);
    // Twice is once: it has moved on since.
    assert!(matches!(import(&app, folder), StoreError::TenantExists | StoreError::Behind { .. }));
}

/// Only what was exported is removed, and then its name is free.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_is_not_removed() {
    let Out { app, staff, .. } = exported().await;
    app.salon("other").await;
    let refused = block_in_place(|| app.app.store.remove("other").unwrap_err());
    assert!(matches!(refused, StoreError::NotClosed(_)), "{refused:?}");
    assert!(matches!(
        block_in_place(|| app.app.create_tenant("salon", domain::slot::Zone::utc()).err().unwrap()),
        AppError::Store(StoreError::TenantExists)
    ));
    block_in_place(|| app.app.store.remove("salon").unwrap());
    let unknown = block_in_place(|| app.app.store.remove("salon").unwrap_err());
    assert!(matches!(unknown, StoreError::UnknownTenant), "{unknown:?}");
    app.with_key(staff.key()).get("/v1/bookings").await.is(401);
    app.salon("salon").await;
}

/// A server by two names is one place: nothing is moved onto itself, and deleted then.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_by_two_names_is_one_place() {
    let (address, mut servers) = north();
    servers.push(format!("alias={address}").parse().unwrap());
    let main = postgres::database();
    servers.push(format!("itself={main}").parse().unwrap());
    let app = TestApp::among(servers, Some(main.clone()), keyring_of(Some(&main)), 1);
    let (salon, client) = furnished(&app).await;
    let refused = |on: &str| {
        let error = block_in_place(|| app.app.store.move_to("salon", on).unwrap_err());
        assert!(matches!(error, StoreError::SamePlace(..)), "{error:?}");
    };
    refused("itself");
    salon.booked(&client, ELEVEN, NOON).await;
    block_in_place(|| {
        app.app.hand_over("salon", || app.app.store.move_to("salon", "north")).unwrap();
    });
    refused("alias");
    salon.booked(&client, NOON, "2026-03-02T13:00:00").await;
    audit_is_clean(&app);
}

/// An arrival that was cut off, before the ledger said so or before the old place was empty, is finished
/// by the same command; until then nobody opens the tenant, here or there.
#[tokio::test(flavor = "multi_thread")]
async fn an_arrival_that_was_cut_off_is_finished() {
    let (address, servers) = north();
    let main = postgres::database();
    let app = TestApp::among(servers, Some(main.clone()), keyring_of(Some(&main)), 1);
    let (salon, client) = furnished(&app).await;
    let both = people(&salon);
    drop(salon);
    let before = seen(&app, &both, &client).await;
    block_in_place(|| {
        app.app.hand_over("salon", || app.app.store.move_to("salon", "north")).unwrap();
    });
    postgres::run(&main, "UPDATE tidbok.tenant SET state = 3, other = 'main'");
    block_in_place(|| app.app.follow_moves());
    app.with_key(both.0.key()).get("/v1/bookings").await.is(503);
    assert!(block_in_place(|| app.app.store.move_to("salon", "north").unwrap()));
    assert_eq!(seen(&app, &both, &client).await, before);
    // Also by one that goes on.
    postgres::run(&main, "UPDATE tidbok.tenant SET state = 3, other = 'main'");
    block_in_place(|| app.app.follow_moves());
    assert!(block_in_place(|| app.app.store.move_to("salon", "main").unwrap()));
    block_in_place(|| app.app.follow_moves());
    assert_eq!(seen(&app, &both, &client).await, before);
    assert_eq!(schemas(&address), "0");
    audit_is_clean(&app);
}

/// An export that what is here has gone beyond is not taken in, even where the tenant is out of use again;
/// and what is out of use for a move is neither removed nor brought back as an export.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_export_replaces_nothing() {
    let Out { app, staff, folder } = exported().await;
    let keys = app.folder.path().join("keys/marks");
    let marks = || fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    let promised = fs::read(marks()).unwrap();
    block_in_place(|| app.app.store.import(folder.path(), None).unwrap());
    let newer = tempfile::tempdir().unwrap();
    block_in_place(|| {
        app.app.hand_over("salon", || app.app.store.export("salon", newer.path())).unwrap();
    });
    assert!(matches!(import(&app, folder.path()), StoreError::OlderExport { .. }));
    // Not even if the key store had forgotten.
    fs::write(marks(), promised).unwrap();
    assert!(matches!(import(&app, folder.path()), StoreError::OlderExport { .. }));
    block_in_place(|| app.app.store.import(newer.path(), None).unwrap());
    app.with_key(staff.key()).get("/v1/bookings").await.ok();
    if let Some(ledger) = &app.ledger {
        postgres::run(ledger, "UPDATE tidbok.tenant SET state = 2, other = 'main'");
        let refused = block_in_place(|| app.app.store.remove("salon").unwrap_err());
        assert!(matches!(refused, StoreError::Closed(_)), "{refused:?}");
    }
}

/// A tenant that was out of use while keys were rotated hangs on the newest when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_when_keys_were_rotated_hangs_on_the_newest() {
    let Out { app, staff, folder } = exported().await;
    app.salon("other").await;
    let window = eventstore::store::rotation::WINDOW;
    let find = |name: &str| app.app.store.tenant(name);
    let rotated = block_in_place(|| app.app.store.rotate(window, &find, &|_, _| ()));
    let epoch = rotated.unwrap().epoch;
    block_in_place(|| app.app.store.import(folder.path(), None).unwrap());
    let desk = block_in_place(|| app.app.desk("salon").unwrap());
    let epochs = block_in_place(|| desk.tenant.log().reader().epochs().unwrap());
    assert_eq!(epochs.first(), Some(&epoch.0));
    app.with_key(staff.key()).get("/v1/bookings").await.ok();
    audit_is_clean(&app);
}

/// Where the other server cannot be reached or is not known, the tenant is in use where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_fails_leaves_the_tenant_in_use() {
    let main = postgres::database();
    let nowhere = "nowhere=postgres://tidbok@127.0.0.1:1/none".parse().unwrap();
    let app = TestApp::among(vec![nowhere], Some(main.clone()), keyring_of(Some(&main)), 1);
    let (salon, client) = furnished(&app).await;
    for on in ["nowhere", "elsewhere"] {
        let failed = block_in_place(|| app.app.store.move_to("salon", on).unwrap_err());
        match on {
            "nowhere" => assert!(matches!(failed, StoreError::Ledger(_)), "{failed:?}"),
            _ => assert!(matches!(failed, StoreError::UnknownServer(_)), "{failed:?}"),
        }
    }
    salon.booked(&client, ELEVEN, NOON).await;
    let files = TestApp::with(None, 4);
    files.salon("salon").await;
    let failed = block_in_place(|| files.app.store.move_to("salon", "north").unwrap_err());
    assert!(matches!(failed, StoreError::ServersAlone), "{failed:?}");
}

/// A move that was cut off, before or after the tenant was copied, is done by the same command; or
/// taken back by naming where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_cut_off_goes_on_or_back() {
    let (address, servers) = north();
    let main = postgres::database();
    let app = TestApp::among(servers, Some(main.clone()), keyring_of(Some(&main)), 1);
    let (salon, client) = furnished(&app).await;
    let both = people(&salon);
    drop(salon);
    let before = seen(&app, &both, &client).await;
    let close = "UPDATE tidbok.tenant SET state = 2, other = 'north'";
    // Closed, and nothing else: back.
    postgres::run(&main, close);
    block_in_place(|| app.app.follow_moves());
    app.with_key(both.0.key()).get("/v1/bookings").await.is(503);
    let listed = block_in_place(|| app.app.store.listed().unwrap());
    assert_eq!(listed[0].state, State::Moving);
    assert!(block_in_place(|| app.app.store.move_to("salon", "main").unwrap()));
    assert_eq!(seen(&app, &both, &client).await, before);
    // Closed, with half of it at the other server: on.
    postgres::run(&main, close);
    block_in_place(|| app.app.follow_moves());
    let id = postgres::run(&main, "SELECT encode(id, 'hex') FROM tidbok.tenant");
    let half = format!(
        "CREATE SCHEMA ledger_{id} AUTHORIZATION tidbok_owner_{id};
         CREATE TABLE ledger_{id}.entry (position int8)"
    );
    postgres::run(&address, &half);
    postgres::run(&address, &format!("ALTER TABLE ledger_{id}.entry OWNER TO tidbok_owner_{id}"));
    assert!(block_in_place(|| app.app.store.move_to("salon", "north").unwrap()));
    block_in_place(|| app.app.follow_moves());
    assert_eq!(seen(&app, &both, &client).await, before);
    assert_eq!(schemas(&main), "0");
    audit_is_clean(&app);
}
