//! Rows of the keyring that change and are no events: what callers sign in with, what persons ask
//! for, who was given what of whose, and what those are to be told.

use domain::Position;

use super::Read;
use crate::keyring::person::PersonId;
use crate::store::credentials::ApiKey;
use crate::store::notices::Notice;
use crate::store::requests::{PrivacyRequest, Stage};
use crate::tree::Hash;

/// Which notices.
#[derive(Debug, Clone, Copy)]
pub enum Notices<'a> {
    One(u64),
    /// The oldest that nobody has acknowledged.
    Waiting,
    /// Those of them to a recipient; those first that are to be sent first.
    WaitingFor(&'a str),
    /// Those that tell of an entry.
    Of(Position),
    /// So many after one: the waiting first, and of each the newest first.
    After(Seen, u32),
}

/// The last that was seen of a list on which what is still open stands first, the newest first of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether it was open no more.
    pub settled: bool,
    pub id: u64,
}

impl Seen {
    /// What the list begins after.
    pub const NOTHING: Self = Self { settled: false, id: u64::MAX };
}

/// Reads the rows of the keyring that are no events.
#[expect(clippy::missing_errors_doc, reason = "each fails where the database cannot be read")]
pub trait Papers {
    fn api_key(&self, hash: &Hash) -> Read<Option<ApiKey>>;

    fn api_keys(&self) -> Read<Vec<ApiKey>>;

    fn privacy_request(&self, id: u64) -> Read<Option<PrivacyRequest>>;

    /// So many after one: those first that nobody has decided, and of each the newest first.
    fn privacy_requests(&self, after: Seen, limit: u32) -> Read<Vec<PrivacyRequest>>;

    /// Those that are not decided, or done without a receipt; the oldest first.
    fn open_requests(&self) -> Read<Vec<PrivacyRequest>>;

    /// Who was given something of a person's.
    fn given_to(&self, person: PersonId) -> Read<Vec<String>>;

    /// Of which of these persons a recipient was not given anything yet.
    fn not_given(&self, recipient: &str, persons: &[PersonId]) -> Read<Vec<PersonId>>;

    /// Of how many persons a recipient was given something.
    fn given_of(&self, recipient: &str) -> Read<u64>;

    fn notices(&self, which: Notices<'_>) -> Read<Vec<Notice>>;
}

/// A change of a row of the keyring that is no event.
#[derive(Debug)]
pub enum Paper {
    AddApiKey {
        hash: Hash,
        role: String,
        label: String,
        person: Option<PersonId>,
        recipient: Option<String>,
        at: i64,
    },
    RevokeApiKey {
        id: u64,
        at: i64,
    },
    AddRequest {
        kind: String,
        person: PersonId,
        stage: Stage,
        course: String,
        at: i64,
    },
    /// Only from the stage that it was seen in; with `at` it is decided.
    MoveRequest {
        id: u64,
        from: Stage,
        to: Stage,
        course: String,
        at: Option<i64>,
    },
    /// Only where so many of who are told know, as it says.
    KeepReceipt {
        id: u64,
        receipt: String,
        known: u64,
    },
    /// That a recipient was given something of each of these, unless they are erased.
    Give {
        persons: Vec<PersonId>,
        recipient: String,
        at: i64,
    },
    /// A notice is taken on, by one of those who saw it as it was.
    TakeOn {
        id: u64,
        attempts: u32,
        again_at: i64,
    },
    Acknowledge {
        id: u64,
        at: i64,
    },
}

impl Paper {
    /// Whose rows are held while it is written.
    pub(crate) fn persons(&self) -> &[PersonId] {
        match self {
            Self::Give { persons, .. } => persons,
            Self::AddApiKey { .. }
            | Self::RevokeApiKey { .. }
            | Self::AddRequest { .. }
            | Self::MoveRequest { .. }
            | Self::KeepReceipt { .. }
            | Self::TakeOn { .. }
            | Self::Acknowledge { .. } => &[],
        }
    }
}
