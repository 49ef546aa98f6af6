//! Changes of rows that are no events: credentials, requests, notices, keys wrapped anew.

use domain::RetentionClass;

use super::{Bundle, Hanging, Paper, Replaced};

/// A change of rows that are no events.
#[derive(Debug)]
pub enum Change {
    Paper(Paper),
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
    /// Another key to sign the log with in the place of the one that is there, which is kept as the
    /// former.
    LogKey {
        was: Vec<u8>,
        wrapped: Vec<u8>,
    },
    /// The former key to sign the log with is not used any more.
    ForgetLogKey,
    /// A tenant key of a new epoch; whoever was first has made it for all.
    TenantKey {
        epoch: u32,
        wrapped: Vec<u8>,
    },
    /// Keys of the tenant's own wrapped anew, each with the form it had: one that is gone stays gone.
    Rewrapped(Vec<(Hanging, Vec<u8>)>),
    /// Persons' keys wrapped and lookups covered anew, each with the row it had.
    Rotated(Vec<(Bundle, Bundle)>),
    /// Persons' keys replaced, each only where it still has the form it had.
    Replaced(Vec<Replaced>),
    /// Ends the tenant keys of all epochs before this one, and the persons' keys retired in them.
    EndEpochs {
        before: u32,
    },
    /// Lays the links between persons and entries down anew, so that nothing is left of what was moved within
    /// the file before it was deleted.
    LinksAnew,
    /// The key of a day's repeats; lets go of days that are over.
    Day {
        day: i64,
        wrapped: Vec<u8>,
    },
    /// Lets go of repeats from before yesterday.
    EndDays {
        today: i64,
    },
}
