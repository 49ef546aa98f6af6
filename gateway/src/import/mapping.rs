//! The mapping: what a file's columns mean, as an operator writes it down in TOML.
//!
//! docs/IMPORT.md describes it for people. A key that is not known here is an error, for it would
//! otherwise be a wish that nobody hears.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::path::Path;
use std::str::FromStr;

use domain::Field;
use domain::booking::{Reason, Side};
use domain::catalogue::{Confirmation, ResourceKind};
use domain::facet::Channel;
use domain::slot::{ClockTime, Hours, Zone};
use serde::{Deserialize, Deserializer, de};

use super::value::{Choice, Count, Template, Value};

/// Why a mapping cannot be used. It names the key that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    #[error("the mapping {0} cannot be read")]
    File(String, #[source] std::io::Error),
    #[error("the mapping is not well-formed")]
    Toml(#[from] toml::de::Error),
    #[error("`{key}` names the column `{column}`, which the file does not have")]
    UnknownColumn { key: String, column: String },
    #[error("`{key}` names the column `{column}`, which the file has more than once")]
    ColumnTwice { key: String, column: String },
    #[error("`{key}`: {why}")]
    Unfit { key: &'static str, why: Unfit },
}

/// What is wrong about a key that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("give exactly one of date, nights and minutes")]
    OneEnd,
    #[error("give at most one of date, days_before and hours_before")]
    OneBooking,
    #[error("this length needs `end` to say when a booking ends")]
    NoEnd,
    #[error("this is the program's own field, not the clients'")]
    NotAsked,
    #[error("a price needs a currency")]
    NoCurrency,
    #[error("nights need the time of day of the departure")]
    NoTime,
    #[error("the file would make more than 5000 of them; is the right column named?")]
    TooMany,
}

/// What a file's columns mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mapping {
    /// Where the file comes from: keeps its references apart from those of other systems.
    #[serde(default)]
    pub(super) source: String,
    pub(super) zone: Option<Zone>,
    #[serde(default)]
    pub(super) file: FileForm,
    #[serde(default)]
    pub(super) row: RowMap,
    pub(super) service: ServiceMap,
    pub(super) resource: ResourceMap,
    pub(super) start: StartMap,
    pub(super) end: Option<EndMap>,
    #[serde(default)]
    pub(super) booked: BookedMap,
    #[serde(default)]
    pub(super) status: StatusMap,
    #[serde(default)]
    pub(super) booking: BookingMap,
    #[serde(default)]
    pub(super) person: PersonMap,
}

/// How the file is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileForm {
    pub(super) delimiter: Letter,
    #[serde(deserialize_with = "quote")]
    pub(super) quote: Option<Letter>,
    /// The columns of a file without a header.
    pub(super) columns: Option<Vec<String>>,
    pub(super) empty: Vec<String>,
}

impl Default for FileForm {
    fn default() -> Self {
        Self {
            delimiter: Letter(b','),
            quote: Some(Letter(b'"')),
            columns: None,
            empty: Vec::new(),
        }
    }
}

/// One ASCII character.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter(pub(super) u8);

impl<'de> Deserialize<'de> for Letter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_bytes() {
            [letter] if letter.is_ascii() => Ok(Self(*letter)),
            _ => Err(de::Error::custom("one ASCII character is needed, such as \";\" or \"\\t\"")),
        }
    }
}

/// The quote, or none for an empty text.
fn quote<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Letter>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_bytes() {
        [] => Ok(None),
        [letter] if letter.is_ascii() => Ok(Some(Letter(*letter))),
        _ => Err(de::Error::custom("one ASCII character is needed, or none")),
    }
}

/// By what a row is known again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowMap {
    pub(super) key: Option<Template>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceMap {
    pub(super) name: Value,
    pub(super) length: Option<LengthSpec>,
    #[serde(default = "instant")]
    pub(super) confirmation: Confirmation,
}

fn instant() -> Confirmation {
    Confirmation::Instant
}

/// How long bookings of a service may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LengthSpec {
    Any,
    Nights,
    Minutes(u32),
    Between { from: u32, to: u32 },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceMap {
    pub(super) name: Value,
    pub(super) group: Value,
    #[serde(default = "room")]
    pub(super) kind: ResourceKind,
    #[serde(default)]
    pub(super) capacity: Capacity,
    pub(super) units: Option<Count>,
    #[serde(default = "Hours::always")]
    pub(super) hours: Hours,
}

