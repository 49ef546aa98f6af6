//! Who is given personal data: the register of recipients (GDPR Art. 30(1)(d)), all of whom hear of
//! what is put right, restricted or erased (Art. 19).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::catalogue::is_name;
use crate::sealed::RetentionClass;

/// How many recipients a tenant can have.
pub const MOST: usize = 200;

crate::facet::closed! {
    /// As what somebody is given data.
    RecipientRole {
        Processor = "processor",
        Controller = "controller",
        Authority = "authority",
    }
}

/// Somebody who is given personal data: an organisation, never a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// What they are given.
    pub classes: BTreeSet<RetentionClass>,
    /// In which country: two letters of ISO 3166-1.
    pub country: String,
    /// Where notices are sent; none where staff tell them and say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    pub name: String,
    /// What for.
    pub purpose: String,
    /// They are given nothing new, and are still told of what they have.
    #[serde(default)]
    pub retired: bool,
    pub role: RecipientRole,
    /// Which of their secrets notices are signed with, and with it the one before: another one begins where
    /// it may have become known. None of before comes back.
    #[serde(default, skip_serializing_if = "is_first")]
    pub secret_number: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_first(number: &u32) -> bool {
    *number == 0
}

/// The European Economic Area: the Union, Iceland, Liechtenstein and Norway.
const EEA: [&str; 30] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS",
    "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
];

impl Recipient {
    /// Whether what they are given leaves the European Economic Area (GDPR Art. 44).
    pub fn is_outside_the_eea(&self) -> bool {
        !EEA.contains(&self.country.as_str())
    }

    /// Whether everything about it is as it should be.
    pub(super) fn is_sound(&self) -> bool {
        let country = self.country.len() == 2;
        country
            && self.country.bytes().all(|letter| letter.is_ascii_uppercase())
            && is_name(&self.name)
            && is_name(&self.purpose)
            && self.endpoint.as_deref().is_none_or(is_endpoint)
    }
}

/// Whether a recipient can be called so: short, in lower case, safe in addresses.
pub(super) fn is_slug(slug: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&slug.len()) && slug.bytes().all(fits)
}

/// Whether it looks like where notices can be sent. Whether they may be, the sender decides.
fn is_endpoint(address: &str) -> bool {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && address.len() <= 500
        && address.bytes().all(|byte| byte.is_ascii_graphic())
}
