//! UmaDB: an append under the condition that the day has no event yet that the caller did not see.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{
    DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem,
};
use umadb_server::{ServerOptions, StorageOptions, start_server_with_options};

use crate::load::{NOTE, Store, Wish};

/// Callers share connections, as a web server's handlers would.
const CONNECTIONS: usize = 8;

pub struct UmaDb {
    server: Child,
    clients: Vec<AsyncUmaDbClient>,
    next: AtomicUsize,
}

impl UmaDb {
    /// A server of its own, as a process of its own.
    pub async fn new(folder: &Path, address: &str) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut server = Command::new(program);
        // What it says of itself is no part of the answer.
        server.arg("umadb").arg(folder).arg(address).stdout(Stdio::null());
        let server = server.spawn()?;
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(connect(address).await?);
        }
        Ok(Self { server, clients, next: AtomicUsize::new(0) })
    }
}

async fn connect(address: &str) -> anyhow::Result<AsyncUmaDbClient> {
    for _ in 0..100 {
        if let Ok(client) = UmaDbClient::new(format!("http://{address}")).connect_async().await {
            return Ok(client);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("UmaDB's server does not answer at {address}")
}

impl Drop for UmaDb {
    fn drop(&mut self) {
        // It keeps nothing that anybody needs.
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// What the process of the server does.
pub async fn serve(folder: &str, address: &str) -> anyhow::Result<()> {
    let storage = StorageOptions::default().db_path(folder);
    let listen_addr = address.to_owned();
    let options = ServerOptions { listen_addr, tls: None, api_key: None, storage };
    let (_stop, stopped) = tokio::sync::oneshot::channel();
    let served = start_server_with_options(options, stopped).await;
    served.map_err(|error| anyhow::anyhow!("{error}")).context("UmaDB's server")
}

impl Store for UmaDb {
    /// On a new day, the only kind it is asked for: there is nothing to read first.
    async fn book(&self, wish: Wish) -> anyhow::Result<bool> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let client = self.clients.get(number).context("a connection")?;
        let boundary = DcbQuery::new().item(DcbQueryItem::new().tags([wish.day.clone()]));
        let data = serde_json::json!({
            "booking": wish.booking, "start": wish.start, "end": wish.start + 600,
            "service": "Visit", "person": wish.person, "note": NOTE,
        });
        let event = DcbEvent::default()
            .event_type("Booked")
            .tags([wish.day, format!("booking-{}", wish.booking)])
            .data(serde_json::to_vec(&data)?)
            .uuid(wish.booking);
        match client.append(vec![event], Some(DcbAppendCondition::new(boundary)), None).await {
            Ok(_) => Ok(true),
            Err(DcbError::IntegrityError(_)) => Ok(false),
            Err(error) => Err(error).context("UmaDB"),
        }
    }
}