fn room() -> ResourceKind {
    ResourceKind::Room
}

/// How many places a new resource has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capacity {
    Fixed(NonZeroU16),
    /// As many as the file's rows need.
    Fit,
}

impl Default for Capacity {
    fn default() -> Self {
        Self::Fixed(NonZeroU16::MIN)
    }
}

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl de::Visitor<'_> for Reader {
            type Value = Capacity;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number from 1 to 65535, or \"fit\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Capacity, E> {
                let places = u16::try_from(number).ok().and_then(NonZeroU16::new);
                places
                    .map(Capacity::Fixed)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Capacity, E> {
                match text {
                    "fit" => Ok(Capacity::Fit),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// One way or several to write a date or a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Formats(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Formats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = Formats;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a format, or a list of formats")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Formats, E> {
                Ok(Formats(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Formats, A::Error> {
                let mut formats = Vec::new();
                while let Some(format) = list.next_element()? {
                    formats.push(format);
                }
                Ok(Formats(formats))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartMap {
    pub(super) date: Template,
    #[serde(default)]
    pub(super) format: Formats,
    pub(super) time: Option<Template>,
    #[serde(default)]
    pub(super) time_format: Formats,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndMap {
    pub(super) date: Option<Template>,
    #[serde(default)]
    pub(super) format: Formats,
    pub(super) time: Option<Template>,
    #[serde(default)]
    pub(super) time_format: Formats,
    pub(super) nights: Option<Count>,
    pub(super) minutes: Option<Count>,
    /// Until when a stay without a night lasts.
    pub(super) day_use: Option<ClockTime>,
    /// Whether an end before the start is one of the next day.
    #[serde(default)]
    pub(super) past_midnight: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookedMap {
    pub(super) date: Option<Template>,
    #[serde(default)]
    pub(super) format: Formats,
    pub(super) time: Option<Template>,
    #[serde(default)]
    pub(super) time_format: Formats,
    pub(super) days_before: Option<Count>,
    pub(super) hours_before: Option<Count>,
}

/// What has become of a row's booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    Pending,
    Confirmed,
    CheckedIn,
    Completed,
    Cancelled,
    NoShow,
    /// The row is no booking: it is left out and counted.
    Skip,
}

impl FromStr for Fate {
    type Err = domain::facet::UnknownName;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let word = de::value::StrDeserializer::<de::value::Error>::new(word);
        Self::deserialize(word).map_err(|_| domain::facet::UnknownName)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusMap {
    #[serde(default = "confirmed")]
    pub(super) is: Choice<Fate>,
    pub(super) date: Option<Template>,
    #[serde(default)]
    pub(super) format: Formats,
    pub(super) time: Option<Template>,
    #[serde(default)]
    pub(super) time_format: Formats,
    pub(super) by: Option<Choice<Side>>,
    pub(super) reason: Option<Choice<Reason>>,
}

impl Default for StatusMap {
    fn default() -> Self {
        Self {
            is: confirmed(),
            date: None,
            format: Formats::default(),
            time: None,
            time_format: Formats::default(),
            by: None,
            reason: None,
        }
    }
}

fn confirmed() -> Choice<Fate> {
    let word = de::value::StrDeserializer::<de::value::Error>::new("confirmed");
    Choice::deserialize(word).expect("confirmed is one of the words")
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookingMap {
    pub(super) party: Option<Count>,
    pub(super) changes: Option<Count>,
    pub(super) channel: Option<Choice<Channel>>,
    pub(super) price: Option<Template>,
    pub(super) currency: Option<Template>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonMap {
    /// Rows that agree in this are the same person's.
    pub(super) same: Option<Template>,
    /// What staff can find the person by, such as a customer number.
    pub(super) reference: Option<Template>,
    /// A made-up name where the file has none; it is marked as such.
    pub(super) synthetic: Option<Template>,
    #[serde(default)]
    pub(super) fields: BTreeMap<Field, Value>,
}

impl Mapping {
    /// Reads a mapping.
    pub(super) fn read(path: &Path) -> Result<Self, MappingError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| MappingError::File(path.display().to_string(), error))?;
        let mapping: Self = toml::from_str(&text)?;
        mapping.check()?;
        Ok(mapping)
    }

    /// The personal fields that it fills.
    pub(super) fn fields(&self) -> BTreeSet<Field> {
        let named = self.person.synthetic.iter().map(|_| Field::Name);
        self.person.fields.keys().copied().chain(named).collect()
    }
}
