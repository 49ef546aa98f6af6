//! One of two databases put back from before, and nodes that find it so at the same time.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use domain::Position;
use eventstore::StoreError;
use eventstore::keyring::log_key::verifiers;
use eventstore::ledger::audit::verify;
use eventstore::proof::checkpoint::Origin;
use serde_json::{Value, json};
use system_tests::{Caller, TestApp, postgres};

use crate::program::{finish, tidbok};

const NINE: &str = "2026-03-02T09:00:00+01:00[Europe/Stockholm]";
const TEN: &str = "2026-03-02T10:00:00+01:00[Europe/Stockholm]";
const ELEVEN: &str = "2026-03-02T11:00:00+01:00[Europe/Stockholm]";

/// What a node that is told to be slow waits for in the keyring, until the table is empty: from the
/// first time that it asks whose handle something is.
const SLOW: &str = "
    CREATE TABLE public.waits AS SELECT 1 AS one;
    GRANT SELECT ON public.waits TO PUBLIC;
    CREATE FUNCTION public.slow() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN
        WHILE current_setting('tidbok.slow', true) = 'on' AND EXISTS (SELECT FROM public.waits)
        LOOP PERFORM pg_sleep(0.02); END LOOP;
        RETURN true;
    END $$;
    ALTER TABLE data_key ENABLE ROW LEVEL SECURITY;
    CREATE POLICY slow ON data_key USING (public.slow());";

async fn put_right(caller: &Caller, client: &str, contact: Value) {
    let path = format!("/v1/clients/{client}");
    let read = caller.get(&path).await.ok();
    let seen = [("if-match", read.header("etag"))];
    let right = json!({ "contact": contact, "replace": true });
    caller.send_with(Method::PATCH, &path, &right, &seen).await.ok();
}

fn until(address: &str, sql: &str) {
    while postgres::run(address, sql) != "t" {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What one node has ended again and gone on from is not ended by another that found it too.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_find_an_older_keyring_together_take_it_up_once() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let (staff, id) = (&salon.tenant.staff, salon.tenant.desk.tenant.log().head().unwrap().tenant);
    let berit = salon.tenant.client("Berit").await;
    let copy = postgres::copy_of(app.keyring.as_deref().unwrap());
    put_right(staff, &berit, json!({"name": "Berit Ek"})).await;

    postgres::run(&copy, &format!("SET search_path = keyring_{id}; {SLOW}"));
    let slow = format!("{copy}?options=-c%20tidbok.slow%3Don");
    let late = app.beside_on(app.ledger.clone(), Some(slow), 2);
    let node = Arc::clone(&late.app);
    let opened = tokio::task::spawn_blocking(move || node.store.tenant("salon").map(drop));
    until(&copy, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    let first = app.beside_on(app.ledger.clone(), Some(copy.clone()), 3);
    let first = first.with_key(staff.key());
    put_right(&first, &berit, json!({"name": "Berit Ny"})).await;
    postgres::run(&copy, "DELETE FROM public.waits");
    opened.await.unwrap().unwrap();

    let late = late.with_key(staff.key());
    for node in [&first, &late] {
        let read = node.get(&format!("/v1/clients/{berit}")).await.ok();
        assert_eq!(read.body["contact"]["name"], "Berit Ny");
    }
    put_right(&late, &berit, json!({"name": "Berit Ek"})).await;
}

/// Without an erasure since, which alone moves the mark; with somebody read since, which grows the
/// ledger of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_shorter_than_its_keyring_is_refused_and_taken_up_with_the_one_of_reads() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let staff = &salon.tenant.staff;
    let berit = salon.tenant.client("Berit").await;
    let path = format!("/v1/clients/{berit}");
    staff.get(&path).await.ok();
    let older = postgres::copy_of(app.ledger.as_deref().unwrap());
    staff.get(&path).await.ok();
    salon.tenant.client("Cecilia").await;

    let back = app.beside_on(Some(older), app.keyring.clone(), 2);
    let node = Arc::clone(&back.app);
    let opened = tokio::task::spawn_blocking(move || {
        let refused = node.store.tenant("salon").err();
        (refused, node.store.accept_loss("salon").unwrap())
    });
    let (refused, _) = opened.await.unwrap();
    assert!(matches!(refused, Some(StoreError::Behind { .. })), "{refused:?}");
    let there = back.with_key(staff.key());
    assert_eq!(there.get(&path).await.ok().body["contact"]["name"], "Berit");
    let fresh = json!({"contact": {"name": "Cecilia"}});
    there.post("/v1/clients", &fresh).await.created();
    assert_eq!(there.get(&path).await.ok().body["contact"]["name"], "Berit");
}

/// Where only reads are lost, only the ledger of those is taken up: all that was proved stays so.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_reads_that_alone_is_older_is_taken_up_alone() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let berit = salon.tenant.client("Berit").await;
    let path = format!("/v1/clients/{berit}");
    salon.tenant.staff.get(&path).await.ok();
    let older = postgres::copy_of(app.ledger.as_deref().unwrap());
    salon.tenant.staff.get(&path).await.ok();

    let folder = tempfile::tempdir().unwrap();
    let (data, keys) = (folder.path().join("data"), app.folder.path().join("keys"));
    std::fs::create_dir(&data).unwrap();
    let accept = || {
        let mut command = tidbok(&data, &["--ledger", &older, "--keys", keys.to_str().unwrap()]);
        command.args(["--keyring", app.keyring.as_deref().unwrap(), "--json"]);
        finish(command.args(["restore", "--tenant", "salon", "--accept-loss"]))
    };
    let taken = accept().ended(0).json();
    assert_eq!((&taken["access_entries"], &taken["lost_size"]), (&json!(1), &json!(2)));
    accept().ended(2);
    let there = app.beside_on(Some(older.clone()), app.keyring.clone(), 2);
    let there = there.with_key(salon.tenant.staff.key());
    assert_eq!(there.get(&path).await.ok().body["contact"]["name"], "Berit");
}

