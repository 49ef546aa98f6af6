//! How it stands with a client's data: restricted it is kept and not used, held it is not ended.

use std::sync::Arc;

use eventstore::ledger::audit::verify;
use eventstore::store::rotation::WINDOW;
use gateway::retention;
use jiff::SignedDuration;
use serde_json::{Value, json};
use system_tests::{Salon, TestApp};

use crate::site::Site;

const NINE: &str = "2026-03-02T09:00:00+01:00[Europe/Stockholm]";
const TEN: &str = "2026-03-02T10:00:00+01:00[Europe/Stockholm]";

fn assert_sound(salon: &Salon) {
    let report = verify(salon.tenant.desk.tenant.log(), &mut |_, _| ()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// A salon that keeps notes for a day, and a booking with one.
async fn booked(app: &TestApp) -> (Salon, String, String) {
    let salon = app.salon("salon").await;
    let days = json!({"booking": 1});
    salon.tenant.change_policy(|policy| policy["retention_days"] = days).await;
    let client = salon.tenant.client("Astrid").await;
    let mut wish = salon.wish(&client, NINE, TEN);
    wish["fields"] = json!({"note": "by the window"});
    let booking = salon.tenant.staff.post("/v1/bookings", &wish).await.created().id();
    (salon, client, booking)
}

async fn note(salon: &Salon, booking: &str) -> Value {
    salon.tenant.desk.follow().unwrap();
    let read = salon.tenant.staff.get(&format!("/v1/bookings/{booking}")).await.ok();
    read.body["parts"][0]["details"].clone()
}

/// Kept, opened by nobody, taken up by nothing new; and as before when it is freed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_restricted_is_kept_and_not_used() {
    let app = TestApp::default();
    let (salon, client, booking) = booked(&app).await;
    let staff = &salon.tenant.staff;
    let path = |what: &str| format!("/v1/clients/{client}/{what}");
    let why = json!({"ground": "accuracy_contested", "until": "2026-04-01"});
    let shown = staff.post(&path("restrict"), &why).await.ok();
    assert_eq!(shown.body["state"], "restricted");
    assert_eq!(shown.body["restriction"]["ground"], "accuracy_contested");
    assert_eq!(shown.body["restriction"]["until"], "2026-04-01");
    assert_eq!(shown.body["contact"], Value::Null);
    assert_eq!(note(&salon, &booking).await, json!({"state": "restricted"}));

    // Nothing that would be sealed for them is taken, and what needs nothing sealed goes on.
    let wish = salon.wish(&client, &NINE.replace("T09", "T11"), &TEN.replace("T10", "T12"));
    staff.post("/v1/bookings", &wish).await.problem(409, "restricted");
    let version = shown.header("etag");
    let right = json!({"contact": {"name": "Astrid Ek"}});
    let method = "PATCH".parse().unwrap();
    let seen = [("if-match", version)];
    let address = format!("/v1/clients/{client}");
    staff.send_with(method, &address, &right, &seen).await.problem(409, "restricted");
    staff.post(&path("restrict"), &why).await.problem(409, "unchanged");
    staff.post(&format!("/v1/bookings/{booking}/check-in"), &json!({})).await.ok();
    assert_sound(&salon);

    let freed = staff.post(&path("unrestrict"), &json!({})).await.ok();
    assert_eq!(freed.body["state"], "live");
    assert_eq!(freed.body["restriction"], Value::Null);
    assert_eq!(freed.body["contact"]["name"], "Astrid");
    assert_eq!(note(&salon, &booking).await["fields"]["note"], "by the window");
    staff.post("/v1/bookings", &wish).await.created();
    staff.post(&path("unrestrict"), &json!({})).await.problem(409, "unchanged");
    assert_sound(&salon);
}

/// Who has their data restricted keeps all other rights, and the key that they exercise them with.
#[tokio::test(flavor = "multi_thread")]
async fn the_restricted_still_see_and_cancel_what_is_theirs() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (client, key) = salon.tenant.client_with_key("Astrid").await;
    let booking = key.post("/v1/bookings", &salon.wish(&client, NINE, TEN)).await.created().id();
    let path = format!("/v1/clients/{client}/restrict");
    salon.tenant.staff.post(&path, &json!({"ground": "objection"})).await.ok();
    salon.tenant.desk.follow().unwrap();
    let shown = key.get(&format!("/v1/bookings/{booking}")).await.ok();
    assert_eq!(shown.body["status"], "confirmed");
    let wish = salon.wish(&client, &NINE.replace("T09", "T11"), &TEN.replace("T10", "T12"));
    key.post("/v1/bookings", &wish).await.problem(409, "restricted");
    let cancelled = key.post(&format!("/v1/bookings/{booking}/cancel"), &json!({})).await.ok();
    assert_eq!(cancelled.body["status"], "cancelled");
    assert_sound(&salon);
}

