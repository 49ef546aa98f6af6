//! What each refusal of a rule is over HTTP.

use domain::Refusal;
use domain::booking::BookingRefusal;
use domain::catalogue::CatalogueRefusal;
use domain::consent::ConsentRefusal;
use domain::person::PersonRefusal;
use domain::policy::PolicyRefusal;
use domain::slot::{LocalTimeError, SlotError};

use super::{Code, Problem};

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Booking(refusal) => refusal.into(),
            Refusal::Person(refusal) => refusal.into(),
            Refusal::Consent(refusal) => refusal.into(),
            Refusal::Catalogue(refusal) => refusal.into(),
            Refusal::Policy(refusal) => refusal.into(),
        }
    }
}

impl From<BookingRefusal> for Problem {
    fn from(refusal: BookingRefusal) -> Self {
        match refusal {
            BookingRefusal::Unknown(_) => Code::NotFound.into(),
            BookingRefusal::ServiceUnknown => {
                Self::new(Code::ServiceNotOffered).at("/service_id", "not_offered")
            }
            BookingRefusal::ResourceUnknown(_) => {
                Self::new(Code::ResourceNotOffered).at("/resource_ids", "not_offered")
            }
            BookingRefusal::ResourceCount => Self::invalid("/resource_ids", "count"),
            BookingRefusal::PartCount => Self::invalid("/participants", "count"),
            BookingRefusal::Units { .. } => Self::new(Code::CapacityExceeded).at("/units", "count"),
            BookingRefusal::NotFree { .. } => Code::SlotUnavailable.into(),
            BookingRefusal::OutsideHours { .. } => Code::OutsideOpeningHours.into(),
            BookingRefusal::WrongLength => Self::new(Code::WrongLength).at("/end", "length"),
            BookingRefusal::BadPrice => Self::invalid("/price", "invalid"),
            BookingRefusal::Started => Self::new(Code::AlreadyStarted),
            BookingRefusal::NotStarted => Code::NotStarted.into(),
            BookingRefusal::FieldNotCollected(field) => {
                Self::new(Code::FieldNotCollected).because(field.name())
            }
            BookingRefusal::FieldMissing(field) => {
                Self::new(Code::FieldMissing).because(field.name())
            }
            BookingRefusal::WrongStatus(status) => {
                Self::new(Code::WrongStatus).because(status.name())
            }
            BookingRefusal::VersionConflict { .. } => Code::VersionConflict.into(),
            BookingRefusal::CancellationClosed => Code::CancellationClosed.into(),
            BookingRefusal::Erased => Code::Erased.into(),
            BookingRefusal::Held => Code::LegalHold.into(),
            BookingRefusal::ContentEnded => Self::invalid("/note", "content_ended"),
            BookingRefusal::Slot(error) => error.into(),
        }
    }
}

impl From<SlotError> for Problem {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::EndNotAfterStart => Self::invalid("/end", "not_after_start"),
            SlotError::TooLong => Self::invalid("/end", "too_long"),
            SlotError::OutOfRange => Self::invalid("/start", "out_of_range"),
        }
    }
}

impl From<LocalTimeError> for Problem {
    fn from(error: LocalTimeError) -> Self {
        match error {
            LocalTimeError::InGap => Code::NonexistentLocalTime.into(),
            LocalTimeError::Twice => Code::AmbiguousLocalTime.into(),
            LocalTimeError::OutOfRange => Code::Validation.into(),
        }
    }
}

