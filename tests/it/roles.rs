//! What a tenant's role may do on a server, and that tenants which share connections are kept apart.

use domain::Position;
use eventstore::ledger::audit::verify;
use serde_json::json;
use system_tests::{Salon, TestApp, postgres};

/// How many connections a node keeps at most: with more tenants some share one.
const CONNECTIONS: usize = 16;

/// The role and the schemas of a tenant.
struct Own {
    role: String,
    ledger: String,
    keyring: String,
}

impl Own {
    /// Of each tenant in a database, the oldest first.
    fn all(address: &str) -> Vec<Self> {
        let find = "SELECT substr(nspname, 8) FROM pg_namespace WHERE nspname LIKE 'ledger_%'
                    ORDER BY oid";
        let ids = postgres::run(address, find);
        let own = |id: &str| Self {
            role: format!("tidbok_{id}"),
            ledger: format!("ledger_{id}"),
            keyring: format!("keyring_{id}"),
        };
        ids.lines().map(own).collect()
    }
}

/// A role adds entries and reads its own; it changes none, removes none, and reaches nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_reads_and_adds_what_is_its_tenants_and_no_more() {
    let address = postgres::database();
    let app = TestApp::at(Some(address.clone()), None, 1);
    for name in ["one", "other"] {
        app.tenant(name).await;
    }
    let own = Own::all(&address);
    let [one, other] = own.as_slice() else { panic!("{} tenants", own.len()) };
    let as_one = |sql: &str| postgres::run(&address, &format!("SET ROLE {}; {sql}", one.role));
    let Own { ledger, keyring, .. } = one;
    as_one(&format!("SELECT count(*) FROM {ledger}.entry"));
    as_one(&format!("BEGIN; INSERT INTO {ledger}.entry VALUES (1000000, '', ''); ROLLBACK"));
    for refused in [
        format!("UPDATE {ledger}.entry SET bytes = ''"),
        format!("DELETE FROM {ledger}.entry"),
        format!("TRUNCATE {ledger}.entry"),
        format!("ALTER TABLE {ledger}.entry DISABLE TRIGGER ALL"),
        format!("DROP TABLE {keyring}.person"),
        format!("PERFORM 1 FROM {}.entry", other.ledger),
        format!("INSERT INTO {}.entry VALUES (1000000, '', '')", other.ledger),
        format!("PERFORM 1 FROM {}.data_key", other.keyring),
    ] {
        // For want of the right, and not by a trigger or a mistake in the statement.
        as_one(&format!(
            "DO $$ BEGIN {refused}; RAISE EXCEPTION 'this was allowed';
             EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
        ));
    }
}

/// Hours of some days, each of which is booked once.
const DAYS: [&str; 3] = ["2026-03-02", "2026-03-03", "2026-03-04"];
const HOURS: [(&str, &str); 2] = [("10:00:00", "11:00:00"), ("11:00:00", "12:00:00")];

async fn book(salon: &Salon, client: &str, day: &str) {
    for (from, to) in HOURS {
        salon.booked(client, &format!("{day}T{from}"), &format!("{day}T{to}")).await;
    }
}

/// Each writes its own ledger, whoever wrote on the same connection before; and what is no tenant's is
/// still done between them.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_that_share_a_connection_write_each_their_own_ledger() {
    let app = TestApp::at(Some(postgres::database()), None, 1);
    let mut salons = Vec::new();
    for number in 0..=CONNECTIONS {
        let salon = app.salon(&format!("salon-{number}")).await;
        let client = salon.tenant.client(&format!("Astrid{number}")).await;
        salons.push((salon, client));
    }
    for day in DAYS {
        for (salon, client) in &salons {
            book(salon, client, day).await;
        }
        app.tenant(&format!("founded-after-{day}")).await;
    }
    for (number, (salon, _)) in salons.iter().enumerate() {
        let all = "/v1/bookings?from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z";
        let listed = salon.tenant.staff.get(all).await.ok().text();
        let own = listed.matches(&format!("\"Astrid{number}\"")).count();
        assert_eq!((own, listed.matches("Astrid").count()), (6, 6), "{listed}");
        let log = salon.tenant.desk.tenant.log();
        let mut frontier = eventstore::tree::Frontier::default();
        for entry in log.entries(Position(0), 1000).unwrap() {
            frontier.push(eventstore::tree::leaf_hash(&entry.bytes));
        }
        assert_eq!(frontier.root(), log.head().unwrap().frontier.root());
    }
}

/// As when a tenant was taken away and came back while connections still acted for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_made_anew_is_taken_on_anew() {
    let address = postgres::database();
    let app = TestApp::at(Some(address.clone()), None, 1);
    let salon = app.salon("one").await;
    let client = salon.tenant.client("Astrid").await;
    book(&salon, &client, DAYS[0]).await;
    let own = Own::all(&address);
    let [Own { role, ledger, keyring }] = own.as_slice() else { panic!("{} tenants", own.len()) };
    let schemas = format!("{ledger}, {keyring}, {}", ledger.replace("ledger", "access"));
    let schemas = format!("{schemas}, {}", ledger.replace("ledger", "access_keyring"));
    postgres::run(
        &address,
        &format!(
            "DROP OWNED BY {role}; DROP ROLE {role}; CREATE ROLE {role} NOLOGIN NOINHERIT;
             GRANT USAGE ON SCHEMA {schemas} TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schemas} TO {role}"
        ),
    );
    book(&salon, &client, DAYS[1]).await;
}

/// An erasure whose commit the server refuses at its very end has not happened, here or in memory: what is
/// booked next stands where the ledger ends, and the erasure is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_refused_at_its_end_leaves_no_gap() {
    let address = postgres::database();
    let app = TestApp::at(Some(address.clone()), None, 1);
    let salon = app.salon("salon").await;
    let client = salon.tenant.client("Astrid").await;
    let other = salon.tenant.client("Birger").await;
    let ledger = &Own::all(&address)[0].ledger;
    postgres::run(
        &address,
        &format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
             CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {ledger}.entry
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        ),
    );
    let erasure = json!({"kind": "erasure", "client_id": client});
    salon.tenant.staff.post("/v1/privacy-requests", &erasure).await.is(503);
    postgres::run(&address, &format!("DROP TRIGGER refuse ON {ledger}.entry"));
    salon.booked(&other, "2026-03-02T09:00:00", "2026-03-02T10:00:00").await;
    salon.booked(&client, "2026-03-02T10:00:00", "2026-03-02T11:00:00").await;
    let report = tokio::task::block_in_place(|| {
        verify(salon.tenant.desk.tenant.log(), &mut |_, _| ()).unwrap()
    });
    assert!(report.is_clean(), "{report:?}");
    let erasure = json!({"kind": "erasure", "client_id": client, "cancel_open_bookings": true});
    let asked = salon.tenant.staff.post("/v1/privacy-requests", &erasure).await.is(202);
    assert_eq!(asked.body["state"], "done", "{}", asked.text());
}
