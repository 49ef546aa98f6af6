//! Which tenants a database has, and whose keyrings.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::migrate::{Half, VERSION, Versions};
use super::pool::{Borrowed, Server};
use super::reader::get;
use super::{PgError, has_keyring, migrate};
use crate::keyring::provider::TenantId;

/// One program at a time makes a table; the number is the lock's name.
const MAKE: &str = "BEGIN;
    SELECT pg_advisory_xact_lock(6217013581);
    CREATE SCHEMA IF NOT EXISTS tidbok;
    CREATE TABLE IF NOT EXISTS tidbok.tenant (
        name    text PRIMARY KEY,
        id      bytea NOT NULL UNIQUE,
        version int4 NOT NULL
    );
    ALTER TABLE tidbok.tenant ADD COLUMN IF NOT EXISTS server text;
    ALTER TABLE tidbok.tenant ADD COLUMN IF NOT EXISTS state int2 NOT NULL DEFAULT 0;
    ALTER TABLE tidbok.tenant ADD COLUMN IF NOT EXISTS other text;
    ALTER TABLE tidbok.tenant ADD COLUMN IF NOT EXISTS lodger boolean NOT NULL DEFAULT false;
    CREATE TABLE IF NOT EXISTS tidbok.directory (id uuid PRIMARY KEY);
    INSERT INTO tidbok.directory SELECT gen_random_uuid()
        WHERE NOT EXISTS (SELECT FROM tidbok.directory);
    COMMIT";

/// Whether what was added last is there.
const MADE: &str = "SELECT to_regclass('tidbok.directory') IS NOT NULL";
const MADE_KEYRINGS: &str = "SELECT EXISTS (SELECT 1 FROM pg_attribute
    WHERE attrelid = to_regclass('tidbok.keyring') AND attname = 'directory')";

const MAKE_KEYRINGS: &str = "BEGIN;
    SELECT pg_advisory_xact_lock(6217013581);
    CREATE SCHEMA IF NOT EXISTS tidbok;
    CREATE TABLE IF NOT EXISTS tidbok.keyring (
        id      bytea PRIMARY KEY,
        version int4 NOT NULL
    );
    ALTER TABLE tidbok.keyring ADD COLUMN IF NOT EXISTS directory text;
    COMMIT";

const OF_TENANTS: Versions = Versions {
    half: Half::Ledger,
    read: "SELECT version FROM tidbok.tenant WHERE id = $1 FOR UPDATE",
    write: "UPDATE tidbok.tenant SET version = $2 WHERE id = $1",
};

const OF_KEYRINGS: Versions = Versions {
    half: Half::Keyring,
    read: "SELECT version FROM tidbok.keyring WHERE id = $1 FOR UPDATE",
    write: "UPDATE tidbok.keyring SET version = $2 WHERE id = $1",
};

const OLDEST: u32 = 150_000;

/// Makes a table of a database that it lacks, if the server is one to be used.
fn open(server: &Arc<Server>, made: &str, make: &str) -> Result<(), PgError> {
    let borrowed = server.borrow()?;
    let client = borrowed.client()?;
    let version =
        borrowed.wait(client.query_one("SHOW server_version_num", &[])).map_err(PgError::of)?;
    let version: &str = version.try_get(0).map_err(PgError::Altered)?;
    if version.parse().unwrap_or(0) < OLDEST {
        return Err(PgError::TooOld(version.to_owned()));
    }
    let there = borrowed.wait(client.query_one(made, &[])).map_err(PgError::of)?;
    if !there.try_get::<_, bool>(0).map_err(PgError::Altered)? {
        borrowed.wait(client.batch_execute(make)).map_err(PgError::of)?;
    }
    borrowed.done();
    Ok(())
}

/// How a tenant stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    InUse,
    /// Out of use, and being written into a folder; if that was cut off, not all of it is there.
    Exporting,
    /// Out of use, and all of it is in a folder.
    Exported,
    /// Out of use, while it is copied to another server.
    Moving,
    /// In its new place, and not in use before its ledger says so and the old place is empty.
    Arriving,
}

