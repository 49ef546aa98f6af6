//! A PostgreSQL server for tests: started when the first of them needs it, gone when they are.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The variable with the address of a server to use instead of one's own; its user may create
/// databases and roles.
const OTHER: &str = "TIDBOK_TEST_POSTGRES";

static SHARED: OnceLock<String> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A new, empty database; answers its address.
pub fn database() -> String {
    let server = SHARED.get_or_init(|| match super::variable(OTHER) {
        Some(address) => {
            let (server, _) = address.rsplit_once('/').expect("an address with a database");
            server.to_owned()
        }
        None => {
            // Ends with the tests, however they end: then the pipe that it reads from closes.
            let server = Server::new();
            let address = server.address();
            std::mem::forget(server);
            address
        }
    });
    database_at(server)
}

fn database_at(server: &str) -> String {
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("tidbok_test_{}_{number}", std::process::id());
    run(&format!("{server}/postgres"), &format!("CREATE DATABASE {name} STRATEGY file_copy"));
    let address = format!("{server}/{name}");
    if super::keyring_of(Some(&address)).is_some() {
        let keyrings = format!("CREATE DATABASE {name}_keyrings STRATEGY file_copy");
        run(&format!("{server}/postgres"), &keyrings);
    }
    address
}

/// The database beside another in which its keyrings are, where they are apart.
pub fn beside(ledger: &str) -> String {
    format!("{ledger}_keyrings")
}

/// A copy of a database as it is now, in another; answers its address.
pub fn copy_of(address: &str) -> String {
    let copy = database();
    let mut dump = Command::new(programs().join("pg_dump"));
    let mut dump = dump.args(["-d", address]).stdout(Stdio::piped()).spawn().unwrap();
    let mut put = Command::new(programs().join("psql"));
    put.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &copy]);
    let put = put.stdin(dump.stdout.take().unwrap()).stdout(Stdio::null()).status();
    assert!(put.unwrap().success() && dump.wait().unwrap().success());
    copy
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

/// As [`run`], where nobody may be there to answer.
pub fn ask(address: &str, sql: &str) -> Option<String> {
    let ran = Command::new(programs().join("psql"))
        .args(["-X", "-q", "-A", "-t", "-d", address, "-c", sql])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
    ran.status.success().then_some(said)
}

/// The folder of the newest PostgreSQL's programs: Debian keeps them out of the path.
pub fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("Debian's package postgresql-15");
    let mut versions: Vec<PathBuf> = versions.map(|version| version.unwrap().path()).collect();
    versions.sort();
    versions.pop().unwrap().join("bin")
}

/// A server of a test's own, to be stopped and started.
pub struct Server {
    folder: PathBuf,
    port: u16,
    /// What it is told beyond what every server is.
    settings: Vec<String>,
    running: Option<Child>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    pub fn new() -> Self {
        Self::made(folder(), Vec::new())
    }

    /// One that archives its log into a folder of its own.
    pub fn archiving() -> Self {
        let folder = folder();
        let archive = folder.join("archive");
        fs::create_dir(&archive).unwrap();
        give_to_postgres(&archive);
        let keep = format!("archive_command=cp %p {}/%f", archive.display());
        Self::made(folder, vec!["archive_mode=on".to_owned(), keep])
    }

    /// One that commits with no other.
    pub fn without_prepared() -> Self {
        Self::made(folder(), vec!["max_prepared_transactions=0".to_owned()])
    }

