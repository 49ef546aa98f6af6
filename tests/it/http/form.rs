//! The form of requests and answers: what bad input gets, and what every answer carries. Bad input
//! is a problem document that names the place, never a 500, and nothing is written.

use axum::body::Body;
use axum::http::{Method, header};
use serde_json::{Value, json};
use system_tests::{Salon, TestApp};

/// A wish with one thing changed is refused, and nothing is written.
#[track_caller]
fn refused<'a>(
    salon: &'a Salon,
    client: &str,
    change: &[(&str, Value)],
) -> impl Future<Output = system_tests::Answer> + 'a {
    let mut wish = salon.wish(client, "2026-03-02T09:00", "2026-03-02T10:00");
    for (name, value) in change {
        wish[*name] = value.clone();
    }
    async move {
        let before = salon.tenant.desk.tenant.log().size();
        let answer = salon.tenant.staff.post("/v1/bookings", &wish).await;
        assert_eq!(salon.tenant.desk.tenant.log().size(), before, "nothing is written");
        answer
    }
}

#[tokio::test]
async fn bad_values_are_refused_with_their_place() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    for (name, value, pointer) in [
        ("colour", json!("red"), "/colour"),
        ("units", json!("three"), "/units"),
        ("units", json!(-1), "/units"),
        ("start", json!("soon"), "/start"),
        ("start", json!(17), "/start"),
        ("fields", json!({"shoe_size": "44"}), "/fields/shoe_size"),
        ("fields", json!({"note": 44}), "/fields/note"),
        ("fields", json!({"name": "Astrid"}), "/contact/name"),
        ("channel", json!("pigeon"), "/channel"),
        ("policy_hash", json!("abc"), "/policy_hash"),
        ("resource_ids", json!([]), "/resource_ids"),
        ("price", json!({"amount": "a lot", "currency": "SEK"}), "/price"),
        ("price", json!({"amount": "1"}), "/price/currency"),
        ("participants", json!([{"role": "singer"}]), "/participants/0/role"),
        ("participants", json!([{}]), "/participants/0/client_id"),
        ("end", json!("2026-03-02T08:00"), "/end"),
        ("end", json!("2028-03-02T08:00"), "/end"),
    ] {
        let answer = refused(&salon, &client, &[(name, value)]).await;
        answer.problem(422, "validation").at(pointer);
    }
}

#[tokio::test]
async fn times_that_the_clock_skips_or_passes_twice_are_refused() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let gap = [("start", json!("2026-03-29T02:30:00")), ("end", json!("2026-03-29T04:00:00"))];
    let answer = refused(&salon, &client, &gap).await;
    answer.problem(422, "nonexistent_local_time").at("/start");
    let twice = [("start", json!("2026-10-25T02:30:00")), ("end", json!("2026-10-25T04:00:00"))];
    let answer = refused(&salon, &client, &twice).await;
    answer.problem(422, "ambiguous_local_time").at("/start");
}

#[tokio::test]
async fn rules_refuse_with_codes_of_their_own() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let at = |start: &str, end: &str| [("start", json!(start)), ("end", json!(end))];
    for (change, status, code) in [
        (at("2026-03-02T07:00", "2026-03-02T08:00"), 422, "outside_opening_hours"),
        (at("2026-03-02T09:00", "2026-03-02T09:05"), 422, "wrong_length"),
        (at("2026-02-02T09:00", "2026-02-02T10:00"), 422, "already_started"),
    ] {
        refused(&salon, &client, &change).await.problem(status, code);
    }
    let crowd = refused(&salon, &client, &[("units", json!(2))]).await;
    crowd.problem(409, "capacity_exceeded");
    let health = refused(&salon, &client, &[("fields", json!({"health_note": "Asthma"}))]).await;
    health.problem(422, "field_not_collected");
}

#[tokio::test]
async fn an_unknown_zone_is_refused() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let room =
        json!({"name": "Room", "kind": "room", "group": "Salon", "time_zone": "Mars/Olympus"});
    let answer = salon.tenant.admin.post("/v1/resources", &room).await;
    answer.problem(422, "validation").at("/time_zone");
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let staff = &salon.tenant.staff;
    let half = b"{\"contact\": {\"name\": \"\xc3\"}}".to_vec();
    for body in [
        half,
        b"{".to_vec(),
        br#"{"contact": {"name": "Astrid"}} {}"#.to_vec(),
        b"[1, ".repeat(500),
    ] {
        let request = staff.request(Method::POST, "/v1/clients", body);
        staff.send(request).await.problem(400, "malformed");
    }
    let list = staff.request(Method::POST, "/v1/clients", b"[{}]".to_vec());
    staff.send(list).await.problem(422, "validation").at("");
    let long = format!("{{\"contact\": {{\"name\": \"{}\"}}}}", "a".repeat(64 * 1024));
    let request = staff.request(Method::POST, "/v1/clients", long.into_bytes());
    staff.send(request).await.problem(413, "body_too_large");
    let mut request = staff.request(Method::POST, "/v1/clients", b"{}".to_vec());
    request.headers_mut().remove(header::CONTENT_TYPE);
    staff.send(request).await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_wish_without_a_key_is_refused() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let staff = &salon.tenant.staff;
    let body = json!({"contact": {"name": "Astrid"}}).to_string();
    let mut request = staff.request(Method::POST, "/v1/clients", body.into_bytes());
    request.headers_mut().remove("idempotency-key");
    staff.send(request).await.problem(400, "idempotency_key_missing");
}

