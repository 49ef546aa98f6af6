//! Why a row was not imported, as a code that stays the same and a sentence. Never a value of the
//! file: it could be personal.

use domain::booking::BookingRefusal;
use domain::catalogue::CatalogueRefusal;
use domain::person::PersonRefusal;
use domain::slot::{LocalTimeError, SlotError};
use domain::{Field, Refusal};

/// A row's refusal, and the column that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) why: Why,
    pub(super) column: Option<String>,
}

impl Fault {
    pub(super) fn new(why: Why) -> Self {
        Self { why, column: None }
    }

    #[must_use]
    pub(super) fn at(self, column: Option<&str>) -> Self {
        Self { column: column.map(str::to_owned), ..self }
    }
}

/// Why a row was not imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("the line is not UTF-8")]
    NotUtf8,
    #[error("the row has more or fewer fields than the header")]
    FieldCount,
    #[error("the row is longer than a mebibyte; perhaps a quote is not closed")]
    RowTooLong,
    #[error("a value that is needed is missing")]
    Missing,
    #[error("the date is not written as the mapping says, or there is no such day")]
    BadDate,
    #[error("the time of day is not written as the mapping says")]
    BadTime,
    #[error("this is no whole number")]
    BadNumber,
    #[error("this is no price, or its currency is not three capital letters")]
    BadPrice,
    #[error("the mapping does not translate this status")]
    UnknownStatus,
    #[error("the mapping does not translate this word")]
    UnknownWord,
    #[error("a value is longer than 4096 bytes")]
    TooLong,
    #[error("the field {0} is not well-formed")]
    FieldMalformed(Field),
    #[error("an earlier row of the file has the same key")]
    KeyTwice,
    #[error("pending bookings need a service that staff confirms")]
    NotPending,
    #[error("the person's data is restricted")]
    Restricted,
    #[error("it has invoice details of a year that bookkeeping law keeps no longer")]
    YearEnded,
    #[error("the row would make an entry that is too large")]
    TooLarge,
    #[error(transparent)]
    Local(#[from] LocalTimeError),
    #[error(transparent)]
    Rule(#[from] Refusal),
}

impl From<BookingRefusal> for Why {
    fn from(refusal: BookingRefusal) -> Self {
        Self::Rule(Refusal::Booking(refusal))
    }
}

impl From<SlotError> for Why {
    fn from(error: SlotError) -> Self {
        BookingRefusal::Slot(error).into()
    }
}

impl Why {
    /// The code, by which scripts and people know the refusal.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::FieldCount => "field_count",
            Self::RowTooLong => "row_too_long",
            Self::Missing => "missing",
            Self::BadDate => "bad_date",
            Self::BadTime => "bad_time",
            Self::BadNumber => "bad_number",
            Self::BadPrice => "bad_price",
            Self::UnknownStatus => "unknown_status",
            Self::UnknownWord => "unknown_word",
            Self::TooLong => "too_long",
            Self::FieldMalformed(_) => "field_malformed",
            Self::KeyTwice => "key_twice",
            Self::NotPending => "not_pending",
            Self::Restricted => "restricted",
            Self::YearEnded => "year_ended",
            Self::TooLarge => "too_large",
            Self::Local(LocalTimeError::InGap) => "nonexistent_local_time",
            Self::Local(LocalTimeError::Twice) => "ambiguous_local_time",
            Self::Local(LocalTimeError::OutOfRange) => "out_of_range",
            Self::Rule(Refusal::Booking(refusal)) => booking(refusal),
            Self::Rule(Refusal::Person(refusal)) => person(refusal),
            Self::Rule(Refusal::Catalogue(refusal)) => catalogue(refusal),
            Self::Rule(Refusal::Consent(_)) => "consent",
            Self::Rule(Refusal::Policy(_)) => "policy",
        }
    }
}

fn booking(refusal: &BookingRefusal) -> &'static str {
    match refusal {
        BookingRefusal::Unknown(_) => "unknown_booking",
        BookingRefusal::ServiceUnknown => "service_not_offered",
        BookingRefusal::ResourceUnknown(_) => "resource_not_offered",
        BookingRefusal::ResourceCount => "resource_count",
        BookingRefusal::PartCount => "part_count",
        BookingRefusal::Units { .. } => "capacity_exceeded",
        BookingRefusal::NotFree { .. } => "slot_unavailable",
        BookingRefusal::OutsideHours { .. } => "outside_opening_hours",
        BookingRefusal::WrongLength => "wrong_length",
        BookingRefusal::BadPrice => "bad_price",
        BookingRefusal::Started => "already_started",
        BookingRefusal::NotStarted => "not_started",
        BookingRefusal::FieldNotCollected(_) => "field_not_collected",
        BookingRefusal::FieldMissing(_) => "field_required",
        BookingRefusal::WrongStatus(_) => "wrong_status",
        BookingRefusal::VersionConflict { .. } => "version_conflict",
        BookingRefusal::CancellationClosed => "cancellation_closed",
        BookingRefusal::Held => "legal_hold",
        BookingRefusal::ContentEnded => "content_ended",
        BookingRefusal::Erased => "erased",
        BookingRefusal::Slot(SlotError::EndNotAfterStart) => "end_not_after_start",
        BookingRefusal::Slot(SlotError::TooLong) => "slot_too_long",
        BookingRefusal::Slot(SlotError::OutOfRange) => "out_of_range",
    }
}

fn person(refusal: &PersonRefusal) -> &'static str {
    match refusal {
        PersonRefusal::Unknown => "unknown_person",
        PersonRefusal::Erased => "erased",
        PersonRefusal::Held => "legal_hold",
        PersonRefusal::AlreadyHeld
        | PersonRefusal::NotHeld
        | PersonRefusal::AlreadyRestricted
        | PersonRefusal::NotRestricted => "unchanged",
        PersonRefusal::ClassNotHeld => "class_not_held",
        PersonRefusal::UntilOver => "until_over",
        PersonRefusal::NothingGiven => "nothing_given",
        PersonRefusal::FieldNotCollected(_) => "field_not_collected",
        PersonRefusal::VersionConflict { .. } => "version_conflict",
    }
}

fn catalogue(refusal: &CatalogueRefusal) -> &'static str {
    match refusal {
        CatalogueRefusal::ServiceUnknown => "service_unknown",
        CatalogueRefusal::ResourceUnknown => "resource_unknown",
        CatalogueRefusal::GroupUnknown => "group_unknown",
        CatalogueRefusal::GroupExists => "group_exists",
        CatalogueRefusal::BadName => "bad_name",
        CatalogueRefusal::BadCapacity => "bad_capacity",
        CatalogueRefusal::BadHours => "bad_hours",
        CatalogueRefusal::BadLength => "bad_length",
        CatalogueRefusal::BadPrice => "bad_price",
        CatalogueRefusal::BadFields => "bad_fields",
        CatalogueRefusal::VersionConflict { .. } => "version_conflict",
    }
}
