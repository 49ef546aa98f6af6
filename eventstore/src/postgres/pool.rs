//! Connections to one server: a bounded number of seats, each lent to one transaction at a time.
//!
//! A statement that comes to another tenant is planned anew, which costs more than carrying it out. So a
//! tenant's commits have a seat where they are at home.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Statement};

use super::PgError;
use super::dial::Dial;
use super::prepared::{Known, Prepared};
use crate::wait::{blocking, drive, wait};

/// How many connections a node keeps to a server at most.
const CONNECTIONS: usize = 16;
/// How many of them may be lent to who asks for another one before giving it back: some are always left
/// for those others.
const FIRST: usize = CONNECTIONS / 2;
/// How long a commit waits for the connection where it is at home before it takes another, on which its
/// statements are planned anew.
const AT_HOME: Duration = Duration::from_millis(200);
/// How long who finds all connections in use waits for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may take to come about, and how long a silent peer is believed in.
const REACH: Duration = Duration::from_secs(5);
/// How often a silent peer is asked again whether it is there, and how many times.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const ASKED: u32 = 3;
/// How long one that is given up may take to say so.
const FAREWELL: Duration = Duration::from_millis(100);
/// How often an idle connection is given a turn, so that its end is noticed: once to see that something has
/// come, once to take it in, once to spare.
const TURNS: u32 = 3;
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
    seats: Mutex<Seats>,
    /// Told when a seat is free again: whoever waits for that one, and whoever waits for any.
    freed: [Condvar; CONNECTIONS],
    returned: Condvar,
    /// How many are lent to who asks for another beside it.
    first: Mutex<usize>,
    first_returned: Condvar,
}

type Seats = [Seat; CONNECTIONS];

#[derive(Default)]
enum Seat {
    #[default]
    Empty,
    Idle(Box<Connection>),
    Lent,
}

/// How a seat that is free fits a tenant, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Home,
    Known,
    Idle,
    Empty,
}

/// A connection and what drives it: a runtime for it alone, run by whoever waits for an answer on that very
/// thread. An answer that another thread takes in and hands over is two wakings later.
struct Connection {
    client: Option<Client>,
    driver: JoinHandle<()>,
    runtime: Option<Runtime>,
    prepared: Prepared,
    /// For whom a statement acts that is in no transaction of its own. Whatever is in one takes on
    /// the role of the tenant that it is for.
    acts_for: Option<Arc<str>>,
}

impl Connection {
    fn open(dial: &Dial) -> Result<Self, PgError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(PgError::Runtime)?;
        match drive(&runtime, dial.connect(|_| true)) {
            Ok((client, driver)) => {
                let prepared = Prepared::default();
                let (client, runtime) = (Some(client), Some(runtime));
                Ok(Self { client, driver, runtime, prepared, acts_for: None })
            }
            Err(error) => {
                // Who asks may be a worker of another runtime, which must not wait for this one's end.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => drive(runtime, future),
            None => wait(future),
        }
    }

    /// Turns it to whoever has borrowed it. What is no tenant's is done as who has logged in.
    fn turn_to(&mut self, tenant: &Arc<str>) -> Result<(), PgError> {
        self.prepared.turn_to(tenant);
        if tenant.is_empty() && self.acts_for.is_some() {
            let client = self.client.as_ref().ok_or(PgError::Closed)?;
            let reset = client.batch_execute("RESET ROLE; RESET search_path");
            self.wait(reset).map_err(PgError::of)?;
            self.acts_for = None;
        }
        Ok(())
    }

    /// Whether it has not ended as far as is known now.
    fn is_open(&self) -> bool {
        self.client.as_ref().is_some_and(|client| !client.is_closed())
    }

