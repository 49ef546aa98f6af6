//! Requests for erasure: they wait for whom and what the policy says, and leave a receipt.

use std::fs;
use std::sync::Arc;

use domain::policy::{ErasureRule, PolicyCommand};
use domain::{Actor, Command};
use eventstore::environment::Environment;
use eventstore::{Append, IdKind, PersonId};
use gateway::keys::Role;
use gateway::requests::By;
use gateway::{App, clock, reactors, receipt};
use jiff::SignedDuration;
use serde_json::{Value, json};
use system_tests::{Caller, Salon, TestApp, TestClock, on_postgres};

use crate::site::Site;

const NINE: &str = "2026-03-02T09:00:00+01:00[Europe/Stockholm]";
const TEN: &str = "2026-03-02T10:00:00+01:00[Europe/Stockholm]";
const REQUESTS: &str = "/v1/privacy-requests";

/// A salon whose erasures wait, and a client with a booking to come.
async fn careful(app: &TestApp, approval: bool, hours: u32) -> (Salon, String) {
    let salon = app.salon("salon").await;
    let rule = json!({"approval": approval, "cooling_off_hours": hours});
    salon.tenant.change_policy(|policy| policy["erasure"] = rule).await;
    let client = salon.tenant.client("Astrid").await;
    salon.booked(&client, NINE, TEN).await;
    (salon, client)
}

fn erasure(client: &str) -> Value {
    json!({"kind": "erasure", "client_id": client, "cancel_open_bookings": true})
}

/// What a server does by itself, now.
async fn look(app: &TestApp, salon: &Salon) {
    reactors::look(&app.app, &salon.tenant.desk).await.unwrap();
}

async fn state(salon: &Salon, request: &str) -> String {
    let request = salon.tenant.admin.get(&format!("{REQUESTS}/{request}")).await.ok();
    request.body["state"].as_str().unwrap().to_owned()
}

async fn is_erased(salon: &Salon, client: &str) -> bool {
    let answer = salon.tenant.staff.get(&format!("/v1/clients/{client}")).await;
    assert!([200, 410].contains(&answer.status.as_u16()), "{}", answer.text());
    answer.status.as_u16() == 410
}

async fn another_admin(app: &TestApp, salon: &Salon) -> Caller {
    app.caller(&salon.tenant.desk, Role::Admin).await
}

/// F53: nobody erases alone where the tenant says so; who asked does not approve.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_another_administrator() {
    let app = TestApp::default();
    let (salon, client) = careful(&app, true, 0).await;
    let admin = &salon.tenant.admin;
    let preview = json!({"kind": "erasure", "client_id": client});
    let preview = admin.post(&format!("{REQUESTS}/preview"), &preview).await.ok();
    assert_eq!(preview.body["needs_approval"], true);
    let asked = admin.post(REQUESTS, &erasure(&client)).await.is(202);
    assert_eq!(
        (&asked.body["state"], &asked.body["waits_for_approval"]),
        (&json!("waiting"), &json!(true))
    );
    let again = admin.post(REQUESTS, &erasure(&client)).await.is(202);
    assert_eq!(again.id(), asked.id(), "nobody waits twice");
    let approve = format!("{REQUESTS}/{}/approve", asked.id());
    admin.post(&approve, &json!({})).await.problem(409, "own_request");
    salon.tenant.staff.post(&approve, &json!({})).await.problem(403, "forbidden");
    look(&app, &salon).await;
    assert!(!is_erased(&salon, &client).await);

    let second = another_admin(&app, &salon).await;
    let done = second.post(&approve, &json!({})).await.is(202);
    assert_eq!(done.body["state"], "done");
    assert_ne!(done.body["asked_by"], done.body["approved_by"]);
    assert!(is_erased(&salon, &client).await);
    second.post(&approve, &json!({})).await.problem(409, "not_waiting");
    admin.post(REQUESTS, &erasure(&client)).await.problem(410, "erased");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_approves_in_time_expires() {
    let app = TestApp::default();
    let (salon, client) = careful(&app, true, 0).await;
    let asked = salon.tenant.staff.post(REQUESTS, &erasure(&client)).await.is(202);
    app.clock.advance(SignedDuration::from_hours(14 * 24 + 1));
    let approve = format!("{REQUESTS}/{}/approve", asked.id());
    salon.tenant.admin.post(&approve, &json!({})).await.problem(409, "approval_expired");
    look(&app, &salon).await;
    assert_eq!(state(&salon, &asked.id()).await, "expired");
    salon.tenant.admin.post(&approve, &json!({})).await.problem(409, "approval_expired");
    assert!(!is_erased(&salon, &client).await);
}

