//! A server that does not answer: who is on it waits, and all others go on.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventstore::store::cluster::NamedServer;
use gateway::keys::Role;
use jiff::SignedDuration;
use system_tests::{TestApp, keyring_of, postgres};
use tokio::task::block_in_place;

/// A server that takes connections and says nothing, as one behind a wall that drops what is sent to
/// it.
pub(crate) struct Silent {
    /// Host and port.
    pub(crate) address: String,
    taken: Arc<Mutex<Vec<TcpStream>>>,
    left: Arc<AtomicUsize>,
}

impl Silent {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (taken, left): (Arc<Mutex<Vec<TcpStream>>>, Arc<AtomicUsize>) = Default::default();
        let (all, gone) = (Arc::clone(&taken), Arc::clone(&left));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                all.lock().unwrap().push(stream.try_clone().unwrap());
                // A test that fails ends too.
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let gone = Arc::clone(&gone);
                std::thread::spawn(move || {
                    let mut stream = stream;
                    while stream.read(&mut [0; 512]).is_ok_and(|read| read > 0) {}
                    gone.fetch_add(1, Ordering::SeqCst);
                    drop(stream.shutdown(Shutdown::Both));
                });
            }
        });
        Self { address, taken, left }
    }

    /// As the server that a tenant is said to be on.
    fn north(&self) -> NamedServer {
        format!("north=postgres://tidbok@{}/none", self.address).parse().unwrap()
    }

    /// How often somebody has connected.
    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    /// How many have given up waiting.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    /// Waits until somebody has connected so often.
    pub(crate) async fn has_taken(&self, count: usize) {
        while self.taken() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends all connections.
    fn let_go(&self) {
        for stream in self.taken.lock().unwrap().iter() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

/// A node that has just been started, with as many callers of a tenant on a silent server as it has
/// threads, and more: everybody else is answered meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_holds_up_nobody_elses_tenants() {
    let silent = Silent::start();
    let main = postgres::database();
    let app = TestApp::among(vec![silent.north()], Some(main.clone()), keyring_of(Some(&main)), 1);
    let near = app.salon("near").await.tenant.staff;
    let far = app.salon("far").await.tenant.staff;
    postgres::run(&main, "UPDATE tidbok.tenant SET server = 'north' WHERE name = 'far'");
    let node = app.beside(2);
    let (near, far) = (node.with_key(near.key()), node.with_key(far.key()));
    let ask = |caller: &system_tests::Caller, path: &'static str| {
        let caller = caller.clone();
        tokio::spawn(async move { caller.get(path).await })
    };

    let waiting: Vec<_> = (0..6).map(|_| ask(&far, "/v1/bookings")).collect();
    silent.has_taken(1).await;
    ask(&near, "/v1/bookings").await.unwrap().ok();
    ask(&node.anybody(), "/health").await.unwrap().ok();
    assert!(waiting.iter().all(|far| !far.is_finished()), "nobody had to wait for them");

    silent.let_go();
    for far in waiting {
        far.await.unwrap().is(503);
    }
    assert_eq!(silent.taken(), 1, "who waited for the attempt has its answer");
    far.get("/v1/bookings").await.is(503);
    assert_eq!(silent.taken(), 1, "nor is it tried again at once");
    node.clock.advance(SignedDuration::from_secs(2));
    let again = ask(&far, "/v1/bookings");
    silent.has_taken(2).await;
    silent.let_go();
    again.await.unwrap().is(503);
    // It has come to itself: nothing is restarted.
    postgres::run(&main, "UPDATE tidbok.tenant SET server = NULL WHERE name = 'far'");
    far.get("/v1/bookings").await.ok();
    drop(block_in_place(|| app));
}

/// What a server gives up by itself is not told as a server that is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_took_too_long_is_not_a_server_that_is_away() {
    let main = postgres::database();
    let app = TestApp::at(Some(main.clone()), None, 1);
    let salon = app.salon("salon").await;
    let schema = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'keyring_%'";
    let schema = postgres::run(&main, schema);
    let late = "CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'too long' USING ERRCODE = '57014'; END $$;";
    let on = format!(
        "CREATE TRIGGER late BEFORE INSERT ON {schema}.api_key
         FOR EACH ROW EXECUTE FUNCTION public.late()"
    );
    postgres::run(&main, &format!("{late} {on}"));
    let tenant = &salon.tenant.desk.tenant;
    let issued = gateway::keys::issue(tenant, Role::Staff, "", (None, None), &app.app.env).await;
    let error = issued.unwrap_err();
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    assert!(said.contains("took too long") && !said.contains("cannot be reached"), "{said}");
}
