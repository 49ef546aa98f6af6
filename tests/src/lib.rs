//! What system tests share: the whole program in a temporary folder, with a clock that tests set,
//! chance that comes from a seed, and callers by role.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is test code, where what fails must end the test"
)]

pub mod patroni;
pub mod postgres;

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use domain::slot::Zone;
use eventstore::store::Databases;
use eventstore::store::cluster::NamedServer;
use eventstore::{Clock, Entropy, Environment, IdKind, PersonId, StoreError};
use gateway::keys::{self, Role};
use gateway::recipients::outbound::{Outbound, Reach};
use gateway::{App, Desk};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

/// When every test begins: a Sunday morning in winter time.
pub const BEGINNING: &str = "2026-03-01T08:00:00Z";

/// A clock that goes on only when it is told to.
pub struct TestClock {
    micros: AtomicI64,
    boot_millis: AtomicU64,
    moment: Mutex<Option<(u32, Event)>>,
}

/// Something that happens.
type Event = Box<dyn FnOnce() + Send>;

impl TestClock {
    pub fn at(now: Timestamp) -> Self {
        let micros = AtomicI64::new(now.as_microsecond());
        Self { micros, boot_millis: AtomicU64::new(1), moment: Mutex::default() }
    }

    pub fn set(&self, now: &str) {
        let now: Timestamp = now.parse().unwrap();
        self.micros.store(now.as_microsecond(), Ordering::SeqCst);
    }

    /// Has something happen, and a minute pass, when somebody next asks how long the machine runs, or
    /// so many times later.
    pub fn at_moment(&self, later: u32, happens: impl FnOnce() + Send + 'static) {
        *self.moment.lock().unwrap() = Some((later, Box::new(happens)));
    }

    /// Has nothing happen any more; whether it still would have.
    pub fn at_no_moment(&self) -> bool {
        self.moment.lock().unwrap().take().is_some()
    }

    fn come(&self) {
        let happens = {
            let mut moment = self.moment.lock().unwrap();
            match moment.take() {
                Some((0, happens)) => Some(happens),
                Some((later, happens)) => {
                    *moment = Some((later - 1, happens));
                    None
                }
                None => None,
            }
        };
        // Meanwhile others may ask for the time.
        if let Some(happens) = happens {
            happens();
            self.boot_millis.fetch_add(60_000, Ordering::SeqCst);
        }
    }

    pub fn advance(&self, by: SignedDuration) {
        let micros = i64::try_from(by.as_micros()).unwrap();
        self.micros.fetch_add(micros, Ordering::SeqCst);
        let millis = u64::try_from(by.as_millis()).unwrap();
        self.boot_millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros.load(Ordering::SeqCst)).unwrap()
    }

    fn since_boot(&self) -> Duration {
        self.come();
        Duration::from_millis(self.boot_millis.load(Ordering::SeqCst))
    }
}

/// Chance from a seed.
struct Seeded(Mutex<fastrand::Rng>);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill(bytes);
    }
}

/// The variable that says where ledgers lie in tests: in files, in PostgreSQL, or
/// there with the keyrings apart.
const ENGINE: &str = "TIDBOK_TEST_ENGINE";

/// Whether the tests run on PostgreSQL.
pub fn on_postgres() -> bool {
    let engine = variable(ENGINE).unwrap_or_else(|| "sqlite".to_owned());
    assert!(["sqlite", "postgres", "apart"].contains(&engine.as_str()), "{ENGINE}={engine}");
    engine != "sqlite"
}

/// The database of the keyrings beside one of ledgers, where the tests run with both apart.
pub fn keyring_of(ledger: Option<&str>) -> Option<String> {
    let apart = variable(ENGINE).is_some_and(|engine| engine == "apart");
    ledger.filter(|_| apart).map(postgres::beside)
}

/// The program with its ledgers in a database, and the keyrings where the tests have them.
///
/// # Errors
/// As the program.
pub fn open_at(
    ledger: Option<&str>,
    data: &Path,
    keys: &Path,
    env: Environment,
) -> Result<App, StoreError> {
    let keyring = keyring_of(ledger);
    App::open_at(Databases { ledger, keyring: keyring.as_deref(), servers: &[] }, data, keys, env)
}

/// How much of something a test does, unless who runs it says otherwise.
pub fn scale(name: &str, usual: u64) -> u64 {
    variable(name).map_or(usual, |said| said.parse().unwrap())
}

/// Tells who runs a test with `--nocapture` what it did.
#[expect(clippy::print_stdout, reason = "a figure for a reader, not an assertion")]
pub fn tell(figures: &str) {
    println!("{figures}");
}

/// What who runs the tests has set.
#[expect(clippy::disallowed_methods, reason = "who runs the tests says where")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A database of the test's own, where tests run on PostgreSQL.
pub fn database() -> Option<String> {
    on_postgres().then(postgres::database)
}

/// Roles belong to a whole server, so no two tenants on it may have the same permanent id.
static APPS: AtomicU64 = AtomicU64::new(1_000_000);

/// A number for chance that no other test of this process has.
pub fn a_number() -> u64 {
    APPS.fetch_add(1, Ordering::Relaxed)
}