/// Who asked is told by a key's number: nobody else has it afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_an_erased_client_s_key_is_nobody_else_s() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (_, own) = salon.tenant.client_with_key("Astrid").await;
    let asked = own.post(REQUESTS, &json!({"kind": "erasure"})).await.is(202);
    look(&app, &salon).await;
    own.get("/v1/me").await.is(401);
    let next = salon.tenant.admin.post("/v1/keys", &json!({"role": "staff"})).await.created();
    assert_ne!(next.body["id"], asked.body["asked_by"]);
    let listed = salon.tenant.admin.get("/v1/keys").await.ok();
    let listed = listed.body["data"].as_array().unwrap().iter();
    assert!(listed.into_iter().all(|key| key["id"] != asked.body["asked_by"]));
}

/// A receipt that says who knows is kept only for as long as it is so.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_has_become_old_while_it_was_signed_is_not_kept() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let asked = salon.tenant.staff.post(REQUESTS, &erasure(&client)).await.is(202);
    let tenant = &salon.tenant.desk.tenant;
    let id = tenant.ids().read(IdKind::PrivacyRequest, &asked.id()).unwrap();
    assert!(!tenant.keep_receipt(id, "one knows".to_owned(), 1).await.unwrap());
    assert!(tenant.keep_receipt(id, "nobody knows".to_owned(), 0).await.unwrap());
}

/// However many there are, whoever pages sees each once; what is still to be decided stands first.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_requests_has_all_of_them_and_first_what_waits() {
    let app = TestApp::default();
    let (salon, first) = careful(&app, false, 48).await;
    let (staff, mut asked) = (&salon.tenant.staff, Vec::new());
    let others = [salon.tenant.client("Birgit").await, salon.tenant.client("Cecilia").await];
    for client in [&first, &others[0], &others[1]] {
        asked.push(staff.post(REQUESTS, &erasure(client)).await.is(202).id());
    }
    let withdraw = format!("{REQUESTS}/{}/withdraw", asked[1]);
    staff.post(&withdraw, &json!({})).await.is(202);
    let mut listed: Vec<String> = Vec::new();
    let mut path = format!("{REQUESTS}?limit=1");
    loop {
        let page = staff.get(&path).await.ok();
        listed.extend(
            page.body["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        path = format!("{REQUESTS}?limit=1&cursor={next}");
    }
    assert_eq!(listed, [&asked[2], &asked[0], &asked[1]].map(Clone::clone));
    let wrong = staff.get(&format!("{REQUESTS}?cursor=b3BlbiBub25l")).await;
    wrong.problem(422, "validation").at("?cursor");
}

/// Whoever asked for themselves can think again; afterwards it is carried out by itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_can_be_withdrawn_until_its_time_and_is_carried_out_then() {
    let app = TestApp::default();
    let (salon, _) = careful(&app, false, 48).await;
    let (client, own) = salon.tenant.client_with_key("Birgit").await;
    let (_, other) = salon.tenant.client_with_key("Cecilia").await;
    let asked = own.post(REQUESTS, &json!({"kind": "erasure"})).await.is(202);
    assert_eq!(asked.body["not_before"], "2026-03-03T08:00:00Z");
    let withdraw = |id: &str| format!("{REQUESTS}/{id}/withdraw");
    other.post(&withdraw(&asked.id()), &json!({})).await.problem(404, "not_found");
    let read = format!("{REQUESTS}/{}", asked.id());
    other.get(&read).await.problem(404, "not_found");
    assert_eq!(own.get(&read).await.ok().body["state"], "waiting");
    let back = own.post(&withdraw(&asked.id()), &json!({})).await.is(202);
    assert_eq!(back.body["state"], "withdrawn");
    assert_eq!(back.body["withdrawn_by"], asked.body["asked_by"]);
    own.post(&withdraw(&asked.id()), &json!({})).await.problem(409, "not_waiting");

    let again = own.post(REQUESTS, &json!({"kind": "erasure"})).await.is(202);
    app.clock.advance(SignedDuration::from_hours(47));
    look(&app, &salon).await;
    assert!(!is_erased(&salon, &client).await);
    app.clock.advance(SignedDuration::from_hours(1));
    look(&app, &salon).await;
    assert!(is_erased(&salon, &client).await);
    assert_eq!(state(&salon, &asked.id()).await, "withdrawn");
    assert_eq!(state(&salon, &again.id()).await, "done");
}

