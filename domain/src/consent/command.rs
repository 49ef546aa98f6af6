//! What may be wished of a consent.

use super::{Medium, Occasion, Purpose, Text};
use crate::ids::{ConsentId, FenceId};
use crate::sealed::{Evidence, Sealed};

#[derive(Debug, Clone)]
pub enum ConsentCommand {
    Give {
        evidence: Sealed<Evidence>,
        fence: FenceId,
        purpose: Purpose,
        medium: Medium,
        occasion: Occasion,
        text: Text,
    },
    Withdraw {
        consent: ConsentId,
        occasion: Occasion,
    },
    Accept {
        evidence: Sealed<Evidence>,
        fence: FenceId,
        occasion: Occasion,
        text: Text,
    },
}
