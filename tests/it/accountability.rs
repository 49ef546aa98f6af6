//! Nobody reads personal data without leaving a record, and who cannot leave one reads nothing.

use domain::ledger::{Opened, ReadPurpose};
use domain::{Actor, Event, Position, Recorded, RetentionClass};
use serde_json::json;
use system_tests::{Salon, TestApp, postgres};

const TEN: &str = "2026-03-02T10:00:00";
const ELEVEN: &str = "2026-03-02T11:00:00";

/// Everything in the ledger of accesses.
fn records(salon: &Salon) -> Vec<Recorded> {
    let access = salon.tenant.desk.tenant.access().unwrap();
    let entries = access.log().entries(Position(0), 1000).unwrap();
    entries.iter().map(|entry| entry.decode().unwrap().recorded).collect()
}

#[track_caller]
fn opened(record: &Recorded) -> &Opened {
    let Event::SealsOpened(opened) = &record.event else { panic!("{:?}", record.event) };
    opened
}

/// F69: every reading says who, why, what and how many; whom only inside a seal.
#[tokio::test]
async fn whoever_reads_leaves_a_record() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let (id, own) = salon.tenant.client_with_key("Astrid").await;
    let before = records(&salon).len();
    salon.tenant.staff.get(&format!("/v1/clients/{id}")).await.ok();
    own.get("/v1/me").await.ok();
    let after = records(&salon);
    let [by_staff, by_herself] = &after[before..] else { panic!("{} records", after.len()) };
    assert!(matches!(by_staff.actor, Actor::Key(_)));
    assert_eq!(by_staff.recorded_at, app.app.env.clock.now());
    assert_eq!(opened(by_staff).classes, [RetentionClass::Contact]);
    assert_eq!(opened(by_staff).count, 1);
    assert_eq!(opened(by_herself).purpose, ReadPurpose::OwnAccount);
}

/// F69: a record names nobody in the clear.
#[tokio::test]
async fn a_record_names_nobody_in_the_clear() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    let search = json!({"email": "astrid@example.org"});
    salon.tenant.staff.post("/v1/clients/search", &search).await.ok();
    let access = salon.tenant.desk.tenant.access().unwrap();
    let entries = access.log().entries(Position(0), 1000).unwrap();
    assert!(!entries.is_empty());
    for entry in entries {
        let text = String::from_utf8_lossy(&entry.bytes).into_owned();
        assert!(!text.contains(&id) && !text.contains("strid"), "{text}");
    }
}

/// The ledger of who read what, out of the program's hands.
enum Access {
    File(rusqlite::Connection),
    /// The database, with the table and the role of its writer.
    Server {
        address: String,
        table: String,
        role: String,
    },
}

impl Access {
    fn of(app: &TestApp, salon: &Salon) -> Self {
        let folder = salon.tenant.desk.tenant.folder();
        match app.ledger.clone() {
            None => Self::File(rusqlite::Connection::open(folder.join("access.sqlite")).unwrap()),
            Some(address) => {
                let id = folder.file_name().unwrap().to_str().unwrap();
                let (table, role) = (format!("access_{id}.entry"), format!("tidbok_{id}"));
                Self::Server { address, table, role }
            }
        }
    }

    fn refuse(&self) {
        match self {
            Self::File(file) => {
                let refuse = "CREATE TRIGGER no_room BEFORE INSERT ON entry \
                              BEGIN SELECT RAISE(ABORT, 'no room'); END";
                file.execute_batch(refuse).unwrap();
            }
            Self::Server { address, table, role } => {
                postgres::run(address, &format!("REVOKE INSERT ON {table} FROM {role}"));
            }
        }
    }

    fn accept(&self) {
        match self {
            Self::File(file) => file.execute_batch("DROP TRIGGER no_room").unwrap(),
            Self::Server { address, table, role } => {
                postgres::run(address, &format!("GRANT INSERT ON {table} TO {role}"));
            }
        }
    }
}

/// F69: where the record is lost, the reading is refused.
#[tokio::test]
async fn what_cannot_be_recorded_is_not_read() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    let access = Access::of(&app, &salon);
    access.refuse();
    let staff = &salon.tenant.staff;
    let refused = staff.get(&format!("/v1/clients/{id}")).await.problem(503, "unavailable");
    assert!(!refused.text().contains("strid"));
    access.accept();
    staff.get(&format!("/v1/clients/{id}")).await.ok();
}

/// Whoever counts and reads history opens nothing, so there is nothing to record.
#[tokio::test]
async fn an_auditor_opens_nothing() {
    let app = TestApp::default();
    let salon = app.salon("salon").await;
    let id = salon.tenant.client("Astrid").await;
    salon.booked(&id, TEN, ELEVEN).await;
    let before = records(&salon).len();
    let auditor = &salon.tenant.auditor;
    auditor.get("/v1/audit/events").await.ok();
    auditor.get("/v1/statistics").await.ok();
    assert_eq!(records(&salon).len(), before);
}
