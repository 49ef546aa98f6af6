//! What can be asked of statistics.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::civil::Date;
use rusqlite::Connection;
use serde_json::{Map, Value};

use crate::ProjectionError;
use crate::column::Number;

/// What bookings can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatFacet {
    /// Where the booking stands.
    Outcome,
    /// The group of resources, by name.
    Group,
    /// The service, by name.
    Service,
    /// The local date of the start.
    Day,
    Month,
    Year,
    /// The local hour of the start, 00 to 23.
    Hour,
    /// How long before its start it was made.
    Lead,
    /// How many people came.
    Party,
    /// How it came in.
    Channel,
    /// The person's how-manieth in the year.
    Nth,
}

/// Bookings cannot be counted by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "bookings are counted by outcome, group, service, day, month, year, hour, lead, party, \
     channel or nth"
)]
pub struct UnknownFacet;

impl StatFacet {
    pub const ALL: [Self; 11] = [
        Self::Outcome,
        Self::Group,
        Self::Service,
        Self::Day,
        Self::Month,
        Self::Year,
        Self::Hour,
        Self::Lead,
        Self::Party,
        Self::Channel,
        Self::Nth,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Group => "group",
            Self::Service => "service",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
            Self::Hour => "hour",
            Self::Lead => "lead",
            Self::Party => "party",
            Self::Channel => "channel",
            Self::Nth => "nth",
        }
    }

    /// What is grouped by, as an expression over `statistic`.
    fn grouped(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Group => "resource_group",
            Self::Service => "service",
            Self::Day => "day",
            Self::Month => "substr(day, 1, 7)",
            Self::Year => "substr(day, 1, 4)",
            Self::Hour => "hour",
            Self::Lead => "lead",
            Self::Party => "party",
            Self::Channel => "channel",
            Self::Nth => "nth",
        }
    }

    /// What is shown for the value in `column`. What the catalogue cannot name, since its
    /// projection stopped, shows its number.
    fn shown(self, column: &str) -> String {
        match self {
            Self::Group => named("resource_group", column),
            Self::Service => named("service", column),
            Self::Hour => format!("format('%02d', {column})"),
            Self::Outcome
            | Self::Day
            | Self::Month
            | Self::Year
            | Self::Lead
            | Self::Party
            | Self::Channel
            | Self::Nth => column.to_owned(),
        }
    }
}

fn named(table: &str, column: &str) -> String {
    format!(
        "coalesce((SELECT name FROM {table} WHERE id = counted.{column}), CAST({column} AS TEXT))"
    )
}

impl fmt::Display for StatFacet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StatFacet {
    type Err = UnknownFacet;

    fn from_str(name: &str) -> Result<Self, UnknownFacet> {
        Self::ALL.into_iter().find(|facet| facet.name() == name).ok_or(UnknownFacet)
    }
}

/// The statistics, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Statistics<'r> {
    connection: &'r Connection,
}

impl<'r> Statistics<'r> {
    pub(crate) fn of(connection: &'r Connection) -> Self {
        Self { connection }
    }

    /// How many bookings there are by these facets, in the order of their texts, of those that
    /// start on one of these local days; only where there are any. Two groups or services of the
    /// same name count as one.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn counts(
        &self,
        by: &[StatFacet],
        days: Option<&RangeInclusive<Date>>,
    ) -> Result<Vec<(Vec<String>, u64)>, ProjectionError> {
        let sql = counting(by);
        let (first, last) = match days {
            Some(days) => (days.start().to_string(), days.end().to_string()),
            None => (String::new(), "~".to_owned()),
        };
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map((first, last), |row| {
            let values = (0..by.len()).map(|column| row.get(column)).collect::<Result<_, _>>()?;
            let Number(count) = row.get(by.len())?;
            Ok((values, count))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Values are counted as they are stored and only then named, which asks for each name once.
fn counting(by: &[StatFacet]) -> String {
    let from = "FROM statistic WHERE day BETWEEN ?1 AND ?2";
    if by.is_empty() {
        return format!("SELECT sum(bookings) {from} HAVING count(*) > 0");
    }
    let numbered = || by.iter().zip(1..);
    let list = |parts: Vec<String>| parts.join(", ");
    let numbers = list(numbered().map(|(_, n)| n.to_string()).collect());
    let values =
        list(numbered().map(|(facet, n)| format!("{} AS c{n}", facet.grouped())).collect());
    let texts = list(numbered().map(|(facet, n)| facet.shown(&format!("c{n}"))).collect());
    format!(
        "WITH counted AS MATERIALIZED \
         (SELECT {values}, sum(bookings) AS bookings {from} GROUP BY {numbers}) \
         SELECT {texts}, sum(bookings) FROM counted GROUP BY {numbers} ORDER BY {numbers}"
    )
}

/// Counts as nested JSON objects, one level per facet: `{"City Hotel": {"completed": 3272}}`. Of
/// counts by no facet, the number alone.
pub fn nested(by: &[StatFacet], counts: &[(Vec<String>, u64)]) -> Value {
    if by.is_empty() {
        return counts.first().map_or(0, |(_, count)| *count).into();
    }
    let mut root = Map::new();
    for (values, count) in counts {
        if let Some((last, path)) = values.split_last() {
            descend(&mut root, path).insert(last.clone(), (*count).into());
        }
    }
    Value::Object(root)
}

fn descend<'m>(object: &'m mut Map<String, Value>, path: &[String]) -> &'m mut Map<String, Value> {
    let Some((first, rest)) = path.split_first() else { return object };
    let inner = object.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
    let inner = inner.as_object_mut().expect("every level but the last is an object");
    descend(inner, rest)
}
