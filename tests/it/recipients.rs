//! Recipients: whoever was given something of somebody's hears of what becomes of it.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway::{reactors, receipt};
use jiff::SignedDuration;
use serde_json::{Value, json};
use system_tests::{Caller, Salon, TestApp};

const REQUESTS: &str = "/v1/privacy-requests";

/// What came to a recipient, and what it answers with, in turn; at last always with success.
#[derive(Clone, Default)]
struct Inbox {
    came: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Inbox {
    /// Listens, and answers the address.
    async fn open(&self) -> String {
        async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: String) -> StatusCode {
            let body = serde_json::from_str(&body).unwrap();
            inbox.came.lock().unwrap().push((headers, body));
            let answer = inbox.answers.lock().unwrap().pop().unwrap_or(204);
            StatusCode::from_u16(answer).unwrap()
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/hook", post(take)).with_state(self.clone());
        drop(tokio::spawn(async move { axum::serve(listener, router).await }));
        format!("http://{address}/hook")
    }

    fn came(&self) -> Vec<(HeaderMap, Value)> {
        std::mem::take(&mut *self.came.lock().unwrap())
    }
}

fn recipient(name: &str, endpoint: Option<&str>) -> Value {
    json!({
        "name": name, "role": "processor", "country": "SE", "purpose": "bookkeeping",
        "classes": ["contact"], "endpoint": endpoint,
    })
}

/// A salon with a bookkeeper who has an address and a lawyer who has none, and Astrid.
async fn salon(app: &TestApp, endpoint: &str) -> (Salon, String) {
    let salon = app.salon("salon").await;
    let recipients = json!({
        "books": recipient("Norrsken Books", Some(endpoint)),
        "law": recipient("Lind & Co", None),
    });
    salon.tenant.change_policy(|policy| policy["recipients"] = recipients).await;
    let client = salon.tenant.client("Astrid").await;
    (salon, client)
}

async fn look(app: &TestApp, salon: &Salon) {
    reactors::look(&app.app, &salon.tenant.desk).await.unwrap();
}

/// A program of the bookkeeper's.
async fn program(app: &TestApp, salon: &Salon) -> Caller {
    let key = json!({"role": "staff", "recipient": "books"});
    let key = salon.tenant.admin.post("/v1/keys", &key).await.created();
    app.with_key(key.body["key"].as_str().unwrap())
}

async fn give(salon: &Salon, to: &str, client: &str) {
    let path = format!("/v1/recipients/{to}/disclosures");
    salon.tenant.staff.post(&path, &json!({"client_id": client})).await.ok();
}

/// F63: who has read somebody's data hears when it is put right, restricted and erased.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_read_somebody_s_data_is_told_what_becomes_of_it() {
    let (app, inbox) = (TestApp::default(), Inbox::default());
    let (salon, client) = salon(&app, &inbox.open().await).await;
    let nobody = salon.tenant.client("Berit").await;
    let books = program(&app, &salon).await;
    let path = format!("/v1/clients/{client}");
    let read = books.get(&path).await.ok();
    assert_eq!(read.body["contact"]["name"], "Astrid");
    books.get(&path).await.ok();
    let known = salon.tenant.auditor.get("/v1/recipients").await.ok();
    assert_eq!(
        (&known.body["data"][0]["id"], &known.body["data"][0]["clients"]),
        (&json!("books"), &json!(1))
    );

    let staff = &salon.tenant.staff;
    let seen = [("if-match", read.header("etag"))];
    let right = json!({"contact": {"name": "Astrid Lind"}});
    staff.send_with(axum::http::Method::PATCH, &path, &right, &seen).await.ok();
    staff.post(&format!("{path}/restrict"), &json!({"ground": "objection"})).await.ok();
    staff.post(&format!("{path}/unrestrict"), &json!({})).await.ok();
    for id in [&client, &nobody] {
        staff.post(REQUESTS, &json!({"kind": "erasure", "client_id": id})).await.is(202);
    }
    look(&app, &salon).await;
    let told: Vec<(String, String)> = inbox
        .came()
        .into_iter()
        .map(|(_, body)| {
            let of = |value: &Value| value.as_str().unwrap().to_owned();
            (of(&body["type"]), of(&body["data"]["client"]))
        })
        .collect();
    let kinds = ["client.rectified", "client.restricted", "client.unrestricted", "client.erased"];
    assert_eq!(told, kinds.map(|kind| (kind.to_owned(), client.clone())));
    look(&app, &salon).await;
    assert!(inbox.came().is_empty(), "what is acknowledged is not sent again");
}