/// The answer is kept for whoever asks again, though no entry tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_nothing_to_append_is_answered_and_answered_again() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let berit = salon.tenant.client("Berit").await;
    let booking = salon.booked(&berit, NINE, TEN).await;
    let cancel = json!({"reason": "illness"});
    salon.tenant.staff.post(&format!("/v1/bookings/{booking}/cancel"), &cancel).await.ok();
    let path = format!("/v1/bookings/{booking}/erase-content");
    salon.tenant.admin.post(&path, &json!({})).await.ok();
    let wish = [("idempotency-key", "nothing-left")];
    let first = salon.tenant.admin.post_with(&path, &json!({}), &wish).await.ok();
    let again = salon.tenant.admin.post_with(&path, &json!({}), &wish).await.ok();
    assert_eq!(first.body, again.body);
    salon.booked(&berit, NINE, TEN).await;
}

/// While one database is copied the other waits, for longer than anything else may.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_ledger_is_audited_though_its_keyring_waits_for_the_copy() {
    let app = TestApp::apart(1);
    let id = app.salon("salon").await.tenant.desk.tenant.log().head().unwrap().tenant;
    let many =
        format!("INSERT INTO ledger_{id}.seal SELECT -n, '' FROM generate_series(1, 200000) n");
    postgres::run(app.ledger.as_deref().unwrap(), &many);
    let short = "?options=-c%20idle_in_transaction_session_timeout%3D250";
    let hurried = |address: &Option<String>| address.as_ref().map(|at| format!("{at}{short}"));
    let back = app.beside_on(hurried(&app.ledger), hurried(&app.keyring), 2);
    let opened = tokio::task::spawn_blocking(move || {
        let tenant = back.app.store.tenant("salon").unwrap();
        verify(tenant.log(), &mut |_, _| ()).map(|report| report.entries)
    });
    opened.await.unwrap().unwrap();
}

