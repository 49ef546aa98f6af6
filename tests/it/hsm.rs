//! Epoch keys in an HSM, here `SoftHSM`: made there, never taken out, missed but not taken for an
//! erasure.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::program::{Said, finish};
use crate::site::{Server, Site};

const PIN: &str = "482913";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A token of its own, and an installation beside it.
struct Token(Site);

impl Deref for Token {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.0
    }
}

impl Token {
    fn new() -> Self {
        let mut site = Site::new();
        let conf = site.at("softhsm2.conf").display().to_string();
        site.env.push(("SOFTHSM2_CONF", conf));
        let site = Self(site);
        fs::create_dir(site.tokens()).unwrap();
        let conf =
            format!("directories.tokendir = {}\nlog.level = ERROR\n", site.tokens().display());
        fs::write(site.at("softhsm2.conf"), conf).unwrap();
        site.keep_pin(PIN);
        site.make_token();
        site
    }

    fn make_token(&self) {
        let mut init = Command::new("softhsm2-util");
        init.args(["--init-token", "--free", "--label", "tidbok", "--so-pin", "739125"]);
        let made =
            init.args(["--pin", PIN]).env("SOFTHSM2_CONF", self.at("softhsm2.conf")).output();
        assert!(made.unwrap().status.success());
    }

    fn tokens(&self) -> PathBuf {
        self.at("tokens")
    }

    fn keep_pin(&self, pin: &str) {
        fs::write(self.at("pin"), format!("{pin}\n")).unwrap();
        fs::set_permissions(self.at("pin"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Names the token in the key store.
    fn entrust(&self, module: &str, token: &str) -> Said {
        let pin = self.at("pin");
        let pin = pin.to_str().unwrap();
        self.run(&["keys", "hsm", "--module", module, "--token", token, "--pin-file", pin])
    }

    /// What a program of others says of the objects in the token.
    fn objects(&self) -> String {
        let mut list = Command::new("pkcs11-tool");
        list.args(["--module", MODULE, "--login", "--pin", PIN, "--list-objects"]);
        let listed = list.env("SOFTHSM2_CONF", self.at("softhsm2.conf")).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    }
}

#[test]
fn epoch_keys_are_made_in_the_hsm_and_never_leave_it() {
    let site = Token::new();
    site.entrust(MODULE, "tidbok").ended(0);
    let ids = site.inn();
    assert_eq!(site.epoch_files(), [""; 0].map(str::to_owned));
    let objects = site.objects();
    for said in ["AES length 32", "never extractable", "always sensitive", "wrap, unwrap"] {
        assert!(objects.contains(said), "{said} is not in: {objects}");
    }
    for other in ["encrypt", "decrypt", "sign,", "verify"] {
        assert!(!objects.contains(other), "{objects}");
    }
    // The day goes on as without one: opening, rotating, erasing.
    let key = site.admin();
    let server = Server::on(&site);
    assert!(server.shows_the_name(&key, &ids[0]));
    drop(server);
    let rotated = site.run(&["--json", "keys", "rotate", "--window", "0"]).ended(0).json();
    assert_eq!(rotated["epoch"], 2);
    assert_eq!(site.objects().matches("Secret Key Object").count(), 2);
    site.run(&["erase", "--tenant", "inn", "--person", &ids[0]]).ended(0);
    site.run(&["audit", "verify", "--tenant", "inn"]).ended(0);
    assert_eq!(site.epoch_files(), [""; 0].map(str::to_owned));
}

#[test]
fn a_key_store_moves_into_an_hsm_with_a_rotation() {
    let site = Token::new();
    let ids = site.inn();
    let key = site.admin();
    assert_eq!(site.epoch_files(), ["epoch-1.key"]);
    site.entrust(MODULE, "tidbok").ended(0);
    site.entrust(MODULE, "tidbok").ended(0);
    let rotated = site.run(&["--json", "keys", "rotate"]).ended(0).json();
    assert_eq!(rotated["epoch"], 2);
    assert_eq!(site.epoch_files(), ["epoch-1.key"], "its window is not over");
    // Another token of the same name is not it: the first key does not stand in for the second.
    fs::rename(site.tokens(), site.at("away")).unwrap();
    fs::create_dir(site.tokens()).unwrap();
    site.make_token();
    let other = site.run(&["keys", "rotate"]).ended(1).error;
    assert!(other.contains("lacks the store's newest key"), "{other}");
    fs::remove_dir_all(site.tokens()).unwrap();
    fs::rename(site.at("away"), site.tokens()).unwrap();
    // What was read under the first key hangs on the second now.
    fs::remove_file(site.keys().join("epoch-1.key")).unwrap();
    let server = Server::on(&site);
    assert!(server.shows_the_name(&key, &ids[1]));
}

/// Away, it is missed with a reason; nobody is taken for erased, and nothing needs a restart.
#[test]
fn an_hsm_that_is_away_is_no_erasure() {
    let site = Token::new();
    site.entrust(MODULE, "tidbok").ended(0);
    let ids = site.inn();
    let key = site.admin();
    let server = Server::on(&site);
    assert!(server.shows_the_name(&key, &ids[0]));
    fs::rename(site.tokens(), site.at("away")).unwrap();
    let why = server.wait_for(503, "/ready", "");
    assert_eq!(why["reasons"], json!(["key_store: hsm_unusable"]), "{why}");
    let said = site.run(&["keys", "status"]).ended(1).error;
    assert!(said.contains("HSM") || said.contains("tenant"), "{said}");
    fs::rename(site.at("away"), site.tokens()).unwrap();
    server.wait_for(200, "/ready", "");
    assert!(server.shows_the_name(&key, &ids[0]));
    drop(server);
    fs::rename(site.tokens(), site.at("away")).unwrap();
    let mut serve = site.command(&["serve", "--listen", "127.0.0.1:0"]);
    let refused = finish(&mut serve).ended(1).error;
    assert!(refused.contains("the HSM cannot be used"), "{refused}");
    fs::rename(site.at("away"), site.tokens()).unwrap();
    site.run(&["audit", "verify", "--tenant", "inn"]).ended(0);
}

#[test]
fn what_is_wrong_with_an_hsm_is_said() {
    let site = Token::new();
    let no_module = site.entrust("/nowhere/module.so", "tidbok").ended(1).error;
    assert!(no_module.contains("the HSM cannot be used"), "{no_module}");
    let no_token = site.entrust(MODULE, "other").ended(1).error;
    assert!(no_token.contains("there is no token other"), "{no_token}");
    site.keep_pin("000000");
    let wrong = site.entrust(MODULE, "tidbok").ended(1).error;
    assert!(wrong.contains("refuses the PIN in") && !wrong.contains("000000"), "{wrong}");
    site.keep_pin(PIN);
    fs::set_permissions(site.at("pin"), fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = site.entrust(MODULE, "tidbok").ended(1).error;
    assert!(exposed.contains("may be read by others"), "{exposed}");
    assert!(!site.keys().exists(), "nothing is made before the HSM was used");
    site.keep_pin(PIN);
    site.entrust(MODULE, "tidbok").ended(0);
    // Beside data, a store is not made anew.
    site.inn();
    let moved = site.at("elsewhere");
    fs::rename(site.keys(), &moved).unwrap();
    let beside = site.entrust(MODULE, "tidbok").ended(2).error;
    assert!(beside.contains("no key store"), "{beside}");
    assert!(Path::new(&moved).exists());
}
