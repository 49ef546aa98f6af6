//! Bookings: one or several people on one or several resources, over hours or nights, in one
//! decision.
//!
//! A booking holds its time from the request on, pending or confirmed, until it is declined or
//! cancelled. So two requests can never both wait for the same time, and confirming one never has
//! a rival.

pub mod aggregate;
pub mod command;
pub mod decision;
pub mod error;
pub mod event;
#[cfg(test)]
mod tests;

pub use aggregate::{Booking, Day, Occupied};
pub use command::{BookingCommand, Change, NewPart, Past, PastStep, Request, Wanted};
pub use error::BookingRefusal;
pub use event::{
    Cancelled, Changed, ContentErased, Declined, Hold, Part, Price, Requested, Rescheduled, Role,
    Status, Step,
};

crate::facet::closed! {
    /// Who took a booking back or turned it down.
    Side {
        Client = "client",
        Staff = "staff",
        System = "system",
    }
}

crate::facet::closed! {
    /// Why a booking was declined or cancelled.
    Reason {
        ClientRequest = "client_request",
        Illness = "illness",
        Weather = "weather",
        Double = "double_booking",
        NoCapacity = "no_capacity",
        Policy = "policy",
        Erasure = "erasure",
        Other = "other",
        Unknown = "unknown",
    }
}
