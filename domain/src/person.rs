//! Persons as far as the ledger knows them: registered, rectified, restricted, held, erased. None of
//! these entries says who. Those on one registration name its number; none says which others belong
//! to the same person.

pub mod command;
pub mod decision;
pub mod error;
pub mod event;
#[cfg(test)]
mod tests;

pub use command::PersonCommand;
pub use error::PersonRefusal;
pub use event::{
    Erased, HoldGround, HoldLifted, HoldPlaced, Rectified, Registered, Restricted,
    RestrictionGround, Unrestricted,
};

use serde::{Deserialize, Serialize};

use crate::ids::Handle;
use crate::sealed::RetentionClass;

/// What keeps somebody's data from being erased: a ground, and of which class; none for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LegalHold {
    pub class: Option<RetentionClass>,
    pub ground: HoldGround,
}

impl LegalHold {
    /// A hold on everything there is.
    pub fn on_all(ground: HoldGround) -> Self {
        Self { class: None, ground }
    }

    pub fn keeps(self, class: RetentionClass) -> bool {
        self.class.is_none_or(|held| held == class)
    }
}

/// Where one registration stands: under which handle its newest contact seal lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub handle: Handle,
    pub version: u32,
}
