//! Values as a mapping gives them: templates over a row's columns, with words to translate and
//! something to fall back on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};

use super::refusal::{Fault, Why};
use super::source::Row;

/// Text with columns in braces: `"{first} {last}"`. Without braces it is a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Column(String),
}

/// The text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a column stands in braces, like {{name}}; a brace itself is written twice")]
pub(super) struct BadTemplate;

impl Template {
    /// The columns it names.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Column(name) => Some(name.as_str()),
        })
    }

    /// What it makes of a row; nothing where it names columns and all of them are empty.
    pub(super) fn of<'a>(&'a self, row: &'a Row<'_>) -> Option<Cow<'a, str>> {
        if let [piece] = self.0.as_slice() {
            return match piece {
                Piece::Text(text) => Some(Cow::Borrowed(text)),
                Piece::Column(name) => row.cell(name),
            };
        }
        let mut text = String::new();
        let (mut named, mut filled) = (false, false);
        for piece in &self.0 {
            match piece {
                Piece::Text(constant) => text.push_str(constant),
                Piece::Column(name) => {
                    named = true;
                    if let Some(cell) = row.cell(name) {
                        filled = true;
                        text.push_str(&cell);
                    }
                }
            }
        }
        let text = text.trim();
        ((filled || !named) && !text.is_empty()).then(|| Cow::Owned(text.to_owned()))
    }

    /// A refusal that points at the template's first column.
    pub(super) fn fault(&self, why: Why) -> Fault {
        Fault::new(why).at(self.columns().next())
    }
}

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '{' if letters.next_if_eq(&'{').is_some() => plain.push('{'),
                '}' if letters.next_if_eq(&'}').is_some() => plain.push('}'),
                '{' => {
                    let name = column(&mut letters)?;
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Column(name));
                }
                '}' => return Err(BadTemplate),
                other => plain.push(other),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }
}

fn column(letters: &mut impl Iterator<Item = char>) -> Result<String, BadTemplate> {
    let mut name = String::new();
    for letter in letters {
        match letter {
            '}' if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
            '{' | '}' => return Err(BadTemplate),
            other => name.push(other),
        }
    }
    Err(BadTemplate)
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One of a closed set of words, told from a row.
///
/// The mapping translates the file's words; a word of the set itself needs no translation.
#[derive(Debug, Clone)]
pub(super) struct Choice<T> {
    value: Template,
    map: BTreeMap<String, T>,
    default: Option<T>,
}

impl<T: Copy + FromStr> Choice<T> {
    pub(super) fn template(&self) -> &Template {
        &self.value
    }

    /// The word for a row.
    pub(super) fn of(&self, row: &Row<'_>, unknown: Why) -> Result<T, Fault> {
        let Some(word) = self.value.of(row) else {
            return self.default.ok_or_else(|| self.value.fault(Why::Missing));
        };
        let known = self.map.get(word.as_ref()).copied().or_else(|| word.parse().ok());
        known.or(self.default).ok_or_else(|| self.value.fault(unknown))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceTable<T> {
    value: Template,
    #[serde(default = "BTreeMap::new")]
    map: BTreeMap<String, T>,
    default: Option<T>,
}

impl<'de, T: Deserialize<'de> + FromStr> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + FromStr> de::Visitor<'de> for Reader<T> {
            type Value = Choice<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a table of value, map and default")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Choice<T>, E> {
                let value: Template = text.parse().map_err(E::custom)?;
                if value.columns().next().is_none() && text.parse::<T>().is_err() {
                    return Err(E::custom(format_args!("`{text}` is not one of the known words")));
                }
                Ok(Choice { value, map: BTreeMap::new(), default: None })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, table: A) -> Result<Choice<T>, A::Error> {
                let ChoiceTable { value, map, default } =
                    ChoiceTable::deserialize(MapAccessDeserializer::new(table))?;
                Ok(Choice { value, map, default })
            }
        }
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// A text told from a row, with words to translate.
#[derive(Debug, Clone)]
pub(super) struct Value {
    value: Template,
    map: BTreeMap<String, String>,
    default: Option<String>,
}

impl Value {
    pub(super) fn template(&self) -> &Template {
        &self.value
    }

    /// The text for a row, if there is one. Words without a translation stay as they are.
    pub(super) fn of<'a>(&'a self, row: &'a Row<'_>) -> Option<Cow<'a, str>> {
        let Some(text) = self.value.of(row) else {
            return self.default.as_deref().map(Cow::Borrowed);
        };
        match self.map.get(text.as_ref()) {
            Some(translated) => Some(Cow::Borrowed(translated)),
            None => Some(text),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueTable {
    value: Template,
    #[serde(default)]
    map: BTreeMap<String, String>,
    default: Option<String>,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a table of value, map and default")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                let value = text.parse().map_err(E::custom)?;
                Ok(Value { value, map: BTreeMap::new(), default: None })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, table: A) -> Result<Value, A::Error> {
                let ValueTable { value, map, default } =
                    ValueTable::deserialize(MapAccessDeserializer::new(table))?;
                Ok(Value { value, map, default })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A whole number told from a row: a constant, a column, or several added up.
#[derive(Debug, Clone)]
pub(super) struct Count {
    terms: Vec<Template>,
    default: Option<u32>,
}

impl Count {
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.terms.iter()
    }

    /// The number where no row decides it.
    pub(super) fn constant(&self) -> Option<u32> {
        match self.terms.as_slice() {
            [] => self.default,
            [..] => None,
        }
    }

    /// The number for a row. Empty columns count nothing; where all are empty, the default holds.
    pub(super) fn of(&self, row: &Row<'_>) -> Result<Option<u32>, Fault> {
        let mut sum: Option<u32> = None;
        for term in &self.terms {
            if let Some(text) = term.of(row) {
                let number = whole(&text).ok_or_else(|| term.fault(Why::BadNumber))?;
                sum = Some(sum.unwrap_or(0).saturating_add(number));
            }
        }
        Ok(sum.or(self.default))
    }
}

/// Reads a whole number, also one that a spreadsheet has written as `2.0`; `1.000` may be a thousand, and is
/// none.
fn whole(text: &str) -> Option<u32> {
    let digits = match text.split_once(['.', ',']) {
        Some((digits, "0" | "00")) => digits,
        Some(_) => return None,
        None => text,
    };
    digits.parse().ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountTable {
    value: Option<Template>,
    #[serde(default)]
    sum: Vec<Template>,
    default: Option<u32>,
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text, or a table of value or sum, and default")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                let number = u32::try_from(number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))?;
                Ok(Count { terms: Vec::new(), default: Some(number) })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Count, E> {
                Ok(Count { terms: vec![text.parse().map_err(E::custom)?], default: None })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, table: A) -> Result<Count, A::Error> {
                let CountTable { value, sum, default } =
                    CountTable::deserialize(MapAccessDeserializer::new(table))?;
                Ok(Count { terms: value.into_iter().chain(sum).collect(), default })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_tells_columns_from_text() {
        let template: Template = "{ first } {{x}} {last}".parse().unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["first", "last"]);
    }

    #[test]
    fn an_open_brace_is_no_template() {
        for text in ["{", "}", "{}", "{a", "{a{b}}"] {
            assert_eq!(text.parse::<Template>(), Err(BadTemplate), "{text}");
        }
    }

    #[test]
    fn a_whole_number_may_come_from_a_spreadsheet() {
        assert_eq!(whole("2.0"), Some(2));
        assert_eq!(whole("2.5"), None);
        assert_eq!(whole("-1"), None);
        assert_eq!((whole("1.000"), whole("1,000"), whole("1000")), (None, None, Some(1000)));
    }
}
