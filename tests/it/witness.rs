//! Witnesses: a checkpoint is published once enough of them have signed it, and a history that was
//! changed finds none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventstore::proof::checkpoint::{Checkpoint, Origin};
use eventstore::proof::consistency;
use eventstore::proof::note::Verifier;
use eventstore::store::rotation::WINDOW;
use eventstore::tree::{Hash, hash};
use gateway::receipt::{self, Left};
use gateway::witnesses::{FILE, NamedWitness, Witnesses, kept};
use gateway::{App, Desk, clock};
use system_tests::{Salon, TestApp, database, keyring_of, on_postgres, postgres, tell};
use tokio::sync::Notify;
use tokio::task::block_in_place;

use crate::away::Silent;
use crate::hotel::copy_files;
use crate::others::{said, with_python};
use crate::program::{Said, run};

/// A witness as C2SP describes it, and how it is at the moment.
struct Own {
    pair: Ed25519KeyPair,
    name: &'static str,
    logs: Mutex<Vec<Verifier>>,
    seen: Mutex<BTreeMap<String, (u64, Hash)>>,
    down: AtomicBool,
    asked: AtomicU32,
    pause: Mutex<Option<Arc<Pause>>>,
}

/// Holds up the next who asks, so that something else comes first.
#[derive(Default)]
struct Pause {
    arrived: Notify,
    go: Notify,
}

type Answer = (StatusCode, String);

impl Own {
    /// Starts one; answers it with how it is named to the program.
    async fn start(name: &'static str, seed: u8) -> (Arc<Self>, NamedWitness) {
        let own = Arc::new(Self {
            pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(),
            name,
            logs: Mutex::default(),
            seen: Mutex::default(),
            down: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            pause: Mutex::default(),
        });
        let route = post(|State(own): State<Arc<Self>>, body: String| async move {
            own.asked.fetch_add(1, Ordering::Relaxed);
            let pause = own.pause.lock().unwrap().take();
            if let Some(pause) = pause {
                pause.arrived.notify_one();
                pause.go.notified().await;
            }
            if own.down.load(Ordering::Relaxed) {
                return (StatusCode::INTERNAL_SERVER_ERROR, String::new());
            }
            own.add(&body).unwrap_or((StatusCode::BAD_REQUEST, String::new()))
        });
        let router = Router::new().route("/at/add-checkpoint", route).with_state(Arc::clone(&own));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let named = format!("{}=http://{address}/at/", own.vkey()).parse().unwrap();
        (own, named)
    }

    fn id(&self) -> [u8; 4] {
        let key = self.pair.public_key().as_ref();
        hash(&[self.name.as_bytes(), b"\n", &[4], key])[..4].try_into().unwrap()
    }