#[tokio::test]
async fn strange_addresses_and_methods_get_problem_documents() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let staff = &salon.tenant.staff;
    staff.get("/v1/nothing").await.problem(404, "not_found");
    let request = staff.request(Method::PUT, "/v1/bookings", Vec::new());
    let answer = staff.send(request).await.problem(405, "method_not_allowed");
    assert!(answer.header("allow").contains("POST"));
    staff.get("/v1/bookings?limit=many").await.problem(422, "validation").at("?limit");
    staff.get("/v1/bookings?size=3").await.problem(422, "validation").at("?size");
    staff.get("/v1/bookings/%ff").await.problem(400, "malformed");
}

#[tokio::test]
async fn no_problem_repeats_a_value() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let wrong = json!({"contact": {"name": ["Astrid Secret"]}});
    let answer = salon.tenant.staff.post("/v1/clients", &wrong).await;
    let answer = answer.problem(422, "validation").at("/contact/name");
    assert!(!answer.text().contains("Secret"));
}

#[tokio::test]
async fn a_reader_waits_for_what_they_wrote() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let staff = &salon.tenant.staff;
    let mut request = staff.request(Method::GET, "/v1/bookings", Vec::new());
    request.headers_mut().insert("tidbok-position", "1000000".parse().unwrap());
    let answer = staff.send(request).await.problem(503, "not_yet");
    assert_eq!(answer.header("retry-after"), "1");
    let mut request = staff.request(Method::GET, "/v1/bookings", Vec::new());
    request.headers_mut().insert("tidbok-position", "soon".parse().unwrap());
    staff.send(request).await.problem(400, "malformed");
}

#[tokio::test]
async fn every_answer_is_guarded() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let nobody = app.anybody();
    for path in ["/", "/style.css", "/health", "/ready", "/metrics", "/openapi.json", "/nothing"] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
        assert_eq!(answer.header("set-cookie"), "");
        assert_eq!(answer.header("x-request-id").len(), 16);
    }
    let answer = salon.tenant.staff.get("/v1/clients").await.ok();
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_ne!(answer.header("tidbok-position"), "");
}

#[tokio::test]
async fn the_front_page_and_the_metrics_count() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let wish = salon.wish(&client, "2026-03-02T09:00", "2026-03-02T10:00");
    let booked = salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    salon.tenant.staff.get_after("/v1/bookings", &booked).await.ok();
    let page = app.anybody().get("/").await.ok().text();
    assert!(page.contains("<dt>Bookings</dt><dd>1</dd>"), "{page}");
    let metrics = app.anybody().get("/metrics").await.ok().text();
    for line in ["tidbok_tenants 1", "route=\"/v1/bookings\"", "tidbok_append_seconds_count"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("salon") && !metrics.contains("bkg_"));
    app.anybody().get("/ready").await.ok();
}

#[tokio::test]
async fn history_holds_nobody() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let booking = salon.booked(&client, "2026-03-02T09:00", "2026-03-02T10:00").await;
    let events = salon.tenant.auditor.get("/v1/audit/events?limit=1000").await.ok();
    let data = events.body["data"].as_array().unwrap();
    let last = data.last().unwrap();
    assert_eq!(last["kind"], "booking.requested");
    assert_eq!(last["booking_id"], booking);
    assert_eq!(last["resource_ids"], json!([salon.chair]));
    assert!(!events.text().contains(&client) && !events.text().contains("Astrid"));
    let rest = salon.tenant.auditor.get("/v1/audit/events?after=0&limit=1").await.ok();
    assert_eq!(rest.body["next_after"], 1);
}

#[tokio::test]
async fn an_empty_body_is_no_wish() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let mut request = salon.tenant.staff.request(Method::POST, "/v1/bookings", Vec::new());
    *request.body_mut() = Body::empty();
    let answer = salon.tenant.staff.send(request).await;
    answer.problem(422, "validation").at("/service_id");
}

/// What is counted has as many lines as there are routes, whatever anybody asks for.
#[tokio::test]
async fn a_method_nobody_knows_is_counted_as_other() {
    let app = TestApp::default();
    let odd = Method::from_bytes(b"Q7F3A1").unwrap();
    let request = app.anybody().request(odd, "/health", Vec::new());
    app.anybody().send(request).await.is(405);
    let metrics = app.anybody().get("/metrics").await.ok().text();
    assert!(!metrics.contains("Q7F3A1") && metrics.contains("method=\"other\""), "{metrics}");
}

/// What is too large is its own sender's concern: whoever else is in the same commit is not refused for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_would_be_too_large_is_refused_alone() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let known = salon.tenant.admin.get("/v1/policy").await.ok();
    let mut policy = known.body.clone();
    // Within what a request may have, and beyond what an entry may.
    let recipient = |n: usize| {
        let recipient = json!({
            "name": format!("Recipient {n}"), "role": "processor", "country": "SE", "purpose": "books",
            "classes": ["contact"], "endpoint": format!("https://example.org/{}", "e".repeat(450)),
        });
        (format!("r{n}"), recipient)
    };
    for n in 0..200 {
        let (name, recipient) = recipient(n);
        policy["recipients"][name] = recipient;
        if policy.to_string().len() > 62 * 1024 {
            break;
        }
    }
    let mut others = tokio::task::JoinSet::new();
    let mut answers = Vec::new();
    for n in 0..40 {
        let staff = salon.tenant.staff.clone();
        others.spawn(async move {
            let contact = json!({"contact": {"name": format!("Guest {n}")}});
            staff.post("/v1/clients", &contact).await.status.as_u16()
        });
        if n % 10 == 5 {
            let seen = [("if-match", known.header("etag"))];
            let put = salon.tenant.admin.send_with(Method::PUT, "/v1/policy", &policy, &seen);
            answers.push(put.await.problem(413, "body_too_large"));
        }
    }
    let others = others.join_all().await;
    assert!(others.iter().all(|status| *status == 201), "{others:?}");
}
