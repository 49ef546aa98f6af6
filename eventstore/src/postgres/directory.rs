//! Which tenants a database has.

use std::sync::Arc;

use super::pool::Server;
use super::{PgError, migrate};
use crate::keyring::provider::TenantId;
use crate::wait::wait;

/// One program at a time makes the table; the number is the lock's name.
const MAKE: &str = "BEGIN;
    SELECT pg_advisory_xact_lock(6217013581);
    CREATE SCHEMA IF NOT EXISTS tidbok;
    CREATE TABLE IF NOT EXISTS tidbok.tenant (
        name    text PRIMARY KEY,
        id      bytea NOT NULL UNIQUE,
        version int4 NOT NULL
    );
    COMMIT";

const OLDEST: u32 = 150_000;

/// The tenants of one database.
pub(crate) struct Directory(pub Arc<Server>);

impl Directory {
    /// Opens the directory of a database, which it gets if it has none.
    pub(crate) fn open(server: &Arc<Server>) -> Result<Self, PgError> {
        let borrowed = server.borrow()?;
        let client = borrowed.client()?;
        let version =
            wait(client.query_one("SHOW server_version_num", &[])).map_err(PgError::of)?;
        let version: &str = version.try_get(0).map_err(PgError::Altered)?;
        if version.parse().unwrap_or(0) < OLDEST {
            return Err(PgError::TooOld(version.to_owned()));
        }
        let sql = "SELECT to_regclass('tidbok.tenant') IS NOT NULL";
        let there = wait(client.query_one(sql, &[])).map_err(PgError::of)?;
        if !there.try_get::<_, bool>(0).map_err(PgError::Altered)? {
            wait(client.batch_execute(MAKE)).map_err(PgError::of)?;
        }
        borrowed.done();
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

    /// The tenant of a name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<TenantId>, PgError> {
        let borrowed = self.0.borrow()?;
        let sql = "SELECT id, version FROM tidbok.tenant WHERE name = $1";
        let row = wait(borrowed.client()?.query_opt(sql, &[&name])).map_err(PgError::of)?;
        borrowed.done();
        let Some(row) = row else { return Ok(None) };
        let version: i32 = row.try_get(1).map_err(PgError::Altered)?;
        if version > migrate::VERSION {
            return Err(PgError::Newer(version));
        }
        let id: &[u8] = row.try_get(0).map_err(PgError::Altered)?;
        let id = id.try_into().ok().map(TenantId);
        if let (Some(id), true) = (id, version < migrate::VERSION) {
            migrate::upgrade(&self.0, name, id)?;
        }
        Ok(id)
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
