//! Epoch keys with a key service over the network, here `moto`, which speaks the protocol of AWS KMS:
//! made there, bound to their store, missed but not taken for an erasure.

use std::net::TcpStream;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use eventstore::keyring::key::Key;
use eventstore::keyring::provider::kms::KmsPlace;
use eventstore::keyring::provider::{Epoch, KeyStore, Provider, ProviderError, VaultPlace};
use serde_json::json;
use system_tests::{TestApp, variable};

use crate::others::{said, with};
use crate::program::Said;
use crate::site::{Server, Site};

const REGION: &str = "eu-north-1";

/// Lists the keys of a service by another client.
const LIST: &str = r#"
import boto3, sys
who = dict(aws_access_key_id="other", aws_secret_access_key="other")
kms = boto3.client("kms", region_name=sys.argv[1], endpoint_url=sys.argv[2], **who)
ids = [key["KeyId"] for key in kms.list_keys()["Keys"]]
for key in [kms.describe_key(KeyId=id)["KeyMetadata"] for id in ids]:
    print(key["Description"], key["KeySpec"], key["KeyState"], key["Origin"])
"#;

/// A Python that has `moto`.
fn python() -> &'static PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| with("venv-moto", &["moto[server]==5.2.5"]))
}

/// A service of its own, and an installation beside it.
struct Service {
    site: Site,
    port: u16,
    process: Child,
}

impl Deref for Service {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn start(port: u16) -> Child {
    let mut server = Command::new(python().with_file_name("moto_server"));
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let process = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        thread::sleep(Duration::from_millis(50));
    }
    process
}

impl Service {
    fn new() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut site = Site::new();
        let who = [("AWS_ACCESS_KEY_ID", "tidbok"), ("AWS_SECRET_ACCESS_KEY", "tidbok")];
        site.env.extend(who.map(|(name, value)| (name, value.to_owned())));
        Self { site, port, process: start(port) }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn entrust(&self) -> Said {
        self.run(&["keys", "kms", "--region", REGION, "--endpoint", &self.endpoint()])
    }

    /// What a client of others' says of each key: its description, what it is, its state.
    fn keys_there(&self) -> Vec<String> {
        let told = said(Command::new(python()).args(["-c", LIST, REGION, &self.endpoint()]));
        told.lines().map(str::to_owned).collect()
    }
}

/// Where the service is, for a test that begins itself anew with the right to use it.
const ANEW: &str = "TIDBOK_TEST_KMS";

#[test]
fn epoch_keys_are_made_by_the_service_and_never_leave_it() {
    let service = Service::new();
    service.entrust().ended(0);
    service.entrust().ended(0);
    let ids = service.inn();
    assert_eq!(service.epoch_files(), [""; 0].map(str::to_owned));
    let key = service.admin();
    let server = Server::on(&service);
    assert!(server.shows_the_name(&key, &ids[0]));
    drop(server);
    let rotated = service.run(&["--json", "keys", "rotate"]).ended(0).json();
    assert_eq!(rotated["epoch"], 2);
    let there = service.keys_there();
    assert_eq!(there.len(), 2, "{there:?}");
    assert!(
        there.iter().all(|key| key.ends_with("SYMMETRIC_DEFAULT Enabled AWS_KMS")),
        "{there:?}"
    );
    service.run(&["erase", "--tenant", "inn", "--person", &ids[0]]).ended(0);
    service.run(&["audit", "verify", "--tenant", "inn"]).ended(0);
}

#[test]
fn a_key_store_moves_to_a_service_with_a_rotation() {
    let service = Service::new();
    let ids = service.inn();
    let key = service.admin();
    service.entrust().ended(0);
    service.run(&["keys", "rotate"]).ended(0);
    assert_eq!(service.epoch_files(), ["epoch-1.key"], "its window is not over");
    std::fs::remove_file(service.keys().join("epoch-1.key")).unwrap();
    let server = Server::on(&service);
    assert!(server.shows_the_name(&key, &ids[1]));
}