impl From<PersonRefusal> for Problem {
    fn from(refusal: PersonRefusal) -> Self {
        match refusal {
            PersonRefusal::Unknown => Code::NotFound.into(),
            PersonRefusal::Erased => Code::Erased.into(),
            PersonRefusal::FieldNotCollected(field) => {
                let pointer = format!("/contact/{field}");
                Self::new(Code::FieldNotCollected).at(pointer, "not_collected")
            }
            PersonRefusal::Held => Code::LegalHold.into(),
            PersonRefusal::ClassNotHeld => Self::invalid("/class", "invalid"),
            PersonRefusal::AlreadyHeld => Self::new(Code::Unchanged).because("held"),
            PersonRefusal::NotHeld => Self::new(Code::Unchanged).because("not_held"),
            PersonRefusal::AlreadyRestricted => Self::new(Code::Unchanged).because("restricted"),
            PersonRefusal::NotRestricted => Self::new(Code::Unchanged).because("not_restricted"),
            PersonRefusal::UntilOver => Self::invalid("/until", "over"),
            PersonRefusal::NothingGiven => Self::invalid("/contact", "missing"),
            PersonRefusal::VersionConflict { .. } => Code::VersionConflict.into(),
        }
    }
}

impl From<ConsentRefusal> for Problem {
    fn from(refusal: ConsentRefusal) -> Self {
        match refusal {
            ConsentRefusal::Unknown => Code::NotFound.into(),
            ConsentRefusal::AlreadyWithdrawn => Code::AlreadyWithdrawn.into(),
            ConsentRefusal::IsAcceptance => Code::NotWithdrawable.into(),
            ConsentRefusal::Erased => Code::Erased.into(),
            ConsentRefusal::BadLocale => Self::invalid("/text/locale", "invalid"),
        }
    }
}

impl From<CatalogueRefusal> for Problem {
    fn from(refusal: CatalogueRefusal) -> Self {
        match refusal {
            CatalogueRefusal::ServiceUnknown | CatalogueRefusal::GroupUnknown => {
                Code::NotFound.into()
            }
            CatalogueRefusal::ResourceUnknown => {
                Self::new(Code::NotFound).at("/resource_ids", "not_found")
            }
            CatalogueRefusal::GroupExists => Code::GroupExists.into(),
            CatalogueRefusal::BadName => Self::invalid("/name", "invalid"),
            CatalogueRefusal::BadCapacity => Self::invalid("/capacity", "too_small"),
            CatalogueRefusal::BadHours => Self::invalid("/hours", "invalid"),
            CatalogueRefusal::BadLength => Self::invalid("/length", "invalid"),
            CatalogueRefusal::BadPrice => Self::invalid("/price", "invalid"),
            CatalogueRefusal::BadFields => Self::invalid("/requires", "not_collected"),
            CatalogueRefusal::VersionConflict { .. } => Code::VersionConflict.into(),
        }
    }
}

impl From<PolicyRefusal> for Problem {
    fn from(refusal: PolicyRefusal) -> Self {
        match refusal {
            PolicyRefusal::FieldNotAskable(_) => Self::invalid("/collect", "not_askable"),
            PolicyRefusal::BadMonth => Self::invalid("/fiscal_year_ends", "invalid"),
            PolicyRefusal::ClassNotTimed(_) => Self::invalid("/retention_days", "not_timed"),
            PolicyRefusal::FieldRequired(field) => {
                Self::new(Code::FieldRequired).at("/collect", "required").because(field.name())
            }
            PolicyRefusal::BadDeadline => Self::invalid("/cancel_before_minutes", "too_long"),
            PolicyRefusal::BadCoolingOff => Self::invalid("/erasure/cooling_off_hours", "too_long"),
            PolicyRefusal::BadRecipient(slug) => {
                Self::invalid("/recipients", "invalid").because(slug)
            }
            PolicyRefusal::RecipientDropped(name) => {
                Self::invalid("/recipients", "dropped").because(name)
            }
            PolicyRefusal::SecretTakenBack(slug) => {
                Self::invalid("/recipients", "secret_taken_back").because(slug)
            }
            PolicyRefusal::TooManyRecipients => Self::invalid("/recipients", "too_many"),
            PolicyRefusal::VersionConflict { .. } => Code::VersionConflict.into(),
        }
    }
}
