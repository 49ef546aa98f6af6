//! Personal data that nobody here can read: what fields there are, why each may be kept, and the
//! reference [`Sealed`] that stands in events where a value would name a person.
//!
//! A field belongs to exactly one [`RetentionClass`], and the class says on which legal basis and
//! for how long it may be kept. `docs/PRIVACY.md` shows the same register, and a test compares.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::facet::UnknownName;
use crate::ids::Handle;

/// Why a field may be kept, from when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionClass {
    /// How to reach the person: name, mail, phone.
    Contact,
    /// What was said around one booking.
    Booking,
    /// Health information (GDPR Art. 9).
    Health,
    /// Evidence that a consent or acceptance was given.
    Consent,
    /// What a voucher needs (Swedish Bookkeeping Act 7:2).
    Accounting,
    /// Whom somebody looked at.
    Access,
}

impl RetentionClass {
    pub const ALL: [Self; 6] =
        [Self::Contact, Self::Booking, Self::Health, Self::Consent, Self::Accounting, Self::Access];

    /// The number that stands in seals and keyring rows. Frozen.
    pub fn code(self) -> u8 {
        match self {
            Self::Contact => 1,
            Self::Booking => 2,
            Self::Health => 3,
            Self::Consent => 4,
            Self::Accounting => 5,
            Self::Access => 6,
        }
    }

    /// The class with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Booking => "booking",
            Self::Health => "health",
            Self::Consent => "consent",
            Self::Accounting => "accounting",
            Self::Access => "access",
        }
    }

    /// The legal basis on which the class is processed.
    pub fn basis(self) -> &'static str {
        match self {
            Self::Contact | Self::Booking => "contract (GDPR Art. 6(1)(b))",
            Self::Health => "explicit consent or care (GDPR Art. 9(2)(a), (h))",
            Self::Consent => "accountability (GDPR Art. 5(2), 7(1))",
            Self::Accounting => "legal obligation (Swedish Bookkeeping Act 7:2)",
            Self::Access => "security and accountability (GDPR Art. 5(2), 32)",
        }
    }

    /// Until when the class must be kept, whatever the person asks.
    pub fn floor(self) -> &'static str {
        match self {
            Self::Contact | Self::Booking | Self::Health | Self::Consent => "none",
            Self::Accounting => {
                "through the 7th year after the calendar year in which the fiscal year ended"
            }
            Self::Access => "as the tenant's policy says; 5 years for care (HSLF-FS 2016:40 4:9)",
        }
    }

    /// The last calendar year in which the law keeps what belongs to a fiscal year that ended in
    /// this one (Swedish Bookkeeping Act, chapter 7, section 2); none for classes that no law keeps
    /// by the year.
    pub fn kept_through(self, year: i16) -> Option<i16> {
        match self {
            Self::Accounting => Some(year.saturating_add(7)),
            Self::Contact | Self::Booking | Self::Health | Self::Consent | Self::Access => None,
        }
    }

    /// When the class ends at the latest.
    pub fn ceiling(self) -> &'static str {
        match self {
            Self::Contact | Self::Consent => "the person's erasure",
            Self::Booking | Self::Health => "the person's erasure, or the booking's own",
            Self::Accounting => "the end of its floor",
            Self::Access => "the end of its year's key",
        }
    }

    /// How the class becomes unreadable.
    pub fn erasure(self) -> &'static str {
        match self {
            Self::Contact | Self::Consent => "the person's key of this class is destroyed",
            Self::Booking | Self::Health => {
                "the person's key of this class is destroyed, or the booking's data keys"
            }
            Self::Accounting => {
                "the link to the person is destroyed at erasure, the fiscal year's key at the floor's end"
            }
            Self::Access => "the year's key is destroyed",
        }
    }

    /// Whether the class ends with its person. The others hang on a key of their own period.
    pub fn ends_with_person(self) -> bool {
        match self {
            Self::Contact | Self::Booking | Self::Health | Self::Consent => true,
            Self::Accounting | Self::Access => false,
        }
    }
}

impl fmt::Display for RetentionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RetentionClass {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or(UnknownName)
    }
}

/// Every personal field there is. A tenant chooses among them; none can be invented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Name,
    Email,
    Phone,
    Address,
    NationalId,
    Note,
    HealthNote,
    InvoiceName,
    InvoiceAddress,
    CancelNote,
    Evidence,
    Whom,
}

