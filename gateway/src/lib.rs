//! The program `tidbok`: everything around the ledger that people and programs meet.

pub mod app;
pub mod clock;
pub mod desk;
pub mod import;
pub mod intake;

pub use app::{App, AppError};
pub use desk::{Desk, DeskError};
