//! Every kind of event there is, its number and version, and how its body is read again.
//!
//! Numbers, names and bodies are frozen: entries are stored as they were hashed. A new shape of an
//! event gets a new version here; where it only adds fields, the type reads the older one by their
//! defaults, else [`decode`] gets an upcaster. A fixture of every kind and version is kept for good.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use crate::booking::{
    Cancelled, Changed, ContentErased, Declined, Part, Requested, Rescheduled, Step,
};
use crate::catalogue::{
    GroupDefined, ResourceDefined, ResourceRetired, ResourceRevised, ServiceDefined,
    ServiceRetired, ServiceRevised,
};
use crate::consent::{Accepted, Given, Withdrawn};
use crate::ledger::{LogKeyRotated, Moved, Opened, PeriodEnded, Reopened, Rotated};
use crate::person::{
    Erased, HoldLifted, HoldPlaced, Rectified, Registered, Restricted, Unrestricted,
};
use crate::policy::PolicySet;
use crate::sealed::SealRef;

/// What kind of event an entry holds, by number. An unknown number is kept, not guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(pub u16);

/// Why an entry's body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("kind {kind} in version {version} is unknown to this program; a newer one wrote it")]
    Unknown { kind: u16, version: u16 },
    #[error("the body is not what its kind demands")]
    Malformed(#[from] serde_json::Error),
    #[error("the body is not text")]
    NotText(#[from] std::str::Utf8Error),
}

macro_rules! events {
    ($($variant:ident($body:ty) = $code:literal v $version:literal $(and $old:literal)*, $name:literal;)*) => {
        /// Something that happened.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Event { $($variant($body),)* }

        impl Event {
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind($code),)* }
            }

            pub fn version(&self) -> u16 {
                match self { $(Self::$variant(_) => $version,)* }
            }

            /// The body as canonical JSON.
            ///
            /// # Errors
            /// None that an event can cause; serialising is fallible by its type.
            pub fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
                let mut bytes = Vec::new();
                self.write_body(&mut bytes)?;
                Ok(bytes)
            }

            /// Writes the body behind other bytes.
            ///
            /// # Errors
            /// As [`Self::body`].
            pub fn write_body(&self, bytes: &mut Vec<u8>) -> Result<(), serde_json::Error> {
                match self { $(Self::$variant(body) => serde_json::to_writer(bytes, body),)* }
            }
        }

        impl Kind {
            /// Every kind with its newest version.
            pub const ALL: &'static [(Self, u16)] = &[$((Self($code), $version),)*];

            pub fn name(self) -> &'static str {
                match self.0 { $($code => $name,)* _ => "unknown" }
            }
        }

        /// Reads the body of an entry, whatever version it was written in.
        ///
        /// # Errors
        /// For a kind or version this program does not know, and for a body of another shape.
        #[expect(clippy::manual_range_patterns, reason = "a kind names its versions one by one")]
        pub fn decode(kind: Kind, version: u16, body: &[u8]) -> Result<Event, DecodeError> {
            // Looked through once, not string by string: a replay has millions of each.
            let body = std::str::from_utf8(body)?;
            match (kind.0, version) {
                $(($code, $version $(| $old)*) => Ok(Event::$variant(serde_json::from_str(body)?)),)*
                (kind, version) => Err(DecodeError::Unknown { kind, version }),
            }
        }

        $(single! { $variant($body) })*
    };
}

macro_rules! single {
    (BookingConfirmed($body:ty)) => {};
    (BookingCheckedIn($body:ty)) => {};
    (BookingCompleted($body:ty)) => {};
    (BookingMissed($body:ty)) => {};
    ($variant:ident($body:ty)) => {
        impl From<$body> for Event {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        }
    };
}

