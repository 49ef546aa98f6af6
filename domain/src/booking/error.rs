//! Why a booking is refused. Shown to the caller, so it never speaks of another's booking.

use crate::ids::{BookingId, ResourceId};
use crate::sealed::Field;
use crate::slot::SlotError;

use super::Status;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookingRefusal {
    #[error("there is no such booking")]
    Unknown(BookingId),
    #[error("the service is not offered")]
    ServiceUnknown,
    #[error("the resource is not offered for this service")]
    ResourceUnknown(ResourceId),
    #[error("a booking needs between 1 and 16 different resources")]
    ResourceCount,
    #[error("a booking needs between 1 and 50 parts, exactly one of them the booker's")]
    PartCount,
    #[error("at least one place must be asked for, and no more than the resource has")]
    Units { resource: ResourceId, capacity: u16 },
    #[error("the time is not free")]
    NotFree { resource: ResourceId },
    #[error("the time lies outside the opening hours")]
    OutsideHours { resource: ResourceId },
    #[error("the service does not take this long")]
    WrongLength,
    #[error("a price is a decimal number with an ISO 4217 currency")]
    BadPrice,
    #[error("the time has already begun")]
    Started,
    #[error("the time has not begun yet")]
    NotStarted,
    #[error("the tenant does not collect the field {0}")]
    FieldNotCollected(Field),
    #[error("the service needs the field {0}")]
    FieldMissing(Field),
    #[error("the booking is {0}, which does not allow this")]
    WrongStatus(Status),
    #[error("the booking has changed since: it is at version {current}")]
    VersionConflict { current: u32 },
    #[error("the deadline for cancelling has passed")]
    CancellationClosed,
    #[error("the person has been erased")]
    Erased,
    #[error("a legal hold keeps what was said around the booking until it is lifted")]
    Held,
    #[error("what was said around the booking has ended, and nothing can be added to it")]
    ContentEnded,
    #[error("{0}")]
    Slot(#[from] SlotError),
}
