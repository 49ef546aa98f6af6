//! What may be wished of a tenant's policy.

use super::Policy;

#[derive(Debug, Clone)]
pub enum PolicyCommand {
    /// Where a version is expected, only what has not changed since.
    Set { expected: Option<u32>, policy: Policy },
}