impl State {
    const ALL: [Self; 5] =
        [Self::InUse, Self::Exporting, Self::Exported, Self::Moving, Self::Arriving];

    fn code(self) -> i16 {
        match self {
            Self::InUse => 0,
            Self::Exported => 1,
            Self::Moving => 2,
            Self::Arriving => 3,
            Self::Exporting => 4,
        }
    }

    /// What a newer program may have added is out of use.
    fn of(code: i16) -> Self {
        Self::ALL.into_iter().find(|state| state.code() == code).unwrap_or(Self::Arriving)
    }
}

/// What a directory says of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub id: TenantId,
    version: i32,
    /// On which other server it is.
    pub server: Option<String>,
    pub state: State,
    /// While it moves, where it goes; while it arrives, where it was, if that was elsewhere.
    pub other: Option<String>,
}

const COLUMNS: &str = "id, version, server, state, other";

impl Placed {
    fn of(row: &Row) -> Result<Self, PgError> {
        let id: Vec<u8> = get(row, 0)?;
        let id = id.as_slice().try_into().map(TenantId).unwrap_or(TenantId([0; 16]));
        let (version, server, other) = (get(row, 1)?, get(row, 2)?, get(row, 4)?);
        Ok(Self { id, version, server, state: State::of(get(row, 3)?), other })
    }

    /// A tenant that has just come to a server.
    pub(crate) fn arriving(id: TenantId, server: Option<String>) -> Self {
        Self { id, version: VERSION, server, state: State::Arriving, other: None }
    }

    /// The same tenant, with all of its schemas, as it is next.
    pub(crate) fn now(&self, state: State, server: Option<&str>, other: Option<&str>) -> Self {
        let named = |name: Option<&str>| name.map(str::to_owned);
        Self { state, server: named(server), other: named(other), version: VERSION, ..*self }
    }
}

/// The tenants of one database. That of `--ledger` has all of them, and says which are on another
/// server; the directory there has the version of their schemas.
pub(crate) struct Directory(pub Arc<Server>);

/// A tenant, held by whoever moves it: all that is written of its place is written on the very
/// connection that holds it, so that who has lost it without knowing writes nothing.
pub(crate) struct Held {
    key: String,
    connection: Option<Borrowed>,
}

const HOLD: &str = "SELECT pg_try_advisory_lock(6217013581 # hashtextextended($1, 0))";
const LET_GO: &str = "SELECT pg_advisory_unlock(6217013581 # hashtextextended($1, 0))";

impl Held {
    fn run(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
        let borrowed = self.connection.as_ref().ok_or(PgError::Closed)?;
        borrowed.wait(borrowed.client()?.execute(sql, params)).map_err(PgError::of)
    }

    /// Says what is so of a tenant from now on; whether what was so before was still so.
    pub(crate) fn turn(&self, was: &Placed, is: &Placed) -> Result<bool, PgError> {
        let sql = "UPDATE tidbok.tenant SET state = $4, server = $5, other = $6, version = $7
                   WHERE id = $1 AND state = $2 AND server IS NOT DISTINCT FROM $3";
        let (id, before, after) = (was.id.0.as_slice(), was.state.code(), is.state.code());
        let params: [&(dyn ToSql + Sync); 7] =
            [&id, &before, &was.server, &after, &is.server, &is.other, &is.version];
        Ok(self.run(sql, &params)? == 1)
    }

    /// Gives a tenant its name; whether it was free.
    pub(crate) fn name(&self, name: &str, is: &Placed) -> Result<bool, PgError> {
        let sql = "INSERT INTO tidbok.tenant (name, id, version, server, state)
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let (id, state) = (is.id.0.as_slice(), is.state.code());
        Ok(self.run(sql, &[&name, &id, &is.version, &is.server, &state])? == 1)
    }

    /// Forgets a tenant.
    pub(crate) fn remove(&self, id: TenantId) -> Result<(), PgError> {
        self.run("DELETE FROM tidbok.tenant WHERE id = $1", &[&id.0.as_slice()]).map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Where that fails, the connection is closed, and the server lets go by itself.
        if let Some(borrowed) = self.connection.take()
            && borrowed
                .client()
                .is_ok_and(|client| borrowed.wait(client.execute(LET_GO, &[&self.key])).is_ok())
        {
            borrowed.done();
        }
    }
}