/// The program in a folder of its own, without a socket.
pub struct TestApp {
    pub app: Arc<App>,
    pub clock: Arc<TestClock>,
    pub folder: TempDir,
    /// The database, where the ledgers are in one.
    pub ledger: Option<String>,
    /// The one of the keyrings, where they are apart.
    pub keyring: Option<String>,
    servers: Vec<NamedServer>,
    router: Router,
}

impl Default for TestApp {
    fn default() -> Self {
        Self::seeded(1)
    }
}

impl TestApp {
    pub fn seeded(seed: u64) -> Self {
        Self::with(database(), seed)
    }

    /// The program with its ledgers in a database, wherever the other tests have theirs.
    pub fn with(ledger: Option<String>, seed: u64) -> Self {
        let keyring = keyring_of(ledger.as_deref());
        Self::at(ledger, keyring, seed)
    }

    /// With its ledgers in one database and its keyrings in another.
    pub fn apart(seed: u64) -> Self {
        Self::at(Some(postgres::database()), Some(postgres::database()), seed)
    }

    pub fn at(ledger: Option<String>, keyring: Option<String>, seed: u64) -> Self {
        Self::among(Vec::new(), ledger, keyring, seed)
    }

    /// With other servers, each as `name=address`.
    pub fn among(
        servers: Vec<NamedServer>,
        ledger: Option<String>,
        keyring: Option<String>,
        seed: u64,
    ) -> Self {
        Self::prepared(servers, ledger, keyring, seed, |_| ())
    }

    /// With something changed before it is used.
    pub fn prepared(
        servers: Vec<NamedServer>,
        ledger: Option<String>,
        keyring: Option<String>,
        seed: u64,
        prepare: impl FnOnce(&mut App),
    ) -> Self {
        let clock = Arc::new(TestClock::at(BEGINNING.parse().unwrap()));
        let seed = if ledger.is_some() { 1000 * a_number() + seed } else { seed };
        let entropy = Arc::new(Seeded(Mutex::new(fastrand::Rng::with_seed(seed))));
        let env = Environment { clock: Arc::clone(&clock) as Arc<dyn Clock>, entropy };
        let folder = tempfile::tempdir().unwrap();
        let (data, keys) = (folder.path().join("data"), folder.path().join("keys"));
        let databases =
            Databases { ledger: ledger.as_deref(), keyring: keyring.as_deref(), servers: &servers };
        let mut app = App::open_at(databases, &data, &keys, env).unwrap();
        // What tests send goes to themselves.
        app.outbound = Outbound::new(Reach::Any);
        prepare(&mut app);
        let app = Arc::new(app);
        let router = gateway::http::router(Arc::clone(&app));
        Self { app, clock, folder, ledger, keyring, servers, router }
    }

    /// Another node on the same databases and key store, at the same time.
    pub fn beside(&self, seed: u64) -> Self {
        self.beside_on(self.ledger.clone(), self.keyring.clone(), seed)
    }

    /// As [`Self::beside`], on databases that may be others.
    pub fn beside_on(&self, ledger: Option<String>, keyring: Option<String>, seed: u64) -> Self {
        let entropy = Arc::new(Seeded(Mutex::new(fastrand::Rng::with_seed(seed))));
        let env = Environment { clock: Arc::clone(&self.clock) as Arc<dyn Clock>, entropy };
        let folder = tempfile::tempdir().unwrap();
        let (data, keys) = (folder.path().join("data"), self.folder.path().join("keys"));
        let servers = self.servers.clone();
        let databases =
            Databases { ledger: ledger.as_deref(), keyring: keyring.as_deref(), servers: &servers };
        let app = Arc::new(App::open_at(databases, &data, &keys, env).unwrap());
        app.keep_following(&tokio::runtime::Handle::current());
        let router = gateway::http::router(Arc::clone(&app));
        let clock = Arc::clone(&self.clock);
        Self { app, clock, folder, ledger, keyring, servers, router }
    }

    /// Somebody without a key.
    pub fn anybody(&self) -> Caller {
        Caller { router: self.router.clone(), key: None }
    }

    /// An empty tenant in Stockholm, with a key for each role but the client's.
    pub async fn tenant(&self, name: &str) -> TestTenant {
        let zone: Zone = "Europe/Stockholm".parse().unwrap();
        let app = Arc::clone(&self.app);
        let named = name.to_owned();
        let desk = tokio::task::spawn_blocking(move || app.create_tenant(&named, zone));
        let desk = desk.await.unwrap().unwrap();
        self.app.keep_following(&tokio::runtime::Handle::current());
        let (staff, admin, auditor) = (
            self.caller(&desk, Role::Staff).await,
            self.caller(&desk, Role::Admin).await,
            self.caller(&desk, Role::Auditor).await,
        );
        TestTenant { desk, staff, admin, auditor }
    }

    /// Another of a role.
    pub async fn caller(&self, desk: &Desk, role: Role) -> Caller {
        let issued = keys::issue(&desk.tenant, role, "test", (None, None), &self.app.env).await;
        Caller { router: self.router.clone(), key: Some(issued.unwrap().1) }
    }