/// What is kept is kept through a change of all keys, and opens again when it is freed.
#[tokio::test(flavor = "multi_thread")]
async fn the_restricted_come_through_a_rotation() {
    let app = TestApp::default();
    let (salon, client, booking) = booked(&app).await;
    let staff = &salon.tenant.staff;
    let path = |what: &str| format!("/v1/clients/{client}/{what}");
    staff.post(&path("restrict"), &json!({"ground": "unlawful"})).await.ok();
    let find = |name: &str| -> Result<_, gateway::app::AppError> {
        Ok(Arc::clone(&app.app.desk(name)?.tenant))
    };
    for _ in 0..2 {
        app.clock.advance(SignedDuration::from_hours(30 * 24));
        let rotate = || app.app.store.rotate(WINDOW, &find, &|_, _| ());
        tokio::task::block_in_place(rotate).unwrap();
    }
    assert_eq!(note(&salon, &booking).await, json!({"state": "restricted"}));
    staff.post(&path("unrestrict"), &json!({})).await.ok();
    assert_eq!(note(&salon, &booking).await["fields"]["note"], "by the window");
    assert_sound(&salon);
}

/// Who is restricted may still be forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn the_restricted_are_erased_like_others() {
    let app = TestApp::default();
    let (salon, client, booking) = booked(&app).await;
    let staff = &salon.tenant.staff;
    let why = json!({"ground": "objection"});
    staff.post(&format!("/v1/clients/{client}/restrict"), &why).await.ok();
    let ask = json!({"kind": "erasure", "client_id": client, "cancel_open_bookings": true});
    staff.post("/v1/privacy-requests", &ask).await.is(202);
    assert_eq!(note(&salon, &booking).await, json!({"state": "erased"}));
    assert_sound(&salon);
}