    fn vkey(&self) -> String {
        let key = [&[4], self.pair.public_key().as_ref()].concat();
        format!("{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }

    fn add(&self, body: &str) -> Option<Answer> {
        let (head, note) = body.split_once("\n\n")?;
        let mut lines = head.lines();
        let old: u64 = lines.next()?.strip_prefix("old ")?.parse().ok()?;
        let proof: Option<Vec<Hash>> =
            lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect();
        let (logs, mut seen) = (self.logs.lock().unwrap(), self.seen.lock().unwrap());
        let origin = note.lines().next()?;
        let Some(log) = logs.iter().find(|log| log.name() == origin) else {
            return Some((StatusCode::NOT_FOUND, String::new()));
        };
        let Ok(told) = Checkpoint::open(note, log) else {
            return Some((StatusCode::FORBIDDEN, String::new()));
        };
        let (size, root) = seen.get(origin).copied().unwrap_or((0, hash(&[])));
        if old != size || (told.size == size && told.root != root) {
            return Some((StatusCode::CONFLICT, format!("{size}\n")));
        }
        if !consistency::holds((size, &root), (told.size, &told.root), &proof?) {
            return Some((StatusCode::UNPROCESSABLE_ENTITY, String::new()));
        }
        seen.insert(origin.to_owned(), (told.size, told.root));
        let time: u64 = 1_770_000_000;
        let signature = self.pair.sign(format!("cosignature/v1\ntime {time}\n{told}").as_bytes());
        let blob = [&self.id(), time.to_be_bytes().as_slice(), signature.as_ref()].concat();
        Some((StatusCode::OK, format!("\u{2014} {} {}\n", self.name, STANDARD.encode(blob))))
    }

    fn pause(&self) -> Arc<Pause> {
        let pause = Arc::new(Pause::default());
        *self.pause.lock().unwrap() = Some(Arc::clone(&pause));
        pause
    }

    fn trust(&self, desk: &Desk) {
        self.logs.lock().unwrap().push(vkey_of(desk));
    }
}

thread_local! {
    static SAID: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is logged as an error on this thread.
struct Errors;

impl std::io::Write for Errors {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        SAID.with_borrow_mut(|said| said.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Errors {
    /// Everything listens, and each thread to itself: of a subscriber of one thread, what another thread
    /// is the first to log in the process is never logged again.
    fn listen() -> Self {
        static ALL: Once = Once::new();
        ALL.call_once(|| {
            let logs = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR);
            let logs = logs.with_ansi(false).with_writer(|| Self).finish();
            tracing::subscriber::set_global_default(logs).unwrap();
        });
        tracing::callsite::rebuild_interest_cache();
        SAID.take();
        Self
    }

    /// What has been said since this was last asked.
    fn said(&self) -> String {
        String::from_utf8(SAID.take()).unwrap()
    }
}

fn vkey_of(desk: &Desk) -> Verifier {
    let origin = Origin::of(&desk.tenant.log().head().unwrap());
    desk.tenant.keyring().signer(&origin).unwrap().verifier().clone()
}

fn witnessed(named: &[&NamedWitness], quorum: Option<usize>) -> Witnesses {
    Witnesses::new(named.iter().copied().cloned().collect(), quorum).unwrap()
}

/// A salon of a program that asks witnesses.
async fn salon(witnesses: Witnesses) -> (TestApp, Salon, String) {
    let ledger = database();
    let keyring = keyring_of(ledger.as_deref());
    let app = TestApp::prepared(Vec::new(), ledger, keyring, 1, |app| app.witnesses = witnesses);
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    (app, salon, client)
}

const HOURS: [&str; 5] = ["09", "10", "11", "12", "13"];

async fn book(salon: &Salon, client: &str, hour: usize) {
    let at = |hour: &str| format!("2026-03-02T{hour}:00:00");
    salon.booked(client, &at(HOURS[hour]), &at(HOURS[hour + 1])).await;
}

/// The log in a folder, as the program exports it.
fn export(desk: &Desk, to: &Path) {
    let log = desk.tenant.log();
    let signer = desk.tenant.keyring().signer(&Origin::of(&log.head().unwrap())).unwrap();
    let note = kept(desk.tenant.folder());
    eventstore::proof::folder::export(log, &signer, note.as_deref(), to, &mut |_, _| ()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_published_once_enough_witnesses_have_signed_it() {
    let (one, named_one) = Own::start("witness.example/one", 1).await;
    let (two, named_two) = Own::start("witness.example/two", 2).await;
    let (app, salon, client) = salon(witnessed(&[&named_one, &named_two], None)).await;
    let (desk, auditor) = (&salon.tenant.desk, &salon.tenant.auditor);
    let size = || block_in_place(|| desk.tenant.log().head().unwrap().frontier.size());
    let published = async || {
        let answer = auditor.get("/v1/log/checkpoint").await.ok();
        let note = String::from_utf8(answer.bytes).unwrap();
        (Checkpoint::open(&note, &block_in_place(|| vkey_of(desk))).unwrap().size, note)
    };
    let look = async || app.app.witnesses.look(desk).await.unwrap();
    // Nobody knows the log; then one does, which is not enough.
    assert!(!look().await);
    auditor.get("/v1/log/checkpoint").await.problem(503, "not_witnessed");
    block_in_place(|| [&one, &two].map(|witness| witness.trust(desk)));
    two.down.store(true, Ordering::Relaxed);
    assert!(!look().await);
    auditor.get("/v1/log/checkpoint").await.problem(503, "not_witnessed");
    two.down.store(false, Ordering::Relaxed);
    assert!(look().await);
    let (first, note) = published().await;
    assert_eq!(first, size());
    assert!(named_one.witness.has_signed(&note) && named_two.witness.has_signed(&note));

    // What one of them has not signed is not published.
    book(&salon, &client, 0).await;
    two.down.store(true, Ordering::Relaxed);
    assert!(!look().await);
    assert_eq!(published().await.0, first);
    two.down.store(false, Ordering::Relaxed);
    assert!(look().await);
    assert_eq!(published().await.0, size());
    // Nobody is asked for what all have signed, and what is lost is asked for again.
    let asked = one.asked.load(Ordering::Relaxed);
    assert!(look().await);
    assert_eq!(one.asked.load(Ordering::Relaxed), asked);
    fs::remove_file(desk.tenant.folder().join(FILE)).unwrap();
    book(&salon, &client, 1).await;
    assert!(look().await);
    assert_eq!(published().await.0, size());

    // An export holds the signatures, and whoever checks it may ask for them.
    book(&salon, &client, 2).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    block_in_place(|| export(desk, &log));
    let (_, stranger) = Own::start("witness.example/stranger", 3).await;
    let (one, two, other) = (one.vkey(), two.vkey(), stranger.witness.to_string());
    let verify = |more: &[&str]| {
        let from = ["--json", "audit", "verify", "--from", log.to_str().unwrap()];
        block_in_place(|| run(&folder.path().join("none"), &[&from, more].concat()))
    };
    verify(&["--witness", &one, "--witness", &two]).ended(0);
    verify(&["--witness", &one, "--witness", &other, "--quorum", "1"]).ended(0);
    let refused = verify(&["--witness", &one, "--witness", &other]).ended(1).json();
    assert_eq!(refused["findings"][0]["code"], "unwitnessed");
    let detail = refused["findings"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("stranger") && !detail.contains("/one"), "{detail}");
    for wrong in ["0", "3"] {
        let refused = verify(&["--witness", &one, "--witness", &two, "--quorum", wrong]).ended(2);
        assert!(refused.error.contains("--quorum"), "{}", refused.error);
    }
    let twice = verify(&["--witness", &one, "--witness", &one]).ended(2);
    assert!(twice.error.contains("twice"), "{}", twice.error);
    let forged = one.replace("one", "two");
    assert!(verify(&["--witness", &forged]).ended(2).error.contains("verifier key"));
}

/// A path beside a program's data.
fn beside(app: &TestApp, name: &str) -> String {
    app.folder.path().join(name).to_str().unwrap().to_owned()
}

/// Runs an audit on a program's data.
fn audit(app: &TestApp, args: &[&str]) -> Said {
    if let Some(ledger) = &app.ledger {
        fs::write(beside(app, "ledger"), ledger).unwrap();
    }
    let (data, keys) = (app.folder.path().join("data"), beside(app, "keys"));
    block_in_place(|| run(&data, &[&["--json", "--keys", &keys, "audit"], args].concat()))
}

fn prove(app: &TestApp, booking: &str) -> Said {
    let to = beside(app, "proof");
    audit(app, &["proof", "--tenant", "salon", "--booking", booking, "--to", &to])
}

/// A proof outlives the server: who checks it years later has nobody else to ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_holds_what_witnesses_have_signed() {
    let (one, named) = Own::start("witness.example/one", 1).await;
    let (_, stranger) = Own::start("witness.example/stranger", 2).await;
    let (app, salon, client) = salon(witnessed(&[&named], None)).await;
    let desk = &salon.tenant.desk;
    block_in_place(|| one.trust(desk));
    let first = salon.booked(&client, "2026-03-02T09:00:00", "2026-03-02T10:00:00").await;
    assert!(app.app.witnesses.look(desk).await.unwrap());
    let second = salon.booked(&client, "2026-03-02T10:00:00", "2026-03-02T11:00:00").await;

    let vkey = beside(&app, "log.vkey");
    fs::write(&vkey, block_in_place(|| vkey_of(desk)).to_string()).unwrap();
    let check = |witness: &NamedWitness| {
        let (proof, witness) = (beside(&app, "proof"), witness.witness.to_string());
        audit(&app, &["check-proof", &proof, "--vkey", &vkey, "--witness", &witness])
    };
    assert_eq!(prove(&app, &first).ended(0).json()["witnessed"], true);
    check(&named).ended(0);
    let refused = check(&stranger).ended(1).json()["reason"].to_string();
    assert!(refused.contains("witness.example/stranger"), "{refused}");
    // What they have not signed yet is proved by the log's own signature.
    assert_eq!(prove(&app, &second).ended(0).json()["witnessed"], false);
    check(&named).ended(1);
    assert!(app.app.witnesses.look(desk).await.unwrap());
    assert_eq!(prove(&app, &second).ended(0).json()["witnessed"], true);
    check(&named).ended(0);

    // A ledger that is not what was signed says so: another history, or an older copy.
    for more in [0, 1] {
        block_in_place(|| sign_another(desk, more));
        let error = prove(&app, &first).ended(1).error;
        assert!(error.contains("history was changed"), "{error}");
    }
}

/// Has the log's key sign another history of so many more entries, as if witnesses had signed it.
fn sign_another(desk: &Desk, more: u64) {
    let head = desk.tenant.log().head().unwrap();
    let signer = desk.tenant.keyring().signer(&Origin::of(&head)).unwrap();
    let now = Checkpoint::of(&head);
    let other = Checkpoint { root: [7; 32], size: now.size + more, ..now };
    fs::write(desk.tenant.folder().join(FILE), other.signed(&signer)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_holds_what_witnesses_have_signed() {
    let (one, named) = Own::start("witness.example/one", 1).await;
    let (_, stranger) = Own::start("witness.example/stranger", 2).await;
    let (app, salon, client) = salon(witnessed(&[&named], None)).await;
    let desk = &salon.tenant.desk;
    block_in_place(|| one.trust(desk));
    let person = salon.tenant.person(&client);
    let erased = gateway::erasure::erase(desk, person, true).await.unwrap();
    assert!(app.app.witnesses.look(desk).await.unwrap());
    // The tree at hand has grown since.
    salon.tenant.client("Birgit").await;
    block_in_place(|| desk.inclusion(0, desk.tenant.log().size()).unwrap());
    let sign = || {
        let left = Left { kept: Vec::new(), recipients: Vec::new() };
        receipt::sign(&app.app, desk, client.clone(), (erased.fence, left), WINDOW).unwrap()
    };
    let file = beside(&app, "receipt");
    fs::write(&file, block_in_place(sign)).unwrap();
    let check = |witness: &NamedWitness| {
        audit(&app, &["receipt", &file, "--witness", &witness.witness.to_string()])
    };
    check(&named).ended(0);
    check(&stranger).ended(1);
    // Who is erased has their receipt whatever was signed.
    let own = block_in_place(|| {
        sign_another(desk, 1);
        sign()
    });
    receipt::check(&own, None).unwrap();
}

/// However many tenants wait for a witness that does not answer, what else is due is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_witness_that_does_not_answer_keeps_no_erasure_waiting() {
    let silent = Silent::start();
    let (own, _) = Own::start("witness.example/one", 1).await;
    let named = format!("{}=http://{}", own.vkey(), silent.address).parse().unwrap();
    let (ledger, witnesses) = (database(), witnessed(&[&named], None));
    let keyring = keyring_of(ledger.as_deref());
    let app = TestApp::prepared(Vec::new(), ledger, keyring, 1, |app| app.witnesses = witnesses);
    for number in 0..16 {
        app.tenant(&format!("before-{number:02}")).await;
    }
    let salon = app.salon("salon").await;
    let rule = serde_json::json!({"approval": false, "cooling_off_hours": 1});
    salon.tenant.change_policy(|policy| policy["erasure"] = rule).await;
    let client = salon.tenant.client("Astrid").await;
    let wish = serde_json::json!({"kind": "erasure", "client_id": client});
    salon.tenant.staff.post("/v1/privacy-requests", &wish).await;
    app.clock.advance(jiff::SignedDuration::from_hours(2));

    let server = tokio::spawn(gateway::reactors::keep_up(Arc::clone(&app.app)));
    while salon.tenant.staff.get(&format!("/v1/clients/{client}")).await.status != 410 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(silent.left(), 0, "it was not waited for until somebody gave up");
    silent.has_taken(1).await;
    server.abort();
}

/// An older copy that was put back, and one that went on in another way.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_was_changed_finds_no_witness() {
    if on_postgres() {
        return; // It works on the files.
    }
    let (one, named) = Own::start("witness.example/one", 1).await;
    let (app, salon, client) = salon(witnessed(&[&named], None)).await;
    block_in_place(|| one.trust(&salon.tenant.desk));
    assert!(app.app.witnesses.look(&salon.tenant.desk).await.unwrap());
    let before = tempfile::tempdir().unwrap();
    block_in_place(|| copy_files(&app.folder.path().join("data"), before.path()));
    book(&salon, &client, 0).await;
    book(&salon, &client, 1).await;
    assert!(app.app.witnesses.look(&salon.tenant.desk).await.unwrap());

    let keys = app.folder.path().join("keys");
    let mut older = block_in_place(|| App::open(before.path(), &keys, clock::system()).unwrap());
    older.witnesses = witnessed(&[&named], None);
    let older = Arc::new(older);
    let desk = block_in_place(|| older.desk("salon").unwrap());
    let published = || block_in_place(|| older.witnesses.published(&desk).unwrap());
    let then = Checkpoint::unchecked(&published().unwrap()).unwrap().size;
    assert!(block_in_place(|| desk.tenant.log().size()) >= then);
    let kept = |size: u64| Checkpoint::unchecked(&published().unwrap()).unwrap().size == size;
    // One entry that the witness has not seen, and fewer than it has.
    let zone: domain::slot::Zone = "Europe/Oslo".parse().unwrap();
    let policy = |zone: &domain::slot::Zone| {
        let policy = domain::policy::Policy::new(zone.clone());
        domain::Command::Policy(domain::policy::PolicyCommand::Set { expected: None, policy })
    };
    let append = |command| {
        let append = eventstore::Append::new(command, domain::Actor::System);
        block_in_place(|| desk.tenant.ledger.append_blocking(append).unwrap());
    };
    append(policy(&zone));
    assert!(!older.witnesses.look(&desk).await.unwrap());
    assert!(kept(then), "nothing that was published is taken back by it");
    for _ in 0..8 {
        append(policy(&domain::slot::Zone::utc()));
        append(policy(&zone));
    }
    assert!(!older.witnesses.look(&desk).await.unwrap());
    assert!(kept(then));
}

/// What another node has had signed in between is no history that was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_whom_another_node_has_asked_first_is_no_alarm() {
    let (one, named) = Own::start("witness.example/one", 1).await;
    let (app, salon, client) = salon(witnessed(&[&named], None)).await;
    let desk = &salon.tenant.desk;
    block_in_place(|| one.trust(desk));
    let (pause, other) = (one.pause(), witnessed(&[&named], None));
    let errors = Errors::listen();
    let first = async {
        pause.arrived.notified().await;
        book(&salon, &client, 0).await;
        assert!(other.look(desk).await.unwrap());
        pause.go.notify_one();
    };
    let (signed, ()) = tokio::join!(app.app.witnesses.look(desk), first);
    assert!(signed.unwrap());
    assert_eq!(errors.said(), "");
}

/// Nobody is accused of anything where a proof cannot be made.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_no_history_that_was_changed() {
    let mut server = postgres::Server::new();
    let ledger = server.database();
    let keyring = keyring_of(Some(&ledger));
    let app = TestApp::prepared(Vec::new(), Some(ledger), keyring, 1, |_| ());
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let (one, named) = Own::start("witness.example/one", 1).await;
    let (desk, witnesses) = (&salon.tenant.desk, witnessed(&[&named], None));
    block_in_place(|| one.trust(desk));
    assert!(witnesses.look(desk).await.unwrap());
    book(&salon, &client, 0).await;
    fs::remove_file(desk.tenant.folder().join(FILE)).unwrap();
    let pause = one.pause();
    let errors = Errors::listen();
    let away = async {
        pause.arrived.notified().await;
        block_in_place(|| server.stop());
        pause.go.notify_one();
    };
    let (signed, ()) = tokio::join!(witnesses.look(desk), away);
    assert!(!signed.unwrap());
    let said = errors.said();
    assert!(said.contains("the proof cannot be made") && !said.contains("changed"), "{said}");
}

/// An older copy that was put back beside what was signed, and one that has grown to the same size.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_and_what_was_changed_are_told_apart() {
    if on_postgres() {
        return; // It works on the files.
    }
    let (one, named) = Own::start("witness.example/one", 1).await;
    let (app, salon, client) = salon(witnessed(&[&named], None)).await;
    let newer = &salon.tenant.desk;
    block_in_place(|| one.trust(newer));
    let before = tempfile::tempdir().unwrap();
    block_in_place(|| copy_files(&app.folder.path().join("data"), before.path()));
    book(&salon, &client, 0).await;
    book(&salon, &client, 1).await;
    assert!(app.app.witnesses.look(newer).await.unwrap());
    let signed = block_in_place(|| newer.tenant.log().size());

    let keys = app.folder.path().join("keys");
    let older = block_in_place(|| App::open(before.path(), &keys, clock::system()).unwrap());
    let (desk, witnesses) =
        (block_in_place(|| older.desk("salon").unwrap()), witnessed(&[&named], None));
    let file = desk.tenant.folder().join(FILE);
    fs::copy(newer.tenant.folder().join(FILE), &file).unwrap();
    let errors = Errors::listen();
    assert!(!witnesses.look(&desk).await.unwrap());
    let said = errors.said();
    assert!(said.contains(&format!("has signed {signed} entries")), "{said}");
    assert!(!said.contains("history was changed"), "{said}");

    block_in_place(|| {
        for zone in ["Europe/Oslo", "UTC"].into_iter().cycle() {
            if desk.tenant.log().size() == signed {
                break;
            }
            let policy = domain::policy::Policy::new(zone.parse().unwrap());
            let set = domain::Command::Policy(domain::policy::PolicyCommand::Set {
                expected: None,
                policy,
            });
            let set = eventstore::Append::new(set, domain::Actor::System);
            desk.tenant.ledger.append_blocking(set).unwrap();
        }
    });
    // With what was signed at hand, and without.
    for _ in 0..2 {
        assert!(!witnesses.look(&desk).await.unwrap());
        let said = errors.said();
        assert!(said.contains("history was changed"), "{said}");
        drop(fs::remove_file(&file));
    }
}

/// A Python of at least 3.12, which the witness of others needs, where there is one.
fn python() -> Option<PathBuf> {
    let home = system_tests::variable("HOME").unwrap_or_default();
    let versions = fs::read_dir(Path::new(&home).join(".pyenv/versions")).into_iter().flatten();
    let installed = versions.filter_map(|version| Some(version.ok()?.path().join("bin/python")));
    let known = ["python3", "python3.12", "python3.13"].map(PathBuf::from);
    known.into_iter().chain(installed).find(|python| {
        let new = "import sys; sys.exit(sys.version_info < (3, 12))";
        Command::new(python)
            .args(["-c", new])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A witness of others, `aics-witness`, signs what continues; a verifier of others, `aics-tlog`,
/// accepts what it has signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_of_others_signs_what_continues() {
    let Some(python) = python() else {
        tell("no Python 3.12 is here: the witness of others is not asked");
        return;
    };
    let packages = ["aics-witness==0.1.0", "aics-tlog==0.2.1"];
    let python = block_in_place(|| with_python(&python, "venv-witness", &packages));
    let (witness, tlog) =
        (python.with_file_name("aics-witness"), python.with_file_name("aics-tlog"));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("witness.json");
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let init = ["init", "--name", "witness.example/aics", "--listen", &listen, "--config"];
    let key = said(Command::new(&witness).args(init).arg(&config));
    let named: NamedWitness = format!("{key}=http://{listen}").parse().unwrap();
    let (app, salon, client) = salon(witnessed(&[&named], None)).await;
    let desk = &salon.tenant.desk;
    let log_key = block_in_place(|| vkey_of(desk));
    let add = ["add-log", "--origin", log_key.name(), "--vkey", &log_key.to_string(), "--config"];
    said(Command::new(&witness).args(add).arg(&config));
    let serve = ["serve", "--log-level", "ERROR", "--config"];
    let serving = Command::new(&witness).args(serve).arg(&config).stderr(Stdio::null()).spawn();
    let _serving = Running(serving.unwrap());
    while std::net::TcpStream::connect(&listen).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = folder.path().join("log");
    for hour in 0..3 {
        book(&salon, &client, hour).await;
        assert!(app.app.witnesses.look(desk).await.unwrap());
        block_in_place(|| export(desk, &log));
        let note = fs::read_to_string(log.join("checkpoint")).unwrap();
        assert!(named.witness.has_signed(&note));
        let check = ["verify-checkpoint", "--quorum", "1", "--witness-key", &key, "--log-key"];
        let mut command = Command::new(&tlog);
        said(command.args(check).arg(log_key.to_string()).arg("--tiles").arg(&log));
    }
    // It remembers what we have lost.
    fs::remove_file(desk.tenant.folder().join(FILE)).unwrap();
    book(&salon, &client, 3).await;
    assert!(app.app.witnesses.look(desk).await.unwrap());
}
