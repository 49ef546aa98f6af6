//! Who may call what: every route of the OpenAPI document, by every role, against this table.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};
use system_tests::{Caller, TestApp};

/// Client, staff, admin, auditor; a dot for who may not.
const MAY: &[(&str, &str)] = &[
    ("get /v1/services", "csad"),
    ("post /v1/services", "..a."),
    ("get /v1/services/{id}", "csad"),
    ("put /v1/services/{id}", "..a."),
    ("delete /v1/services/{id}", "..a."),
    ("get /v1/resources", "csad"),
    ("post /v1/resources", "..a."),
    ("get /v1/resources/{id}", "csad"),
    ("put /v1/resources/{id}", "..a."),
    ("delete /v1/resources/{id}", "..a."),
    ("get /v1/availability", "csad"),
    ("get /v1/policy", ".sad"),
    ("put /v1/policy", "..a."),
    ("get /v1/bookings", "csa."),
    ("post /v1/bookings", "csa."),
    ("get /v1/bookings/{id}", "csa."),
    ("post /v1/bookings/{id}/confirm", ".sa."),
    ("post /v1/bookings/{id}/decline", ".sa."),
    ("post /v1/bookings/{id}/reschedule", "csa."),
    ("post /v1/bookings/{id}/cancel", "csa."),
    ("post /v1/bookings/{id}/check-in", ".sa."),
    ("post /v1/bookings/{id}/complete", ".sa."),
    ("post /v1/bookings/{id}/no-show", ".sa."),
    ("post /v1/bookings/{id}/erase-content", "..a."),
    ("get /v1/clients", ".sa."),
    ("post /v1/clients", ".sa."),
    ("post /v1/clients/search", ".sa."),
    ("get /v1/clients/{id}", ".sa."),
    ("patch /v1/clients/{id}", ".sa."),
    ("get /v1/clients/{id}/bookings", ".sa."),
    ("get /v1/clients/{id}/consents", ".sa."),
    ("post /v1/clients/{id}/keys", ".sa."),
    ("post /v1/clients/{id}/restrict", ".sa."),
    ("post /v1/clients/{id}/unrestrict", ".sa."),
    ("post /v1/clients/{id}/hold", "..a."),
    ("post /v1/clients/{id}/release", "..a."),
    ("get /v1/me", "c..."),
    ("get /v1/me/bookings", "c..."),
    ("get /v1/me/consents", "c..."),
    ("post /v1/consents", "csa."),
    ("post /v1/consents/{id}/withdraw", "csa."),
    ("post /v1/policy-acceptances", "csa."),
    ("get /v1/privacy-requests", ".sa."),
    ("post /v1/privacy-requests", "csa."),
    ("post /v1/privacy-requests/preview", "csa."),
    ("get /v1/privacy-requests/{id}", "csa."),
    ("post /v1/privacy-requests/{id}/approve", "..a."),
    ("post /v1/privacy-requests/{id}/withdraw", "csa."),
    ("get /v1/privacy-requests/{id}/receipt", ".sa."),
    ("get /v1/recipients", ".sad"),
    ("get /v1/recipients/{id}/secret", "..a."),
    ("post /v1/recipients/{id}/disclosures", ".sa."),
    ("get /v1/notices", ".sad"),
    ("post /v1/notices/{id}/acknowledge", ".sa."),
    ("get /v1/statistics", "..ad"),
    ("get /v1/audit/events", "..ad"),
    ("get /v1/log/checkpoint", "csad"),
    ("get /v1/log/vkey", "csad"),
    ("get /v1/log/tile/{*path}", "..ad"),
    ("get /v1/keys", "..a."),
    ("post /v1/keys", "..a."),
    ("post /v1/keys/{id}/revoke", "..a."),
];

/// Every operation of the document, as `method path`.
fn operations(document: &Value) -> Vec<(Method, String)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase().parse().unwrap();
            operations.push((method, path.clone()));
        }
    }
    operations
}

/// What the caller gets for a request that is empty but for its form.
async fn status(caller: &Caller, method: &Method, path: &str) -> u16 {
    let path = path.replace("{id}", "nothing");
    let answer = caller.send_with(method.clone(), &path, &json!({}), &[]).await;
    assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.text());
    answer.status.as_u16()
}

#[tokio::test]
async fn every_route_is_open_to_its_roles_and_no_others() {
    let app = TestApp::default();
    let tenant = app.tenant("salon").await;
    let (_, client) = tenant.client_with_key("Astrid").await;
    let callers = [&client, &tenant.staff, &tenant.admin, &tenant.auditor];
    let table: BTreeMap<&str, &str> = MAY.iter().copied().collect();
    let document = app.anybody().get("/openapi.json").await.ok().body;
    let operations = operations(&document);
    for (method, path) in &operations {
        let name = format!("{} {path}", method.as_str().to_lowercase());
        let may = table.get(name.as_str()).unwrap_or_else(|| panic!("who may {name}?"));
        for (caller, may) in callers.iter().zip(may.chars()) {
            let status = status(caller, method, path).await;
            assert_eq!(status == 403, may == '.', "{name} as {may}: {status}");
            assert_ne!(status, 401, "{name}");
        }
        assert_eq!(status(&app.anybody(), method, path).await, 401, "{name} without a key");
    }
    assert_eq!(operations.len(), table.len(), "the table names no route that is gone");
}
