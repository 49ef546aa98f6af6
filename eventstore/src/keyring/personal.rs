//! Plain personal values, which live only between an edge of the program and the keyring.
//!
//! [`Personal`] cannot be printed, cloned or serialised. What leaves the program again is
//! [`Disclosed`], which only a [`Disclosure`] turns it into.

use std::collections::BTreeMap;

use domain::sealed::FieldSet;
use domain::{Field, RetentionClass};
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
pub struct Personal(BTreeMap<Field, Zeroizing<String>>);

impl Personal {
    #[must_use]
    pub fn with(mut self, field: Field, value: String) -> Self {
        self.0.insert(field, Zeroizing::new(value));
        self
    }

    /// Which fields are given.
    pub fn fields(&self) -> FieldSet {
        self.0.keys().copied().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One value, for an edge that has to work with it: a validator, a lookup.
    pub fn reveal(&self, field: Field) -> Option<&str> {
        self.0.get(&field).map(|value| value.as_str())
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
        self.0.extend(newer.0);
        self
    }

    /// For the reader whose access was recorded.
    pub fn disclose(self, _: &Disclosure) -> Disclosed {
        Disclosed(self)
    }

    /// The bytes that are sealed: a JSON object by field name.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let plain: BTreeMap<&str, &str> =
            self.0.iter().map(|(field, value)| (field.name(), value.as_str())).collect();
        let bytes = serde_json::to_vec(&plain).expect("a map of strings is always writable");
        Zeroizing::new(bytes)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let plain: BTreeMap<String, String> = serde_json::from_slice(bytes).ok()?;
        let fields = plain
            .into_iter()
            .map(|(name, value)| Some((name.parse::<Field>().ok()?, Zeroizing::new(value))));
        fields.collect::<Option<_>>().map(Self)
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
        let fields = plain.into_iter().map(|(name, value)| match name.parse() {
            Ok(field) => Ok((field, Zeroizing::new(value))),
            Err(_) => Err(de::Error::unknown_field(&name, &[])),
        });
        fields.collect::<Result<_, _>>().map(Self)
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