/// More than are read at a time.
#[tokio::test(flavor = "multi_thread")]
async fn however_many_notices_wait_all_are_sent() {
    let (app, inbox) = (TestApp::default(), Inbox::default());
    let (salon, client) = salon(&app, &inbox.open().await).await;
    give(&salon, "books", &client).await;
    let path = format!("/v1/clients/{client}");
    for _ in 0..51 {
        let ground = json!({"ground": "objection"});
        salon.tenant.staff.post(&format!("{path}/restrict"), &ground).await.ok();
        salon.tenant.staff.post(&format!("{path}/unrestrict"), &json!({})).await.ok();
    }
    look(&app, &salon).await;
    assert_eq!(inbox.came().len(), 102);
}

/// A notice is sent until the other side has it, and anybody with the secret sees whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_sent_until_it_is_acknowledged() {
    let (app, inbox) = (TestApp::default(), Inbox::default());
    let (salon, client) = salon(&app, &inbox.open().await).await;
    give(&salon, "books", &client).await;
    let ask = json!({"kind": "erasure", "client_id": client});
    salon.tenant.staff.post(REQUESTS, &ask).await.is(202);
    // The last is given first.
    *inbox.answers.lock().unwrap() = vec![302, 503];
    let mut ids = Vec::new();
    for (attempt, wait) in [(1, 5), (2, 30), (3, 0)] {
        look(&app, &salon).await;
        let came = inbox.came();
        assert_eq!(came.len(), 1, "attempt {attempt}");
        ids.push(came[0].0["webhook-id"].clone());
        look(&app, &salon).await;
        assert!(inbox.came().is_empty(), "not again at once");
        app.clock.advance(SignedDuration::from_secs(wait));
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "one id however often");
    let notices = salon.tenant.auditor.get("/v1/notices").await.ok();
    let notice = &notices.body["data"][0];
    assert_eq!((&notice["attempts"], notice["acknowledged_at"].is_string()), (&json!(3), true));
    let secret = salon.tenant.admin.get("/v1/recipients/books/secret").await.ok();
    assert!(secret.body["secret"].as_str().unwrap().starts_with("whsec_"));
    salon.tenant.admin.get("/v1/recipients/nobody/secret").await.problem(404, "not_found");
}

/// F63: a secret that others may know is exchanged: the next notice is signed with the new one, and with the former
/// for as long as the recipient has not exchanged it; no former one comes back.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_recipient_is_exchanged() {
    let (app, inbox) = (TestApp::default(), Inbox::default());
    let (salon, client) = salon(&app, &inbox.open().await).await;
    give(&salon, "books", &client).await;
    let path = format!("/v1/clients/{client}/restrict");
    let mut known = Vec::new();
    for number in 0..3 {
        let numbered = |policy: &mut Value| {
            policy["recipients"]["books"]["secret_number"] = json!(number);
        };
        salon.tenant.change_policy(numbered).await;
        let secret = salon.tenant.admin.get("/v1/recipients/books/secret").await.ok();
        known.insert(0, secret.body["secret"].as_str().unwrap().to_owned());
        salon.tenant.staff.post(&path, &json!({"ground": "objection"})).await.ok();
        look(&app, &salon).await;
        let came = inbox.came();
        let (headers, body) = &came[0];
        let signed: Vec<bool> =
            known.iter().map(|secret| is_signed(secret, headers, &body.to_string())).collect();
        assert_eq!(signed, [true, true, false][..signed.len()], "the newest and the one before");
        let path = format!("/v1/clients/{client}/unrestrict");
        salon.tenant.staff.post(&path, &json!({})).await.ok();
        look(&app, &salon).await;
        inbox.came();
    }
    let seen = salon.tenant.admin.get("/v1/policy").await.ok();
    let mut back = seen.body.clone();
    back["recipients"]["books"].as_object_mut().unwrap().remove("secret_number");
    let seen = [("if-match", seen.header("etag"))];
    let put = axum::http::Method::PUT;
    let refused = salon.tenant.admin.send_with(put, "/v1/policy", &back, &seen).await;
    let refused = refused.problem(422, "validation");
    assert!(refused.body.to_string().contains("secret_taken_back"), "{}", refused.body);
}

