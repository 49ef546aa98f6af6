//! The rules of booking: events, decisions and value types.
//!
//! This crate reads no clock, does no I/O, holds no key and never sees plaintext. What happens is
//! an [`Event`]; what is wished is a [`Command`]; [`Book`] is everything a decision may depend on,
//! folded from events, and [`Book::decide`] turns one into the other or into a typed [`Refusal`].
//!
//! Read in this order: [`ids`], [`sealed`] (personal data nobody here can read), [`slot`] (time),
//! [`entry`] (who, when, tags), [`facet`] (what statistics may know), then the areas [`booking`],
//! [`person`], [`consent`], [`catalogue`] and [`policy`], each with the same files, and at last
//! [`book`], which brings them together.

pub mod availability;
pub mod book;
pub mod booking;
pub mod catalogue;
pub mod consent;
pub mod entry;
pub mod event;
pub mod facet;
pub mod ids;
pub mod ledger;
pub mod person;
pub mod policy;
pub mod refusal;
pub mod sealed;
pub mod slot;
pub mod tag;
#[cfg(test)]
mod testing;

pub use book::{Book, Command, Key};
pub use entry::{Actor, Context, Draft, Recorded};
pub use event::{Event, Kind};
pub use ids::{
    BookingId, ConsentId, FenceId, GroupId, Handle, Position, RegistrationId, ResourceId, ServiceId,
};
pub use refusal::Refusal;
pub use sealed::{Field, RetentionClass, Sealed};
pub use tag::Tag;
