//! Several nodes on one database keep the promises that one keeps.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::http::Method;
use domain::{Position, Tag};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use system_tests::{Caller, Salon, TestApp, new_wish, postgres};

const TEN: &str = "2026-03-02T10:00:00";
const ELEVEN: &str = "2026-03-02T11:00:00";

/// Two nodes, and a salon that was made at the first.
struct Two {
    one: TestApp,
    other: TestApp,
    salon: Salon,
}

impl Two {
    async fn new() -> Self {
        let one = TestApp::with(Some(postgres::database()), 1);
        let salon = one.salon("salon").await;
        let other = one.beside(2);
        Self { one, other, salon }
    }

    /// Staff, at the other node.
    fn there(&self) -> Caller {
        self.other.with_key(self.salon.tenant.staff.key())
    }
}

type Span = (Timestamp, Timestamp);

fn overlap(one: Span, other: Span) -> bool {
    one.0 < other.1 && other.0 < one.1
}

/// A time between 9 and 17 on one of five days, in quarters of an hour, from chance.
fn wanted(chance: &mut fastrand::Rng) -> Span {
    let opening: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
    let (day, start) = (chance.i64(0..5), chance.i64(0..29));
    let start =
        opening + SignedDuration::from_hours(24 * day) + SignedDuration::from_mins(15 * start);
    (start, start + SignedDuration::from_mins(15 * chance.i64(1..=3)))
}

/// Everything at both nodes after they have come to rest: the same log, the same read models.
async fn agree(two: &Two) {
    let here = Arc::clone(&two.salon.tenant.desk);
    let app = Arc::clone(&two.other.app);
    tokio::task::spawn_blocking(move || {
        let there = app.desk("salon").unwrap();
        let size = here.tenant.log().head().unwrap().frontier.size();
        let entries = here.tenant.log().entries(Position(0), 100_000).unwrap();
        assert_eq!(u64::try_from(entries.len()).unwrap(), size, "gapless");
        let mut frontier = eventstore::tree::Frontier::default();
        entries.iter().for_each(|entry| frontier.push(eventstore::tree::leaf_hash(&entry.bytes)));
        let head = there.tenant.log().head().unwrap();
        assert_eq!(frontier.root(), head.frontier.root());
        for desk in [&here, &there] {
            assert_eq!(desk.follow().unwrap().0, size);
        }
        let hashes = |desk: &gateway::Desk| desk.read(|reader| reader.hashes()).unwrap();
        assert_eq!(hashes(&here), hashes(&there));
        let (before, after) = there.rebuild(&|_, _| ()).unwrap();
        assert_eq!(before, after);
    })
    .await
    .unwrap();
}

/// No time is sold twice, whichever node is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_sell_no_time_twice() {
    let two = Two::new().await;
    let client = two.salon.tenant.client("Astrid").await;
    let mut chance = fastrand::Rng::with_seed(11);
    let mut racing = Vec::new();
    for number in 0..600 {
        let span = wanted(&mut chance);
        let wish = two.salon.wish(&client, &span.0.to_string(), &span.1.to_string());
        let staff = if number % 2 == 0 { two.salon.tenant.staff.clone() } else { two.there() };
        racing.push(tokio::spawn(async move { (span, staff.post("/v1/bookings", &wish).await) }));
    }
    let (mut winners, mut losers): (Vec<Span>, Vec<Span>) = (Vec::new(), Vec::new());
    for caller in racing {
        let (span, answer) = caller.await.unwrap();
        match answer.status.as_u16() {
            201 => winners.push(span),
            _ => {
                answer.problem(409, "slot_unavailable");
                losers.push(span);
            }
        }
    }
    for (n, one) in winners.iter().enumerate() {
        let twice = winners.iter().skip(n + 1).find(|other| overlap(*one, **other));
        assert!(twice.is_none(), "{one:?} sold twice");
    }
    for lost in losers {
        assert!(winners.iter().any(|won| overlap(*won, lost)), "{lost:?} was free");
    }
    agree(&two).await;
}