impl Field {
    pub const ALL: [Self; 12] = [
        Self::Name,
        Self::Email,
        Self::Phone,
        Self::Address,
        Self::NationalId,
        Self::Note,
        Self::HealthNote,
        Self::InvoiceName,
        Self::InvoiceAddress,
        Self::CancelNote,
        Self::Evidence,
        Self::Whom,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Address => "address",
            Self::NationalId => "national_id",
            Self::Note => "note",
            Self::HealthNote => "health_note",
            Self::InvoiceName => "invoice_name",
            Self::InvoiceAddress => "invoice_address",
            Self::CancelNote => "cancel_note",
            Self::Evidence => "evidence",
            Self::Whom => "whom",
        }
    }

    /// What the field is for, as a person would be told.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Name => "to know who comes",
            Self::Email => "to send confirmations and to find the client again",
            Self::Phone => "to reach the client about a booking and to find them again",
            Self::Address => "to visit or to send",
            Self::NationalId => "to be sure of the identity where the law asks for it",
            Self::Note => "to prepare the booking",
            Self::HealthNote => "to treat safely",
            Self::InvoiceName | Self::InvoiceAddress => "to issue a voucher",
            Self::CancelNote => "to understand a cancellation",
            Self::Evidence => "to show that a consent was given",
            Self::Whom => "to answer who looked at whom",
        }
    }

    pub fn class(self) -> RetentionClass {
        match self {
            Self::Name | Self::Email | Self::Phone | Self::Address | Self::NationalId => {
                RetentionClass::Contact
            }
            Self::Note | Self::CancelNote => RetentionClass::Booking,
            Self::HealthNote => RetentionClass::Health,
            Self::InvoiceName | Self::InvoiceAddress => RetentionClass::Accounting,
            Self::Evidence => RetentionClass::Consent,
            Self::Whom => RetentionClass::Access,
        }
    }

    /// The field's bit in a set of fields. Frozen, for keyring rows hold such sets.
    pub fn bit(self) -> u32 {
        match self {
            Self::Name => 1,
            Self::Email => 1 << 1,
            Self::Phone => 1 << 2,
            Self::Address => 1 << 3,
            Self::NationalId => 1 << 4,
            Self::Note => 1 << 5,
            Self::HealthNote => 1 << 6,
            Self::InvoiceName => 1 << 7,
            Self::InvoiceAddress => 1 << 8,
            Self::CancelNote => 1 << 9,
            Self::Evidence => 1 << 10,
            Self::Whom => 1 << 11,
        }
    }

    /// Whether a tenant may ask clients for it. The others are the program's own.
    pub fn is_asked(self) -> bool {
        match self {
            Self::Name
            | Self::Email
            | Self::Phone
            | Self::Address
            | Self::NationalId
            | Self::Note
            | Self::HealthNote
            | Self::InvoiceName
            | Self::InvoiceAddress => true,
            Self::CancelNote | Self::Evidence | Self::Whom => false,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(name: &str) -> Result<Self, UnknownField> {
        Self::ALL.into_iter().find(|field| field.name() == name).ok_or(UnknownField)
    }
}

/// No personal field has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no personal field has this name")]
pub struct UnknownField;

/// A kind of sealed content: the fields of one class that are sealed together.
pub trait Content {
    const CLASS: RetentionClass;
}

macro_rules! contents {
    ($($(#[$doc:meta])* $name:ident = $class:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}
        impl Content for $name {
            const CLASS: RetentionClass = RetentionClass::$class;
        }
    )*};
}

contents! {
    /// Contact fields of a client.
    Contact = Contact;
    /// What was said around one booking.
    Details = Booking;
    /// Health information around one booking.
    Health = Health;
    /// What shows that a consent or acceptance was given.
    Evidence = Consent;
    /// What a voucher needs of a person.
    Accounting = Accounting;
    /// Whom a reader looked at.
    Whom = Access;
}

/// A value sealed for one person. Whoever holds it can store it and pass it on, and cannot read
/// it: it says only whose part it is and which seal of the entry is meant. Destroy the key and
/// every copy is dark.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Sealed<T> {
    /// Whose part, never a person.
    pub handle: Handle,
    /// Which seal of the entry; the ciphertext lies beside the log, under (position, index).
    pub seal: u16,
    #[serde(skip)]
    content: PhantomData<fn() -> T>,
}

impl<T: Content> Sealed<T> {
    pub fn new(handle: Handle, seal: u16) -> Self {
        Self { handle, seal, content: PhantomData }
    }

    /// The reference without its type, for those who only move or delete seals.
    pub fn reference(&self) -> SealRef {
        SealRef { handle: self.handle, class: T::CLASS, seal: self.seal }
    }
}

// Not derived: a derive would ask the same of `T`, which is only a name.
impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {})", self.handle, self.seal)
    }
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Sealed<T> {}

impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.handle, self.seal) == (other.handle, other.seal)
    }
}

impl<T> Eq for Sealed<T> {}

/// Which seal of an entry, whose, and of which class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealRef {
    pub handle: Handle,
    pub class: RetentionClass,
    pub seal: u16,
}

/// Which fields somebody gave, without their values, so that rules about fields need no plaintext.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldSet(pub u32);

impl FieldSet {
    pub fn contains(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }

    #[must_use]
    pub fn with(self, field: Field) -> Self {
        Self(self.0 | field.bit())
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |field| self.contains(*field))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        fields.into_iter().fold(Self::default(), Self::with)
    }
}
