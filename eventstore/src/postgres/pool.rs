//! Connections to one server: a bounded number, each lent to one transaction at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, Statement};

use super::PgError;
use super::dial::Dial;
use crate::wait::{blocking, wait};

/// How many connections a node keeps to a server at most.
const CONNECTIONS: usize = 16;
/// How long who finds all connections in use waits for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may take to come about, and how long a silent peer is believed in.
const REACH: Duration = Duration::from_secs(5);
/// What every connection is set to. Its statements have a few forms only, prepared once: a plan
/// for each execution costs more than it brings, and compiling them much more. All are meant for an
/// index: a plan made while a table was empty must not scan it once it is full.
const SETTINGS: &str = "-c jit=off -c plan_cache_mode=force_generic_plan \
    -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off \
    -c statement_timeout=30s -c lock_timeout=15s -c idle_in_transaction_session_timeout=30s \
    -c client_min_messages=warning";

/// One PostgreSQL server and database, as this node reaches it.
pub struct Server {
    dial: Dial,
    /// Taken out when the server is let go of.
    runtime: Option<Runtime>,
    idle: Mutex<Vec<Connection>>,
    lent: Mutex<usize>,
    returned: Condvar,
}

struct Connection {
    client: Client,
    statements: BTreeMap<&'static str, Statement>,
}

impl Server {
    /// A server behind an address; connects when first needed.
    ///
    /// # Errors
    /// Where the address is none.
    pub fn new(address: &str) -> Result<Arc<Self>, PgError> {
        let mut config: Config = address.parse().map_err(|_| PgError::Address)?;
        let options = match config.get_options() {
            Some(own) => format!("{SETTINGS} {own}"),
            None => SETTINGS.to_owned(),
        };
        config.options(options).application_name("tidbok");
        config.connect_timeout(REACH).tcp_user_timeout(REACH).keepalives_idle(REACH);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(PgError::Runtime)?;
        Ok(Arc::new(Self {
            dial: Dial::new(config)?,
            runtime: Some(runtime),
            idle: Mutex::default(),
            lent: Mutex::default(),
            returned: Condvar::new(),
        }))
    }

    pub(super) fn dial(&self) -> &Dial {
        &self.dial
    }

    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<tokio::task::JoinHandle<T>, PgError> {
        Ok(self.runtime.as_ref().ok_or(PgError::Closed)?.spawn(task))
    }

    /// Borrows a connection that was alive when last used.
    pub(super) fn borrow(self: &Arc<Self>) -> Result<Borrowed, PgError> {
        let mut lent = lock(&self.lent);
        while *lent >= CONNECTIONS {
            let returned = blocking(|| self.returned.wait_timeout(lent, PATIENCE));
            let (again, late) = returned.unwrap_or_else(PoisonError::into_inner);
            lent = again;
            if late.timed_out() && *lent >= CONNECTIONS {
                return Err(PgError::Exhausted);
            }
        }
        *lent += 1;
        drop(lent);
        let mut borrowed = Borrowed { server: Arc::clone(self), connection: None };
        let idle = {
            let mut idle = lock(&self.idle);
            idle.retain(|connection| !connection.client.is_closed());
            idle.pop()
        };
        borrowed.connection = Some(match idle {
            Some(connection) => connection,
            None => self.connect()?,
        });
        Ok(borrowed)
    }

    fn connect(&self) -> Result<Connection, PgError> {
        let dial = self.dial.clone();
        let connecting = self.spawn(async move { dial.connect(|_| true).await })?;
        let (client, _) = wait(connecting).map_err(|_| PgError::Closed)??;
        Ok(Connection { client, statements: BTreeMap::new() })
    }

    /// Lets go of idle connections.
    pub(super) fn let_go(&self) {
        lock(&self.idle).clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.let_go();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection on loan. It goes back only where its transaction has ended as it should; any other
/// is closed, and the server rolls back what it left open.
pub(super) struct Borrowed {
    server: Arc<Server>,
    connection: Option<Connection>,
}

impl Borrowed {
    pub(super) fn client(&self) -> Result<&Client, PgError> {
        self.connection.as_ref().map(|connection| &connection.client).ok_or(PgError::Closed)
    }

    /// A statement, prepared on this connection when first asked for. The transaction has taken on
    /// its role and path by then.
    pub(super) async fn prepared(&mut self, sql: &'static str) -> Result<Statement, PgError> {
        let connection = self.connection.as_mut().ok_or(PgError::Closed)?;
        if let Some(statement) = connection.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = connection.client.prepare(sql).await.map_err(PgError::of)?;
        connection.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) fn knows(&self, sql: &'static str) -> Option<Statement> {
        self.connection.as_ref()?.statements.get(sql).cloned()
    }

    /// Hands the connection back for the next transaction.
    pub(super) fn done(mut self) {
        if let Some(connection) = self.connection.take()
            && !connection.client.is_closed()
        {
            lock(&self.server.idle).push(connection);
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.connection = None;
        *lock(&self.server.lent) -= 1;
        self.server.returned.notify_one();
    }
}
