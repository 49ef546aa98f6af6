//! Asking for bookings, reading them, and what becomes of them.

use serde_json::json;
use system_tests::{TestApp, new_wish};

const NINE: &str = "2026-03-02T09:00:00";
const TEN: &str = "2026-03-02T10:00:00";
const ELEVEN: &str = "2026-03-02T11:00:00";

#[tokio::test]
async fn a_free_time_is_booked_and_read_back_with_who_comes() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let mut wish = salon.wish(&client, NINE, TEN);
    wish["fields"] = json!({"note": "A short cut"});
    let booked = salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    assert_eq!(booked.body["status"], "confirmed");
    assert_eq!(booked.body["start"], "2026-03-02T08:00:00Z");
    assert_eq!(booked.header("etag"), "\"1\"");
    let path = format!("/v1/bookings/{}", booked.id());
    assert_eq!(booked.header("location"), path);
    let read = salon.tenant.staff.get_after(&path, &booked).await.ok();
    let part = &read.body["parts"][0];
    assert_eq!(part["client"]["contact"]["name"], "Astrid");
    assert_eq!(part["details"], json!({"state": "live", "fields": {"note": "A short cut"}}));
}

#[tokio::test]
async fn a_taken_time_is_refused() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    salon.booked(&client, NINE, ELEVEN).await;
    let wish = salon.wish(&client, TEN, ELEVEN);
    salon.tenant.staff.post("/v1/bookings", &wish).await.problem(409, "slot_unavailable");
}

#[tokio::test]
async fn somebody_new_is_registered_and_booked_at_once() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let wish = json!({
        "service_id": salon.cut, "resource_ids": [salon.chair], "start": NINE, "end": TEN,
        "client": {"contact": {"name": "Birger", "phone": "070-123 45 67"}},
        "participants": [{"client": {"contact": {"name": "Cecilia"}}}],
    });
    let booked = salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    let client = booked.body["client_id"].as_str().unwrap().to_owned();
    let read = salon.tenant.staff.get(&format!("/v1/clients/{client}")).await.ok();
    assert_eq!(read.body["contact"]["name"], "Birger");
    assert_eq!(booked.body["parts"][1]["role"], "participant");
}

#[tokio::test]
async fn a_wish_sent_twice_is_carried_out_once() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let (staff, key) = (&salon.tenant.staff, new_wish());
    let wish = salon.wish(&client, NINE, TEN);
    let header = [("idempotency-key", key.as_str())];
    let first = staff.post_with("/v1/bookings", &wish, &header).await.created();
    let again = staff.post_with("/v1/bookings", &wish, &header).await.created();
    assert_eq!(again.body, first.body);
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = salon.wish(&client, TEN, ELEVEN);
    let other = staff.post_with("/v1/bookings", &other, &header).await;
    other.problem(422, "idempotency_key_reused");
}

/// Also where nobody sends another: what is remembered of a request is gone with the second day.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_of_a_wish_ends_where_nothing_comes_any_more() {
    for is_swept in [false, true] {
        let app = TestApp::default();
        let salon = app.salon("salon").await;
        salon.tenant.client("Astrid").await;
        let desk = &salon.tenant.desk;
        let ended_after = |hours| {
            app.clock.advance(jiff::SignedDuration::from_hours(hours));
            let now = app.app.env.clock.now();
            tokio::task::block_in_place(|| {
                if is_swept {
                    gateway::retention::sweep(desk, now).unwrap();
                }
                desk.tenant.end_repeats(now).unwrap()
            })
        };
        assert_eq!(ended_after(24), 0, "yesterday's are still known");
        assert_eq!(ended_after(24) == 0, is_swept);
    }
}

#[tokio::test]
async fn two_callers_may_use_the_same_key_for_a_wish() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let key = new_wish();
    let header = [("idempotency-key", key.as_str())];
    let (first, second) = (salon.wish(&client, NINE, TEN), salon.wish(&client, TEN, ELEVEN));
    salon.tenant.staff.post_with("/v1/bookings", &first, &header).await.created();
    salon.tenant.admin.post_with("/v1/bookings", &second, &header).await.created();
}

#[tokio::test]
async fn a_booking_goes_its_way_and_tells_its_version() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let staff = &salon.tenant.staff;
    let path = format!("/v1/bookings/{}", salon.booked(&client, NINE, TEN).await);
    let moved = json!({"start": TEN, "end": ELEVEN});
    let moved = staff.post(&format!("{path}/reschedule"), &moved).await.ok();
    assert_eq!(moved.body["start"], "2026-03-02T09:00:00Z");
    assert_eq!(moved.header("etag"), "\"2\"");
    let checked_in = staff.post(&format!("{path}/check-in"), &json!({})).await.ok();
    assert_eq!(checked_in.body["status"], "checked_in");
    staff.post(&format!("{path}/complete"), &json!({})).await.problem(409, "not_started");
    app.clock.set("2026-03-02T10:00:00Z");
    let complete = staff.post(&format!("{path}/complete"), &json!({})).await.ok();
    assert_eq!(complete.body["version"], 4);
    staff.post(&format!("{path}/cancel"), &json!({})).await.problem(409, "wrong_status");
}

