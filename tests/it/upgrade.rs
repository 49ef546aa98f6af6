//! Schemas of earlier programs: a tenant is brought to this one's when it is next opened.

use std::fs;

use eventstore::keyring::bundle::{self, Wrapping};
use eventstore::keyring::key::Key;
use eventstore::keyring::provider::{Epoch, KeyStore, Provider};
use rusqlite::Connection;
use serde_json::{Value, json};
use system_tests::{database, on_postgres, postgres};

use crate::processes::call;
use crate::program::LEDGER;
use crate::site::{Server, Site};

/// What undoes the versions after the second, but for the rows that only keys can undo.
const SECOND: &str = "DROP INDEX api_key_of_person;
    DROP INDEX privacy_request_of_person;
    DROP INDEX notice_of_person;
    DELETE FROM lookup;
    ALTER TABLE lookup ADD COLUMN kind {number} NOT NULL DEFAULT 0;
    CREATE INDEX lookup_of_person ON lookup (person);
    ALTER TABLE retired_key RENAME TO person_key;
    ALTER TABLE person DROP COLUMN keys;
    ALTER TABLE person DROP COLUMN lookups;";

/// What undoes the second version, as the first was.
const FIRST: &str = "DROP INDEX privacy_request_open;
    ALTER TABLE privacy_request DROP COLUMN course;
    ALTER TABLE privacy_request DROP COLUMN receipt;
    ALTER TABLE api_key DROP COLUMN recipient;
    DROP TABLE given;
    DROP TABLE notice;";

/// A tenant's tables, wherever they are.
enum Tables<'a> {
    File(Connection),
    Schema(&'a str, String),
}

impl Tables<'_> {
    /// Rows of texts, numbers as they are written.
    fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::File(file) => {
                let mut select = file.prepare(sql).unwrap();
                let columns = select.column_count();
                let row = |row: &rusqlite::Row<'_>| (0..columns).map(|n| row.get(n)).collect();
                select.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
            }
            Self::Schema(address, schema) => {
                let told = postgres::run(address, &format!("SET search_path = {schema}; {sql}"));
                let row = |line: &str| line.split('|').map(str::to_owned).collect();
                told.lines().map(row).collect()
            }
        }
    }

    fn run(&self, sql: &str) {
        match self {
            Self::File(file) => file.execute_batch(sql).unwrap(),
            Self::Schema(address, schema) => {
                postgres::run(address, &format!("SET search_path = {schema}; {sql}"));
            }
        }
    }

    fn hex(&self, column: &str) -> String {
        match self {
            Self::File(_) => format!("hex({column})"),
            Self::Schema(..) => format!("encode({column}, 'hex')"),
        }
    }

    fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::File(_) => format!("x'{hex}'"),
            Self::Schema(..) => format!("'\\x{hex}'"),
        }
    }

    /// Each of a person's keys in a row of its own again, and what they are found by with its kind.
    fn second(&self, store: &KeyStore) {
        let hex = |column| self.hex(column);
        let sql = format!("SELECT CAST(epoch AS text), {} FROM tenant_key", hex("wrapped"));
        let tenant_keys = self.rows(&sql);
        let tenant_keys = tenant_keys.iter().map(|row| {
            let epoch: u32 = row[0].parse().unwrap();
            (epoch, store.unwrap(Epoch(epoch), &unhex(&row[1])).unwrap())
        });
        let tenant_keys: Vec<(u32, Key)> = tenant_keys.collect();
        let under = tenant_keys.iter().map(|(epoch, key)| Wrapping::new(*epoch, key));
        let under: Vec<Wrapping> = under.collect();
        let (keys, lookups) = (hex("keys"), hex("lookups"));
        let persons = self.rows(&format!(
            "SELECT CAST(id AS text), {keys}, {lookups} FROM person WHERE keys IS NOT NULL"
        ));
        self.run(&SECOND.replace("{number}", self.number()));
        for row in persons {
            let (person, wrapped) = (row[0].parse().unwrap(), unhex(&row[1]));
            let epoch = bundle::epoch(&wrapped).unwrap();
            let (_, tenant_key) = tenant_keys.iter().find(|(of, _)| *of == epoch).unwrap();
            for held in bundle::open(&wrapped, person, &under).unwrap() {
                let key = self.bytes(&tenant_key.wrap(&held.key));
                let class = held.class;
                self.run(&format!("INSERT INTO person_key VALUES ({person}, {class}, {key})"));
            }
            for entry in unhex(&row[2]).chunks(18) {
                let (kind, value) = (i16::from_be_bytes([entry[0], entry[1]]), &entry[2..]);
                let (value, into) = (self.bytes(value), "lookup (value, person, kind)");
                self.run(&format!("INSERT INTO {into} VALUES ({value}, {person}, {kind})"));
            }
        }
    }

    fn number(&self) -> &'static str {
        match self {
            Self::File(_) => "INTEGER",
            Self::Schema(..) => "int2",
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let (digits, _) = text.as_bytes().as_chunks::<2>();
    let byte = |two: &[u8; 2]| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap();
    digits.iter().map(byte).collect()
}

