//! Two PostgreSQL servers that Patroni keeps, one a synchronous standby of the other, on one machine.
//!
//! As `docs/OPERATIONS.md` shows it, but for the addresses and for how fast a loss is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::postgres::{self, as_postgres, free_port, give_to_postgres};

/// How long etcd keeps the lock of a primary that does not renew it, in seconds: Patroni takes no less.
pub const TTL: u32 = 20;

const WAIT: Duration = Duration::from_millis(100);
/// Longer than anything takes that comes about at all.
const TRIES: u32 = 1200;

/// The two servers, and the etcd that says which of them is the primary.
pub struct Cluster {
    folder: PathBuf,
    etcd: u16,
    ports: [u16; 2],
    started: Vec<Child>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::start()
    }
}

impl Cluster {
    /// Starts all three, and waits until whoever is primary has a synchronous standby.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("tidbok-patroni-").tempdir().unwrap().keep();
        give_to_postgres(&folder);
        let (etcd, ports) = (free_port(), [free_port(), free_port()]);
        let mut cluster = Self { folder, etcd, ports, started: Vec::new() };
        let peer = free_port();
        let (client, peer) =
            (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{peer}"));
        let data = cluster.folder.join("etcd");
        cluster.spawn(Command::new("etcd").arg("--data-dir").arg(data).args([
            "--name",
            "only",
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &format!("only={peer}"),
            "--unsafe-no-fsync",
        ]));
        cluster.join(0);
        cluster.wait_for("t", "SELECT NOT pg_is_in_recovery()");
        cluster.join(1);
        cluster.wait_for_standby();
        let roles = "CREATE ROLE tidbok LOGIN CREATEROLE CREATEDB";
        postgres::run(&cluster.of_postgres(), roles);
        postgres::run(&cluster.of_postgres(), "CREATE DATABASE tidbok OWNER tidbok");
        cluster
    }

    fn spawn(&mut self, command: &mut Command) {
        let log =
            fs::File::create(self.folder.join(format!("log-{}", self.started.len()))).unwrap();
        let errors = log.try_clone().unwrap();
        let started = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        self.started.push(started.expect("Debian's packages patroni and etcd-server"));
    }

    /// Starts Patroni for one of the two, with whatever data it has.
    pub fn join(&mut self, which: usize) {
        let own = self.own(which);
        fs::create_dir_all(&own).unwrap();
        give_to_postgres(&own);
        let file = own.join("patroni.yml");
        fs::write(&file, self.settings(which)).unwrap();
        let mut patroni = as_postgres();
        self.spawn(patroni.arg("patroni").arg(file));
    }

    fn own(&self, which: usize) -> PathBuf {
        self.folder.join(format!("server-{which}"))
    }

    fn settings(&self, which: usize) -> String {
        let (own, port, rest) = (self.own(which), self.ports[which], free_port());
        format!(
            "scope: tidbok
name: server-{which}
restapi:
  listen: 127.0.0.1:{rest}
  connect_address: 127.0.0.1:{rest}
etcd3:
  host: 127.0.0.1:{etcd}
bootstrap:
  dcs:
    ttl: {TTL}
    loop_wait: 2
    retry_timeout: 5
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters:
        max_connections: 100
        max_prepared_transactions: 64
        wal_log_hints: 'on'
  initdb:
    - encoding: UTF8
    - locale: C
  pg_hba:
    - host all all 127.0.0.1/32 trust
    - host replication all 127.0.0.1/32 trust
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  data_dir: {own}/data
  bin_dir: {bin}
  pgpass: {own}/pgpass
  authentication:
    superuser: {{ username: postgres }}
    replication: {{ username: replicator }}
  parameters:
    unix_socket_directories: {own}
",
            etcd = self.etcd,
            own = own.display(),
            bin = postgres::programs().display(),
        )
    }

    fn hosts(&self) -> String {
        format!("127.0.0.1:{},127.0.0.1:{}", self.ports[0], self.ports[1])
    }

    /// The address of the database, wherever the primary is.
    pub fn address(&self) -> String {
        format!("postgres://tidbok@{}/tidbok?target_session_attrs=read-write", self.hosts())
    }

    fn of_postgres(&self) -> String {
        format!("postgres://postgres@{}/postgres?target_session_attrs=read-write", self.hosts())
    }

    /// Which of the two is the primary.
    pub fn primary(&self) -> usize {
        let port = postgres::run(&self.of_postgres(), "SHOW port");
        self.ports.iter().position(|known| known.to_string() == port).unwrap()
    }

    /// Waits until the other one is.
    pub fn wait_for_other(&self, than: usize) {
        self.wait_for(&self.ports[1 - than].to_string(), "SHOW port");
    }

    /// Waits until each commit waits for a standby.
    pub fn wait_for_standby(&self) {
        self.wait_for("1", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'");
    }

    fn wait_for(&self, answer: &str, question: &str) {
        for _ in 0..TRIES {
            let told = postgres::ask(&self.of_postgres(), question);
            if told.as_deref() == Some(answer) {
                return;
            }
            thread::sleep(WAIT);
        }
        assert!(self.logs().is_empty(), "{question}: never {answer}; {}", self.logs());
    }

    fn logs(&self) -> String {
        let logs = (0..self.started.len()).map(|n| self.folder.join(format!("log-{n}")));
        logs.map(|log| fs::read_to_string(log).unwrap_or_default()).collect()
    }

    /// One of the two is gone at once, as a machine is that loses its power.
    pub fn kill(&self, which: usize) {
        kill(&self.own(which));
    }
}

/// Kills every process that was started with something of a folder.
fn kill(of: &Path) {
    let of = of.display().to_string();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let started = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        if started.contains(&of) {
            let id = process.file_name();
            drop(Command::new("kill").args(["-s", "KILL"]).arg(id).stderr(Stdio::null()).status());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        kill(&self.folder);
        for child in &mut self.started {
            drop(child.wait());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}
