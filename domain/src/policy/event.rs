//! What happens to a tenant's policy.

use serde::{Deserialize, Serialize};

use super::Policy;

/// The tenant's policy is this from now on. The first entry of every ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicySet {
    pub policy: Policy,
}
