//! Retention: what a tenant keeps for so many days is there until then, and gone from then on.

use std::sync::Arc;

use eventstore::ledger::audit::verify;
use gateway::retention::{self, Due, Swept};
use jiff::Timestamp;
use serde_json::{Value, json};
use system_tests::{Answer, Salon, TestApp};

use crate::program::run;

const NINE: &str = "2026-03-02T09:00:00+01:00[Europe/Stockholm]";
const TEN: &str = "2026-03-02T10:00:00+01:00[Europe/Stockholm]";

/// A salon that keeps notes for so many days, and those on health for others.
async fn salon(app: &TestApp, days: Value) -> Salon {
    let salon = app.salon("salon").await;
    let change = |policy: &mut Value| {
        policy["retention_days"] = days;
        policy["collect"].as_array_mut().unwrap().push("health_note".into());
    };
    salon.tenant.change_policy(change).await;
    salon
}

async fn booked(salon: &Salon, client: &str, fields: Value) -> Answer {
    let mut wish = salon.wish(client, NINE, TEN);
    wish["fields"] = fields;
    salon.tenant.staff.post("/v1/bookings", &wish).await.created()
}

fn due(app: &TestApp, salon: &Salon) -> Vec<Due> {
    let mut found = Vec::new();
    let each = &mut |due| {
        found.push(due);
        Ok(())
    };
    retention::due(&salon.tenant.desk, app.app.env.clock.now(), each).unwrap();
    found
}

fn sweep_all(app: &TestApp, salon: &Salon) -> Swept {
    let (desk, now) = (Arc::clone(&salon.tenant.desk), app.app.env.clock.now());
    tokio::task::block_in_place(|| retention::sweep(&desk, now)).unwrap()
}

fn sweep(app: &TestApp, salon: &Salon) -> u64 {
    sweep_all(app, salon).bookings
}

/// What the first part says, read after everything that is committed.
async fn part(salon: &Salon, booking: &str) -> Value {
    salon.tenant.desk.follow().unwrap();
    let read = salon.tenant.staff.get(&format!("/v1/bookings/{booking}")).await.ok();
    read.body["parts"][0].clone()
}