/// F63: nothing in the list of notices leads from an id that is on a receipt to the entries that tell of its person.
#[tokio::test(flavor = "multi_thread")]
async fn notices_name_nobody_who_is_erased_once_all_know() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let recipients = json!({"law": recipient("Lind & Co", None)});
    salon.tenant.change_policy(|policy| policy["recipients"] = recipients).await;
    let client = salon.tenant.client("Astrid").await;
    give(&salon, "law", &client).await;
    let staff = &salon.tenant.staff;
    let path = format!("/v1/clients/{client}");
    staff.post(&format!("{path}/restrict"), &json!({"ground": "objection"})).await.ok();
    let acknowledge = async |newest: usize| {
        let notices = salon.tenant.auditor.get("/v1/notices").await.ok();
        let id = notices.body["data"][newest]["id"].as_str().unwrap().to_owned();
        staff.post(&format!("/v1/notices/{id}/acknowledge"), &json!({})).await.ok();
    };
    acknowledge(0).await;
    staff.post(&format!("{path}/unrestrict"), &json!({})).await.ok();
    staff.post(REQUESTS, &json!({"kind": "erasure", "client_id": client})).await.is(202);
    // Of three one is known; two still say of whom, for somebody has to be told.
    let notices = salon.tenant.auditor.get("/v1/notices").await.ok();
    let named = |notices: &Value| notices["data"].to_string().matches(&client).count();
    assert_eq!(named(&notices.body), 2, "{}", notices.text());
    // What is still to be done stands first.
    acknowledge(0).await;
    acknowledge(0).await;
    let notices = salon.tenant.auditor.get("/v1/notices").await.ok();
    assert_eq!(named(&notices.body), 0, "{}", notices.text());
}

