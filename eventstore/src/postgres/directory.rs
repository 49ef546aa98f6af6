//! Which tenants a database has, and whose keyrings.

use std::sync::Arc;

use super::migrate::{Half, Versions};
use super::pool::Server;
use super::{Names, PgError, migrate};
use crate::keyring::provider::TenantId;
use crate::store::Which;
use crate::wait::wait;

/// One program at a time makes a table; the number is the lock's name.
const MAKE: &str = "BEGIN;
    SELECT pg_advisory_xact_lock(6217013581);
    CREATE SCHEMA IF NOT EXISTS tidbok;
    CREATE TABLE IF NOT EXISTS tidbok.tenant (
        name    text PRIMARY KEY,
        id      bytea NOT NULL UNIQUE,
        version int4 NOT NULL
    );
    COMMIT";

const MAKE_KEYRINGS: &str = "BEGIN;
    SELECT pg_advisory_xact_lock(6217013581);
    CREATE SCHEMA IF NOT EXISTS tidbok;
    CREATE TABLE IF NOT EXISTS tidbok.keyring (
        id      bytea PRIMARY KEY,
        version int4 NOT NULL
    );
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
fn open(server: &Arc<Server>, table: &str, make: &str) -> Result<(), PgError> {
    let borrowed = server.borrow()?;
    let client = borrowed.client()?;
    let version = wait(client.query_one("SHOW server_version_num", &[])).map_err(PgError::of)?;
    let version: &str = version.try_get(0).map_err(PgError::Altered)?;
    if version.parse().unwrap_or(0) < OLDEST {
        return Err(PgError::TooOld(version.to_owned()));
    }
    let sql = "SELECT to_regclass($1) IS NOT NULL";
    let there = wait(client.query_one(sql, &[&table])).map_err(PgError::of)?;
    if !there.try_get::<_, bool>(0).map_err(PgError::Altered)? {
        wait(client.batch_execute(make)).map_err(PgError::of)?;
    }
    borrowed.done();
    Ok(())
}

/// The tenants of one database.
pub(crate) struct Directory(pub Arc<Server>);

impl Directory {
    /// Opens the directory of a database, which it gets if it has none.
    pub(crate) fn open(server: &Arc<Server>) -> Result<Self, PgError> {
        open(server, "tidbok.tenant", MAKE)?;
        Ok(Self(Arc::clone(server)))
    }

    /// All tenants' names, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>, PgError> {
        let borrowed = self.0.borrow()?;
        let sql = "SELECT name FROM tidbok.tenant ORDER BY name COLLATE \"C\"";
        let rows = wait(borrowed.client()?.query(sql, &[])).map_err(PgError::of)?;
        let names = rows.iter().map(|row| row.try_get(0).map_err(PgError::Altered)).collect();
        borrowed.done();
        names
    }

    /// The tenant of a name, and whether its keyring is in the same database.
    pub(crate) fn find(&self, name: &str) -> Result<Option<(TenantId, bool)>, PgError> {
        let borrowed = self.0.borrow()?;
        let sql = "SELECT id, version FROM tidbok.tenant WHERE name = $1";
        let row = wait(borrowed.client()?.query_opt(sql, &[&name])).map_err(PgError::of)?;
        let Some(row) = row else {
            borrowed.done();
            return Ok(None);
        };
        let version: i32 = row.try_get(1).map_err(PgError::Altered)?;
        let id: &[u8] = row.try_get(0).map_err(PgError::Altered)?;
        let Ok(id) = id.try_into().map(TenantId) else { return Ok(None) };
        let keyring = Names::of(id, Which::Ledger).keyring;
        let sql = "SELECT to_regnamespace($1) IS NOT NULL";
        let both = wait(borrowed.client()?.query_one(sql, &[&keyring])).map_err(PgError::of)?;
        let both: bool = both.try_get(0).map_err(PgError::Altered)?;
        borrowed.done();
        let half = if both { Half::Both } else { Half::Ledger };
        bring_up(&self.0, id, version, Versions { half, ..OF_TENANTS })?;
        Ok(Some((id, both)))
    }

    /// Gives a tenant its name; whether it was free.
    pub(crate) fn name(&self, name: &str, id: TenantId) -> Result<bool, PgError> {
        let borrowed = self.0.borrow()?;
        let sql = "INSERT INTO tidbok.tenant VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&name, &id.0.as_slice(), &migrate::VERSION];
        let named = wait(borrowed.client()?.execute(sql, &params)).map_err(PgError::of)?;
        borrowed.done();
        Ok(named == 1)
    }
}

/// The keyrings of one database that has no ledgers.
pub(crate) struct Keyrings(pub Arc<Server>);

impl Keyrings {
    /// Opens them, where the server can commit together with another.
    pub(crate) fn open(server: &Arc<Server>) -> Result<Self, PgError> {
        open(server, "tidbok.keyring", MAKE_KEYRINGS)?;
        let borrowed = server.borrow()?;
        let row = wait(borrowed.client()?.query_one("SHOW max_prepared_transactions", &[]));
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
        wait(borrowed.client()?.batch_execute("SELECT 1")).map_err(PgError::of)?;
        borrowed.done();
        Ok(())
    }

    /// Whether a tenant's keyring is among them.
    pub(crate) fn has(&self, id: TenantId) -> Result<bool, PgError> {
        let borrowed = self.0.borrow()?;
        let sql = "SELECT version FROM tidbok.keyring WHERE id = $1";
        let row = wait(borrowed.client()?.query_opt(sql, &[&id.0.as_slice()]));
        let row = row.map_err(PgError::of)?;
        borrowed.done();
        let Some(row) = row else { return Ok(false) };
        let version: i32 = row.try_get(0).map_err(PgError::Altered)?;
        bring_up(&self.0, id, version, OF_KEYRINGS)?;
        Ok(true)
    }
}

fn bring_up(server: &Arc<Server>, id: TenantId, version: i32, of: Versions) -> Result<(), PgError> {
    match version.cmp(&migrate::VERSION) {
        std::cmp::Ordering::Greater => Err(PgError::Newer(version)),
        std::cmp::Ordering::Less => migrate::upgrade(server, id, of),
        std::cmp::Ordering::Equal => Ok(()),
    }
}
