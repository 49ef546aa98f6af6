//! What callers sign in with, and what they have asked for: rows that change and are no events.
//!
//! Of a key only a hash is kept. A client's key belongs to one person and is deleted with them.

use domain::Position;

use super::Tenant;
use crate::engine::Change;
use crate::keyring::KeyError;
use crate::keyring::person::PersonId;
use crate::ledger::appender::AppendError;
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
        let at = now.as_second();
        self.ledger.change(Change::AddApiKey { hash, role, label, person, at }).await
    }

    /// The key with this hash, unless it was revoked.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn api_key(&self, hash: &Hash) -> Result<Option<ApiKey>, KeyError> {
        Ok(self.log().reader().api_key(hash)?)
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn api_keys(&self) -> Result<Vec<ApiKey>, KeyError> {
        Ok(self.log().reader().api_keys()?)
    }

    /// Revokes a key; whether there was one to revoke.
    ///
    /// # Errors
    /// Where the keyring cannot be written.
    pub async fn revoke_api_key(&self, id: u64, now: jiff::Timestamp) -> Result<bool, AppendError> {
        Ok(self.ledger.change(Change::RevokeApiKey { id, at: now.as_second() }).await? > 0)
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
        let (kind, at) = (kind.to_owned(), now.as_second());
        self.ledger.change(Change::AddPrivacyRequest { kind, person, at }).await
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
        let (status, at) = (status.to_owned(), now.as_second());
        let decide = Change::DecidePrivacyRequest { id, status, fence, at };
        self.ledger.change(decide).await.map(drop)
    }

    /// A request by its number.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn privacy_request(&self, id: u64) -> Result<Option<PrivacyRequest>, KeyError> {
        Ok(self.log().reader().privacy_request(id)?)
    }

    /// All requests, newest first.
    ///
    /// # Errors
    /// Where the keyring cannot be read.
    pub fn privacy_requests(&self, limit: u32) -> Result<Vec<PrivacyRequest>, KeyError> {
        Ok(self.log().reader().privacy_requests(limit)?)
    }
}