/// A key, a booking and a cancellation of one node are those of the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_at_one_node_is_read_at_the_other() {
    let two = Two::new().await;
    let client = two.salon.tenant.client("Astrid").await;
    let wish = two.salon.wish(&client, TEN, ELEVEN);
    let booked = two.salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    let path = format!("/v1/bookings/{}", booked.id());
    let shown = two.there().get_after(&path, &booked).await.ok();
    assert_eq!(shown.body["status"], "confirmed");
    let reason = json!({"reason": "client_request"});
    let cancelled = two.there().post(&format!("{path}/cancel"), &reason).await.ok();
    let shown = two.salon.tenant.staff.get_after(&path, &cancelled).await.ok();
    assert_eq!(shown.body["status"], "cancelled");
    // The first node had the booking at hand, and the time as taken.
    two.salon.tenant.staff.post("/v1/bookings", &wish).await.created();
    agree(&two).await;
}

/// What is given up at a node that another is faster than is free there, though the same batch asks for more of
/// the day: some of these meet in one, and are decided again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_time_that_is_given_up_among_other_wishes_is_free() {
    let two = Two::new().await;
    let client = two.salon.tenant.client("Astrid").await;
    let (staff, there) = (&two.salon.tenant.staff, two.there());
    let monday: jiff::civil::Date = "2026-03-02".parse().unwrap();
    for week in 0..40_i64 {
        let day = monday + jiff::Span::new().days(7 * week);
        let wish = |from: &str, to: &str| {
            two.salon.wish(&client, &format!("{day}T{from}:00"), &format!("{day}T{to}:00"))
        };
        let ten = wish("10:00", "11:00");
        let booked = staff.post("/v1/bookings", &ten).await.created();
        let path = format!("/v1/bookings/{}", booked.id());
        there.get_after(&path, &booked).await.ok();
        let (cancel, reason) = (format!("{path}/cancel"), json!({"reason": "client_request"}));
        let (two_pm, four_pm) = (wish("14:00", "15:00"), wish("16:00", "17:00"));
        let (here, cancelled, more) = tokio::join!(
            staff.post("/v1/bookings", &four_pm),
            there.post(&cancel, &reason),
            there.post("/v1/bookings", &two_pm),
        );
        here.created();
        cancelled.ok();
        more.created();
        there.post("/v1/bookings", &ten).await.created();
    }
    agree(&two).await;
}

/// Of two who have seen the same version, each at another node, one changes it and the other hears of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_do_not_revise_over_one_another() {
    let two = Two::new().await;
    let here = &two.salon.tenant.admin;
    let there = two.other.with_key(here.key());
    let policy = here.get("/v1/policy").await.ok().body;
    let service = format!("/v1/services/{}", two.salon.cut);
    let resource = format!("/v1/resources/{}", two.salon.chair);
    let cut = |name: String| json!({"name": name, "length": {"fixed": {"minutes": 60}}});
    let chair = |name: String| {
        let (group, zone) = ("Salon", "Europe/Stockholm");
        json!({"name": name, "kind": "room", "group": group, "time_zone": zone})
    };
    let shorter = |minutes: u32| {
        let mut policy = policy.clone();
        policy["cancel_before_minutes"] = json!(minutes);
        policy
    };
    for round in 0..10_u32 {
        let one = |name: &str| format!("{name} {round}");
        for (path, body, other) in [
            (&*service, cut(one("Here")), cut(one("There"))),
            (&*resource, chair(one("Here")), chair(one("There"))),
            ("/v1/policy", shorter(2 * round), shorter(2 * round + 1)),
        ] {
            let version = here.get(path).await.ok().header("etag").to_owned();
            let seen = [("if-match", version.as_str())];
            let both = tokio::join!(
                here.send_with(Method::PUT, path, &body, &seen),
                there.send_with(Method::PUT, path, &other, &seen),
            );
            let (done, refused) = match both.0.status.as_u16() {
                200 => both,
                _ => (both.1, both.0),
            };
            refused.problem(412, "version_conflict");
            // Whoever asks next sees what was done, at both.
            let done = done.ok();
            let shown = here.get_after(path, &done).await.ok();
            assert_eq!((&shown.body, shown.header("etag")), (&done.body, done.header("etag")));
        }
    }
    agree(&two).await;
}

