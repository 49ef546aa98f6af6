//! A log as files in a folder, laid out as a static server of tiles would serve them.

mod check;
mod export;
mod fault;

pub use check::{Check, Checked, since};
pub use export::{ExportError, Exported, export};
pub use fault::LogFault;
