//! All system tests, in one binary. A module per subject.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, where what fails must end the test"
)]

mod accountability;
mod architecture;
mod audit;
mod authorization;
mod http;
mod import;
mod old_events;
mod openapi;
mod privacy_register;
mod promises;
mod race;
mod tidy;
mod tree;