impl Directory {
    /// Opens the directory of a database, which it gets if it has none.
    pub(crate) fn open(server: &Arc<Server>) -> Result<Self, PgError> {
        open(server, MADE, MAKE)?;
        Ok(Self(Arc::clone(server)))
    }

    /// What this directory is called where several have their keyrings.
    pub(crate) fn id(&self) -> Result<String, PgError> {
        let borrowed = self.0.borrow()?;
        let row = borrowed
            .wait(borrowed.client()?.query_one("SELECT id::text FROM tidbok.directory", &[]));
        let row = row.map_err(PgError::of)?;
        borrowed.done();
        get(&row, 0)
    }

    /// All tenants by name, in order.
    pub(crate) fn all(&self) -> Result<Vec<(String, Placed)>, PgError> {
        let sql = format!(
            "SELECT {COLUMNS}, name FROM tidbok.tenant WHERE NOT lodger ORDER BY name COLLATE \"C\""
        );
        self.listed(&sql, &[])
    }

    /// Those of these tenants that there are.
    pub(crate) fn those(&self, names: &[String]) -> Result<Vec<(String, Placed)>, PgError> {
        let sql = format!(
            "SELECT {COLUMNS}, name FROM tidbok.tenant WHERE name = ANY ($1) AND NOT lodger"
        );
        self.listed(&sql, &[&names])
    }

    fn listed(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<(String, Placed)>, PgError> {
        let borrowed = self.0.borrow()?;
        let rows = borrowed.wait(borrowed.client()?.query(sql, params)).map_err(PgError::of)?;
        borrowed.done();
        rows.iter().map(|row| Ok((get(row, 5)?, Placed::of(row)?))).collect()
    }

    /// What is said of the tenant of a name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Placed>, PgError> {
        let sql =
            format!("SELECT {COLUMNS}, name FROM tidbok.tenant WHERE name = $1 AND NOT lodger");
        Ok(self.listed(&sql, &[&name])?.pop().map(|(_, placed)| placed))
    }

    /// What is said of a tenant by its id: also of one that another database's directory has.
    pub(crate) fn by_id(&self, id: TenantId, lodger: bool) -> Result<Option<Placed>, PgError> {
        let sql =
            format!("SELECT {COLUMNS}, name FROM tidbok.tenant WHERE id = $1 AND lodger = $2");
        Ok(self.listed(&sql, &[&id.0.as_slice(), &lodger])?.pop().map(|(_, placed)| placed))
    }

    /// Brings the schemas of a tenant that is here up to this program; whether its keyring is among
    /// them.
    pub(crate) fn ready(&self, tenant: &Placed) -> Result<bool, PgError> {
        let both = self.is_together(tenant.id)?;
        let half = if both { Half::Both } else { Half::Ledger };
        bring_up(&self.0, tenant.id, tenant.version, Versions { half, ..OF_TENANTS })?;
        Ok(both)
    }

    /// Whether a tenant that is here has its keyring with its ledger.
    pub(crate) fn is_together(&self, id: TenantId) -> Result<bool, PgError> {
        has_keyring(&self.0, id)
    }

    /// Gives a new tenant its name and its server; whether the name was free.
    pub(crate) fn name(
        &self,
        name: &str,
        id: TenantId,
        server: Option<&str>,
    ) -> Result<bool, PgError> {
        let sql = "INSERT INTO tidbok.tenant (name, id, version, server) VALUES ($1, $2, $3, $4)
                   ON CONFLICT DO NOTHING";
        Ok(self.run(sql, &[&name, &id.0.as_slice(), &VERSION, &server])? == 1)
    }

    /// Takes note of a tenant here that another database's directory has, and of the version of its
    /// schemas. By no name: here nobody looks for it by one.
    pub(crate) fn lodge(&self, id: TenantId) -> Result<(), PgError> {
        let sql = "INSERT INTO tidbok.tenant (name, id, version, lodger) VALUES ($1, $2, $3, true)
                   ON CONFLICT (id) DO UPDATE SET version = excluded.version, name = excluded.name,
                   lodger = true, state = 0, server = NULL, other = NULL";
        self.run(sql, &[&id.to_string(), &id.0.as_slice(), &VERSION]).map(drop)
    }