/// Seals of others lie between those that are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_erased_between_two_databases_is_not_told_as_tampered() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let (staff, log) = (&salon.tenant.staff, salon.tenant.desk.tenant.log());
    let elsa = salon.tenant.client("Elsa").await;
    for (start, end) in [(NINE, TEN), (TEN, ELEVEN)] {
        salon.tenant.client(if start == NINE { "Dora" } else { "Berit" }).await;
        let mut wish = salon.wish(&elsa, start, end);
        wish["fields"] = json!({"note": "by the window"});
        staff.post("/v1/bookings", &wish).await.created();
    }
    let (id, last) = (log.head().unwrap().tenant, log.size() - 1);
    let leaf = log.entry(Position(last)).unwrap().unwrap().leaf;
    let leaf: String = leaf.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("tidbok/ledger/{id}/{last}/{leaf}");
    // The ledger's commit stands, the keyring's part of it is about to be carried out.
    let seal = format!("DELETE FROM ledger_{id}.seal WHERE id = {last} * 65536");
    postgres::run(app.ledger.as_deref().unwrap(), &seal);
    let keyring = app.keyring.clone().unwrap();
    let newest = "UPDATE data_key SET wrapped = NULL WHERE id = (SELECT max(id) FROM data_key)";
    let prepare = format!("PREPARE TRANSACTION '{name}'");
    postgres::run(&keyring, &format!("BEGIN; SET search_path = keyring_{id}; {newest}; {prepare}"));
    let soon = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(700));
        postgres::run(&keyring, &format!("COMMIT PREPARED '{name}'"));
    });
    let seen = staff.get(&format!("/v1/clients/{elsa}/bookings")).await.ok();
    soon.await.unwrap();
    let state = |n: usize| seen.body["data"][n]["parts"][0]["details"]["state"].clone();
    assert_eq!((state(0), state(1)), (json!("live"), json!("erased")), "{}", seen.body);
}

/// However much is told meanwhile, and whatever else is there that cannot be settled.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_was_cut_off_in_is_settled_on_a_busy_system() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let head = salon.tenant.desk.tenant.log().head().unwrap();
    let (keyring, nobody) = (app.keyring.clone().unwrap(), "ff".repeat(16));
    let lost =
        |tenant: &str, size: u64| format!("tidbok/ledger/{tenant}/{size}/{}", "00".repeat(32));
    let names = [lost(&nobody, 1), lost(&head.tenant.to_string(), head.frontier.size())];
    for name in &names {
        let left = format!("BEGIN; SELECT txid_current(); PREPARE TRANSACTION '{name}'");
        postgres::run(&keyring, &left);
    }
    let ledger = app.ledger.clone().unwrap();
    postgres::run(&ledger, &format!("CREATE SCHEMA ledger_{nobody}"));
    let busy = "SELECT pg_notify('tidbok', 'ledger_of_others 1')";
    let left = format!("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '{}'", names[1]);
    let settled = tokio::task::spawn_blocking(move || {
        let settled = (0..120).any(|_| {
            std::thread::sleep(Duration::from_millis(200));
            postgres::run(&ledger, busy);
            postgres::run(&ledger, &left) == "0"
        });
        postgres::run(&keyring, &format!("ROLLBACK PREPARED '{}'", names[0]));
        settled
    });
    assert!(settled.await.unwrap());
}

