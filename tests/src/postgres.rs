//! A PostgreSQL server for tests: started when the first of them needs it, gone when they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The variable with the address of a server to use instead of one's own; its user may create
/// databases and roles.
const OTHER: &str = "TIDBOK_TEST_POSTGRES";

/// Where a server is to be reached.
struct Server {
    /// Everything before the database's name.
    address: String,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A new, empty database; answers its address.
pub fn database() -> String {
    let server = SERVER.get_or_init(Server::start);
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("tidbok_test_{}_{number}", std::process::id());
    let admin = format!("{}/postgres", server.address);
    run(&admin, &format!("CREATE DATABASE {name} STRATEGY file_copy"));
    format!("{}/{name}", server.address)
}

/// Runs SQL as the server's own user; answers what it prints.
pub fn run(address: &str, sql: &str) -> String {
    let ran = Command::new(programs().join("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", address, "-c", sql])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

/// The folder of the newest PostgreSQL's programs: Debian keeps them out of the path.
pub fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("Debian's package postgresql-15");
    let mut versions: Vec<PathBuf> = versions.map(|version| version.unwrap().path()).collect();
    versions.sort();
    versions.pop().unwrap().join("bin")
}

impl Server {
    fn start() -> Self {
        if let Some(address) = super::variable(OTHER) {
            let (address, _) = address.rsplit_once('/').expect("an address with a database");
            return Self { address: address.to_owned() };
        }
        let folder = tempfile::Builder::new().prefix("tidbok-postgres-").tempdir().unwrap().keep();
        give_to_postgres(&folder);
        let port = free_port();
        // Ends with the tests, however they end: then the pipe that it reads from closes.
        let script = format!(
            "{programs}/initdb -D {folder}/data -U tidbok -A trust -N --locale=C -E UTF8 \
             >{folder}/init.log 2>&1 || exit 1
             {programs}/postgres -D {folder}/data -p {port} -k {folder} \
             -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300 \
             >{folder}/log 2>&1 &
             read end
             kill -INT $!
             wait
             rm -rf {folder}",
            programs = programs().display(),
            folder = folder.display(),
        );
        let mut shell = as_postgres();
        shell.args(["sh", "-c", &script]).stdin(Stdio::piped());
        let mut child = shell.spawn().expect("a shell for PostgreSQL");
        // Kept open by being forgotten: it closes with this process.
        std::mem::forget(child.stdin.take());
        std::thread::spawn(move || child.wait());
        let server = Self { address: format!("postgres://tidbok@127.0.0.1:{port}") };
        let ready = programs().join("pg_isready");
        for _ in 0..1200 {
            let mut ask = Command::new(&ready);
            ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
            if ask.status().unwrap().success() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(log.is_empty(), "PostgreSQL did not start: {log}");
        server
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// PostgreSQL refuses to run as root.
fn as_postgres() -> Command {
    let mut command = Command::new(if is_root() { "runuser" } else { "env" });
    if is_root() {
        command.args(["-u", "postgres", "--"]);
    }
    command
}

fn give_to_postgres(folder: &Path) {
    if is_root() {
        let owned = Command::new("chown").arg("postgres").arg(folder).status().unwrap();
        assert!(owned.success());
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
