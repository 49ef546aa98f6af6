//! An installation in a folder of its own, with a program that runs and a server that answers.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::erasure::{STAYS, stays};
use crate::processes::call;
use crate::program::{Said, finish, tidbok};

pub(crate) struct Site {
    folder: TempDir,
    /// What the program finds in its environment.
    pub(crate) env: Vec<(&'static str, String)>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), env: Vec::new() }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.at("data.keys")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = tidbok(&self.at("data"), args);
        command.envs(self.env.iter().map(|(name, value)| (*name, value)));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        finish(&mut self.command(args))
    }

    pub(crate) fn epoch_files(&self) -> Vec<String> {
        let names = fs::read_dir(self.keys()).unwrap().map(|file| file.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("epoch-")).collect();
        names.sort();
        names
    }

    /// An inn with three guests; answers their ids.
    pub(crate) fn inn(&self) -> Vec<String> {
        self.run(&["tenant", "create", "inn", "--zone", "Europe/Stockholm"]).ended(0);
        fs::write(self.at("stays.csv"), stays(3, 3)).unwrap();
        fs::write(self.at("stays.toml"), STAYS).unwrap();
        let (file, mapping) = (self.at("stays.csv"), self.at("stays.toml"));
        let (file, mapping) = (file.to_str().unwrap(), mapping.to_str().unwrap());
        self.run(&["import", file, "--mapping", mapping, "--tenant", "inn"]).ended(0);
        let clients = self.run(&["--json", "clients", "list", "--tenant", "inn"]).ended(0).json();
        let ids = clients.as_array().unwrap().iter().map(|client| client["id"].as_str().unwrap());
        ids.map(str::to_owned).collect()
    }

    pub(crate) fn admin(&self) -> String {
        let create = ["--json", "key", "create", "--tenant", "inn", "--role", "admin"];
        self.run(&create).ended(0).json()["key"].as_str().unwrap().to_owned()
    }
}

/// A server on a site.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Server {
    pub(crate) fn on(site: &Site) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let listen = address.to_string();
        let mut serve = site.command(&["serve", "--listen", &listen]);
        let process = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { address, process };
        server.wait_for(200, "/ready", "");
        server
    }

    pub(crate) fn wait_for(&self, status: u16, path: &str, key: &str) -> Value {
        loop {
            match call(self.address, key, "GET", path, "") {
                Some((is, body)) if is == status => return body,
                Some(_) | None => thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Server {
    /// Whether a client's name opens, once they are answered.
    pub(crate) fn shows_the_name(&self, key: &str, id: &str) -> bool {
        let client = self.wait_for(200, &format!("/v1/clients/{id}"), key);
        client["contact"]["name"].as_str().is_some_and(|name| name.ends_with("family"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
