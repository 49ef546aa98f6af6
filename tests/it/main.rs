//! All system tests, in one binary. A module per subject.

mod architecture;
mod audit;
mod import;
mod old_events;
mod privacy_register;
mod tidy;
mod tree;