/// F67: a hold stops what is asked and what is due, each hold by itself; afterwards both happen.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_erasure_and_retention_until_the_last_is_lifted() {
    let app = TestApp::default();
    let (salon, client, booking) = booked(&app).await;
    let admin = &salon.tenant.admin;
    let path = |what: &str| format!("/v1/clients/{client}/{what}");
    let (claim, order) = (json!({"ground": "legal_claim"}), json!({"ground": "authority_order"}));
    admin.post(&path("hold"), &claim).await.ok();
    let held = admin.post(&path("hold"), &order).await.ok();
    let grounds: Vec<&str> = held.body["legal_holds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hold| hold["ground"].as_str().unwrap())
        .collect();
    assert_eq!(grounds, ["authority_order", "legal_claim"]);
    admin.post(&path("hold"), &claim).await.problem(409, "unchanged");

    // Not even the open booking is cancelled for an erasure that is refused.
    let ask = json!({"kind": "erasure", "client_id": client, "cancel_open_bookings": true});
    let preview = json!({"kind": "erasure", "client_id": client});
    let preview = admin.post("/v1/privacy-requests/preview", &preview).await.ok();
    assert_eq!(preview.body["legal_holds"], json!(["legal_claim", "authority_order"]));
    admin.post("/v1/privacy-requests", &ask).await.problem(409, "legal_hold");
    let listed = admin.get("/v1/privacy-requests").await.ok();
    assert_eq!(listed.body["data"][0]["state"], "refused");
    let stands = admin.get(&format!("/v1/bookings/{booking}")).await.ok();
    assert_eq!(stands.body["status"], "confirmed");

    app.clock.set("2026-03-09T09:00:00Z");
    let desk = Arc::clone(&salon.tenant.desk);
    let sweep = || {
        let now = app.app.env.clock.now();
        tokio::task::block_in_place(|| retention::sweep(&desk, now)).unwrap().bookings
    };
    let mut listed = Vec::new();
    let each = &mut |due: retention::Due| {
        listed.push(due.held);
        Ok(())
    };
    retention::due(&desk, app.app.env.clock.now(), each).unwrap();
    assert_eq!((listed, sweep()), (vec![true], 0));
    let erase = format!("/v1/bookings/{booking}/erase-content");
    admin.post(&erase, &json!({})).await.problem(409, "legal_hold");
    assert_eq!(note(&salon, &booking).await["fields"]["note"], "by the window");

    admin.post(&path("release"), &claim).await.ok();
    assert_eq!(sweep(), 0);
    // Of the one class that is due, held by itself.
    let said = json!({"ground": "authority_order", "class": "booking"});
    let both = admin.post(&path("hold"), &said).await.ok();
    assert_eq!(both.body["legal_holds"][1]["class"], "booking");
    admin.post(&path("release"), &order).await.ok();
    assert_eq!(sweep(), 0);
    admin.post(&path("hold"), &order).await.ok();
    admin.post(&path("release"), &said).await.ok();
    let access = json!({"ground": "authority_order", "class": "access"});
    admin.post(&path("hold"), &access).await.problem(422, "validation");
    let released = admin.post(&path("release"), &order).await.ok();
    assert_eq!(released.body["legal_holds"], Value::Null);
    admin.post(&path("release"), &order).await.problem(409, "unchanged");
    // A hold on another class keeps the person, and nothing of what is due.
    let contact = json!({"ground": "legal_claim", "class": "contact"});
    admin.post(&path("hold"), &contact).await.ok();
    assert_eq!(sweep(), 1);
    assert_eq!(note(&salon, &booking).await, json!({"state": "erased"}));
    admin.post("/v1/privacy-requests", &ask).await.problem(409, "legal_hold");
    admin.post(&path("release"), &contact).await.ok();
    admin.post("/v1/privacy-requests", &ask).await.is(202);
    assert_sound(&salon);
}

/// What bookkeeping law keeps of a year stays for all while somebody is held who has a part in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_year_with_something_of_somebody_held_does_not_end() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let admin = &salon.tenant.admin;
    let collect =
        |policy: &mut Value| policy["collect"].as_array_mut().unwrap().push("invoice_name".into());
    salon.tenant.change_policy(collect).await;
    let client = salon.tenant.client("Astrid").await;
    let mut wish = salon.wish(&client, NINE, TEN);
    wish["fields"] = json!({"invoice_name": "Ek AB"});
    admin.post("/v1/bookings", &wish).await.created();
    let claim = json!({"ground": "legal_obligation"});
    admin.post(&format!("/v1/clients/{client}/hold"), &claim).await.ok();
    app.clock.set("2034-01-01T12:00:00Z");
    let desk = Arc::clone(&salon.tenant.desk);
    let sweep = || {
        let now = app.app.env.clock.now();
        tokio::task::block_in_place(|| retention::sweep(&desk, now)).unwrap().years
    };
    assert_eq!(sweep(), 0);
    admin.post(&format!("/v1/clients/{client}/release"), &claim).await.ok();
    assert_eq!(sweep(), 1);
    assert_sound(&salon);
}

/// F52: a voucher is kept for the fiscal year in which the service is given, though it was booked for another.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_into_another_year_is_kept_with_that() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let admin = &salon.tenant.admin;
    let collect =
        |policy: &mut Value| policy["collect"].as_array_mut().unwrap().push("invoice_name".into());
    salon.tenant.change_policy(collect).await;
    let client = salon.tenant.client("Astrid").await;
    let mut booked = Vec::new();
    // One stays in its year, one goes on into the next, one comes back from there.
    for (day, to) in [
        ("2026-12-20", None),
        ("2026-12-21", Some("2027-01-15")),
        ("2027-01-18", Some("2026-12-22")),
    ] {
        let at = |day: &str, time: &str| format!("{day}T{time}:00");
        let mut wish = salon.wish(&client, &at(day, "09:00"), &at(day, "10:00"));
        wish["fields"] = json!({"invoice_name": "Ek AB"});
        let booking = admin.post("/v1/bookings", &wish).await.created().id();
        if let Some(to) = to {
            let moved = json!({"start": at(to, "09:00"), "end": at(to, "10:00")});
            let path = format!("/v1/bookings/{booking}/reschedule");
            salon.tenant.staff.post(&path, &moved).await.ok();
        }
        booked.push(booking);
    }
    let desk = Arc::clone(&salon.tenant.desk);
    let over = async |now: &str, years: u64| {
        app.clock.set(now);
        let now = app.app.env.clock.now();
        let ended = tokio::task::block_in_place(|| retention::sweep(&desk, now)).unwrap().years;
        assert_eq!(ended, years);
        let mut kept = Vec::new();
        for booking in &booked {
            let read = admin.get(&format!("/v1/bookings/{booking}")).await.ok();
            kept.push(read.text().contains("Ek AB"));
        }
        kept
    };
    assert_eq!(over("2033-12-31T12:00:00Z", 0).await, [true, true, true]);
    assert_eq!(over("2034-01-01T12:00:00Z", 1).await, [false, true, false]);
    assert_eq!(over("2035-01-01T12:00:00Z", 1).await, [false, false, false]);
    assert_sound(&salon);
}