events! {
    BookingRequested(Requested) = 1 v 1, "booking.requested";
    BookingConfirmed(Step) = 2 v 1, "booking.confirmed";
    BookingDeclined(Declined) = 3 v 1, "booking.declined";
    BookingRescheduled(Rescheduled) = 4 v 1, "booking.rescheduled";
    BookingCancelled(Cancelled) = 5 v 1, "booking.cancelled";
    BookingCheckedIn(Step) = 6 v 1, "booking.checked_in";
    BookingCompleted(Step) = 7 v 1, "booking.completed";
    BookingMissed(Step) = 8 v 1, "booking.no_show";
    BookingChanged(Changed) = 9 v 1, "booking.changed";
    BookingContentErased(ContentErased) = 10 v 1, "booking.content_erased";
    PersonRegistered(Registered) = 20 v 1, "person.registered";
    PersonRectified(Rectified) = 21 v 1, "person.rectified";
    PersonErased(Erased) = 22 v 1, "person.erased";
    PersonRestricted(Restricted) = 23 v 1, "person.restricted";
    PersonUnrestricted(Unrestricted) = 24 v 1, "person.unrestricted";
    HoldPlaced(HoldPlaced) = 25 v 2 and 1, "hold.placed";
    HoldLifted(HoldLifted) = 26 v 2 and 1, "hold.lifted";
    ConsentGiven(Given) = 30 v 1, "consent.given";
    ConsentWithdrawn(Withdrawn) = 31 v 1, "consent.withdrawn";
    PolicyAccepted(Accepted) = 32 v 1, "policy.accepted";
    GroupDefined(GroupDefined) = 40 v 1, "group.defined";
    ResourceDefined(ResourceDefined) = 41 v 1, "resource.defined";
    ResourceRevised(ResourceRevised) = 42 v 1, "resource.revised";
    ResourceRetired(ResourceRetired) = 43 v 1, "resource.retired";
    ServiceDefined(ServiceDefined) = 44 v 1, "service.defined";
    ServiceRevised(ServiceRevised) = 45 v 1, "service.revised";
    ServiceRetired(ServiceRetired) = 46 v 1, "service.retired";
    PolicySet(PolicySet) = 50 v 3 and 2 and 1, "policy.set";
    LedgerReopened(Reopened) = 60 v 1, "ledger.reopened";
    KeysRotated(Rotated) = 61 v 1, "keys.rotated";
    PeriodEnded(PeriodEnded) = 62 v 1, "period.ended";
    LogKeyRotated(LogKeyRotated) = 63 v 1, "log_key.rotated";
    LedgerMoved(Moved) = 64 v 1, "ledger.moved";
    SealsOpened(Opened) = 70 v 1, "seals.opened";
}

impl Event {
    pub const KIND_BOOKING_REQUESTED: Kind = Kind(1);
    pub const KIND_BOOKING_CANCELLED: Kind = Kind(5);
    pub const KIND_PERSON_REGISTERED: Kind = Kind(20);
    pub const KIND_PERSON_RECTIFIED: Kind = Kind(21);
    pub const KIND_CONSENT_GIVEN: Kind = Kind(30);
    pub const KIND_POLICY_ACCEPTED: Kind = Kind(32);
    pub const KIND_SEALS_OPENED: Kind = Kind(70);

    /// Every seal that the entry refers to, in the order of their index.
    pub fn seals(&self) -> SmallVec<[SealRef; 2]> {
        match self {
            Self::BookingRequested(event) => event.parts.iter().flat_map(Part::seals).collect(),
            Self::BookingCancelled(event) => {
                event.note.iter().map(crate::sealed::Sealed::reference).collect()
            }
            Self::PersonRegistered(event) => smallvec![event.contact.reference()],
            Self::PersonRectified(event) => smallvec![event.contact.reference()],
            Self::ConsentGiven(event) => smallvec![event.evidence.reference()],
            Self::PolicyAccepted(event) => smallvec![event.evidence.reference()],
            Self::SealsOpened(event) => smallvec![event.whom.reference()],
            Self::BookingConfirmed(_)
            | Self::BookingDeclined(_)
            | Self::BookingRescheduled(_)
            | Self::BookingCheckedIn(_)
            | Self::BookingCompleted(_)
            | Self::BookingMissed(_)
            | Self::BookingChanged(_)
            | Self::BookingContentErased(_)
            | Self::PersonErased(_)
            | Self::PersonRestricted(_)
            | Self::PersonUnrestricted(_)
            | Self::HoldPlaced(_)
            | Self::HoldLifted(_)
            | Self::ConsentWithdrawn(_)
            | Self::GroupDefined(_)
            | Self::ResourceDefined(_)
            | Self::ResourceRevised(_)
            | Self::ResourceRetired(_)
            | Self::ServiceDefined(_)
            | Self::ServiceRevised(_)
            | Self::ServiceRetired(_)
            | Self::PolicySet(_)
            | Self::LedgerReopened(_)
            | Self::KeysRotated(_)
            | Self::LogKeyRotated(_)
            | Self::LedgerMoved(_)
            | Self::PeriodEnded(_) => SmallVec::new(),
        }
    }
}

impl cqrs_es::DomainEvent for Event {
    fn event_type(&self) -> String {
        self.kind().to_string()
    }

    fn event_version(&self) -> String {
        self.version().to_string()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
