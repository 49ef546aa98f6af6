//! Erasing a person through HTTP.

use serde_json::json;
use system_tests::TestApp;

const NINE: &str = "2026-03-02T09:00:00";
const TEN: &str = "2026-03-02T10:00:00";

#[tokio::test]
async fn an_erased_client_is_gone_and_the_counts_stay() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (id, own) = salon.tenant.client_with_key("Astrid").await;
    let booking = salon.booked(&id, NINE, TEN).await;
    app.clock.set("2026-03-02T12:00:00Z");
    let staff = &salon.tenant.staff;
    let done = format!("/v1/bookings/{booking}/complete");
    let done = staff.post(&done, &json!({})).await.ok();
    let counts = "/v1/statistics?by=day,hour,nth,outcome";
    let before = salon.tenant.auditor.get_after(counts, &done).await.ok();
    own.get("/v1/me").await.ok();

    let asked = own.post("/v1/privacy-requests", &json!({"kind": "erasure"})).await.is(202);
    assert_eq!(asked.body["state"], "done");
    assert!(asked.body["fence_position"].is_u64());

    own.get("/v1/me").await.problem(401, "unauthenticated");
    staff.get(&format!("/v1/clients/{id}")).await.problem(410, "erased");
    let read = staff.get(&format!("/v1/bookings/{booking}")).await.ok();
    assert_eq!(read.body["parts"][0]["client"], json!({"state": "erased"}));
    assert_eq!(read.body["parts"][0]["details"], json!({"state": "erased"}));
    assert!(!read.text().contains("Astrid"));
    let mail = json!({"email": "astrid@example.org"});
    let found = staff.post("/v1/clients/search", &mail).await.ok();
    assert_eq!(found.body["data"], json!([]));
    let after = salon.tenant.auditor.get(counts).await.ok();
    assert_eq!(after.bytes, before.bytes);
}

#[tokio::test]
async fn open_bookings_stand_in_the_way_unless_they_are_cancelled() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    let booking = salon.booked(&id, NINE, TEN).await;
    let staff = &salon.tenant.staff;
    let ask = json!({"kind": "erasure", "client_id": id});
    let blocked = staff.post("/v1/privacy-requests", &ask).await.problem(409, "erasure_blocked");
    assert_eq!(blocked.body["reasons"], json!(["open_bookings: 1"]));
    let mut ask = ask;
    ask["cancel_open_bookings"] = true.into();
    let erased = staff.post("/v1/privacy-requests", &ask).await.is(202);
    let read = staff.get_after(&format!("/v1/bookings/{booking}"), &erased).await.ok();
    assert_eq!(read.body["status"], "cancelled");
    assert_eq!(read.body["cancelled"]["reason"], "erasure");
    staff.post("/v1/privacy-requests", &ask).await.problem(410, "erased");
    let kept = staff.get(&format!("/v1/privacy-requests/{}", erased.id())).await.ok();
    assert_eq!(kept.body["state"], "done");
    let all = staff.get("/v1/privacy-requests").await.ok();
    assert_eq!(all.body["data"][1]["state"], "refused");
}

#[tokio::test]
async fn a_client_erases_nobody_else() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (_, own) = salon.tenant.client_with_key("Astrid").await;
    let other = salon.tenant.client("Birger").await;
    let ask = json!({"kind": "erasure", "client_id": other});
    own.post("/v1/privacy-requests", &ask).await.problem(404, "not_found");
    salon.tenant.staff.get(&format!("/v1/clients/{other}")).await.ok();
}

#[tokio::test]
async fn what_was_said_around_a_booking_is_erased_alone() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    let mut wish = salon.wish(&id, NINE, TEN);
    wish["fields"] = json!({"note": "A secret"});
    let booked = salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    let path = format!("/v1/bookings/{}", booked.id());
    let (admin, erase) = (&salon.tenant.admin, format!("{path}/erase-content"));
    admin.post(&erase, &json!({})).await.problem(409, "wrong_status");
    app.clock.set("2026-03-02T12:00:00Z");
    let erased = admin.post(&erase, &json!({})).await.ok();
    assert_eq!(erased.body["content_erased"], true);
    let read = salon.tenant.staff.get(&path).await.ok();
    assert_eq!(read.body["parts"][0]["details"], json!({"state": "erased"}));
    assert_eq!(read.body["parts"][0]["client"]["contact"]["name"], "Astrid");
}

/// F53: what cannot be undone is seen before.
#[tokio::test]
async fn an_erasure_is_seen_before_and_does_what_was_shown() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (id, own) = salon.tenant.client_with_key("Astrid").await;
    let booking = salon.booked(&id, NINE, TEN).await;
    let (staff, path) = (&salon.tenant.staff, "/v1/privacy-requests/preview");
    let ask = json!({"kind": "erasure", "client_id": id});
    let shown = staff.post(path, &ask).await.ok();
    assert_eq!(shown.body["open_bookings"], json!([booking]));
    assert_eq!(shown.body["classes"], json!(["contact", "booking", "health", "consent"]));
    assert_eq!(own.post(path, &json!({"kind": "erasure"})).await.ok().body, shown.body);
    // Nothing has changed by it.
    staff.get(&format!("/v1/clients/{id}")).await.ok();
    assert!(
        staff.get("/v1/privacy-requests").await.ok().body["data"].as_array().unwrap().is_empty()
    );

    let other = salon.tenant.client("Birger").await;
    let others = json!({"kind": "erasure", "client_id": other});
    own.post(path, &others).await.problem(404, "not_found");
    staff
        .post(path, &json!({"kind": "erasure", "client_id": "cli_nobody"}))
        .await
        .problem(404, "not_found");
    staff.post(path, &json!({"kind": "erasure", "why": "so"})).await.problem(422, "validation");

    app.clock.set("2026-03-02T12:00:00Z");
    let shown = staff.post(path, &ask).await.ok();
    assert_eq!(shown.body["open_bookings"], json!([]));
    let person = salon.tenant.person(&id);
    let erased = salon.tenant.desk.tenant.ledger.erase(person).await.unwrap();
    assert_eq!(json!(erased.ended), shown.body["seals"]);
    staff.post(path, &ask).await.problem(410, "erased");
}

#[tokio::test]
async fn however_many_bookings_are_open_all_are_cancelled_before_the_fence() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    for day in [2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20] {
        for hour in 9..14 {
            let at = |hour| format!("2026-03-{day:02}T{hour:02}:00:00");
            salon.booked(&id, &at(hour), &at(hour + 1)).await;
        }
    }
    let ask = json!({"kind": "erasure", "client_id": id, "cancel_open_bookings": true});
    let erased = salon.tenant.staff.post("/v1/privacy-requests", &ask).await.is(202);
    assert_eq!(erased.body["state"], "done");
    let counts = salon.tenant.auditor.get_after("/v1/statistics", &erased).await.ok();
    assert_eq!(counts.body["counts"], json!({"cancelled": 75}));
}