#[tokio::test]
async fn what_cannot_stand_is_refused_with_a_reason() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let staff = &salon.tenant.staff;
    let path = |what: &str| format!("/v1/clients/{client}/{what}");
    let yesterday = json!({"ground": "objection", "until": "2020-01-01"});
    let refused = staff.post(&path("restrict"), &yesterday).await.problem(422, "validation");
    assert_eq!(refused.body["errors"][0], json!({"pointer": "/until", "code": "over"}));
    let unknown = json!({"ground": "because"});
    staff.post(&path("restrict"), &unknown).await.problem(422, "validation");
    let no_day = json!({"ground": "objection", "until": "soon"});
    staff.post(&path("restrict"), &no_day).await.problem(422, "validation");
    staff
        .post("/v1/clients/nobody/restrict", &json!({"ground": "objection"}))
        .await
        .problem(404, "not_found");
    staff.post(&path("hold"), &json!({"ground": "legal_claim"})).await.problem(403, "forbidden");
}

#[test]
fn the_program_holds_and_restricts() {
    let site = Site::new();
    let guests = site.inn();
    let said = |args: &[&str]| site.run(args).ended(0).json();
    let id = guests[0].as_str();
    let of = ["--tenant", "inn", "--person", id];
    let person = |what: &str, more: &[&str]| {
        site.run(&[&["--json", "person", what], of.as_slice(), more].concat())
    };
    let hold = |what: &str, more: &[&str]| {
        site.run(&[&["--json", "hold", what], of.as_slice(), more].concat())
    };
    let claim = ["--class", "contact", "--reason", "legal_claim"];
    assert_eq!(hold("place", &claim).ended(0).json()["done"], "held");
    let listed = |dry: &[&str], code| {
        site.run(&[&["--json", "erase"], of.as_slice(), dry].concat()).ended(code).json()
    };
    assert_eq!(listed(&["--dry-run"], 1)[0]["legal_holds"], json!(["legal_claim"]));
    assert_eq!(listed(&["--cancel-open"], 1)[0]["refused"], "legal_hold");
    hold("lift", &["--reason", "curiosity"]).ended(2);
    hold("lift", &["--class", "shoe_size", "--reason", "legal_claim"]).ended(2);
    hold("lift", &["--reason", "legal_claim"]).ended(1);
    assert_eq!(hold("lift", &claim).ended(0).json()["done"], "lifted");
    let until = ["--ground", "objection", "--until", "2999-01-01"];
    assert_eq!(person("restrict", &until).ended(0).json()["done"], "restricted");
    let clients = said(&["--json", "clients", "list", "--tenant", "inn"]);
    assert_eq!(clients[0]["state"], "restricted");
    let told = site.run(&["audit", "replay", "--tenant", "inn"]).ended(0).out;
    for words in [
        "a client's contact was put under legal hold (legal_claim)",
        "restricted (objection), until 2999-01-01",
    ] {
        assert!(told.contains(words), "{told}");
    }
    assert_eq!(person("unrestrict", &[]).ended(0).json()["done"], "unrestricted");
    assert_eq!(listed(&["--cancel-open"], 0)[0]["state"], "erased");
    said(&["--json", "audit", "verify", "--tenant", "inn"]);
}
