//! What an import says about itself: how many rows came in, and why the others did not.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::refusal::Fault;

/// How many refused rows are told one by one; all are counted.
const LISTED: usize = 100;

/// How an import went. Holds nothing personal: of a refused row only where it is and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub dry_run: bool,
    /// Rows of the file, without its header.
    pub rows: u64,
    /// Bookings that are new, or would be.
    pub imported: u64,
    /// Rows that an earlier run has imported.
    pub repeated: u64,
    /// Rows that the mapping leaves out.
    pub skipped: u64,
    pub refused: Refused,
    pub created: Created,
    /// Resources whose capacity was chosen from the file.
    pub capacities: Vec<Seats>,
}

/// The rows that were not imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub rows: u64,
    pub by_code: BTreeMap<String, u64>,
    /// The first of them, one by one.
    pub first: Vec<RefusedRow>,
}

/// One row that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// The line on which it begins, counted from 1.
    pub line: u64,
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    pub detail: String,
}

/// What had to be made before the bookings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Created {
    pub groups: Vec<String>,
    pub resources: Vec<Seats>,
    pub services: Vec<String>,
    /// Personal fields that the tenant collects from now on.
    pub fields: Vec<String>,
}

/// A resource and how many places it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seats {
    pub group: String,
    pub name: String,
    pub capacity: u16,
}

impl Report {
    /// How many rows were not imported.
    pub fn refused_rows(&self) -> u64 {
        self.refused.rows
    }

    pub(super) fn refuse(&mut self, line: u64, fault: Fault) {
        let code = fault.why.code();
        self.refused.rows += 1;
        *self.refused.by_code.entry(code.to_owned()).or_default() += 1;
        let (column, detail) = (fault.column, fault.why.to_string());
        let row = RefusedRow { line, code: code.to_owned(), column, detail };
        // Answers come in a little out of order; the list is in the order of the file.
        let at = self.refused.first.partition_point(|known| known.line <= line);
        self.refused.first.insert(at, row);
        self.refused.first.truncate(LISTED);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run { "would be imported" } else { "imported" };
        write!(f, "{} of {} rows {verb}", self.imported, self.rows)?;
        for (count, what) in [
            (self.repeated, "known from an earlier run"),
            (self.skipped, "skipped as the mapping says"),
            (self.refused.rows, "refused"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        let made = &self.created;
        for (names, what) in [
            (&made.groups, "groups"),
            (&made.services, "services"),
            (&made.fields, "fields to collect"),
        ] {
            if !names.is_empty() {
                write!(f, "\nnew {what}: {}", names.join(", "))?;
            }
        }
        if !made.resources.is_empty() {
            write!(f, "\nnew resources: {}", made.resources.len())?;
        }
        for seats in &self.capacities {
            write!(
                f,
                "\n{:>6} places chosen for {} ({})",
                seats.capacity, seats.name, seats.group
            )?;
        }
        for (code, count) in &self.refused.by_code {
            write!(f, "\n{count:>6} refused {code}")?;
        }
        for row in &self.refused.first {
            write!(f, "\nline {}: {}", row.line, row.detail)?;
            if let Some(column) = &row.column {
                write!(f, " (column {column})")?;
            }
        }
        Ok(())
    }
}
