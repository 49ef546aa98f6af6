//! What our path is compared with: the same service with privacy switched off, as somebody would
//! write it who need not forget.
//!
//! The same server stack, routes, rules and entry bytes, batched and committed as durably.
//! Plaintext lies in tables that are indexed for each question and written in the same commit;
//! there are no seals, keys, leaf hashes, access records or proofs, and what is deleted is set to
//! null. It exists only to be measured.

mod changes;
mod fill;
mod people;
mod reads;
mod rows;
mod shown;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::routing::{get, patch, post};
use domain::booking::{BookingCommand, Change};
use domain::ids::{ActorId, parse_hex};
use domain::{Actor, BookingId, Command, FenceId, Handle, Refusal};
use eventstore::tree::{Hash, hash};
use eventstore::{AppendError, Clock, IdKind};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OpenFlags, params};

use super::failed;
use super::records::KEPT_DAYS;
use crate::cli::CliError;
use crate::problem::{Code, Problem};
use writer::{Answer, Ask, Rows, Told, number};

pub(super) use fill::open;

/// As many connections for readers as a desk keeps.
const READERS: usize = 8;

/// Who may do what, in the roles of our own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client(u64),
    Staff,
    Admin,
    Auditor,
}

/// The store.
pub(super) struct Clear {
    pub file: PathBuf,
    queue: SyncSender<Ask>,
    readers: Mutex<Vec<Connection>>,
    keys: Mutex<BTreeMap<Hash, Role>>,
    handles: AtomicU64,
}

impl Clear {
    fn new(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, CliError> {
        Ok(Self {
            file: file.to_owned(),
            queue: writer::start(file, clock)?,
            readers: Mutex::default(),
            keys: Mutex::default(),
            handles: AtomicU64::new(1),
        })
    }

    fn hand_in(&self, ask: Ask) -> Result<(), AppendError> {
        self.queue.send(ask).map_err(|_| AppendError::Stopped)
    }

    async fn append(&self, ask: Ask, answer: Answer) -> Result<Told, Problem> {
        self.hand_in(ask)?;
        let told: Result<Told, Refusal> = answer.await.map_err(|_| AppendError::Stopped)?;
        Ok(told.map_err(AppendError::Refused)?)
    }

    /// Asks the tables something, on a connection of its own.
    fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Problem> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => self.reader().map_err(|error| ours(&error))?,
        };
        let answer = question(&reader);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(reader);
        }
        answer.map_err(|error| ours(&error))
    }

    fn reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.file, flags)?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(conn)
    }

    fn handle(&self) -> Handle {
        Handle(self.handles.fetch_add(1, Ordering::Relaxed))
    }

    /// Whose key a request was sent with.
    fn caller(&self, headers: &HeaderMap) -> Result<Role, Problem> {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let secret = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let secret = hash(&[secret.ok_or(Code::Unauthenticated)?.as_bytes()]);
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.get(&secret).copied().ok_or(Code::Unauthenticated)?)
    }

    /// Of those who run the place.
    fn worker(&self, headers: &HeaderMap) -> Result<Actor, Problem> {
        match self.caller(headers)? {
            Role::Staff | Role::Admin => Ok(Actor::Key(ActorId(1))),
            Role::Client(_) | Role::Auditor => Err(Code::Forbidden.into()),
        }
    }

    /// A client, as themselves.
    fn client(&self, headers: &HeaderMap) -> Result<u64, Problem> {
        match self.caller(headers)? {
            Role::Client(person) => Ok(person),
            Role::Staff | Role::Admin | Role::Auditor => Err(Code::Forbidden.into()),
        }
    }

    /// Ends what is kept no longer.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(), CliError> {
        let kept = SignedDuration::from_hours(24 * i64::from(KEPT_DAYS));
        let before = now.checked_sub(kept).map_err(failed)?.as_microsecond();
        let due: Vec<i64> = self
            .read(|reader| {
                let sql = "SELECT id FROM c_booking WHERE note IS NOT NULL AND end_at <= ?1";
                let mut statement = reader.prepare_cached(sql)?;
                statement.query_map([before], |row| row.get(0))?.collect()
            })
            .map_err(|_| failed("what is due cannot be read"))?;
        if due.is_empty() {
            return Ok(());
        }
        let command = |id: &i64| {
            let booking = BookingId(u64::try_from(*id).unwrap_or(0));
            let change = Change::Expire;
            Command::Booking(BookingCommand::Change { booking, expected: None, change })
        };
        let commands = due.iter().map(command).collect();
        let rows: Rows = Box::new(move |tx, _| {
            for id in due {
                rows::end_content(tx, id)?;
            }
            Ok(())
        });
        let (ask, answer) = Ask::new(commands, rows);
        let swept = self.append(ask, answer).await;
        swept.map(drop).map_err(|_| failed("content could not be ended"))
    }
}