    /// Whoever has this key.
    pub fn with_key(&self, key: &str) -> Caller {
        Caller { router: self.router.clone(), key: Some(key.to_owned()) }
    }

    /// A tenant with one chair, open from 9 to 17, and a service of 15 minutes to 8 hours.
    pub async fn salon(&self, name: &str) -> Salon {
        let tenant = self.tenant(name).await;
        let hours: Vec<Value> =
            ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
                .map(|day| json!({"day": day, "from": "09:00", "to": "17:00"}))
                .into();
        let chair = json!({
            "name": "Chair", "kind": "room", "capacity": 1, "group": "Salon",
            "time_zone": "Europe/Stockholm", "hours": hours,
        });
        let chair = tenant.admin.post("/v1/resources", &chair).await.created();
        let cut = json!({
            "name": "Cut", "length": {"between": {"from_minutes": 15, "to_minutes": 480}},
        });
        let cut = tenant.admin.post("/v1/services", &cut).await.created();
        Salon { chair: chair.id(), cut: cut.id(), tenant }
    }
}

/// A tenant and who works there.
pub struct TestTenant {
    pub desk: Arc<Desk>,
    pub staff: Caller,
    pub admin: Caller,
    pub auditor: Caller,
}

impl TestTenant {
    /// Changes the policy, as an administrator who has read it.
    pub async fn change_policy(&self, change: impl FnOnce(&mut Value)) {
        let known = self.admin.get("/v1/policy").await.ok();
        let mut policy = known.body.clone();
        change(&mut policy);
        let seen = [("if-match", known.header("etag"))];
        self.admin.send_with(Method::PUT, "/v1/policy", &policy, &seen).await.ok();
    }

    /// Registers somebody; answers their id.
    pub async fn client(&self, name: &str) -> String {
        let mail = format!("{}@example.org", name.to_lowercase());
        let contact = json!({"contact": {"name": name, "email": mail}});
        self.staff.post("/v1/clients", &contact).await.created().id()
    }

    /// Registers somebody with a key of their own.
    pub async fn client_with_key(&self, name: &str) -> (String, Caller) {
        let id = self.client(name).await;
        let issued = self.staff.post(&format!("/v1/clients/{id}/keys"), &json!({})).await.created();
        let key = issued.body["key"].as_str().unwrap().to_owned();
        (id, Caller { router: self.staff.router.clone(), key: Some(key) })
    }

    /// The person behind a client's id.
    pub fn person(&self, id: &str) -> PersonId {
        PersonId(self.desk.tenant.ids().read(IdKind::Client, id).unwrap())
    }
}

/// A small salon.
pub struct Salon {
    pub tenant: TestTenant,
    pub chair: String,
    pub cut: String,
}

impl Salon {
    /// A wish for the chair, at local times of one day.
    pub fn wish(&self, client: &str, start: &str, end: &str) -> Value {
        json!({
            "service_id": self.cut, "resource_ids": [self.chair], "client_id": client,
            "start": start, "end": end,
        })
    }

    /// Books the chair for a client; answers the booking's id.
    pub async fn booked(&self, client: &str, start: &str, end: &str) -> String {
        let wish = self.wish(client, start, end);
        self.tenant.staff.post("/v1/bookings", &wish).await.created().id()
    }
}

/// Somebody who calls, with or without a key.
#[derive(Clone)]
pub struct Caller {
    router: Router,
    key: Option<String>,
}

static REPEATS: AtomicU64 = AtomicU64::new(0);

/// An Idempotency-Key that no test has used before.
pub fn new_wish() -> String {
    format!("wish-{}", REPEATS.fetch_add(1, Ordering::Relaxed))
}

impl Caller {
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    /// A request of this caller's, to be changed before it is sent.
    pub fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.header("idempotency-key", new_wish()).body(Body::from(body)).unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, bytes, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, Vec::new())).await
    }

    /// Reads after a write, from its position on.
    pub async fn get_after(&self, path: &str, written: &Answer) -> Answer {
        let mut request = self.request(Method::GET, path, Vec::new());
        let position = written.headers["tidbok-position"].clone();
        request.headers_mut().insert("tidbok-position", position);
        self.send(request).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path, body.to_string().into_bytes())).await
    }

    /// As [`Self::post`], with headers in place of the usual ones.
    pub async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        self.send_with(Method::POST, path, body, headers).await
    }

    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let mut request = self.request(method, path, body.to_string().into_bytes());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        self.send(request).await
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    /// The body, where it is JSON.
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.is(200)
    }

    #[track_caller]
    pub fn created(self) -> Self {
        self.is(201)
    }

    /// A problem document with this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.body["code"], code, "{}", answer.text());
        assert_eq!(answer.body["status"], status);
        answer
    }

    /// That the problem lies at this place.
    #[track_caller]
    pub fn at(self, pointer: &str) -> Self {
        assert_eq!(self.body["errors"][0]["pointer"], pointer, "{}", self.text());
        self
    }

    #[track_caller]
    pub fn id(&self) -> String {
        self.body["id"].as_str().expect("the answer has an id").to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
