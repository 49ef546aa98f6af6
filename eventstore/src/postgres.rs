//! PostgreSQL as the engine of a ledger and its keyring: roles, schemas and transactions.
//!
//! Each ledger has two schemas of its own, for the ledger and for the keyring, owned by a role that
//! cannot log in. A transaction takes on the tenant's second role, which may add and read entries
//! but not change them, and sees no schema but its own: a statement that is wrong for one tenant
//! cannot reach another's rows. Where commits of a tenant follow one another their session has taken
//! on the role before.

mod apart;
mod changes;
mod columns;
mod copy;
mod dial;
mod directory;
mod effects;
mod follow;
mod found;
mod index;
mod insert;
mod load;
mod migrate;
mod moving;
mod papers;
mod pool;
mod prepared;
mod reader;
mod rotation;
mod seals;
mod transaction;
mod writer;

use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, error::SqlState};

use crate::keyring::provider::TenantId;
use crate::store::Which;
pub use directory::State;
pub(crate) use directory::{Directory, Held, Keyrings, Placed};
pub(crate) use follow::Watch;
pub(crate) use found::found;
pub(crate) use load::load;
pub(crate) use moving::{close, discard, discard_keyring, has_keyring, is_here, reopen};
use pool::Borrowed;
pub use pool::Server;
pub(crate) use reader::PgReader;
use transaction::Tx;
pub(crate) use writer::PgWriter;

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// Without its cause, which repeats parts of the address: one may be of the password.
    #[error(
        "the address of the database cannot be understood; it is like \
         postgres://user:password@host/database, with %40 for an @ in the password, and so on"
    )]
    Address,
    #[error(
        "the system knows no authority for certificates, which sslmode=require needs; install ca-certificates or set SSL_CERT_FILE"
    )]
    NoRoots,
    #[error("no threads for the database's connections")]
    Runtime(#[source] std::io::Error),
    #[error("the database cannot be reached")]
    Away(#[source] tokio_postgres::Error),
    #[error("the database takes connections, and says nothing")]
    Silent,
    /// Not tried: what was found a moment ago.
    #[error(transparent)]
    Lately(Arc<Self>),
    #[error("all connections to the database are in use")]
    Exhausted,
    #[error(
        "the database does not let this program in: check user, password and database of --ledger"
    )]
    Denied(#[source] tokio_postgres::Error),
    #[error("the database user has no right to do this; docs/OPERATIONS.md says which it needs")]
    Forbidden(#[source] tokio_postgres::Error),
    #[error("the database refuses to do it: its roles or tables are not as they were made ({})", code(.0))]
    Altered(#[source] tokio_postgres::Error),
    #[error("the database has no room left")]
    Full(#[source] tokio_postgres::Error),
    #[error("another transaction has held what is needed for too long")]
    Locked(#[source] tokio_postgres::Error),
    #[error("a statement took too long, or was cancelled, and did nothing")]
    Cancelled(#[source] tokio_postgres::Error),
    #[error("the database could not do it ({})", code(.0))]
    Failed(#[source] tokio_postgres::Error),
    #[error("PostgreSQL 15 or newer is needed; this is {0}")]
    TooOld(String),
    #[error(
        "the keyring's server keeps no prepared transactions: set max_prepared_transactions there to \
         64 or more, and start it again"
    )]
    NoPrepared,
    #[error("its keyring is in another database: name that with --keyring")]
    NoKeyring,
    #[error(
        "its keyring is neither with its ledger nor in the database of --keyring: name the right one"
    )]
    OtherKeyring,
    #[error(
        "the keyring has not heard of what its ledger has from entry {0} on: it is an older copy, which \
         is taken up when the tenant is next opened; start the program again"
    )]
    KeyringBehind(u64),
    #[error(
        "the keyring has heard of {0} entries, and the ledger has fewer: it is an older copy. Put the \
         newest one back and start the program again; if there is none, run `tidbok restore \
         --accept-loss` on the tenant"
    )]
    LedgerBehind(u64),
    #[error("the tenant's schema {0} is newer than this program; use the program that wrote it")]
    Newer(i32),
    #[error(
        "the connection was lost in the middle of a commit; whether it stands shows when the \
         database is back"
    )]
    Unsettled(#[source] Box<Self>),
    #[error("the connections to the database are being closed")]
    Closed,
}

fn code(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("no code", SqlState::code)
}

impl PgError {
    /// What a failure means for whoever has to do something about it.
    fn of(error: tokio_postgres::Error) -> Self {
        let Some(state) = error.code() else { return Self::Away(error) };
        let class = state.code().get(..2).unwrap_or_default();
        match class {
            "28" | "3D" => Self::Denied(error),
            _ if *state == SqlState::INSUFFICIENT_PRIVILEGE => Self::Forbidden(error),
            "42" | "3F" | "22" | "23" => Self::Altered(error),
            "55" if *state == SqlState::LOCK_NOT_AVAILABLE => Self::Locked(error),
            "53" if *state == SqlState::DISK_FULL => Self::Full(error),
            // The server is there: whoever asks again at once makes it worse.
            "57" if *state == SqlState::QUERY_CANCELED => Self::Cancelled(error),
            "08" | "57" | "53" => Self::Away(error),
            _ => Self::Failed(error),
        }
    }
}

/// Where tenants' ledgers are, and their keyrings.
#[derive(Clone)]
pub(crate) struct Home {
    pub ledger: Arc<Server>,
    /// Where keyrings are not in the ledgers' database.
    pub keyring: Option<Apart>,
}

/// A database of keyrings alone.
#[derive(Clone)]
pub(crate) struct Apart {
    pub server: Arc<Server>,
    /// Which directory has the tenants: several may have their keyrings in one database.
    pub directory: Arc<str>,
}

