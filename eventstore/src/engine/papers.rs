//! Rows of the keyring that change and are no events: what callers sign in with, what persons ask
//! for, who was given what of whose, and what those are to be told.

use domain::Position;

use super::Read;
use crate::keyring::person::PersonId;
use crate::store::credentials::ApiKey;
use crate::store::notices::Notice;
use crate::store::requests::PrivacyRequest;
use crate::tree::Hash;

/// Which notices.
#[derive(Debug, Clone, Copy)]
pub enum Notices<'a> {
    One(u64),
    /// The oldest that nobody has acknowledged.
    Waiting,
    /// Those of them to one of these recipients; those first that are to be sent first.
    WaitingFor(&'a [String]),
    /// Those that tell of an entry.
    Of(Position),
    /// So many, the newest first.
    Newest(u32),
}

/// Reads them.
#[expect(clippy::missing_errors_doc, reason = "each fails where the database cannot be read")]
pub trait Papers {
    fn api_key(&self, hash: &Hash) -> Read<Option<ApiKey>>;

    fn api_keys(&self) -> Read<Vec<ApiKey>>;

    fn privacy_request(&self, id: u64) -> Read<Option<PrivacyRequest>>;

    /// The newest first.
    fn privacy_requests(&self, limit: u32) -> Read<Vec<PrivacyRequest>>;

    /// Those that are not decided, or done without a receipt; the oldest first.
    fn open_requests(&self) -> Read<Vec<PrivacyRequest>>;

    /// Who was given something of a person's.
    fn given_to(&self, person: PersonId) -> Read<Vec<String>>;

    /// Of how many persons a recipient was given something.
    fn given_of(&self, recipient: &str) -> Read<u64>;

    fn notices(&self, which: Notices<'_>) -> Read<Vec<Notice>>;
}