/// Leaves the data as a program of an earlier version would have.
fn go_back(site: &Site, ledger: Option<&str>, version: u32) {
    let store = KeyStore::open(&site.keys()).unwrap();
    let back = |tables: Tables<'_>| {
        tables.second(&store);
        if version == 1 {
            tables.run(FIRST);
        }
        if let Tables::File(file) = tables {
            file.pragma_update(None, "user_version", version).unwrap();
        }
    };
    if let Some(address) = ledger {
        let schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%keyring_%'";
        for schema in postgres::run(address, schemas).lines() {
            back(Tables::Schema(address, schema.to_owned()));
        }
        postgres::run(address, &format!("UPDATE tidbok.tenant SET version = {version}"));
        return;
    }
    for file in ["ledger.sqlite", "access.sqlite"] {
        let path = site.at("data").join("tenants/inn").join(file);
        back(Tables::File(Connection::open(path).unwrap()));
    }
}

/// What was there is there, what is new works, and nobody waits for a receipt from before.
#[test]
fn a_tenant_of_the_first_version_goes_on_under_this_one() {
    let (site, ledger) = (Site::new(), database());
    if let Some(address) = &ledger {
        fs::write(site.at(LEDGER), address).unwrap();
    }
    let guests = site.inn();
    let said = |args: &[&str]| site.run(&[&["--json"], args].concat()).ended(0).json();
    let erase =
        |n: usize| said(&["erase", "--tenant", "inn", "--person", &guests[n], "--cancel-open"]);
    erase(0);
    go_back(&site, ledger.as_deref(), 1);

    let states = || -> Vec<Value> {
        let listed = said(&["request", "list", "--tenant", "inn"]);
        listed.as_array().unwrap().iter().map(|row| row["state"].clone()).collect()
    };
    assert_eq!(states(), ["done"]);
    erase(1);
    assert_eq!(states(), ["done", "done"]);
    said(&["audit", "verify", "--tenant", "inn"]);
}

/// However many persons a tenant has: no step of the upgrade is ended because it takes long.
#[test]
fn a_large_tenant_has_the_time_that_its_upgrade_takes() {
    if !on_postgres() {
        return;
    }
    let (site, address) = (Site::new(), database().unwrap());
    fs::write(site.at(LEDGER), &address).unwrap();
    site.inn();
    go_back(&site, Some(&address), 2);
    let databases = [Some(address.clone()), system_tests::keyring_of(Some(&address))];
    for database in databases.into_iter().flatten() {
        let schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%keyring_%'";
        for schema in postgres::run(&database, schemas).lines() {
            postgres::run(
                &database,
                &format!(
                    "CREATE OR REPLACE FUNCTION public.large() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN IF current_setting('statement_timeout') <> '0' THEN
                     RAISE EXCEPTION 'this takes longer' USING ERRCODE = '57014'; END IF;
                     RETURN NEW; END $$;
                     CREATE TRIGGER large BEFORE UPDATE ON {schema}.person
                     FOR EACH ROW EXECUTE FUNCTION public.large()"
                ),
            );
        }
    }
    site.run(&["key", "list", "--tenant", "inn"]).ended(0);
}

/// Keys that each have a row are read, wrapped as one by a rotation, and end with their person,
/// before it and after.
#[test]
fn a_tenant_of_the_second_version_reads_rotates_and_erases() {
    let (site, ledger) = (Site::new(), database());
    if let Some(address) = &ledger {
        fs::write(site.at(LEDGER), address).unwrap();
    }
    let (guests, admin) = (site.inn(), site.admin());
    let said = |args: &[&str]| site.run(&[&["--json"], args].concat()).ended(0).json();
    let erase = |id: &str| said(&["erase", "--tenant", "inn", "--person", id, "--cancel-open"]);
    said(&["keys", "rotate"]);
    go_back(&site, ledger.as_deref(), 2);
    let verify =
        || assert_eq!(said(&["audit", "verify", "--tenant", "inn"])["findings"], json!([]));
    verify();

    let found = |server: &Server, email: &Value| -> Vec<Value> {
        let ask = json!({"email": email}).to_string();
        let path = "/v1/clients/search";
        let (status, body) = call(server.address, &admin, "POST", path, &ask).unwrap();
        assert_eq!(status, 200, "{body}");
        body["data"].as_array().unwrap().iter().map(|client| client["id"].clone()).collect()
    };
    let mails: Vec<Value> = {
        let server = Server::on(&site);
        let client = |id| server.wait_for(200, &format!("/v1/clients/{id}"), &admin);
        guests.iter().map(|id| client(id)["contact"]["email"].clone()).collect()
    };
    let check = |left: &[usize]| {
        let server = Server::on(&site);
        for (n, id) in guests.iter().enumerate() {
            let there = left.contains(&n);
            assert_eq!(found(&server, &mails[n]), if there { vec![json!(id)] } else { vec![] });
            assert!(!there || server.shows_the_name(&admin, id));
        }
        drop(server);
        verify();
    };
    check(&[0, 1, 2]);
    erase(&guests[0]);
    check(&[1, 2]);
    said(&["keys", "rotate"]);
    check(&[1, 2]);
    erase(&guests[1]);
    check(&[2]);
}