/// Whether one of the signatures is that of a secret, as Standard Webhooks checks it.
fn is_signed(secret: &str, headers: &HeaderMap, body: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let of = |name: &str| headers[name].to_str().unwrap();
    let signed = format!("{}.{}.{body}", of("webhook-id"), of("webhook-timestamp"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    of("webhook-signature").split(' ').any(|signature| {
        let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
    })
}

/// F63: a receipt lists who was told and who has said so; where somebody tells them by hand it is
/// signed anew when that is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_says_who_was_told() {
    let (app, inbox) = (TestApp::default(), Inbox::default());
    let (salon, client) = salon(&app, &inbox.open().await).await;
    give(&salon, "books", &client).await;
    give(&salon, "law", &client).await;
    let staff = &salon.tenant.staff;
    let preview = json!({"kind": "erasure", "client_id": client});
    let preview = staff.post(&format!("{REQUESTS}/preview"), &preview).await.ok();
    assert_eq!(preview.body["recipients"], json!(["Norrsken Books", "Lind & Co"]));
    let ask = json!({"kind": "erasure", "client_id": client});
    let asked = staff.post(REQUESTS, &ask).await.is(202);
    look(&app, &salon).await;
    // Where there may be other nodes, their leases are over by then.
    app.clock.advance(SignedDuration::from_secs(32));
    let path = format!("{REQUESTS}/{}/receipt", asked.id());
    let told = async || {
        let signed = staff.get(&path).await.ok().text();
        let (statement, _) = receipt::check(&signed, None).unwrap();
        let told = statement.recipients.into_iter();
        told.map(|told| (told.name, told.acknowledged_at.is_some())).collect::<Vec<_>>()
    };
    let (books, law) = ("Norrsken Books".to_owned(), "Lind & Co".to_owned());
    assert_eq!(told().await, [(books.clone(), true), (law.clone(), false)]);

    let notices = staff.get("/v1/notices").await.ok();
    let all = notices.body["data"].as_array().unwrap();
    let open = all.iter().find(|notice| notice["recipient"] == "law").unwrap();
    let path = format!("/v1/notices/{}/acknowledge", open["id"].as_str().unwrap());
    staff.post(&path, &json!({})).await.ok();
    staff.post(&path, &json!({})).await.ok();
    assert_eq!(told().await, [(books, true), (law, true)]);
    let left = salon.tenant.auditor.get("/v1/notices").await.ok().text();
    assert!(!left.contains(&client), "{left}");
    staff.post("/v1/notices/ntc_0/acknowledge", &json!({})).await.problem(404, "not_found");
}

/// A long list for staff holds up nobody whom the program tells.
#[tokio::test(flavor = "multi_thread")]
async fn what_staff_pass_on_by_hand_holds_up_nothing() {
    let (app, inbox) = (TestApp::default(), Inbox::default());
    let (salon, client) = salon(&app, &inbox.open().await).await;
    give(&salon, "law", &client).await;
    let staff = &salon.tenant.staff;
    let path = |id: &str, what: &str| format!("/v1/clients/{id}/{what}");
    let why = json!({"ground": "objection"});
    for _ in 0..51 {
        staff.post(&path(&client, "restrict"), &why).await.ok();
        staff.post(&path(&client, "unrestrict"), &json!({})).await.ok();
    }
    let other = salon.tenant.client("Berit").await;
    give(&salon, "books", &other).await;
    staff.post(&path(&other, "restrict"), &why).await.ok();
    look(&app, &salon).await;
    assert_eq!(inbox.came().len(), 1);
}

/// Who does not answer is asked once, not for each notice; the others hear meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_is_away_holds_up_no_other() {
    let (app, inbox, away) = (TestApp::default(), Inbox::default(), Inbox::default());
    let salon = app.salon("salon").await;
    let recipients = json!({
        "ads": recipient("Lilla Annonsbyrån", Some(&away.open().await)),
        "books": recipient("Norrsken Books", Some(&inbox.open().await)),
    });
    salon.tenant.change_policy(|policy| policy["recipients"] = recipients).await;
    *away.answers.lock().unwrap() = vec![503];
    let client = salon.tenant.client("Astrid").await;
    give(&salon, "ads", &client).await;
    give(&salon, "books", &client).await;
    let staff = &salon.tenant.staff;
    let path = |what: &str| format!("/v1/clients/{client}/{what}");
    staff.post(&path("restrict"), &json!({"ground": "objection"})).await.ok();
    staff.post(&path("unrestrict"), &json!({})).await.ok();
    look(&app, &salon).await;
    assert_eq!((away.came().len(), inbox.came().len()), (1, 2));
    app.clock.advance(SignedDuration::from_secs(5));
    look(&app, &salon).await;
    assert_eq!((away.came().len(), inbox.came().len()), (2, 0));
}

/// F03: what the register does not name is not given: nothing of it opens, and nobody is taken down for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_is_given_the_classes_that_the_register_names() {
    let app = TestApp::default();
    let (salon, client) = salon(&app, "http://127.0.0.1:9/hook").await;
    let [nine, ten] =
        ["09", "10"].map(|hour| format!("2026-03-02T{hour}:00:00+01:00[Europe/Stockholm]"));
    let mut wish = salon.wish(&client, &nine, &ten);
    wish["fields"] = json!({"note": "by the window"});
    let booking = salon.tenant.staff.post("/v1/bookings", &wish).await.created().id();
    salon.tenant.desk.follow().unwrap();
    let (books, path) = (program(&app, &salon).await, format!("/v1/bookings/{booking}"));
    let name = async |classes: Value| {
        salon
            .tenant
            .change_policy(|policy| policy["recipients"]["books"]["classes"] = classes)
            .await;
        let read = books.get(&path).await.ok().body["parts"][0].clone();
        let register = salon.tenant.auditor.get("/v1/recipients").await.ok();
        (read, register.body["data"][0]["clients"].clone())
    };
    let (part, taken_down) = name(json!(["accounting"])).await;
    assert_eq!(part["details"], json!({"state": "withheld"}));
    assert_eq!((&part["client"]["contact"], taken_down), (&Value::Null, json!(0)));
    let search = json!({"email": "astrid@example.org"});
    books.post("/v1/clients/search", &search).await.problem(403, "forbidden");
    let seen = books.get(&format!("/v1/clients/{client}")).await.ok();
    let (seen, mine) = ([("if-match", seen.header("etag"))], format!("/v1/clients/{client}"));
    let right = json!({"contact": {"name": "Astrid Lind"}});
    let patch = axum::http::Method::PATCH;
    books.send_with(patch, &mine, &right, &seen).await.problem(403, "forbidden");

    let (part, taken_down) = name(json!(["booking"])).await;
    assert_eq!(part["details"]["fields"]["note"], "by the window");
    assert_eq!((&part["client"]["contact"], taken_down), (&Value::Null, json!(1)));
    let (part, _) = name(json!(["contact"])).await;
    assert_eq!(part["details"], json!({"state": "withheld"}));
    assert_eq!(part["client"]["contact"]["name"], "Astrid");
    books.post("/v1/clients/search", &search).await.ok();
}

