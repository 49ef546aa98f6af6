//! A keyring in a database of its own: one commit with its ledger, and no way back for the erased.

use std::sync::Arc;

use domain::Position;
use eventstore::StoreError;
use eventstore::keyring::provider::TenantId;
use eventstore::ledger::audit::verify;
use eventstore::store::Databases;
use gateway::{App, clock};
use serde_json::{Value, json};
use system_tests::{Caller, Salon, TestApp, postgres};

const NINE: &str = "2026-03-02T09:00:00+01:00[Europe/Stockholm]";
const TEN: &str = "2026-03-02T10:00:00+01:00[Europe/Stockholm]";
const ELEVEN: &str = "2026-03-02T11:00:00+01:00[Europe/Stockholm]";
const REQUESTS: &str = "/v1/privacy-requests";

/// What a commit with the ledger's last entry would be called in the keyring's database, and one
/// that the ledger does not have.
fn names(salon: &Salon) -> (TenantId, u64, String, String) {
    let log = salon.tenant.desk.tenant.log();
    let head = log.head().unwrap();
    let size = head.frontier.size();
    let last = log.entry(Position(size - 1)).unwrap().unwrap();
    let leaf: String = last.leaf.iter().map(|byte| format!("{byte:02x}")).collect();
    let tenant = head.tenant;
    let stands = format!("tidbok/ledger/{tenant}/{}/{leaf}", size - 1);
    let lost = format!("tidbok/ledger/{tenant}/{size}/{}", "00".repeat(32));
    (tenant, size, stands, lost)
}

fn keyring(app: &TestApp, tenant: TenantId, sql: &str) -> String {
    let path = format!("SET search_path = keyring_{tenant};");
    postgres::run(app.keyring.as_deref().unwrap(), &format!("{path} {sql}"))
}

fn prepared(app: &TestApp) -> String {
    let sql = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()";
    postgres::run(app.keyring.as_deref().unwrap(), sql)
}

async fn name(caller: &Caller, client: &str) -> Value {
    caller.get(&format!("/v1/clients/{client}")).await.ok().body["contact"]["name"].clone()
}

fn findings(salon: &Salon, at: &TestApp) -> Vec<String> {
    let desk = at.app.desk(salon.tenant.desk.tenant.name()).unwrap();
    let report = verify(desk.tenant.log(), &mut |_, _| ()).unwrap();
    report.findings.iter().map(|finding| format!("{finding:?}")).collect()
}

/// Cut off after the ledger's commit, its keys are there for whoever reads next.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_commit_that_stands_are_carried_out_by_whoever_comes_next() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let (tenant, size, stands, _) = names(&salon);
    // As a crash leaves it: the last commit's part of the keyring is prepared, not carried out.
    let back = format!("UPDATE counter SET next = {} WHERE name = 'size'", size - 1);
    keyring(&app, tenant, &back);
    let again = format!("UPDATE counter SET next = {size} WHERE name = 'size'");
    keyring(&app, tenant, &format!("BEGIN; {again}; PREPARE TRANSACTION '{stands}'"));
    assert_eq!(prepared(&app), "1");

    let other = app.beside(2);
    assert_eq!(name(&other.with_key(salon.tenant.staff.key()), &client).await, "Astrid");
    assert_eq!(prepared(&app), "0");
    salon.booked(&client, NINE, TEN).await;
    assert_eq!(findings(&salon, &app), [""; 0]);
}

/// Cut off before the ledger's commit, nothing of it stays, and nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_commit_that_does_not_stand_are_taken_back() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let (tenant, size, _, lost) = names(&salon);
    let left = format!(
        "BEGIN; UPDATE counter SET next = {} WHERE name = 'size';
         INSERT INTO person (id, state) VALUES (4711, 1); PREPARE TRANSACTION '{lost}'",
        size + 1
    );
    keyring(&app, tenant, &left);
    salon.booked(&client, NINE, TEN).await;
    assert_eq!(prepared(&app), "0");
    assert_eq!(keyring(&app, tenant, "SELECT count(*) FROM person WHERE id = 4711"), "0");
    assert_eq!(findings(&salon, &app), [""; 0]);
}

