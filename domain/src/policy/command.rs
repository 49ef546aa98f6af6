//! What may be wished of a tenant's policy.

use super::Policy;

#[derive(Debug, Clone)]
pub enum PolicyCommand {
    Set(Policy),
}
