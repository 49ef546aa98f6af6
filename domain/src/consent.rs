//! Consents, given and withdrawn, and acceptances of a policy, which are not consents: a booking
//! needs neither.

pub mod command;
pub mod decision;
pub mod error;
pub mod event;
#[cfg(test)]
mod tests;

pub use command::ConsentCommand;
pub use error::ConsentRefusal;
pub use event::{Accepted, Given, Text, Withdrawn};

use serde::{Deserialize, Serialize};

use crate::ids::Handle;

crate::facet::closed! {
    /// By which way a consent lets the person be reached; `none` where it is not about contact.
    Medium {
        Email = "email",
        Sms = "sms",
        Phone = "phone",
        Post = "post",
        None = "none",
    }
}

crate::facet::closed! {
    /// On which occasion somebody consented, accepted or withdrew.
    Occasion {
        Booking = "booking",
        Account = "account",
        Desk = "desk",
        Link = "link",
        Import = "import",
    }
}

crate::facet::closed! {
    /// What a consent allows. Closed, so that no purpose can name a person.
    Purpose {
        Newsletter = "newsletter",
        Offers = "offers",
        Reminders = "reminders",
        Surveys = "surveys",
        HealthNotes = "health_notes",
        Photos = "photos",
        Research = "research",
    }
}

/// Where one consent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub handle: Handle,
    /// What was allowed, by which way; none for the acceptance of a policy.
    pub allows: Option<(Purpose, Medium)>,
    pub withdrawn: bool,
}
