//! The program `tidbok` as a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The program's file. Cargo builds it once for a run of tests; where it is fresh that is nothing.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // This binary lies in target/PROFILE/deps.
        let this = std::env::current_exe().unwrap();
        let folder = this.ancestors().nth(2).unwrap();
        let (target, profile) = (folder.parent().unwrap(), folder.file_name().unwrap());
        let profile = if profile == "debug" { "dev".as_ref() } else { profile };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--workspace", "--bin", "tidbok"])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .arg("--profile")
            .arg(profile)
            .status();
        assert!(built.unwrap().success(), "the program cannot be built");
        folder.join("tidbok")
    })
}

/// The name of the file that says where the ledgers of a data directory are.
pub(crate) const LEDGER: &str = "ledger";

/// The program as nobody has set it up.
pub(crate) fn bare() -> Command {
    let mut command = Command::new(program());
    command.env_remove("TIDBOK_DATA").env_remove("TIDBOK_KEYS").env_remove("TIDBOK_LISTEN");
    command.env_remove("TIDBOK_LEDGER").env_remove("TIDBOK_KEYRING");
    command
}

/// The program with its data directory and these arguments.
pub(crate) fn tidbok(data: &Path, args: &[&str]) -> Command {
    let mut command = bare();
    // Beside data whose ledgers are in a database lies its address.
    if let Ok(address) = fs::read_to_string(data.with_file_name(LEDGER)) {
        if let Some(keyring) = system_tests::keyring_of(Some(&address)) {
            command.env("TIDBOK_KEYRING", keyring);
        }
        command.env("TIDBOK_LEDGER", address);
    }
    command.arg("--data").arg(data).args(args);
    command
}

/// Starts the program; nobody listens to what it says.
pub(crate) fn start(data: &Path, args: &[&str]) -> Child {
    tidbok(data, args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs the program to its end.
pub(crate) fn run(data: &Path, args: &[&str]) -> Said {
    finish(&mut tidbok(data, args))
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, error) = (text(output.stdout), text(output.stderr));
    Said { code: output.status.code().unwrap(), out, error }
}

/// What the program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Said {
    /// That it ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// The one JSON value that stands on standard output, and nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
