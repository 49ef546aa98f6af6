//! Every way in which a wish can be refused, by area.

use crate::booking::BookingRefusal;
use crate::catalogue::CatalogueRefusal;
use crate::consent::ConsentRefusal;
use crate::person::PersonRefusal;
use crate::policy::PolicyRefusal;

/// Why nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Booking(#[from] BookingRefusal),
    #[error(transparent)]
    Person(#[from] PersonRefusal),
    #[error(transparent)]
    Consent(#[from] ConsentRefusal),
    #[error(transparent)]
    Catalogue(#[from] CatalogueRefusal),
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
}
