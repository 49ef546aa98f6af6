//! What happens to a consent.

use serde::{Deserialize, Serialize};

use super::{Medium, Occasion, Purpose};
use crate::ids::{ConsentId, Hash};
use crate::sealed::{Evidence, Sealed};

/// Which text was shown: its version by hash, and its language (BCP 47).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    pub hash: Hash,
    pub locale: String,
}

impl Text {
    /// Whether the locale has the shape of a BCP 47 tag.
    pub fn is_sound(&self) -> bool {
        (2..=35).contains(&self.locale.len())
            && self.locale.split('-').all(|subtag| {
                (1..=8).contains(&subtag.len())
                    && subtag.bytes().all(|letter| letter.is_ascii_alphanumeric())
            })
    }
}

/// Somebody allowed something, for one purpose by one medium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Given {
    pub evidence: Sealed<Evidence>,
    pub medium: Medium,
    pub occasion: Occasion,
    pub purpose: Purpose,
    pub text: Text,
}

/// Somebody took a consent back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    pub consent: ConsentId,
    pub medium: Medium,
    pub occasion: Occasion,
    pub purpose: Purpose,
}

/// Somebody accepted the tenant's terms or policy in the version with this hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    pub evidence: Sealed<Evidence>,
    pub occasion: Occasion,
    pub text: Text,
}
