//! What happens to a person, in words that name nobody.

use serde::{Deserialize, Serialize};

use crate::ids::{FenceId, Handle, RegistrationId};
use crate::sealed::{Contact, RetentionClass, Sealed};

/// Somebody became a client.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    pub contact: Sealed<Contact>,
}

/// A registration's contact fields were put right; the old ones cannot be opened any more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rectified {
    pub contact: Sealed<Contact>,
    /// How many seals this ends.
    pub ended: u32,
    pub registration: RegistrationId,
    /// The handle whose contact key was destroyed.
    pub was: Handle,
}

/// A fence: what was sealed for one person ends here, and nothing more is sealed for them. The id
/// was random and nowhere before; nothing here says whose entries they were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Erased {
    pub classes: Vec<RetentionClass>,
    /// How many seals this ends.
    pub ended: u64,
    pub fence: FenceId,
}