#[tokio::test]
async fn a_stale_version_changes_nothing() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let staff = &salon.tenant.staff;
    let path = format!("/v1/bookings/{}", salon.booked(&client, NINE, TEN).await);
    staff.post(&format!("{path}/check-in"), &json!({})).await.ok();
    let stale = [("if-match", "\"1\"")];
    let missed = format!("{path}/no-show");
    let refused = staff.post_with(&missed, &json!({}), &stale).await;
    refused.problem(412, "version_conflict");
    let read = staff.get(&path).await.ok();
    assert_eq!(read.body["status"], "checked_in");
}

#[tokio::test]
async fn a_cancelled_time_is_free_again_and_says_why() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let staff = &salon.tenant.staff;
    let path = format!("/v1/bookings/{}", salon.booked(&client, NINE, TEN).await);
    let why = json!({"reason": "illness", "note": "A cold"});
    let cancelled = staff.post(&format!("{path}/cancel"), &why).await.ok();
    assert_eq!(cancelled.body["cancelled"]["by"], "staff");
    let read = staff.get(&path).await.ok();
    assert_eq!(read.body["cancelled"]["note"]["fields"]["cancel_note"], "A cold");
    salon.booked(&client, NINE, TEN).await;
}

#[tokio::test]
async fn a_client_sees_their_own_and_nobody_elses() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (own_id, own) = salon.tenant.client_with_key("Astrid").await;
    let (_, other) = salon.tenant.client_with_key("Birger").await;
    let wish = json!({
        "service_id": salon.cut, "resource_ids": [salon.chair], "start": NINE, "end": TEN,
    });
    let booked = own.post("/v1/bookings", &wish).await.created();
    assert_eq!(booked.body["client_id"], own_id);
    assert_eq!(booked.body["channel"], "online");
    assert_eq!(booked.body["created_by"]["type"], "client");
    let path = format!("/v1/bookings/{}", booked.id());
    own.get_after(&path, &booked).await.ok();
    other.get(&path).await.problem(404, "not_found");
    other.post(&format!("{path}/cancel"), &json!({})).await.problem(404, "not_found");
    let mine = own.get("/v1/me/bookings").await.ok();
    assert_eq!(mine.body["data"][0]["id"], booked.id());
    assert_eq!(other.get("/v1/bookings").await.ok().body["data"], json!([]));
    let cancelled = own.post(&format!("{path}/cancel"), &json!({})).await.ok();
    assert_eq!(cancelled.body["cancelled"]["by"], "client");
}

#[tokio::test]
async fn a_client_claims_nothing_that_is_for_staff() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (_, own) = salon.tenant.client_with_key("Astrid").await;
    let other = salon.tenant.client("Birger").await;
    let wish = salon.wish(&other, NINE, TEN);
    own.post("/v1/bookings", &wish).await.problem(404, "not_found").at("/client_id");
    let mut wish = salon.wish(&other, NINE, TEN);
    wish["price"] = json!({"amount": "1", "currency": "SEK"});
    own.post("/v1/bookings", &wish).await.problem(422, "validation").at("/price");
}

#[tokio::test]
async fn another_tenants_ids_mean_nothing() {
    let app = TestApp::default();
    let (here, there) = (app.salon("here").await, app.salon("there").await);
    let client = there.tenant.client("Astrid").await;
    let booking = there.booked(&client, NINE, TEN).await;
    let staff = &here.tenant.staff;
    for path in [
        format!("/v1/bookings/{booking}"),
        format!("/v1/clients/{client}"),
        format!("/v1/services/{}", there.cut),
        format!("/v1/resources/{}", there.chair),
        "/v1/bookings/bkg_0".to_owned(),
    ] {
        staff.get(&path).await.problem(404, "not_found");
    }
    let own = here.tenant.client("Birger").await;
    let mut wish = here.wish(&own, NINE, TEN);
    wish["resource_ids"][0] = there.chair.clone().into();
    let refused = staff.post("/v1/bookings", &wish).await;
    refused.problem(404, "not_found").at("/resource_ids/0");
}