/// Away, it is missed with a reason; nobody is taken for erased, and nothing needs a restart.
#[test]
fn a_service_that_is_away_is_no_erasure() {
    let mut service = Service::new();
    service.entrust().ended(0);
    service.inn();
    let server = Server::on(&service);
    drop(service.process.kill());
    drop(service.process.wait());
    let why = server.wait_for(503, "/ready", "");
    assert_eq!(why["reasons"], json!(["key_store: kms_unusable"]), "{why}");
    let refused = service.run(&["keys", "rotate"]).ended(1).error;
    assert!(!refused.is_empty());
    // Another in its place has none of the keys: it is not taken for the one that has.
    service.process = start(service.port);
    let other = server.wait_for(503, "/ready", "");
    assert_eq!(other["reasons"], json!(["key_store: kms_unusable"]), "{other}");
    drop(server);
    let refused = service.run(&["serve", "--listen", "127.0.0.1:0"]).ended(1).error;
    assert!(refused.contains("the key service cannot be used"), "{refused}");
    assert!(!refused.contains("Signature"), "{refused}");
}

/// What is deleted there can be called back for a week, and is out of reach only after that.
#[test]
fn a_deleted_key_is_out_of_reach_when_its_week_is_over() {
    if let Some(endpoint) = variable(ANEW) {
        return delete_one(&endpoint);
    }
    let service = Service::new();
    let mut anew = Command::new(std::env::current_exe().unwrap());
    anew.args(["--exact", "kms::a_deleted_key_is_out_of_reach_when_its_week_is_over"]);
    anew.envs(service.env.iter().map(|(name, value)| (*name, value)));
    let told = said(anew.env(ANEW, service.endpoint()));
    assert!(told.contains("1 passed"), "{told}");
    let there = service.keys_there();
    let deleted: Vec<&String> =
        there.iter().filter(|key| key.contains("PendingDeletion")).collect();
    assert!(deleted.len() == 1 && deleted[0].contains("epoch 1"), "{there:?}");
}

fn delete_one(endpoint: &str) {
    let (app, folder) = (TestApp::default(), tempfile::tempdir().unwrap());
    let env = &app.app.env;
    let place = |name: &str| {
        let (region, endpoint) = (REGION.to_owned(), Some(endpoint.to_owned()));
        VaultPlace::Kms(KmsPlace { region, endpoint, name: name.to_owned() })
    };
    let at = |name: &str| folder.path().join(name);
    let store = KeyStore::entrust(&at("store"), place("one"), env).unwrap();
    let wrapped = store.wrap(Epoch(1), &Key::random(env)).unwrap();
    store.unwrap(Epoch(1), &wrapped).unwrap();
    assert_eq!(store.begin_epoch(env).unwrap(), Epoch(2));
    let foreign = store.unwrap(Epoch(2), &wrapped).map(drop);
    assert!(matches!(foreign, Err(ProviderError::WrongStore)), "{foreign:?}");
    let now = env.clock.now();
    store.finish_epoch(Epoch(2), now).unwrap();
    store.destroy(Epoch(1), now).unwrap();
    let gone = store.unwrap(Epoch(1), &wrapped).map(drop);
    assert!(matches!(gone, Err(ProviderError::NoEpoch(Epoch(1)))), "{gone:?}");
    let epochs = store.epochs().unwrap();
    assert_eq!((epochs[0].destroyed_at, epochs[0].lingering_days), (Some(now), 7));
    let again = store.destroy(Epoch(1), now);
    assert!(matches!(again, Err(ProviderError::NoEpoch(_))), "{again:?}");
    // Whoever may use the service does not open with one store what another has wrapped.
    let beside = KeyStore::entrust(&at("beside"), place("two"), env).unwrap();
    let theirs = beside.wrap(Epoch(1), &Key::random(env)).unwrap();
    assert!(store.unwrap(Epoch(2), &theirs).is_err());
    // The store keeps the name that it has there, whatever a second `keys kms` made up.
    drop(KeyStore::entrust(&at("store"), place("three"), env).unwrap());
}