/// What is booked while a node opens the ledger is booked for it too, at whichever moment of the opening.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_booked_while_a_node_opens_a_ledger_is_not_sold_again() {
    let one = TestApp::with(Some(postgres::database()), 1);
    let salon = one.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let monday: jiff::civil::Date = "2026-03-02".parse().unwrap();
    for moment in 0..12_u32 {
        let day = monday + jiff::Span::new().days(7 * i64::from(moment));
        let wish = salon.wish(&client, &format!("{day}T10:00:00"), &format!("{day}T11:00:00"));
        let (staff, sent) = (salon.tenant.staff.clone(), wish.clone());
        let (other, runtime) = (one.beside(2), tokio::runtime::Handle::current());
        let (done, booked) = mpsc::channel();
        one.clock.at_moment(moment, move || {
            let (at_once, waits) = mpsc::channel();
            runtime.spawn(async move {
                staff.post("/v1/bookings", &sent).await.created();
                // Until what is told of it has come and gone.
                tokio::time::sleep(Duration::from_millis(50)).await;
                drop((at_once, done.send(())));
            });
            // Whoever asks for the time may be whom the booking waits for.
            let _late: Result<(), _> = waits.recv_timeout(Duration::from_millis(500));
        });
        let app = Arc::clone(&other.app);
        tokio::task::spawn_blocking(move || drop(app.desk("salon").unwrap())).await.unwrap();
        if booked.recv_timeout(Duration::from_secs(1)).is_err() {
            break;
        }
        let there = other.with_key(salon.tenant.staff.key());
        there.post("/v1/bookings", &wish).await.problem(409, "slot_unavailable");
    }
}

/// A request that is repeated at another node was made once.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_at_another_node_is_answered_the_same() {
    let two = Two::new().await;
    let client = two.salon.tenant.client("Astrid").await;
    let (key, wish) = (new_wish(), two.salon.wish(&client, TEN, ELEVEN));
    let headers = [("idempotency-key", key.as_str())];
    let staff = &two.salon.tenant.staff;
    let first = staff.post_with("/v1/bookings", &wish, &headers).await.created();
    let again = two.there().post_with("/v1/bookings", &wish, &headers).await.created();
    assert_eq!(first.id(), again.id());
    let other = two.salon.wish(&client, ELEVEN, "2026-03-02T12:00:00");
    two.there()
        .post_with("/v1/bookings", &other, &headers)
        .await
        .problem(422, "idempotency_key_reused");
}

/// Who is erased at one node opens at none, though it had their keys at hand.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_at_one_node_opens_at_none() {
    let two = Two::new().await;
    let client = two.salon.tenant.client("Astrid").await;
    let path = format!("/v1/clients/{client}");
    let known = two.there().get(&path).await.ok();
    assert!(known.text().contains("Astrid"));
    let person = two.salon.tenant.person(&client);
    let erased = two.salon.tenant.desk.tenant.ledger.erase(person).await.unwrap();
    let app = Arc::clone(&two.other.app);
    let desk = tokio::task::spawn_blocking(move || app.desk("salon").unwrap()).await.unwrap();
    // From the moment that the node has heard of it, with its leases still running.
    let mut growth = desk.tenant.log().growth();
    let heard = growth.wait_for(|size| *size > erased.fence.0);
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap().unwrap();
    let gone = two.there().get(&path).await;
    assert!(!gone.text().contains("Astrid"), "{}", gone.text());
    // And nothing can be booked for them, whatever the node remembers.
    let wish = two.salon.wish(&client, TEN, ELEVEN);
    two.there().post("/v1/bookings", &wish).await.problem(410, "erased");
    agree(&two).await;
}

