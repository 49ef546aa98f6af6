//! Changes of rows that are no events: credentials, requests, notices, keys wrapped anew.

use domain::RetentionClass;

use super::{Covered, Hanging, Replaced};
use crate::keyring::person::PersonId;
use crate::store::requests::Stage;
use crate::tree::Hash;

/// A change of rows that are no events.
#[derive(Debug)]
pub enum Change {
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
    KeepReceipt {
        id: u64,
        receipt: String,
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
    /// A period's key; whoever was first has made it for all.
    Period {
        class: RetentionClass,
        year: i16,
        wrapped: Vec<u8>,
    },
    /// A secret of the tenant's own; whoever was first has made it for all.
    Secret {
        name: &'static str,
        wrapped: Vec<u8>,
    },
    /// A tenant key of a new epoch; whoever was first has made it for all.
    TenantKey {
        epoch: u32,
        wrapped: Vec<u8>,
    },
    /// Keys wrapped anew, each with the form it had: one that is gone stays gone.
    Rewrapped(Vec<(Hanging, Vec<u8>)>),
    /// Lookup values covered anew, each with the row it had.
    Recovered(Vec<(Covered, Covered)>),
    /// Persons' keys replaced, each only where it still has the form it had.
    Replaced(Vec<Replaced>),
    /// Ends the tenant keys of all epochs before this one, and the persons' keys retired in them.
    EndEpochs {
        before: u32,
    },
    /// The key of a day's repeats; lets go of days that are over.
    Day {
        day: i64,
        wrapped: Vec<u8>,
    },
}