/// F03: who is retired is given nothing new, and is still told of what they have.
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_recipient_reads_nothing_and_is_still_told() {
    let (app, inbox) = (TestApp::default(), Inbox::default());
    let (salon, client) = salon(&app, &inbox.open().await).await;
    let books = program(&app, &salon).await;
    books.get(&format!("/v1/clients/{client}")).await.ok();
    // What is read with another's key nobody takes down: theirs makes none.
    let keys = format!("/v1/clients/{client}/keys");
    books.post(&keys, &json!({})).await.problem(403, "forbidden");
    let admin = json!({"role": "admin", "recipient": "books"});
    let admin = salon.tenant.admin.post("/v1/keys", &admin).await.created();
    let admin = app.with_key(admin.body["key"].as_str().unwrap());
    admin.post("/v1/keys", &json!({"role": "staff"})).await.problem(403, "forbidden");
    salon
        .tenant
        .change_policy(|policy| policy["recipients"]["books"]["retired"] = json!(true))
        .await;
    books.get(&format!("/v1/clients/{client}")).await.problem(403, "forbidden");
    let key = json!({"role": "staff", "recipient": "books"});
    salon.tenant.admin.post("/v1/keys", &key).await.problem(422, "validation").at("/recipient");
    let restrict = format!("/v1/clients/{client}/restrict");
    salon.tenant.staff.post(&restrict, &json!({"ground": "unlawful"})).await.ok();
    look(&app, &salon).await;
    assert_eq!(inbox.came().len(), 1);

    let known = salon.tenant.admin.get("/v1/policy").await.ok();
    let mut policy = known.body.clone();
    policy["recipients"].as_object_mut().unwrap().remove("law");
    let seen = [("if-match", known.header("etag"))];
    let put = axum::http::Method::PUT;
    let dropped = salon.tenant.admin.send_with(put, "/v1/policy", &policy, &seen).await;
    dropped.problem(422, "validation").at("/recipients");
}

/// F73: whoever reads the register sees where data leaves the European Economic Area.
#[tokio::test(flavor = "multi_thread")]
async fn the_register_says_who_is_outside_the_eea() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let mut mail = recipient("Mail house", None);
    mail["country"] = json!("US");
    let recipients = json!({"books": recipient("Norrsken Books", None), "mail": mail});
    salon.tenant.change_policy(|policy| policy["recipients"] = recipients).await;
    let known = salon.tenant.auditor.get("/v1/recipients").await.ok();
    let third = |n: usize| known.body["data"][n]["third_country"].as_bool().unwrap();
    assert_eq!((third(0), third(1)), (false, true));
}

/// Behind a fence nobody is noted as having been given anything.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_noted_of_somebody_erased() {
    let (app, inbox) = (TestApp::default(), Inbox::default());
    let (salon, client) = salon(&app, &inbox.open().await).await;
    let ask = json!({"kind": "erasure", "client_id": client});
    salon.tenant.staff.post(REQUESTS, &ask).await.is(202);
    let path = "/v1/recipients/law/disclosures";
    salon.tenant.staff.post(path, &json!({"client_id": client})).await.problem(410, "erased");
    let known = salon.tenant.staff.get("/v1/recipients").await.ok();
    assert_eq!(known.body["data"][1]["clients"], 0);
}
