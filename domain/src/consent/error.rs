//! Why a consent is not recorded.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentRefusal {
    #[error("there is no such consent")]
    Unknown,
    #[error("the consent was already withdrawn")]
    AlreadyWithdrawn,
    #[error("accepting a policy is no consent and cannot be withdrawn")]
    IsAcceptance,
    #[error("the person has been erased")]
    Erased,
    #[error("the locale is no BCP 47 tag, such as sv or nb-NO")]
    BadLocale,
}
