//! All system tests, in one binary. A module per subject.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, where what fails must end the test"
)]

mod accountability;
mod apart;
mod architecture;
mod audit;
mod authorization;
mod away;
mod backup;
mod cli;
mod conformance;
mod crash;
mod desks;
mod erasure;
mod gdprbench;
mod hotel;
mod hsm;
mod http;
mod import;
mod index;
mod kms;
mod moving;
mod nodes;
mod old_events;
mod older;
mod openapi;
mod others;
mod privacy_register;
mod processes;
mod program;
mod promises;
mod proofs;
mod race;
mod receipt;
mod recipients;
mod recovery;
mod replay;
mod requests;
mod restore;
mod retention;
mod roles;
mod rotation;
mod simulation;
mod site;
mod standing;
mod tidy;
mod tree;
mod upgrade;
mod witness;