/// Restricted and held at one node is so at the other, with its leases still running.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_restricted_or_held_at_one_node_is_so_at_all() {
    let two = Two::new().await;
    let client = two.salon.tenant.client("Astrid").await;
    let path = format!("/v1/clients/{client}");
    let known = two.there().get(&path).await.ok();
    assert!(known.text().contains("Astrid"));
    let here = &two.salon.tenant.admin;
    let why = json!({"ground": "objection"});
    let restricted = here.post(&format!("{path}/restrict"), &why).await.ok();
    let seen = [("tidbok-position", restricted.header("tidbok-position"))];
    let gone = two.there().send_with("GET".parse().unwrap(), &path, &Value::Null, &seen).await.ok();
    assert!(!gone.text().contains("Astrid"), "{}", gone.text());
    let wish = two.salon.wish(&client, TEN, ELEVEN);
    two.there().post("/v1/bookings", &wish).await.problem(409, "restricted");
    let claim = json!({"ground": "legal_claim"});
    here.post(&format!("{path}/hold"), &claim).await.ok();
    let ask = json!({"kind": "erasure", "client_id": client});
    two.there().post("/v1/privacy-requests", &ask).await.problem(409, "legal_hold");
    agree(&two).await;
}

/// Whoever comes later reads the whole history and goes on, while the others do.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_later_knows_everything() {
    let two = Two::new().await;
    let client = two.salon.tenant.client("Astrid").await;
    two.salon.booked(&client, TEN, ELEVEN).await;
    let third = two.one.beside(3);
    let staff = third.with_key(two.salon.tenant.staff.key());
    let wish = two.salon.wish(&client, TEN, ELEVEN);
    staff.post("/v1/bookings", &wish).await.problem(409, "slot_unavailable");
    let listed = staff.get("/v1/bookings?from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z").await;
    assert!(listed.status.is_success(), "{}", listed.text());
    agree(&two).await;
}

/// How many rows the index over tags has in its table, and up to which entry it is complete there.
fn stored(ledger: &str) -> (u64, u64) {
    let find =
        "SELECT schemaname FROM pg_tables WHERE tablename = 'tag' AND schemaname LIKE 'ledger%'";
    let schema = postgres::run(ledger, find);
    let number = |what: &str| {
        let found = postgres::run(ledger, &format!("SELECT {what} FROM \"{schema}\".head"));
        found.parse().unwrap()
    };
    (number(&format!("(SELECT count(*) FROM \"{schema}\".tag)")), number("indexed"))
}

/// That a node finds each entry under all of its tags, and nothing else; how many tags that are.
fn finds_everything(app: &Arc<gateway::App>) -> u64 {
    let desk = app.desk("salon").unwrap();
    desk.follow().unwrap();
    let log = desk.tenant.log();
    let mut by_tag: BTreeMap<Tag, Vec<Position>> = BTreeMap::new();
    for entry in log.entries(Position(0), 100_000).unwrap() {
        for tag in entry.decode().unwrap().tags {
            by_tag.entry(tag).or_default().push(entry.position);
        }
    }
    for (tag, positions) in &by_tag {
        assert_eq!(&log.positions(*tag).unwrap(), positions, "{tag:?}");
    }
    by_tag.values().map(|positions| positions.len() as u64).sum()
}

/// Rows of the index over tags wait in the memory of the node that brought them. Every node finds the
/// entries, also one that joins when the first is gone without a word, and a good end stores the rows.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_memory_is_found_at_every_node() {
    let ledger = postgres::database();
    let one = TestApp::with(Some(ledger.clone()), 1);
    let salon = one.salon("salon").await;
    let other = one.beside(2);
    let client = salon.tenant.client("Astrid").await;
    salon.booked(&client, TEN, ELEVEN).await;
    let staff = other.with_key(salon.tenant.staff.key());
    let wish = salon.wish(&client, ELEVEN, "2026-03-02T12:00:00");
    staff.post("/v1/bookings", &wish).await.created();
    drop(staff);
    let third = one.beside(3);
    tokio::task::spawn_blocking(move || {
        // Founding it was one command, and had its end.
        assert_eq!(stored(&ledger), (1, 1), "no commit brings rows");
        let size = one.app.desk("salon").unwrap().tenant.log().head().unwrap().frontier.size();
        let tags = finds_everything(&one.app);
        assert_eq!(finds_everything(&other.app), tags);
        assert_eq!(finds_everything(&third.app), tags);
        drop(third);
        assert_eq!(stored(&ledger), (1, 1), "who has committed nothing stores nothing");
        drop(other);
        assert_eq!(stored(&ledger), (tags, size));
        assert_eq!(finds_everything(&one.app), tags);
        drop((salon, one));
        assert_eq!(stored(&ledger), (tags, size), "each row once");
    })
    .await
    .unwrap();
}