/// An approval does not shorten the time to think again, and what came in the way meanwhile is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_still_waits_for_its_time_and_for_no_hold() {
    let app = TestApp::default();
    let (salon, client) = careful(&app, true, 24).await;
    let asked = salon.tenant.staff.post(REQUESTS, &erasure(&client)).await.is(202);
    let approve = format!("{REQUESTS}/{}/approve", asked.id());
    let approved = salon.tenant.admin.post(&approve, &json!({})).await.is(202);
    assert_eq!(
        (&approved.body["state"], &approved.body["waits_for_approval"]),
        (&json!("waiting"), &json!(false))
    );
    let second = another_admin(&app, &salon).await;
    second.post(&approve, &json!({})).await.problem(409, "not_waiting");
    let claim = json!({"ground": "legal_claim"});
    second.post(&format!("/v1/clients/{client}/hold"), &claim).await.ok();
    app.clock.advance(SignedDuration::from_hours(24));
    look(&app, &salon).await;
    let refused = second.get(&format!("{REQUESTS}/{}", asked.id())).await.ok();
    assert_eq!(
        (&refused.body["state"], &refused.body["refused"]),
        (&json!("refused"), &json!("legal_hold"))
    );
    assert!(!is_erased(&salon, &client).await);
}

/// Where there may be other nodes, one may have something at hand until its lease is over.
async fn until_closed(app: &TestApp, staff: &Caller, receipt: &str) {
    if on_postgres() {
        staff.get(receipt).await.problem(409, "receipt_pending");
        app.clock.advance(SignedDuration::from_secs(32));
    }
}

/// F53: a crash between the erasure and its receipt loses neither; another's request ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_signed_whoever_had_asked_and_whatever_came_between() {
    let app = TestApp::default();
    let (salon, client) = careful(&app, true, 0).await;
    let staff = &salon.tenant.staff;
    // As a crash leaves it: the keys are gone, and nobody has heard of it.
    let (desk, person) = (Arc::clone(&salon.tenant.desk), salon.tenant.person(&client));
    let by = (By::Operator, true);
    let (waiting, free) = gateway::requests::ask(&app.app, &desk.tenant, person, by).await.unwrap();
    assert!(!free);
    gateway::erasure::erase(&desk, person, true).await.unwrap();

    let listed = staff.get(REQUESTS).await.ok();
    let request = listed.body["data"][0].clone();
    assert_eq!(request["state"], "done");
    let path = format!("{REQUESTS}/{}/receipt", request["id"].as_str().unwrap());
    until_closed(&app, staff, &path).await;
    look(&app, &salon).await;
    let kept = desk.tenant.privacy_request(waiting).unwrap().unwrap();
    assert_eq!((kept.person, kept.receipt.is_some()), (None, true));
    let signed = staff.get(&path).await.ok().text();
    let (statement, _) = receipt::check(&signed, None).unwrap();
    assert_eq!(
        (statement.client, Some(statement.fence)),
        (client, request["fence_position"].as_u64())
    );
    salon.tenant.auditor.get(&path).await.problem(403, "forbidden");
}