    /// As [`Self::is_open`], after a look at what has come while it lay idle.
    fn is_alive(&self) -> bool {
        let look = async {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        };
        // As a task of its own: who waits may be one of another runtime, which gives way to that one's.
        let looked = self.runtime.as_ref().map(|runtime| runtime.spawn(look));
        looked.is_some_and(|looked| self.wait(looked).is_ok()) && self.is_open()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.client = None;
        let Some(runtime) = self.runtime.take() else { return };
        // Whoever goes says so, and the server need not wonder what became of a transaction.
        drop(drive(&runtime, async { tokio::time::timeout(FAREWELL, &mut self.driver).await }));
        runtime.shutdown_background();
    }
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
        // A host that took a request in and is gone then is found by these alone; the system asks every 75 s.
        config.keepalives_interval(ASK_AGAIN).keepalives_retries(ASKED);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(PgError::Runtime)?;
        Ok(Arc::new(Self {
            dial: Dial::new(config)?,
            runtime: Some(runtime),
            seats: Mutex::default(),
            freed: Default::default(),
            returned: Condvar::new(),
            first: Mutex::default(),
            first_returned: Condvar::new(),
        }))
    }

    pub(super) fn dial(&self) -> &Dial {
        &self.dial
    }

    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>, PgError> {
        Ok(self.runtime.as_ref().ok_or(PgError::Closed)?.spawn(task))
    }

    /// Borrows a connection for what is no tenant's.
    pub(super) fn borrow(self: &Arc<Self>) -> Result<Borrowed, PgError> {
        self.borrow_for(&Arc::from(""))
    }

    /// Borrows a connection for a tenant, one that knows its statements if such a one is idle.
    pub(super) fn borrow_for(self: &Arc<Self>, tenant: &Arc<str>) -> Result<Borrowed, PgError> {
        self.lend(tenant, None)
    }

    /// As [`Self::borrow_for`], for who asks for another connection before giving this one back.
    pub(super) fn borrow_first(self: &Arc<Self>, tenant: &Arc<str>) -> Result<Borrowed, PgError> {
        let first = First::of(self)?;
        let mut borrowed = self.borrow_for(tenant)?;
        borrowed.first = Some(first);
        Ok(borrowed)
    }

    /// Borrows a connection for a tenant's next commit: the one where these are at home, if it is free
    /// soon.
    pub(super) fn borrow_at_home(self: &Arc<Self>, tenant: &Arc<str>) -> Result<Borrowed, PgError> {
        self.lend(tenant, home(tenant))
    }

    fn lend(self: &Arc<Self>, tenant: &Arc<str>, home: Option<usize>) -> Result<Borrowed, PgError> {
        let (number, seat) = self.take_seat(tenant, home)?;
        let (server, tenant) = (Arc::clone(self), Arc::clone(tenant));
        let mut borrowed = Borrowed { server, number, connection: None, keep: false, first: None };
        let mut connection = match seat {
            Seat::Idle(connection) if connection.is_alive() => connection,
            Seat::Idle(_) | Seat::Empty | Seat::Lent => Box::new(Connection::open(&self.dial)?),
        };
        if connection.turn_to(&tenant).is_err() {
            // It has ended, or has lost what it was: another one is nobody's yet.
            connection = Box::new(Connection::open(&self.dial)?);
            connection.turn_to(&tenant)?;
        }
        borrowed.connection = Some(connection);
        Ok(borrowed)
    }

    /// Takes the seat that fits best, and what is in it. A tenant with a home waits for that, or for one that
    /// knows it, before it takes any.
    fn take_seat(&self, tenant: &str, home: Option<usize>) -> Result<(usize, Seat), PgError> {
        let best = |seats: &Seats| {
            let fits = seats.iter().enumerate().map(|(number, seat)| match seat {
                Seat::Lent => None,
                Seat::Idle(_) | Seat::Empty if home == Some(number) => Some((Fit::Home, number)),
                Seat::Idle(idle) if idle.prepared.has(tenant) => Some((Fit::Known, number)),
                Seat::Idle(_) => Some((Fit::Idle, number)),
                Seat::Empty => Some((Fit::Empty, number)),
            });
            fits.flatten().min()
        };
        let mut seats = lock(&self.seats);
        if let Some(freed) = home.and_then(|home| self.freed.get(home)) {
            let strange = |seats: &mut Seats| best(seats).is_none_or(|(fit, _)| fit > Fit::Known);
            seats = wait_while(freed, seats, AT_HOME, strange);
        }
        seats = wait_while(&self.returned, seats, PATIENCE, |seats| best(seats).is_none());
        let found = best(&seats).and_then(|(_, number)| Some((number, seats.get_mut(number)?)));
        let (number, seat) = found.ok_or(PgError::Exhausted)?;
        Ok((number, std::mem::replace(seat, Seat::Lent)))
    }

    /// Puts back what was in a seat.
    fn free(&self, number: usize, back: Seat) {
        if let Some(seat) = lock(&self.seats).get_mut(number) {
            *seat = back;
        }
        if let Some(freed) = self.freed.get(number) {
            freed.notify_one();
        }
        self.returned.notify_one();
    }

    /// Lets go of idle connections.
    pub(super) fn let_go(&self) {
        let mut gone = Vec::new();
        for seat in lock(&self.seats).iter_mut().filter(|seat| matches!(seat, Seat::Idle(_))) {
            gone.push(std::mem::take(seat));
        }
        drop(gone);
    }
}