/// What entries did that a ledger has lost is undone in its newer keyring, and no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_what_an_older_ledger_has_lost() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let (staff, tenant) = (&salon.tenant.staff, &salon.tenant);
    let id = tenant.desk.tenant.log().head().unwrap().tenant;
    let [astrid, berit, dora, elsa] = [
        tenant.client("Astrid").await,
        tenant.client("Berit").await,
        tenant.client("Dora").await,
        tenant.client("Elsa").await,
    ];
    let law = json!({
        "name": "Lind & Co", "role": "processor", "country": "SE", "purpose": "claims",
        "classes": ["contact"], "endpoint": null,
    });
    tenant.change_policy(|policy| policy["recipients"] = json!({"law": law})).await;
    let give = json!({"client_id": astrid});
    staff.post("/v1/recipients/law/disclosures", &give).await.ok();
    let older = postgres::copy_of(app.ledger.as_deref().unwrap());
    let keyring = app.keyring.clone().unwrap();
    let asked =
        |sql: &str| postgres::run(&keyring, &format!("SET search_path = keyring_{id}; {sql}"));
    let restrict = json!({"ground": "objection"});
    staff.post(&format!("/v1/clients/{dora}/restrict"), &restrict).await.ok();
    salon.booked(&berit, NINE, TEN).await;
    put_right(staff, &elsa, json!({"name": "Elsa Ek"})).await;
    let erase = json!({"kind": "erasure", "client_id": astrid});
    let request = staff.post("/v1/privacy-requests", &erase).await.is(202).id();
    while asked("SELECT count(*) FROM person WHERE state = 4") == "0" {
        std::thread::sleep(Duration::from_millis(20));
    }

    let back = app.beside_on(Some(older), app.keyring.clone(), 2);
    let node = Arc::clone(&back.app);
    let taken = tokio::task::spawn_blocking(move || node.store.accept_loss("salon").map(drop));
    taken.await.unwrap().unwrap();
    let there = back.with_key(staff.key());
    let dora = there.get(&format!("/v1/clients/{dora}")).await.ok();
    assert_eq!(
        (&dora.body["state"], &dora.body["contact"]["name"]),
        (&json!("live"), &json!("Dora"))
    );
    let shown = there.get(&format!("/v1/privacy-requests/{request}")).await.ok();
    assert_eq!(shown.body["fence_position"], Value::Null, "{}", shown.body);
    let told = there.get("/v1/notices").await.ok().body["data"].clone();
    assert_eq!((&told[0]["kind"], &told[0]["acknowledged_at"]), (&json!("erased"), &Value::Null));
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    let unreachable = "SELECT count(*) FROM data_key WHERE person IS NOT NULL AND NOT EXISTS
                       (SELECT 1 FROM person_tag WHERE handle = data_key.id / 8)";
    assert_eq!(asked(unreachable), "0");
    let desk = back.app.desk("salon").unwrap();
    let report = verify(desk.tenant.log(), &mut |_, _| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// Taken up under another origin the log's keys have other names, and an entry may be lost that was
/// to name them.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_s_key_is_told_of_before_the_former_is_forgotten_whatever_it_is_called() {
    let app = TestApp::apart(1);
    let salon = app.salon("salon").await;
    let older = postgres::copy_of(app.ledger.as_deref().unwrap());
    let ledger = &salon.tenant.desk.tenant.ledger;
    let first = tokio::task::block_in_place(|| ledger.rotate_log_key()).unwrap();

    let back = app.beside_on(Some(older), app.keyring.clone(), 2);
    let done = tokio::task::spawn_blocking(move || {
        let store = &back.app.store;
        store.accept_loss("salon").unwrap();
        let tenant = store.tenant("salon").unwrap();
        tenant.ledger.forget_log_key().unwrap();
        let signer = tenant.keyring().signer(&Origin::of(&tenant.log().head().unwrap())).unwrap();
        assert_eq!(verifiers(tenant.log(), signer.verifier()).unwrap().len(), 2);
        let next = tenant.ledger.rotate_log_key().unwrap();
        drop(tenant);
        store.accept_loss("salon").unwrap();
        let tenant = store.tenant("salon").unwrap();
        (next, tenant.ledger.rotate_log_key().unwrap())
    });
    let (next, last) = done.await.unwrap();
    let key = |vkey: &str| vkey.splitn(3, '+').nth(2).map(str::to_owned);
    assert_eq!(key(&next.former), key(&first.vkey));
    assert_eq!(key(&last.former), key(&next.vkey));
    assert_ne!(key(&last.vkey), key(&next.vkey));
}
