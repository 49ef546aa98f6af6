//! A database that is brought back from PostgreSQL's own backup and archive: to the end nothing is
//! lost, to an earlier point nothing is pretended.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use system_tests::postgres::{self, Server};
use tempfile::TempDir;

use crate::erasure::{STAYS, stays};
use crate::program::{LEDGER, Said, run};

/// An installation whose ledgers are in a database of a server that archives.
struct Site {
    folder: TempDir,
}

impl Site {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn on(&self, address: &str) {
        fs::write(self.at(LEDGER), address).unwrap();
    }

    fn run(&self, args: &[&str]) -> Said {
        run(&self.at("data"), args)
    }

    fn json(&self, args: &[&str]) -> Value {
        self.run(&[&["--json"], args].concat()).ended(0).json()
    }

    fn states(&self) -> Vec<(String, String)> {
        let listed = self.json(&["clients", "list", "--tenant", "inn"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let clients = listed.as_array().unwrap().iter();
        clients.map(|client| (text(&client["id"]), text(&client["state"]))).collect()
    }

    fn counts(&self) -> Value {
        self.json(&["stats", "--tenant", "inn", "--by", "group,outcome"])
    }

    fn erase(&self, id: &str) {
        self.json(&["erase", "--tenant", "inn", "--person", id]);
    }
}

/// How many clients are erased, and that the ledger is sound.
fn erased(site: &Site) -> usize {
    site.json(&["audit", "verify", "--tenant", "inn"]);
    site.states().iter().filter(|(_, state)| state == "erased").count()
}

#[test]
fn a_database_brought_back_to_a_point_in_time_forgets_no_erasure() {
    let mut server = Server::archiving();
    let address = server.database();
    let (_, database) = address.rsplit_once('/').unwrap();
    let site = Site { folder: TempDir::new().unwrap() };
    site.on(&address);
    site.run(&["tenant", "create", "inn", "--zone", "Europe/Stockholm"]).ended(0);
    fs::write(site.at("stays.csv"), stays(24, 6)).unwrap();
    fs::write(site.at("stays.toml"), STAYS).unwrap();
    let (file, mapping) = (site.at("stays.csv"), site.at("stays.toml"));
    let (file, mapping) = (file.to_str().unwrap(), mapping.to_str().unwrap());
    site.json(&["import", file, "--mapping", mapping, "--tenant", "inn"]);
    let ids: Vec<String> = site.states().into_iter().map(|(id, _)| id).collect();
    let counts = site.counts();

    server.base_backup();
    site.erase(&ids[0]);
    postgres::run(&address, "SELECT pg_create_restore_point('between')");
    site.erase(&ids[1]);
    server.archived();
    server.stop();

    // To the end of the archive: everything is there, and the erased are not.
    let end = server.recovered(None);
    site.on(&end.address_of(database));
    assert_eq!((erased(&site), site.counts()), (2, counts.clone()));

    // To a point before the second erasure: it is older than what was promised, and says so.
    let then = server.recovered(Some("between"));
    site.on(&then.address_of(database));
    let refused = site.run(&["stats", "--tenant", "inn"]).ended(1).error;
    assert!(refused.contains("older than what was promised"), "{refused}");
    let taken = site.json(&["restore", "--tenant", "inn", "--accept-loss"]);
    assert_eq!(taken["fences_set_again"], 1, "{taken}");
    assert_eq!((erased(&site), site.counts()), (2, counts));
    let live: Vec<String> =
        site.states().into_iter().filter(|(_, state)| state == "live").map(|(id, _)| id).collect();
    assert_eq!(live, ids[2..]);
}
