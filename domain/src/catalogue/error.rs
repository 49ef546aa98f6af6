//! Why the catalogue is not changed.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueRefusal {
    #[error("there is no such service")]
    ServiceUnknown,
    #[error("there is no such resource")]
    ResourceUnknown,
    #[error("there is no such group")]
    GroupUnknown,
    #[error("a group of this name exists")]
    GroupExists,
    #[error(
        "a name has 1 to 100 characters, none of them a control character or a space at its ends"
    )]
    BadName,
    #[error("a capacity is at least 1")]
    BadCapacity,
    #[error("an opening ends after it starts, starts within its day, and there are at most 70")]
    BadHours,
    #[error("a length is at least one minute, at most 366 days, and not backwards")]
    BadLength,
    #[error("a price is a decimal number with an ISO 4217 currency")]
    BadPrice,
    #[error("only fields that the tenant collects can be required")]
    BadFields,
    #[error("it has changed since: it is at version {current}")]
    VersionConflict { current: u32 },
}