/// F78: a keyring that comes back from before an erasure brings nobody back.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_keyring_ends_again_what_its_ledger_says_has_ended() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let (staff, tenant) = (&salon.tenant.staff, &salon.tenant);
    let [astrid, berit, dora, elsa] = [
        tenant.client("Astrid").await,
        tenant.client("Berit").await,
        tenant.client("Dora").await,
        tenant.client("Elsa").await,
    ];
    let mut wish = salon.wish(&elsa, NINE, TEN);
    wish["fields"] = json!({"note": "by the window"});
    let booking = staff.post("/v1/bookings", &wish).await.created().id();
    let copy = postgres::copy_of(app.keyring.as_deref().unwrap());

    let path = |id: &str, what: &str| format!("/v1/clients/{id}{what}");
    staff.post(REQUESTS, &json!({"kind": "erasure", "client_id": astrid})).await.is(202);
    let read = staff.get(&path(&berit, "")).await.ok();
    let seen = [("if-match", read.header("etag"))];
    let right = json!({"contact": {"name": "Berit Ek", "email": "ek@example.org"}});
    staff.send_with(axum::http::Method::PATCH, &path(&berit, ""), &right, &seen).await.ok();
    staff.post(&path(&dora, "/restrict"), &json!({"ground": "objection"})).await.ok();
    let cancel = format!("/v1/bookings/{booking}/cancel");
    staff.post(&cancel, &json!({"reason": "illness"})).await.ok();
    let content = format!("/v1/bookings/{booking}/erase-content");
    tenant.admin.post(&content, &json!({})).await.ok();
    let cecilia = tenant.client("Cecilia").await;

    let back = app.beside_on(app.ledger.clone(), Some(copy), 2);
    let there = back.with_key(staff.key());
    there.get(&path(&astrid, "")).await.problem(410, "erased");
    let found = json!({"name": "Astrid"});
    assert_eq!(there.post("/v1/clients/search", &found).await.ok().body["data"], json!([]));
    let dora = there.get(&path(&dora, "")).await.ok();
    assert_eq!((&dora.body["state"], &dora.body["contact"]), (&json!("restricted"), &Value::Null));
    let shown = there.get(&format!("/v1/bookings/{booking}")).await.ok();
    assert_eq!(shown.body["parts"][0]["details"], json!({"state": "erased"}));
    // What was written since the copy is lost with its keys, and the value before it is gone too.
    let berit = there.get(&path(&berit, "")).await.ok().text();
    assert!(!berit.contains("Berit"), "{berit}");
    let found = json!({"email": "berit@example.org"});
    assert_eq!(there.post("/v1/clients/search", &found).await.ok().body["data"], json!([]));
    there.get(&path(&cecilia, "")).await.problem(404, "not_found");

    // Life goes on, under numbers that nobody had.
    let fresh = json!({"contact": {"name": "Cecilia"}});
    let fresh = there.post("/v1/clients", &fresh).await.created().id();
    assert_ne!(fresh, cecilia);
    there.post("/v1/bookings", &salon.wish(&fresh, TEN, ELEVEN)).await.created();
    assert_eq!(name(&there, &fresh).await, "Cecilia");
    let findings = findings(&salon, &back);
    assert!(findings.iter().all(|finding| finding.contains("key_unknown")), "{findings:#?}");
}

/// F78: the erased stay erased, and what is lost is lost in both.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_ledger_is_refused_and_taken_up_with_a_newer_keyring() {
    older_and_taken_up(false).await;
}

/// Each from another time before the erasure, as two backups are.
#[tokio::test(flavor = "multi_thread")]
async fn both_older_are_refused_and_taken_up_with_the_erased_erased() {
    older_and_taken_up(true).await;
}

async fn older_and_taken_up(both: bool) {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let (staff, tenant) = (&salon.tenant.staff, &salon.tenant);
    let astrid = tenant.client("Astrid").await;
    let berit = tenant.client("Berit").await;
    let mut keyring = app.keyring.clone();
    if both {
        keyring = keyring.as_deref().map(postgres::copy_of);
        tenant.client("Dora").await;
    }
    let older = postgres::copy_of(app.ledger.as_deref().unwrap());
    staff.post(REQUESTS, &json!({"kind": "erasure", "client_id": astrid})).await.is(202);
    let lost = tenant.client("Cecilia").await;

    let back = app.beside_on(Some(older), keyring, 2);
    let node = Arc::clone(&back.app);
    let opened = tokio::task::spawn_blocking(move || {
        let refused = node.store.tenant("salon").err();
        (refused, node.store.accept_loss("salon").unwrap())
    });
    let (refused, loss) = opened.await.unwrap();
    assert!(matches!(refused, Some(StoreError::Behind { .. })), "{refused:?}");
    assert_eq!(loss.fences, 1);
    let there = back.with_key(staff.key());
    there.get(&format!("/v1/clients/{astrid}")).await.problem(410, "erased");
    there.get(&format!("/v1/clients/{lost}")).await.problem(404, "not_found");
    assert_eq!(name(&there, &berit).await, "Berit");
    there.post("/v1/bookings", &salon.wish(&berit, NINE, TEN)).await.created();
    let found = findings(&salon, &back);
    // Dora came between the two copies: her keys are lost, and the audit says so.
    assert_eq!(found.len(), usize::from(both), "{found:#?}");
    assert!(found.iter().all(|finding| finding.contains("key_unknown")), "{found:#?}");
}

/// What is wrong with a keyring's database is said before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_cannot_be_used_is_named() {
    let app = TestApp::apart(1);
    app.salon("salon").await;
    let folder = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    let other = postgres::database();
    let (ledger, keys) = (app.ledger.clone().unwrap(), app.folder.path().join("keys"));
    for (n, keyring) in [None, Some(other.as_str())].into_iter().enumerate() {
        let data = folder.path().join(format!("data{n}"));
        let databases = Databases { ledger: Some(&ledger), keyring, servers: &[] };
        let app = App::open_at(databases, &data, &keys, clock::system()).unwrap();
        let error = app.store.tenant("salon").err().unwrap();
        said.push(chain(&error));
    }
    assert!(said[0].contains("name that with --keyring"), "{said:?}");
    assert!(said[1].contains("neither with its ledger nor"), "{said:?}");

    let server = postgres::Server::without_prepared();
    let (ledger, keyring) = (server.database(), server.database());
    let databases = Databases { ledger: Some(&ledger), keyring: Some(&keyring), servers: &[] };
    let (data, keys) = (folder.path().join("data"), folder.path().join("keys"));
    let error = App::open_at(databases, &data, &keys, clock::system()).err().unwrap();
    assert!(chain(&error).contains("max_prepared_transactions"), "{}", chain(&error));
    let databases = Databases { ledger: None, keyring: Some(&keyring), servers: &[] };
    let error = App::open_at(databases, &data, &keys, clock::system()).err().unwrap();
    assert!(chain(&error).contains("--keyring goes with --ledger"), "{}", chain(&error));
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}