/// Which seat a tenant's commits are at home in: the same for as long as the program runs.
fn home(tenant: &str) -> Option<usize> {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    let seats = u64::try_from(CONNECTIONS).ok()?;
    usize::try_from(hasher.finish() % seats).ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.let_go();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn wait_while<'a, T>(
    told: &Condvar,
    mut guarded: MutexGuard<'a, T>,
    patience: Duration,
    mut while_so: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    if !while_so(&mut guarded) {
        return guarded;
    }
    let waited = blocking(|| told.wait_timeout_while(guarded, patience, while_so));
    waited.unwrap_or_else(PoisonError::into_inner).0
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the few that are lent to who asks for another beside it: if all were, each would wait for the
/// others.
struct First(Arc<Server>);

impl First {
    fn of(server: &Arc<Server>) -> Result<Self, PgError> {
        let lent = lock(&server.first);
        let mut lent = wait_while(&server.first_returned, lent, PATIENCE, |lent| *lent >= FIRST);
        if *lent >= FIRST {
            return Err(PgError::Exhausted);
        }
        *lent += 1;
        Ok(Self(Arc::clone(server)))
    }
}

impl Drop for First {
    fn drop(&mut self) {
        *lock(&self.0.first) -= 1;
        self.0.first_returned.notify_one();
    }
}

/// A connection on loan. It goes back only where its transaction has ended as it should; any other
/// is closed, and the server rolls back what it left open.
pub(super) struct Borrowed {
    server: Arc<Server>,
    number: usize,
    connection: Option<Box<Connection>>,
    keep: bool,
    /// Given back last: the seat is free by then.
    first: Option<First>,
}

impl Borrowed {
    /// Whether another may be asked for before this is given back.
    pub(super) fn is_first(&self) -> bool {
        self.first.is_some()
    }

    pub(super) fn client(&self) -> Result<&Client, PgError> {
        let connection = self.connection.as_ref().ok_or(PgError::Closed)?;
        connection.client.as_ref().ok_or(PgError::Closed)
    }

    /// Waits for an answer to what was asked on this connection: nobody else takes it in.
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        match &self.connection {
            Some(connection) => connection.wait(future),
            None => wait(future),
        }
    }

    /// A statement, prepared on this connection when the tenant first asks for it. The transaction has
    /// taken on its role and path by then.
    pub(super) fn prepared(&mut self, sql: &'static str) -> Result<Statement, PgError> {
        if let Some(statement) = self.knows(sql) {
            return Ok(statement);
        }
        let statement = self.prepare(sql)?;
        if let Some(known) = self.now_mut() {
            known.by_path.insert(sql, statement.clone());
        }
        Ok(statement)
    }

    pub(super) fn knows(&self, sql: &'static str) -> Option<Statement> {
        self.now()?.by_path.get(sql).cloned()
    }

    /// As [`Self::prepared`], of a text into which the names of the tenant's schemas are `written`.
    pub(super) fn prepared_by_name(
        &mut self,
        sql: &'static str,
        written: impl FnOnce(&str) -> String,
    ) -> Result<Statement, PgError> {
        if let Some(statement) = self.knows_by_name(sql) {
            return Ok(statement);
        }
        let statement = self.prepare(&written(sql))?;
        if let Some(known) = self.now_mut() {
            known.by_name.insert(sql, statement.clone());
        }
        Ok(statement)
    }

    pub(super) fn knows_by_name(&self, sql: &'static str) -> Option<Statement> {
        self.now()?.by_name.get(sql).cloned()
    }

    fn prepare(&self, sql: &str) -> Result<Statement, PgError> {
        self.wait(self.client()?.prepare(sql)).map_err(PgError::of)
    }

    fn now(&self) -> Option<&Known> {
        self.connection.as_ref()?.prepared.now()
    }

    fn now_mut(&mut self) -> Option<&mut Known> {
        self.connection.as_mut()?.prepared.now_mut()
    }

    /// Whether a statement in no transaction of its own acts for whoever has borrowed this.
    pub(super) fn acts(&self) -> bool {
        let acts_for = self.connection.as_ref().and_then(|own| own.acts_for.as_ref());
        acts_for.is_some() && acts_for == self.now().map(|known| &known.tenant)
    }

    /// Takes note that its session was turned to whoever has borrowed it. Where that is not committed,
    /// the connection is not handed back.
    pub(super) fn acts_from_now(&mut self) {
        let tenant = self.now().map(|known| Arc::clone(&known.tenant));
        if let Some(connection) = &mut self.connection {
            connection.acts_for = tenant;
        }
    }

    /// Hands the connection back for the next transaction.
    pub(super) fn done(mut self) {
        self.keep = true;
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let keep = self.keep;
        let back = self.connection.take().filter(|connection| keep && connection.is_open());
        self.server.free(self.number, back.map_or(Seat::Empty, Seat::Idle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_a_second_connection_never_waits_for_others_who_do() {
        let server = Server::new("postgres://nobody@localhost/none").unwrap();
        let mut first: Vec<First> = (0..FIRST).map(|_| First::of(&server).unwrap()).collect();
        let seats = first.iter().map(|_| server.take_seat("", None).unwrap().0);
        let mut seats: Vec<usize> = seats.collect();
        let ninth = std::thread::spawn({
            let server = Arc::clone(&server);
            move || First::of(&server).map(|_| *lock(&server.first))
        });
        // Each gets another one beside the one that it keeps.
        seats.extend(first.iter().map(|_| server.take_seat("", None).unwrap().0));
        seats.sort_unstable();
        assert_eq!(seats, (0..CONNECTIONS).collect::<Vec<_>>());
        assert_eq!(*lock(&server.first), FIRST);
        first.pop();
        assert_eq!(ninth.join().unwrap().unwrap(), FIRST, "who waits goes on where one goes");
    }
}
