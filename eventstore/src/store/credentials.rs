//! What callers sign in with: rows that change and are no events.
//!
//! Of a key only a hash is kept. A client's key belongs to one person and is deleted with them.

use super::Tenant;
use crate::engine::{Change, Paper};
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
    /// For whom a program reads with it, by the policy's name, where it is not the tenant's own.
    pub recipient: Option<String>,
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
        (person, recipient): (Option<PersonId>, Option<String>),
        now: jiff::Timestamp,
    ) -> Result<u64, AppendError> {
        let (role, label) = (role.to_owned(), label.to_owned());
        let at = now.as_second();
        self.ledger
            .change(Change::Paper(Paper::AddApiKey { hash, role, label, person, recipient, at }))
            .await
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
        Ok(self
            .ledger
            .change(Change::Paper(Paper::RevokeApiKey { id, at: now.as_second() }))
            .await?
            > 0)
    }
}