    /// Forgets a tenant that another database's directory has.
    pub(crate) fn dislodge(&self, id: TenantId) -> Result<(), PgError> {
        let sql = "DELETE FROM tidbok.tenant WHERE id = $1 AND lodger";
        self.run(sql, &[&id.0.as_slice()]).map(drop)
    }

    fn run(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
        let borrowed = self.0.borrow()?;
        let done = borrowed.wait(borrowed.client()?.execute(sql, params)).map_err(PgError::of)?;
        borrowed.done();
        Ok(done)
    }

    /// Whether another directory's database is this one, whatever address it has there: what is held in
    /// the one is not free in the other.
    pub(crate) fn is_also(&self, other: &Self) -> Result<bool, PgError> {
        let borrowed = self.0.borrow()?;
        // What nobody else holds, wherever.
        let sql = "SELECT 'database ' || pg_backend_pid() || ' ' || clock_timestamp()";
        let row = borrowed.wait(borrowed.client()?.query_one(sql, &[])).map_err(PgError::of)?;
        borrowed.done();
        let key: String = get(&row, 0)?;
        let held = self.hold(&key)?;
        Ok(held.is_some() && other.hold(&key)?.is_none())
    }

    /// Keeps everybody else from holding the same in this database; none where somebody does.
    pub(crate) fn hold(&self, key: &str) -> Result<Option<Held>, PgError> {
        let borrowed = self.0.borrow()?;
        let row =
            borrowed.wait(borrowed.client()?.query_one(HOLD, &[&key])).map_err(PgError::of)?;
        if get(&row, 0)? {
            return Ok(Some(Held { key: key.to_owned(), connection: Some(borrowed) }));
        }
        borrowed.done();
        Ok(None)
    }
}

/// The keyrings of one database that has no ledgers.
pub(crate) struct Keyrings(pub Arc<Server>);

impl Keyrings {
    /// Opens them, where the server can commit together with another.
    pub(crate) fn open(server: &Arc<Server>) -> Result<Self, PgError> {
        open(server, MADE_KEYRINGS, MAKE_KEYRINGS)?;
        let borrowed = server.borrow()?;
        let row =
            borrowed.wait(borrowed.client()?.query_one("SHOW max_prepared_transactions", &[]));
        let row = row.map_err(PgError::of)?;
        let most: &str = row.try_get(0).map_err(PgError::Altered)?;
        if most == "0" {
            return Err(PgError::NoPrepared);
        }
        borrowed.done();
        Ok(Self(Arc::clone(server)))
    }

    /// Whether the database answers.
    pub(crate) fn reach(&self) -> Result<(), PgError> {
        let borrowed = self.0.borrow()?;
        borrowed.wait(borrowed.client()?.batch_execute("SELECT 1")).map_err(PgError::of)?;
        borrowed.done();
        Ok(())
    }

    /// Whether a tenant's keyring is among them.
    pub(crate) fn has(&self, id: TenantId) -> Result<bool, PgError> {
        let borrowed = self.0.borrow()?;
        let sql = "SELECT version FROM tidbok.keyring WHERE id = $1";
        let row = borrowed.wait(borrowed.client()?.query_opt(sql, &[&id.0.as_slice()]));
        let row = row.map_err(PgError::of)?;
        borrowed.done();
        let Some(row) = row else { return Ok(false) };
        let version: i32 = row.try_get(0).map_err(PgError::Altered)?;
        bring_up(&self.0, id, version, OF_KEYRINGS)?;
        Ok(true)
    }
}

fn bring_up(server: &Arc<Server>, id: TenantId, version: i32, of: Versions) -> Result<(), PgError> {
    match version.cmp(&VERSION) {
        std::cmp::Ordering::Greater => Err(PgError::Newer(version)),
        std::cmp::Ordering::Less => migrate::upgrade(server, id, of),
        std::cmp::Ordering::Equal => Ok(()),
    }
}