fn assert_sound(salon: &Salon) {
    let report = verify(salon.tenant.desk.tenant.log(), &mut |_, _| ()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// F56, F25: there the day before, gone on the day; where no rule says so, it stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_is_gone_on_its_day_and_there_the_day_before() {
    let app = TestApp::default();
    let salon = salon(&app, json!({"booking": 90})).await;
    let id = salon.tenant.client("Astrid").await;
    let said = json!({"note": "by the window", "health_note": "Asthma"});
    let booking = booked(&salon, &id, said).await.id();
    let day = |time: &str| app.clock.set(time);

    day("2026-05-31T08:59:59Z");
    assert_eq!((due(&app, &salon), sweep(&app, &salon)), (vec![], 0));
    assert_eq!(part(&salon, &booking).await["details"]["fields"]["note"], "by the window");

    day("2026-05-31T09:00:00Z");
    let listed = due(&app, &salon);
    assert_eq!((listed.len(), listed[0].class.name(), listed[0].days), (1, "booking", 90));
    assert_eq!(listed[0].until, "2026-05-31T09:00:00Z".parse::<Timestamp>().unwrap());
    assert_eq!(sweep(&app, &salon), 1);
    let part = part(&salon, &booking).await;
    assert_eq!(part["details"], json!({"state": "erased"}));
    assert_eq!(part["health"]["fields"]["health_note"], "Asthma");
    assert_eq!(part["client"]["contact"]["name"], "Astrid");
    // Once is enough, however often it is looked.
    assert_eq!((due(&app, &salon), sweep(&app, &salon)), (vec![], 0));
    day("2099-01-01T00:00:00Z");
    assert_eq!(sweep(&app, &salon), 0);
    assert_sound(&salon);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_class_has_its_own_day_and_the_person_may_go_in_between() {
    let app = TestApp::default();
    let salon = salon(&app, json!({"booking": 30, "health": 3650})).await;
    let [stays, goes] = [salon.tenant.client("Astrid").await, salon.tenant.client("Birger").await];
    let said = || json!({"note": "by the window", "health_note": "Asthma"});
    let kept = booked(&salon, &stays, said()).await.id();
    let mut wish = salon.wish(&goes, &NINE.replace("T09", "T11"), &TEN.replace("T10", "T12"));
    wish["fields"] = said();
    salon.tenant.staff.post("/v1/bookings", &wish).await.created();

    app.clock.set("2026-06-01T00:00:00Z");
    assert_eq!(sweep(&app, &salon), 2);
    assert_sound(&salon);
    let ask = json!({"kind": "erasure", "client_id": goes});
    salon.tenant.staff.post("/v1/privacy-requests", &ask).await.is(202);
    assert_sound(&salon);
    assert_eq!(part(&salon, &kept).await["health"]["fields"]["health_note"], "Asthma");

    app.clock.set("2036-06-01T00:00:00Z");
    assert_eq!(sweep(&app, &salon), 2);
    assert_eq!(part(&salon, &kept).await["health"], json!({"state": "erased"}));
    assert_sound(&salon);
    // What is left of who stays is what an erasure counts.
    let ask = json!({"kind": "erasure", "client_id": stays});
    salon.tenant.staff.post("/v1/privacy-requests", &ask).await.is(202);
    assert_sound(&salon);
    let counted = salon.tenant.desk.rebuild(&|_, _| ()).unwrap();
    assert_eq!(counted.0, counted.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_was_moved_ends_later() {
    let app = TestApp::default();
    let salon = salon(&app, json!({"booking": 1})).await;
    let id = salon.tenant.client("Astrid").await;
    let booking = booked(&salon, &id, json!({"note": "by the window"})).await.id();
    let to = |time: &str| time.replace("03-02", "03-03");
    let moved = json!({"start": to(NINE), "end": to(TEN)});
    salon.tenant.staff.post(&format!("/v1/bookings/{booking}/reschedule"), &moved).await.ok();
    app.clock.set("2026-03-03T09:00:00Z");
    assert_eq!((due(&app, &salon), sweep(&app, &salon)), (vec![], 0));
    app.clock.set("2026-03-04T09:00:00Z");
    assert_eq!(sweep(&app, &salon), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_after_the_end_is_refused_and_the_reason_is_not() {
    let app = TestApp::default();
    let salon = salon(&app, json!({"booking": 1})).await;
    let id = salon.tenant.client("Astrid").await;
    let booking = booked(&salon, &id, json!({"note": "by the window"})).await.id();
    app.clock.set("2026-03-04T09:00:00Z");
    assert_eq!(sweep(&app, &salon), 1);
    let path = format!("/v1/bookings/{booking}/cancel");
    let noted = json!({"reason": "illness", "note": "called too late"});
    let refused = salon.tenant.staff.post(&path, &noted).await.problem(422, "validation");
    assert_eq!(refused.body["errors"][0], json!({"pointer": "/note", "code": "content_ended"}));
    salon.tenant.staff.post(&path, &json!({"reason": "illness"})).await.ok();
    assert_eq!(sweep(&app, &salon), 0);
    assert_sound(&salon);
}

#[test]
fn the_program_lists_what_is_due_before_it_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let said = |args: &[&str]| run(&data, args).ended(0).json();
    said(&["--json", "tenant", "create", "salon", "--zone", "Europe/Stockholm"]);
    let listed = said(&["--json", "retention", "run", "--dry-run"]);
    assert_eq!(listed["tenants"], json!([{"tenant": "salon", "due": [], "erasures": []}]));
    let ended = said(&["--json", "retention", "run", "--tenant", "salon"]);
    let nothing = json!([{"tenant": "salon", "bookings": 0, "years": 0, "erasures": 0}]);
    assert_eq!(ended["tenants"], nothing);
    let unknown = run(&data, &["retention", "run", "--tenant", "other"]).ended(2).error;
    assert!(unknown.contains("other") || unknown.contains("tenant"), "{unknown}");
}