    /// What the archive holds reaches up to now, and is whole.
    pub fn archived(&self) {
        let address = format!("{}/postgres", self.address());
        let last = run(&address, "SELECT pg_walfile_name(pg_switch_wal())");
        let archived =
            format!("SELECT coalesce(last_archived_wal, '') >= '{last}' FROM pg_stat_archiver");
        while run(&address, &archived) != "t" {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Copies everything while it runs, as an operator does.
    pub fn base_backup(&self) {
        let mut copy = as_postgres();
        copy.arg(programs().join("pg_basebackup")).arg("-D").arg(self.folder.join("base"));
        copy.args(["-X", "none", "-c", "fast", "-U", "tidbok", "-h", "127.0.0.1"]);
        let copied = copy.args(["-p", &self.port.to_string()]).stderr(Stdio::null()).status();
        assert!(copied.unwrap().success(), "pg_basebackup");
    }

    /// Another server made of the copy and the archive: up to a named point, or to the end.
    pub fn recovered(&self, point: Option<&str>) -> Self {
        let folder = folder();
        let mut copy = as_postgres();
        copy.args(["cp", "-a"]).arg(self.folder.join("base")).arg(folder.join("data"));
        assert!(copy.status().unwrap().success());
        let signal = folder.join("data/recovery.signal");
        assert!(as_postgres().arg("touch").arg(signal).status().unwrap().success());
        let archive = self.folder.join("archive");
        let mut settings = vec![format!("restore_command=cp {}/%f %p", archive.display())];
        if let Some(point) = point {
            settings.push(format!("recovery_target_name={point}"));
            settings.push("recovery_target_action=promote".to_owned());
        }
        let mut server = Self { folder, port: free_port(), settings, running: None };
        server.start();
        let there = format!("{}/postgres", server.address());
        while run(&there, "SELECT pg_is_in_recovery()") != "f" {
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The address of a database that it has.
    pub fn address_of(&self, database: &str) -> String {
        format!("{}/{database}", self.address())
    }

    fn made(folder: PathBuf, settings: Vec<String>) -> Self {
        let mut init = as_postgres();
        init.arg(programs().join("initdb")).arg("-D").arg(folder.join("data"));
        init.args(["-U", "tidbok", "-A", "trust", "-N", "--locale=C", "-E", "UTF8"]);
        let made = init.stdout(Stdio::null()).status().unwrap();
        assert!(made.success(), "initdb");
        let mut server = Self { folder, port: free_port(), settings, running: None };
        server.start();
        server
    }

    /// Everything of its address before the database's name.
    fn address(&self) -> String {
        format!("postgres://tidbok@127.0.0.1:{}", self.port)
    }

    /// A new, empty database on it; answers its address.
    pub fn database(&self) -> String {
        database_at(&self.address())
    }

    /// Starts it, and waits until it takes connections.
    pub fn start(&mut self) {
        // The folder goes with whoever started it, and stays where that is told to stop it.
        let settings: String =
            self.settings.iter().map(|setting| format!(" -c '{setting}'")).collect();
        let script = format!(
            "{programs}/postgres -D {folder}/data -p {port} -k {folder} \
             -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300 \
             -c max_prepared_transactions=64{settings} \
             >>{folder}/log 2>&1 &
             read stop
             kill -INT $!
             wait
             [ \"$stop\" = stop ] || rm -rf {folder}",
            programs = programs().display(),
            folder = self.folder.display(),
            port = self.port,
        );
        let mut shell = as_postgres();
        shell.args(["sh", "-c", &script]).stdin(Stdio::piped());
        self.running = Some(shell.spawn().expect("a shell for PostgreSQL"));
        let ready = programs().join("pg_isready");
        for _ in 0..1200 {
            let mut ask = Command::new(&ready);
            ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if ask.status().unwrap().success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(log.is_empty(), "PostgreSQL did not start: {log}");
    }

    /// Stops it, with all its connections, and waits for its end.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.stdin.take().unwrap().write_all(b"stop\n").unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}

/// A folder for a server, which goes with it.
fn folder() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("tidbok-postgres-").tempdir().unwrap().keep();
    give_to_postgres(&folder);
    folder
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// PostgreSQL refuses to run as root.
pub(crate) fn as_postgres() -> Command {
    let mut command = Command::new(if is_root() { "runuser" } else { "env" });
    if is_root() {
        command.args(["-u", "postgres", "--"]);
    }
    command
}

pub(crate) fn give_to_postgres(folder: &Path) {
    if is_root() {
        let owned = Command::new("chown").arg("postgres").arg(folder).status().unwrap();
        assert!(owned.success());
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
