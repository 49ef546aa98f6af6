//! Services, resources, free times and the policy.

use axum::http::Method;
use serde_json::json;
use system_tests::TestApp;

#[tokio::test]
async fn what_was_defined_is_revised_only_by_who_has_seen_it() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (admin, path) = (&salon.tenant.admin, format!("/v1/services/{}", salon.cut));
    let longer = json!({"name": "Long cut", "length": {"fixed": {"minutes": 90}}});
    let blind = admin.send_with(Method::PUT, &path, &longer, &[]).await;
    blind.problem(428, "precondition_required");
    let seen = [("if-match", "\"1\"")];
    let revised = admin.send_with(Method::PUT, &path, &longer, &seen).await.ok();
    assert_eq!(revised.body["length"], json!({"fixed": {"minutes": 90}}));
    assert_eq!(revised.header("etag"), "\"2\"");
    let stale = admin.send_with(Method::PUT, &path, &longer, &seen).await;
    stale.problem(412, "version_conflict");
}

#[tokio::test]
async fn a_retired_resource_takes_no_bookings() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let path = format!("/v1/resources/{}", salon.chair);
    let retired = salon.tenant.admin.send_with(Method::DELETE, &path, &json!({}), &[]).await.ok();
    assert_eq!(retired.body["retired"], true);
    let wish = salon.wish(&client, "2026-03-02T09:00", "2026-03-02T10:00");
    let refused = salon.tenant.staff.post("/v1/bookings", &wish).await;
    refused.problem(422, "resource_not_offered");
}

#[tokio::test]
async fn two_resources_of_one_group_share_it() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let second = json!({
        "name": "Chair 2", "kind": "room", "group": "Salon", "time_zone": "Europe/Stockholm",
    });
    let second = salon.tenant.admin.post("/v1/resources", &second).await.created();
    let path = format!("/v1/resources/{}", salon.chair);
    let first = salon.tenant.staff.get(&path).await.ok();
    assert_eq!(first.body["group_id"], second.body["group_id"]);
}

#[tokio::test]
async fn a_resource_that_is_refused_leaves_no_group_behind() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let before = salon.tenant.desk.tenant.log().size();
    for (name, capacity) in [(" Sofa", 1), ("Sofa", 0)] {
        let sofa = json!({
            "name": name, "kind": "room", "group": "Lounge", "capacity": capacity,
            "time_zone": "Europe/Stockholm",
        });
        salon.tenant.admin.post("/v1/resources", &sofa).await.problem(422, "validation");
    }
    assert_eq!(salon.tenant.desk.tenant.log().size(), before);
}

#[tokio::test]
async fn free_times_are_the_hours_without_what_is_held() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let wish = salon.wish(&client, "2026-03-02T10:00", "2026-03-02T16:45");
    let booked = salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    let query = format!(
        "/v1/availability?service_id={}&from=2026-03-02&to=2026-03-03\
         &time_zone=Europe/Stockholm&step_minutes=30",
        salon.cut
    );
    let free = salon.tenant.auditor.get_after(&query, &booked).await.ok();
    let starts: Vec<&str> = free.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|free| free["local_start"].as_str().unwrap())
        .collect();
    assert_eq!(starts, ["2026-03-02T09:00:00", "2026-03-02T09:30:00"]);
    assert_eq!(free.body["data"][0]["resource_ids"], json!([salon.chair]));
}

#[tokio::test]
async fn a_window_is_at_most_32_days_long() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let ask = |rest: &str| format!("/v1/availability?service_id={}&{rest}", salon.cut);
    let staff = &salon.tenant.staff;
    let long = ask("from=2026-03-02&to=2026-05-02&time_zone=Europe/Stockholm");
    staff.get(&long).await.problem(422, "validation").at("?to");
    let nowhere = ask("from=2026-03-02&to=2026-03-03&time_zone=Europe/Atlantis");
    staff.get(&nowhere).await.problem(422, "validation").at("?time_zone");
    staff.get(&ask("from=2026-03-02")).await.problem(422, "validation").at("?to");
}

#[tokio::test]
async fn a_policy_says_what_is_collected() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let admin = &salon.tenant.admin;
    let policy = admin.get("/v1/policy").await.ok();
    assert_eq!(policy.body["collect"], json!(["name", "email", "phone", "note"]));
    salon.tenant.change_policy(|policy| policy["collect"] = json!(["name"])).await;
    let phone = json!({"contact": {"name": "Astrid", "phone": "070-123 45 67"}});
    let refused = salon.tenant.staff.post("/v1/clients", &phone).await;
    refused.problem(422, "field_not_collected").at("/contact/phone");
}

#[tokio::test]
async fn bookings_are_counted_by_facets() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let wish = salon.wish(&client, "2026-03-02T10:00", "2026-03-02T11:00");
    let booked = salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    let path = "/v1/statistics?by=group,outcome";
    let counted = salon.tenant.auditor.get_after(path, &booked).await.ok();
    assert_eq!(counted.body["counts"], json!({"Salon": {"confirmed": 1}}));
    let unknown = salon.tenant.auditor.get("/v1/statistics?by=name").await;
    unknown.problem(422, "validation").at("?by");
}

/// What is held days after the window, or before it by a long buffer, is no free time either.
#[tokio::test]
async fn long_times_are_not_offered_where_their_end_is_held() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let admin = &salon.tenant.admin;
    let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let hours: Vec<_> = days.map(|day| json!({"day": day, "from": "00:00", "to": "24:00"})).into();
    let cottage = json!({
        "name": "Cottage", "kind": "room", "capacity": 1, "group": "Cottages",
        "time_zone": "UTC", "hours": hours,
    });
    let cottage = admin.post("/v1/resources", &cottage).await.created().id();
    let week = json!({
        "name": "Week", "length": {"fixed": {"minutes": 10_080}}, "resource_ids": [cottage],
    });
    let week = admin.post("/v1/services", &week).await.created().id();
    let wish = json!({
        "service_id": week, "resource_ids": [cottage], "client_id": client,
        "start": "2026-03-05T00:00:00Z",
    });
    let booked = salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    let query = |from: &str, to: &str| {
        format!(
            "/v1/availability?service_id={week}&from={from}&to={to}&time_zone=UTC&step_minutes=720"
        )
    };
    let auditor = &salon.tenant.auditor;
    let free = auditor.get_after(&query("2026-03-02", "2026-03-03"), &booked).await.ok();
    assert_eq!(free.body["data"], json!([]), "Monday to Monday meets Thursday to Thursday");
    let free = auditor.get(&query("2026-03-12", "2026-03-13")).await.ok();
    assert_eq!(free.body["data"].as_array().unwrap().len(), 2, "{}", free.text());
}