/// A connection that is cut shows as an error or not at all, and nothing is lost or done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_are_cut_lose_nothing() {
    let two = Two::new().await;
    let client = two.salon.tenant.client("Astrid").await;
    let address = two.one.ledger.clone().unwrap();
    let mut booked = Vec::new();
    for round in 0..12_i64 {
        let mut callers = Vec::new();
        for number in 0..8_i64 {
            let start: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
            let start = start
                + SignedDuration::from_hours(24 * round)
                + SignedDuration::from_mins(30 * number);
            let end = start + SignedDuration::from_mins(30);
            let wish = two.salon.wish(&client, &start.to_string(), &end.to_string());
            let staff = if number % 2 == 0 { two.salon.tenant.staff.clone() } else { two.there() };
            let key = new_wish();
            callers.push(tokio::spawn(async move {
                // As a client does: the same request until it is answered.
                loop {
                    let headers = [("idempotency-key", key.as_str())];
                    let answer = staff.post_with("/v1/bookings", &wish, &headers).await;
                    match answer.status.as_u16() {
                        201 => return answer.id(),
                        _ => answer.problem(503, "unavailable"),
                    };
                }
            }));
        }
        let address = address.clone();
        let cut = tokio::task::spawn_blocking(move || {
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE pid <> pg_backend_pid() AND datname = current_database()";
            postgres::run(&address, sql)
        });
        cut.await.unwrap();
        for caller in callers {
            booked.push(caller.await.unwrap());
        }
    }
    let made = booked.len();
    booked.sort();
    booked.dedup();
    assert_eq!(booked.len(), made, "one booking for each wish");
    agree(&two).await;
    let desk = Arc::clone(&two.salon.tenant.desk);
    let bookings = tokio::task::spawn_blocking(move || {
        let entries = desk.tenant.log().entries(Position(0), 100_000).unwrap();
        let decoded = entries.iter().map(|entry| entry.decode().unwrap().recorded.event);
        decoded.filter(|event| matches!(event, domain::Event::BookingRequested(_))).count()
    });
    assert_eq!(bookings.await.unwrap(), made);
}

/// While the database is away requests are told so, and when it is back they are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_goes_and_comes_back_needs_no_restart() {
    goes_and_comes_back(|server| TestApp::with(Some(server.database()), 5)).await;
}

/// Nor where only the keyrings were there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_keyring_s_database_that_goes_and_comes_back_needs_no_restart() {
    let apart = |server: &postgres::Server| {
        TestApp::at(Some(postgres::database()), Some(server.database()), 5)
    };
    goes_and_comes_back(apart).await;
}

async fn goes_and_comes_back(on: impl FnOnce(&postgres::Server) -> TestApp) {
    let server = tokio::task::spawn_blocking(postgres::Server::new).await.unwrap();
    let app = on(&server);
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    salon.booked(&client, TEN, ELEVEN).await;
    let mut server = server;
    let server = tokio::task::spawn_blocking(move || {
        server.stop();
        server
    });
    let mut server = server.await.unwrap();
    let wish = salon.wish(&client, ELEVEN, "2026-03-02T12:00:00");
    let staff = &salon.tenant.staff;
    for _ in 0..3 {
        let away = staff.post("/v1/bookings", &wish).await.problem(503, "unavailable");
        assert!(!away.header("retry-after").is_empty());
        assert!(!away.text().contains("postgres"), "{}", away.text());
    }
    app.anybody().get("/ready").await.problem(503, "unavailable");
    staff.get(&format!("/v1/clients/{client}")).await.problem(503, "unavailable");
    let server = tokio::task::spawn_blocking(move || {
        server.start();
        server
    });
    let server = server.await.unwrap();
    staff.post("/v1/bookings", &wish).await.created();
    staff.get(&format!("/v1/clients/{client}")).await.ok();
    app.anybody().get("/ready").await.ok();
    drop(app);
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
