//! Clients, their consents, and the keys that callers sign with.

use axum::http::Method;
use jiff::SignedDuration;
use serde_json::json;
use system_tests::TestApp;

#[tokio::test]
async fn a_client_is_found_by_mail_phone_and_name() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let staff = &salon.tenant.staff;
    let contact = json!({
        "contact": {"name": "Åsa Öberg", "email": "Asa@Example.org", "phone": "+46 70 123 45 67"},
        "reference": "C-17",
    });
    let id = staff.post("/v1/clients", &contact).await.created().id();
    salon.tenant.client("Birger").await;
    for wanted in [
        json!({"email": " asa@example.org"}),
        json!({"phone": "+46701234567"}),
        json!({"reference": "C-17"}),
        json!({"name": "öberg"}),
    ] {
        let found = staff.post("/v1/clients/search", &wanted).await.ok();
        assert_eq!(found.body["data"][0]["id"], id, "{wanted}");
        assert_eq!(found.body["data"].as_array().unwrap().len(), 1);
    }
    staff.post("/v1/clients/search", &json!({})).await.problem(422, "validation");
}

#[tokio::test]
async fn a_record_is_put_right_and_the_old_mail_finds_nobody() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let staff = &salon.tenant.staff;
    let id = salon.tenant.client("Astrid").await;
    let path = format!("/v1/clients/{id}");
    let newer = json!({"contact": {"email": "new@example.org"}});
    let blind = staff.send_with(Method::PATCH, &path, &newer, &[]).await;
    blind.problem(428, "precondition_required");
    let seen = [("if-match", "\"1\"")];
    let written = staff.send_with(Method::PATCH, &path, &newer, &seen).await.ok();
    assert_eq!(written.header("etag"), "\"2\"");
    let read = staff.get_after(&path, &written).await.ok();
    assert_eq!(read.body["contact"], json!({"name": "Astrid", "email": "new@example.org"}));
    assert_eq!(read.header("etag"), "\"2\"");
    let old = json!({"email": "astrid@example.org"});
    let found = staff.post("/v1/clients/search", &old).await.ok();
    assert_eq!(found.body["data"], json!([]));
    let stale = staff.send_with(Method::PATCH, &path, &newer, &seen).await;
    stale.problem(412, "version_conflict");
}

#[tokio::test]
async fn clients_are_listed_in_pages() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    for name in ["Astrid", "Birger", "Cecilia"] {
        salon.tenant.client(name).await;
    }
    let staff = &salon.tenant.staff;
    let first = staff.get("/v1/clients?limit=2").await.ok();
    assert_eq!(first.body["data"][1]["contact"]["name"], "Birger");
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = staff.get(&format!("/v1/clients?limit=2&cursor={cursor}")).await.ok();
    assert_eq!(second.body["data"][0]["contact"]["name"], "Cecilia");
    assert_eq!(second.body["next_cursor"], json!(null));
    staff.get("/v1/clients?limit=101").await.problem(422, "validation").at("?limit");
    staff.get("/v1/clients?cursor=nowhere").await.problem(422, "validation").at("?cursor");
}

#[tokio::test]
async fn a_consent_is_given_and_taken_back_once() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (id, own) = salon.tenant.client_with_key("Astrid").await;
    let (_, other) = salon.tenant.client_with_key("Birger").await;
    let consent = json!({
        "purpose": "newsletter", "medium": "email", "occasion": "account",
        "text": {"hash": "00".repeat(32), "locale": "sv"}, "evidence": "A ticked box",
    });
    let given = own.post("/v1/consents", &consent).await.created();
    let path = format!("/v1/consents/{}/withdraw", given.id());
    other.post(&path, &json!({})).await.problem(404, "not_found");
    let withdrawn = own.post(&path, &json!({})).await.ok();
    assert!(withdrawn.body["withdrawn_at"].is_string());
    own.post(&path, &json!({})).await.problem(409, "already_withdrawn");
    let seen = salon.tenant.staff.get(&format!("/v1/clients/{id}/consents")).await.ok();
    assert_eq!(seen.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn accepting_a_policy_is_no_consent() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (_, own) = salon.tenant.client_with_key("Astrid").await;
    let accept =
        json!({"occasion": "booking", "text": {"hash": "11".repeat(32), "locale": "nb-NO"}});
    let accepted = own.post("/v1/policy-acceptances", &accept).await.created();
    assert_eq!(accepted.body["kind"], "acceptance");
    let path = format!("/v1/consents/{}/withdraw", accepted.id());
    own.post(&path, &json!({})).await.problem(409, "not_withdrawable");
    let mine = own.get("/v1/me/consents").await.ok();
    assert_eq!(mine.body["data"][0]["id"], accepted.id());
}

#[tokio::test]
async fn a_revoked_key_is_good_for_nothing_at_once() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let admin = &salon.tenant.admin;
    let issued = admin.post("/v1/keys", &json!({"role": "staff", "label": "desk"})).await.created();
    let desk = app.with_key(issued.body["key"].as_str().unwrap());
    desk.get("/v1/bookings").await.ok();
    let revoked = admin.post(&format!("/v1/keys/{}/revoke", issued.id()), &json!({})).await.ok();
    assert!(revoked.body["revoked_at"].is_string());
    desk.get("/v1/bookings").await.problem(401, "unauthenticated");
    app.clock.advance(SignedDuration::from_secs(60));
    desk.get("/v1/bookings").await.problem(401, "unauthenticated");
    admin.get("/v1/bookings").await.ok();
    let client = json!({"role": "client"});
    admin.post("/v1/keys", &client).await.problem(422, "validation").at("/role");
}

#[tokio::test]
async fn nobody_comes_in_with_a_strange_key() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (here, zeros) = (salon.tenant.staff.key(), "00".repeat(32));
    let elsewhere = here.replace("tbk.salon.", "tbk.other.");
    for key in [String::new(), "tbk".to_owned(), format!("tbk.salon.{zeros}"), elsewhere] {
        app.with_key(&key).get("/v1/bookings").await.problem(401, "unauthenticated");
    }
    let nobody = app.anybody().get("/v1/bookings").await.problem(401, "unauthenticated");
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
}

/// More than one record of access can name are read with several.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_found_among_a_thousand() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    for n in 0..900 {
        salon.tenant.client(&format!("Person{n}")).await;
    }
    let wanted = json!({"name": "person899"});
    let found = salon.tenant.staff.post("/v1/clients/search", &wanted).await.ok();
    assert_eq!(found.body["data"].as_array().unwrap().len(), 1, "{}", found.text());
    assert_eq!(found.body["searched"], 900);
}