fn ours(error: &rusqlite::Error) -> Problem {
    Problem::ours(Code::Unavailable, error)
}

/// The number behind an id; nothing hides it here.
fn read_id(kind: IdKind, id: &str) -> Result<u64, Problem> {
    let hex = id.strip_prefix(kind.prefix()).and_then(|rest| rest.strip_prefix('_'));
    let bytes = hex.and_then(parse_hex::<16>).ok_or(Code::NotFound)?;
    Ok(u64::try_from(u128::from_be_bytes(bytes)).map_err(|_| Code::NotFound)?)
}

fn show(kind: IdKind, number: u64) -> String {
    format!("{}_{number:032x}", kind.prefix())
}

/// By what a repeat of a request is known.
fn once(headers: &HeaderMap) -> Result<Option<Hash>, Problem> {
    let key = headers.get("idempotency-key").ok_or(Code::IdempotencyKeyMissing)?;
    let bearer = headers.get(header::AUTHORIZATION).ok_or(Code::Unauthenticated)?;
    Ok(Some(hash(&[bearer.as_bytes(), b"\0", key.as_bytes()])))
}

/// Unknown until it is used; here it only keeps the event's shape.
fn fence(person: u64) -> FenceId {
    FenceId(u128::from(person).to_be_bytes())
}

fn add_key(tx: &Connection, key: &Hash, role: &str, person: Option<u64>) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached("INSERT INTO c_key VALUES (?1, ?2, ?3)")?;
    insert.execute(params![key, role, person.map(number)]).map(drop)
}

/// The routes that the benchmark asks.
fn routes<S: Clone + Send + Sync + 'static>(clear: Arc<Clear>) -> Router<S> {
    Router::new()
        .route("/v1/bookings", get(reads::list).post(changes::create))
        .route("/v1/bookings/{id}", get(reads::read))
        .route("/v1/bookings/{id}/cancel", post(changes::cancel))
        .route("/v1/bookings/{id}/erase-content", post(changes::erase_content))
        .route("/v1/clients/{id}", patch(people::rectify))
        .route("/v1/clients/{id}/bookings", get(reads::of_client))
        .route("/v1/clients/{id}/restrict", post(people::restrict))
        .route("/v1/clients/{id}/unrestrict", post(people::unrestrict))
        .route("/v1/me/bookings", get(reads::own))
        .route("/v1/me/consents", get(reads::own_consents))
        .route("/v1/consents", post(people::give))
        .route("/v1/consents/{id}/withdraw", post(people::withdraw))
        .route("/v1/policy-acceptances", post(people::accept))
        .route("/v1/services/{id}", get(reads::service).put(changes::revise))
        .route("/v1/recipients/{id}/disclosures", post(people::share))
        .route("/v1/privacy-requests", post(people::erase))
        .route("/v1/privacy-requests/preview", post(reads::standing))
        .route("/v1/privacy-requests/{id}/receipt", get(reads::receipt))
        .route("/v1/audit/events", get(reads::events))
        .with_state(clear)
}
