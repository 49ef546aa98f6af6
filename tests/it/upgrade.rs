//! Schemas of earlier programs: a tenant is brought to this one's when it is next opened.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use system_tests::{database, postgres};

use crate::program::LEDGER;
use crate::site::Site;

/// What undoes the second version, as the first was.
const FIRST: &str = "DROP INDEX privacy_request_open;
    ALTER TABLE privacy_request DROP COLUMN course;
    ALTER TABLE privacy_request DROP COLUMN receipt;
    ALTER TABLE api_key DROP COLUMN recipient;
    DROP TABLE given;
    DROP TABLE notice;";

/// Leaves the data as a program of the first version would have.
fn go_back(data: &Path, ledger: Option<&str>) {
    if let Some(address) = ledger {
        let schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%keyring_%'";
        for schema in postgres::run(address, schemas).lines() {
            postgres::run(address, &format!("SET search_path = {schema}; {FIRST}"));
        }
        postgres::run(address, "UPDATE tidbok.tenant SET version = 1");
        return;
    }
    for file in ["ledger.sqlite", "access.sqlite"] {
        let conn = Connection::open(data.join("tenants/inn").join(file)).unwrap();
        conn.execute_batch(FIRST).unwrap();
        conn.pragma_update(None, "user_version", 1).unwrap();
    }
}

/// What was there is there, what is new works, and nobody waits for a receipt from before.
#[test]
fn a_tenant_of_the_first_version_goes_on_under_the_second() {
    let (site, ledger) = (Site::new(), database());
    if let Some(address) = &ledger {
        fs::write(site.at(LEDGER), address).unwrap();
    }
    let guests = site.inn();
    let said = |args: &[&str]| site.run(&[&["--json"], args].concat()).ended(0).json();
    let erase =
        |n: usize| said(&["erase", "--tenant", "inn", "--person", &guests[n], "--cancel-open"]);
    erase(0);
    go_back(&site.at("data"), ledger.as_deref());

    let states = || -> Vec<Value> {
        let listed = said(&["request", "list", "--tenant", "inn"]);
        listed.as_array().unwrap().iter().map(|row| row["state"].clone()).collect()
    };
    assert_eq!(states(), ["done"]);
    erase(1);
    assert_eq!(states(), ["done", "done"]);
    said(&["audit", "verify", "--tenant", "inn"]);
}