#[tokio::test]
async fn pages_hold_every_booking_once() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    for hour in 9..16 {
        let (start, end) = (format!("2026-03-02T{hour:02}:00"), format!("2026-03-02T{hour:02}:30"));
        salon.booked(&client, &start, &end).await;
    }
    let staff = &salon.tenant.staff;
    for list in ["/v1/bookings".to_owned(), format!("/v1/clients/{client}/bookings")] {
        let (mut starts, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = staff.get(&format!("{list}?limit=3{cursor}")).await.ok();
            let data = page.body["data"].as_array().unwrap();
            starts.extend(data.iter().map(|booking| booking["start"].to_string()));
            let Some(next) = page.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(starts.len(), 7);
        assert!(starts.is_sorted());
    }
}

/// Words for a time mean the clock of where the booking is now, not of where it began.
#[tokio::test]
async fn a_booking_is_moved_by_the_clock_of_where_it_is() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let hours = json!([{"day": "monday", "from": "09:00", "to": "17:00"}]);
    let away = json!({
        "name": "Away", "kind": "room", "capacity": 1, "group": "Salon",
        "time_zone": "Europe/Helsinki", "hours": hours,
    });
    let away = salon.tenant.admin.post("/v1/resources", &away).await.created().id();
    let path = format!("/v1/bookings/{}/reschedule", salon.booked(&client, NINE, TEN).await);
    let there = json!({"start": NINE, "end": TEN, "resource_ids": [away]});
    let moved = salon.tenant.staff.post(&path, &there).await.ok();
    assert_eq!(moved.body["start"], "2026-03-02T07:00:00Z");
    let later = json!({"start": TEN, "end": ELEVEN});
    let moved = salon.tenant.staff.post(&path, &later).await.ok();
    assert_eq!(moved.body["start"], "2026-03-02T08:00:00Z", "ten o'clock in Helsinki");
    // What is said of an instant rests on no clock.
    let instant = json!({"start": "2026-03-02T09:00:00Z", "end": "2026-03-02T10:00:00Z"});
    let moved = salon.tenant.staff.post(&path, &instant).await.ok();
    assert_eq!(moved.body["start"], "2026-03-02T09:00:00Z");
}

/// A booking is whose it is: those who come along neither move it nor give it up, and it goes on without one of
/// them who is erased.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_along_does_not_change_a_booking() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (client, own) = salon.tenant.client_with_key("Astrid").await;
    let (guest, along) = salon.tenant.client_with_key("Birger").await;
    let (_, stranger) = salon.tenant.client_with_key("Cecilia").await;
    let mut wish = salon.wish(&client, NINE, TEN);
    wish["participants"] = json!([{"client_id": guest}]);
    let booking = salon.tenant.staff.post("/v1/bookings", &wish).await.created().id();
    let path = format!("/v1/bookings/{booking}");
    let later = json!({"start": TEN, "end": ELEVEN});
    for (change, body) in [("cancel", json!({})), ("reschedule", later.clone())] {
        let change = format!("{path}/{change}");
        along.post(&change, &body).await.problem(403, "forbidden");
        stranger.post(&change, &body).await.problem(404, "not_found");
    }
    // Nor is anything told of it by what is wrong with the time.
    let never = json!({"start": "2026-03-29T02:30:00"});
    stranger.post(&format!("{path}/reschedule"), &never).await.problem(404, "not_found");
    let erasure = json!({"kind": "erasure", "cancel_open_bookings": true});
    along.post("/v1/privacy-requests", &erasure).await.is(202);
    let left = salon.tenant.staff.get(&path).await.ok();
    assert_eq!(left.body["status"], "confirmed");
    assert!(!left.text().contains("Birger"));
    own.post(&format!("{path}/reschedule"), &later).await.ok();
    own.post(&format!("{path}/cancel"), &json!({})).await.ok();
}

/// Who is noted as there by mistake can be let go, by staff and for an erasure.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistaken_check_in_is_undone_and_stands_in_no_erasures_way() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let staff = &salon.tenant.staff;
    let (client, own) = salon.tenant.client_with_key("Astrid").await;
    for start in [(NINE, TEN), (TEN, ELEVEN)] {
        let path = format!("/v1/bookings/{}", salon.booked(&client, start.0, start.1).await);
        staff.post(&format!("{path}/check-in"), &json!({})).await.ok();
        own.post(&format!("{path}/cancel"), &json!({})).await.problem(409, "wrong_status");
        if start.0 == NINE {
            staff.post(&format!("{path}/cancel"), &json!({})).await.ok();
        }
    }
    let erasure = json!({"kind": "erasure", "client_id": client, "cancel_open_bookings": true});
    let asked = staff.post("/v1/privacy-requests", &erasure).await.is(202);
    assert_eq!(asked.body["state"], "done", "{}", asked.text());
}