/// Keys that are gone are no erasure as long as the key store does not know of it: a copy from
/// before would be taken for the present.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_reported_as_erased_before_the_key_store_knows_of_it() {
    let app = TestApp::default();
    let (salon, client) = careful(&app, false, 0).await;
    let (staff, tenant) = (&salon.tenant.staff, &salon.tenant);
    let (marks, away) = (app.folder.path().join("keys/marks"), app.folder.path().join("away"));
    fs::rename(&marks, &away).unwrap();
    staff.post(REQUESTS, &erasure(&client)).await.is(503);
    let asked = staff.get(REQUESTS).await.ok().body["data"][0].clone();
    assert_eq!(asked["state"], "received");
    let id = asked["id"].as_str().unwrap();
    let receipt = format!("{REQUESTS}/{id}/receipt");
    app.clock.advance(SignedDuration::from_secs(60));
    look(&app, &salon).await;
    staff.get(&receipt).await.problem(409, "receipt_pending");

    fs::rename(&away, &marks).unwrap();
    app.clock.advance(SignedDuration::from_secs(60));
    gateway::erasure::ended(&tenant.desk, tenant.person(&client)).await.unwrap();
    assert_eq!(state(&salon, id).await, "done");
    staff.get(&receipt).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_has_no_receipt() {
    let app = TestApp::default();
    let (salon, client) = careful(&app, true, 0).await;
    let asked = salon.tenant.staff.post(REQUESTS, &erasure(&client)).await.is(202);
    let path = format!("{REQUESTS}/{}/receipt", asked.id());
    salon.tenant.staff.get(&path).await.problem(409, "receipt_pending");
    salon.tenant.staff.get(&format!("{REQUESTS}/prq_0/receipt")).await.problem(404, "not_found");
}

/// From now on erasures wait.
fn be_careful(app: &App, rule: ErasureRule) {
    let desk = app.desk("inn").unwrap();
    desk.follow().unwrap();
    let (mut policy, _) = desk.read(|reader| reader.catalogue().policy()).unwrap().unwrap();
    policy.erasure = rule;
    let set = Command::Policy(PolicyCommand::Set { expected: None, policy });
    desk.tenant.ledger.append_blocking(Append::new(set, Actor::System)).unwrap();
}

/// Where no server runs, the nightly command comes to what has waited long enough.
#[test]
fn the_nightly_command_erases_whom_the_policy_let_wait() {
    let site = Site::new();
    let guests = site.inn();
    let night = |more: &[&str]| -> Value {
        let args = [&["--json", "retention", "run"], more].concat();
        site.run(&args).ended(0).json()["tenants"][0]["erasures"].take()
    };
    let system = clock::system();
    let then = system.clock.now() - SignedDuration::from_hours(48);
    let before_yesterday = Environment { clock: Arc::new(TestClock::at(then)), ..system };
    let app = App::open(&site.at("data"), &site.keys(), before_yesterday).unwrap();
    be_careful(&app, ErasureRule { approval: false, cooling_off_hours: 24 });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for guest in &guests[..3] {
        let desk = app.desk("inn").unwrap();
        let person = PersonId(desk.tenant.ids().read(IdKind::Client, guest).unwrap());
        let by = (By::Operator, true);
        runtime.block_on(gateway::requests::ask(&app, &desk.tenant, person, by)).unwrap();
    }
    drop(app);
    let asked = site.run(&["--json", "request", "list", "--tenant", "inn"]).ended(0).json();
    let withdrawn = asked[1]["id"].as_str().unwrap();
    site.run(&["request", "withdraw", withdrawn, "--tenant", "inn"]).ended(0);
    // Whom the law keeps is refused, which is no erasure carried out.
    let held = ["--tenant", "inn", "--person", &guests[2], "--reason", "legal_claim"];
    site.run(&[&["hold", "place"], &held[..]].concat()).ended(0);
    assert_eq!(night(&["--dry-run"]), json!([asked[2]["id"], asked[0]["id"]]));
    assert_eq!((night(&[]), night(&[])), (json!(1), json!(0)));
    let clients = site.run(&["--json", "clients", "list", "--tenant", "inn"]).ended(0).json();
    let states: Vec<_> = clients.as_array().unwrap().iter().map(|of| &of["state"]).collect();
    assert_eq!(states, ["erased", "live", "live"]);
}

