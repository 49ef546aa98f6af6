//! Plain personal values, which live only between an edge of the program and the keyring.
//!
//! [`Personal`] cannot be printed, cloned or serialised. What leaves the program again is
//! [`Disclosed`], which only a [`Disclosure`] turns it into.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use domain::sealed::FieldSet;
use domain::{Field, RetentionClass};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::access::Disclosure;

/// The longest value of one field, in bytes.
pub const LONGEST: usize = 4096;

/// Values of personal fields, in the clear.
///
/// They cannot be printed, copied or written out by accident; none of this compiles:
///
/// ```compile_fail
/// fn print(values: &eventstore::Personal) -> String { format!("{values:?}") }
/// ```
/// ```compile_fail
/// fn show(values: &eventstore::Personal) -> String { values.to_string() }
/// ```
/// ```compile_fail
/// fn write(values: &eventstore::Personal) { serde_json::to_string(values).unwrap(); }
/// ```
/// ```compile_fail
/// fn copy(values: &eventstore::Personal) -> eventstore::Personal { values.clone() }
/// ```
///
/// And what goes out needs a ticket, which nobody can make:
///
/// ```compile_fail
/// fn ticket() -> eventstore::Disclosure { eventstore::Disclosure {} }
/// ```
#[derive(Default)]
pub struct Personal(Vec<(Field, Zeroizing<String>)>);

impl Personal {
    #[must_use]
    pub fn with(mut self, field: Field, value: String) -> Self {
        self.set(field, Zeroizing::new(value));
        self
    }

    /// Keeps the fields in order, each once. There are few: nothing finds one faster than looking.
    fn set(&mut self, field: Field, value: Zeroizing<String>) {
        match self.0.binary_search_by_key(&field, |(field, _)| *field) {
            Ok(at) => {
                if let Some((_, old)) = self.0.get_mut(at) {
                    *old = value;
                }
            }
            Err(at) => self.0.insert(at, (field, value)),
        }
    }

    /// Which fields are given.
    pub fn fields(&self) -> FieldSet {
        self.0.iter().map(|(field, _)| *field).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One value, for an edge that has to work with it: a validator, a lookup.
    pub fn reveal(&self, field: Field) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| *known == field)?;
        Some(value)
    }

    /// The values of one class, taken out of these.
    pub fn split_off(&mut self, class: RetentionClass) -> Self {
        let all = std::mem::take(&mut self.0);
        let (taken, left) = all.into_iter().partition(|(field, _)| field.class() == class);
        self.0 = left;
        Self(taken)
    }

    /// These values, and `newer` ones over them.
    #[must_use]
    pub fn overlaid(mut self, newer: Self) -> Self {
        newer.0.into_iter().for_each(|(field, value)| self.set(field, value));
        self
    }

    /// For the reader whose access was recorded.
    pub fn disclose(self, _: &Disclosure) -> Disclosed {
        Disclosed(self)
    }

    /// The bytes that are sealed: a JSON object by field name, in the order of the names.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let plain: BTreeMap<&str, &str> =
            self.0.iter().map(|(field, value)| (field.name(), value.as_str())).collect();
        let bytes = serde_json::to_vec(&plain).expect("a map of strings is always writable");
        Zeroizing::new(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Plain>(bytes).ok().map(|plain| plain.0)
    }
}

/// What was sealed: `{"name": "...", ...}`, read in one pass, for a replay opens millions of these.
struct Plain(Personal);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of personal fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let mut fields = Personal::default();
        while let Some((name, value)) = map.next_entry::<&str, String>()? {
            let value = Zeroizing::new(value);
            fields.set(name.parse().map_err(de::Error::custom)?, value);
        }
        Ok(Plain(fields))
    }
}

impl<'de> Deserialize<'de> for Personal {
    /// Reads `{"name": "...", ...}`; names that are no personal field are refused.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Names are read as text first, so that an error can say which value is meant.
        let plain = BTreeMap::<String, String>::deserialize(deserializer)?;
        if plain.values().any(|value| value.len() > LONGEST) {
            return Err(de::Error::custom("a value is longer than 4096 bytes"));
        }
        let mut fields = Self::default();
        for (name, value) in plain {
            let field = name.parse().map_err(|_| de::Error::unknown_field(&name, &[]))?;
            fields.set(field, Zeroizing::new(value));
        }
        Ok(fields)
    }
}

/// Values on their way out to a reader whose access stands in the access ledger.
pub struct Disclosed(Personal);

impl Disclosed {
    /// One value, for those who compose a text or compare.
    pub fn get(&self, field: Field) -> Option<&str> {
        self.0.reveal(field)
    }
}

impl Serialize for Disclosed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = &self.0.0;
        let mut map = serializer.serialize_map(Some(values.len()))?;
        for (field, value) in values {
            map.serialize_entry(field.name(), value.as_str())?;
        }
        map.end()
    }
}
