//! The program `tidbok`: everything around the ledger that people and programs meet.
//!
//! Read in this order: [`app`] and [`desk`] (what is running); [`caller`], `sent`, [`intake`], [`answer`] and
//! [`problem`] (one request from end to end); then `routes`, or [`cli`]. [`reactors`], [`retention`] and
//! [`rotation`] are what a server does by itself.

pub mod answer;
pub mod app;
pub mod audit;
pub mod backup;
mod bench;
pub mod caller;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod desk;
pub mod desks;
mod dice;
pub mod erasure;
pub mod http;
pub mod import;
pub mod intake;
pub mod keys;
pub mod metrics;
pub mod openapi;
pub mod pages;
mod policy;
pub mod problem;
pub mod reactors;
pub mod receipt;
pub mod recipients;
pub mod requests;
pub mod retention;
pub mod rotation;
mod rounds;
pub mod routes;
pub mod sent;
pub mod witnesses;

pub use app::{App, AppError};
pub use desk::{Desk, DeskError};
