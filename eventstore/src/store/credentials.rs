//! What callers sign in with, and what they have asked for: rows that change and are no events.
//!
//! Of a key only a hash is kept. A client's key belongs to one person and is deleted with them.

use domain::Position;
use rusqlite::{OptionalExtension, Row, params};

use super::Tenant;
use crate::keyring::KeyError;
use crate::keyring::person::PersonId;
use crate::ledger::appender::AppendError;
use crate::ledger::log::ReadError;
use crate::sqlite::{int, uint};
use crate::tree::Hash;

/// An API key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: u64,
    pub role: String,
    pub label: String,
    pub person: Option<PersonId>,
    /// Seconds since 1970.
    pub created_at: i64,
    pub revoked_at: Option<i64>,
}

/// A request of a person about their data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyRequest {
    pub id: u64,
    pub kind: String,
    /// Whose; none once they are erased.
    pub person: Option<PersonId>,
    pub requested_at: i64,
    pub decided_at: Option<i64>,
    pub status: String,
    pub fence_at: Option<Position>,
}

const KEY: &str = "SELECT id, role, label, person, created_at, revoked_at FROM api_key";
const REQUEST: &str = "SELECT id, kind, person, requested_at, decided_at, status, fence_at
                       FROM privacy_request";

impl Tenant {
    /// Keeps a new key by its hash; answers its number.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn add_api_key(
        &self,
        hash: Hash,
        role: &str,
        label: &str,
        person: Option<PersonId>,
        now: jiff::Timestamp,
    ) -> Result<u64, AppendError> {
        let (role, label) = (role.to_owned(), label.to_owned());
        let add = move |conn: &rusqlite::Connection| {
            let person = person.map(|person| int(person.0));
            conn.execute(
                "INSERT INTO api_key (hash, role, label, person, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![hash, role, label, person, now.as_second()],
            )?;
            Ok(uint(conn.last_insert_rowid()))
        };
        self.ledger.change(add).await
    }

    /// The key with this hash, unless it was revoked.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn api_key(&self, hash: &Hash) -> Result<Option<ApiKey>, KeyError> {
        let found = self.log().with(|conn| {
            let sql = format!("{KEY} WHERE hash = ?1 AND revoked_at IS NULL");
            Ok(conn.prepare_cached(&sql)?.query_row([hash], api_key).optional()?)
        });
        Ok(found?)
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn api_keys(&self) -> Result<Vec<ApiKey>, KeyError> {
        let all = self.log().with(|conn| {
            let rows = conn
                .prepare_cached(&format!("{KEY} ORDER BY id"))?
                .query_map([], api_key)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(rows)
        });
        Ok(all?)
    }

    /// Revokes a key; whether there was one to revoke.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn revoke_api_key(&self, id: u64, now: jiff::Timestamp) -> Result<bool, AppendError> {
        let revoke = move |conn: &rusqlite::Connection| {
            conn.execute(
                "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
                (int(id), now.as_second()),
            )
        };
        Ok(self.ledger.change(revoke).await? > 0)
    }

    /// Records what a person has asked for.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn add_privacy_request(
        &self,
        kind: &str,
        person: PersonId,
        now: jiff::Timestamp,
    ) -> Result<u64, AppendError> {
        let kind = kind.to_owned();
        let add = move |conn: &rusqlite::Connection| {
            conn.execute(
                "INSERT INTO privacy_request (kind, person, requested_at, status)
                 VALUES (?1, ?2, ?3, 'received')",
                params![kind, int(person.0), now.as_second()],
            )?;
            Ok(uint(conn.last_insert_rowid()))
        };
        self.ledger.change(add).await
    }

    /// Records how a request ended.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn decide_privacy_request(
        &self,
        id: u64,
        status: &str,
        fence: Option<Position>,
        now: jiff::Timestamp,
    ) -> Result<(), AppendError> {
        let status = status.to_owned();
        let decide = move |conn: &rusqlite::Connection| {
            conn.execute(
                "UPDATE privacy_request SET status = ?2, fence_at = ?3, decided_at = ?4
                 WHERE id = ?1",
                params![int(id), status, fence.map(|at| int(at.0)), now.as_second()],
            )
        };
        self.ledger.change(decide).await.map(drop)
    }

    /// A request by its number.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn privacy_request(&self, id: u64) -> Result<Option<PrivacyRequest>, KeyError> {
        let found = self.log().with(|conn| {
            let sql = format!("{REQUEST} WHERE id = ?1");
            Ok(conn.prepare_cached(&sql)?.query_row([int(id)], privacy_request).optional()?)
        });
        Ok(found?)
    }

    /// All requests, newest first.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn privacy_requests(&self, limit: u32) -> Result<Vec<PrivacyRequest>, KeyError> {
        let all = self.log().with(|conn| {
            let rows = conn
                .prepare_cached(&format!("{REQUEST} ORDER BY id DESC LIMIT ?1"))?
                .query_map([limit], privacy_request)?
                .collect::<rusqlite::Result<_>>()?;
            Ok::<_, ReadError>(rows)
        });
        Ok(all?)
    }
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: uint(row.get(0)?),
        role: row.get(1)?,
        label: row.get(2)?,
        person: row.get::<_, Option<i64>>(3)?.map(|id| PersonId(uint(id))),
        created_at: row.get(4)?,
        revoked_at: row.get(5)?,
    })
}

fn privacy_request(row: &Row<'_>) -> rusqlite::Result<PrivacyRequest> {
    Ok(PrivacyRequest {
        id: uint(row.get(0)?),
        kind: row.get(1)?,
        person: row.get::<_, Option<i64>>(2)?.map(|id| PersonId(uint(id))),
        requested_at: row.get(3)?,
        decided_at: row.get(4)?,
        status: row.get(5)?,
        fence_at: row.get::<_, Option<i64>>(6)?.map(|at| Position(uint(at))),
    })
}