/// Who asks again with more in mind is not told that all is well and refused for what they have just settled;
/// what another administrator has approved was less than that.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_to_cancel_what_is_open_is_heard() {
    let app = TestApp::default();
    let (salon, client) = careful(&app, true, 0).await;
    let mut less = erasure(&client);
    less["cancel_open_bookings"] = json!(false);
    let asked = salon.tenant.staff.post(REQUESTS, &less).await.is(202);
    let again = salon.tenant.staff.post(REQUESTS, &erasure(&client)).await.is(202);
    assert_eq!(again.id(), asked.id());
    let approve = format!("{REQUESTS}/{}/approve", asked.id());
    another_admin(&app, &salon).await.post(&approve, &json!({})).await.is(202);
    look(&app, &salon).await;
    assert_eq!(state(&salon, &asked.id()).await, "done");
    assert!(is_erased(&salon, &client).await);
}

/// The program at the command line keeps to the policy too.
#[test]
fn the_program_asks_approves_takes_back_and_writes_receipts() {
    let site = Site::new();
    let guests = site.inn();
    let said = |args: &[&str], code| site.run(&[&["--json"], args].concat()).ended(code).json();
    let erase = |id: &str, code| {
        said(&["erase", "--tenant", "inn", "--person", id, "--cancel-open"], code)[0].clone()
    };
    assert_eq!(erase(&guests[0], 0)["state"], "erased");
    let listed = said(&["request", "list", "--tenant", "inn"], 0);
    assert_eq!(listed[0]["state"], "done");
    let done = listed[0]["id"].as_str().unwrap().to_owned();

    let app = App::open(&site.at("data"), &site.keys(), clock::system()).unwrap();
    be_careful(&app, ErasureRule { approval: true, cooling_off_hours: 0 });
    drop(app);
    let to = site.at("receipt.json");
    let to = to.to_str().unwrap();
    let waiting = said(
        &["erase", "--tenant", "inn", "--person", &guests[1], "--cancel-open", "--receipt", to],
        1,
    );
    assert_eq!(waiting[0]["state"], "waiting");
    assert!(!fs::exists(to).unwrap());
    let id = waiting[0]["request"].as_str().unwrap();
    let request = |what: &str, id: &str, code| {
        site.run(&["request", what, id, "--tenant", "inn"]).ended(code)
    };
    assert!(request("approve", id, 1).error.contains("somebody else"));
    request("withdraw", id, 0);
    request("withdraw", id, 1);
    request("approve", "prq_nothing", 2);
    let listed = said(&["request", "list", "--tenant", "inn"], 0);
    assert_eq!(listed[0]["state"], "withdrawn");
    let receipt = |code| {
        let args = ["request", "receipt", done.as_str(), "--tenant", "inn", "--to", to];
        site.run(&args).ended(code)
    };
    if !on_postgres() {
        receipt(0);
        assert!(receipt(1).error.contains(to));
        said(&["audit", "receipt", to], 0);
    }
}