/// One ledger with its keyring.
#[derive(Clone)]
pub(crate) struct Scope {
    ledger: Part,
    keyring: Part,
    /// The ledger's schema, whose name tells nothing of the tenant.
    pub schema: String,
    /// What commits of this ledger are called, where the keyring is in a database of its own.
    apart: Option<String>,
}

impl Scope {
    pub(crate) fn new(home: &Home, tenant: TenantId, which: Which) -> Self {
        Self::acting_as(&Names::of(tenant, which).role, home, (tenant, which))
    }

    /// As the owner of the schemas, who reads them also while nobody else may.
    pub(crate) fn of_owner(home: &Home, tenant: TenantId, which: Which) -> Self {
        Self::acting_as(&Names::of(tenant, which).owner, home, (tenant, which))
    }

    fn acting_as(role: &str, home: &Home, (tenant, which): (TenantId, Which)) -> Self {
        let Names { ledger, keyring, .. } = Names::of(tenant, which);
        let part = |server: &Arc<Server>, path: &str| Part {
            server: Arc::clone(server),
            tenant: Arc::from(path),
            begin: format!("SET LOCAL ROLE {role}; SET LOCAL search_path = {path}"),
            turn: format!("SET ROLE {role}; SET search_path = {path}"),
            schemas: Arc::new([ledger.clone(), keyring.clone()]),
        };
        match &home.keyring {
            None => {
                let both = part(&home.ledger, &format!("{ledger}, {keyring}"));
                Self { ledger: both.clone(), keyring: both, schema: ledger, apart: None }
            }
            Some(Apart { server, .. }) => Self {
                ledger: part(&home.ledger, &ledger),
                keyring: part(server, &keyring),
                apart: Some(apart::prefix(tenant, which)),
                schema: ledger,
            },
        }
    }

    /// Takes numbers for this node alone; the first of them.
    fn reserve(&self, counter: &'static str, count: u64) -> Result<u64, PgError> {
        let mut tx = Tx::begin(&self.keyring)?;
        let sql = "UPDATE counter SET next = next + $2 WHERE name = $1 RETURNING next - $2";
        let first = tx.number(sql, &[&counter, &int(count)])?;
        tx.commit()?;
        Ok(uint(first.unwrap_or_default()))
    }
}

/// A schema on a server, or two that are one database.
#[derive(Clone)]
struct Part {
    server: Arc<Server>,
    /// Whose statements these are: the path on which their tables are found.
    tenant: Arc<str>,
    /// What a transaction begins with.
    begin: String,
    /// What has a whole session act for the tenant, for commits that are one statement each.
    turn: String,
    /// The ledger's schema and the keyring's.
    schemas: Arc<[String; 2]>,
}

impl Part {
    /// Runs one query as a transaction of its own. One that finds its connection dead is run again
    /// on another: it changes nothing.
    fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PgError> {
        let mut borrowed = self.server.borrow_for(&self.tenant)?;
        let answer = self.ask(&mut borrowed, sql, params);
        match answer {
            Ok(rows) => {
                borrowed.done();
                Ok(rows)
            }
            Err(PgError::Away(_)) => {
                drop(borrowed);
                // The others are as old, and the server may have been started anew.
                self.server.let_go();
                let mut borrowed = self.server.borrow_for(&self.tenant)?;
                let rows = self.ask(&mut borrowed, sql, params)?;
                borrowed.done();
                Ok(rows)
            }
            Err(error) => Err(error),
        }
    }

    fn ask(
        &self,
        borrowed: &mut Borrowed,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PgError> {
        let begin = format!("BEGIN READ ONLY; {}", self.begin);
        if let Some(statement) = borrowed.knows(sql) {
            // All three are under way before the first is answered.
            let client = borrowed.client()?;
            let (begun, rows, ended) = borrowed.wait(async {
                tokio::join!(
                    client.batch_execute(&begin),
                    client.query(&statement, params),
                    client.batch_execute("COMMIT"),
                )
            });
            begun.map_err(PgError::of)?;
            let rows = rows.map_err(PgError::of)?;
            ended.map_err(PgError::of)?;
            return Ok(rows);
        }
        borrowed.wait(borrowed.client()?.batch_execute(&begin)).map_err(PgError::of)?;
        let statement = borrowed.prepared(sql)?;
        let client = borrowed.client()?;
        let (rows, ended) = borrowed.wait(async {
            tokio::join!(client.query(&statement, params), client.batch_execute("COMMIT"))
        });
        let rows = rows.map_err(PgError::of)?;
        ended.map_err(PgError::of)?;
        Ok(rows)
    }
}

/// What a ledger's roles and schemas are called. Names of tenants may be longer than names in a
/// database, and roles are known to all databases of a server: so they are called by the tenant's
/// permanent id.
struct Names {
    owner: String,
    role: String,
    ledger: String,
    keyring: String,
}

impl Names {
    fn of(tenant: TenantId, which: Which) -> Self {
        let id = tenant.to_string();
        let (ledger, keyring) = match which {
            Which::Ledger => ("ledger", "keyring"),
            Which::Access => ("access", "access_keyring"),
        };
        Self {
            owner: format!("tidbok_owner_{id}"),
            role: format!("tidbok_{id}"),
            ledger: format!("{ledger}_{id}"),
            keyring: format!("{keyring}_{id}"),
        }
    }
}

/// A number as PostgreSQL stores it. Positions, handles and tags stay far below 2^63.
fn int(number: u64) -> i64 {
    crate::sqlite::int(number)
}

/// A number as it was stored.
fn uint(stored: i64) -> u64 {
    crate::sqlite::uint(stored)
}
