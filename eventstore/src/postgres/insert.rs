//! The statement of a batch: one for all its tables, guarded by the size it was decided on.
//!
//! Where another node was first the guard finds no row: then none comes back, and nothing was written. A
//! table costs the server about as much as two rows, whether it gets any or not. So a statement names
//! the tables of new persons and of repeats only where a batch has some; there are few forms, for each is
//! planned for each tenant.
//!
//! It names its tables with their schemas: under a role that is another tenant's it is refused, wherever
//! it is sent.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tokio_postgres::Statement;

use super::{Borrowed, Part, PgError, Tx};

/// Where a statement writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Both,
    /// The ledger alone. Where a row comes back, the head is this node's until the transaction ends.
    Ledger,
    /// The keyring alone, in a database of its own: guarded by how far it has heard of its ledger.
    Keyring,
}

/// What a statement writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form {
    pub place: Place,
    /// Whether there are new persons, or new lookups of any.
    pub persons: bool,
    pub repeats: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Entry,
    Seal,
    Person,
    Lookup,
    DataKey,
    Repeat,
    PersonTag,
}

impl Table {
    /// Into what, the types of the columns that are given, and what follows those of each row.
    fn insert(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Entry => ("{ledger}.entry", &["int8", "bytea", "bytea"], ""),
            Self::Seal => ("{ledger}.seal", &["int8", "bytea"], ""),
            Self::Person => (
                "{keyring}.person (id, fence, fields, keys, lookups, state)",
                &["int8", "bytea", "int4", "bytea", "bytea"],
                ", 1",
            ),
            Self::Lookup => ("{keyring}.lookup", &["bytea", "int8"], ""),
            Self::DataKey => ("{keyring}.data_key", &["int8", "int8", "int2", "bytea"], ""),
            Self::Repeat => {
                ("{keyring}.idempotency", &["int8", "bytea", "bytea", "int8", "int4"], "")
            }
            Self::PersonTag => (
                "{keyring}.person_tag",
                &["int8", "int8", "int8", "int8", "int8", "int4", "int2", "int2"],
                "",
            ),
        }
    }
}

impl Form {
    /// The tables, in the order in which their columns are given.
    pub(super) fn tables(self) -> impl Iterator<Item = Table> {
        let (ledger, keyring) = (self.place != Place::Keyring, self.place != Place::Ledger);
        let all = [
            (Table::Entry, ledger),
            (Table::Seal, ledger),
            (Table::Person, keyring && self.persons),
            (Table::Lookup, keyring && self.persons),
            (Table::DataKey, keyring),
            (Table::Repeat, keyring && self.repeats),
            (Table::PersonTag, keyring),
        ];
        all.into_iter().filter(|(_, named)| *named).map(|(table, _)| table)
    }

    /// The statement, in which `{ledger}` and `{keyring}` stand for the tenant's schemas. Its first
    /// parameters are the guard's.
    pub(super) fn statement(self) -> &'static str {
        static STATEMENTS: LazyLock<BTreeMap<Form, String>> = LazyLock::new(|| {
            let mut all = BTreeMap::new();
            for place in [Place::Both, Place::Ledger, Place::Keyring] {
                for (persons, repeats) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let form = Form { place, persons, repeats };
                    all.insert(form, form.text());
                }
            }
            all
        });
        STATEMENTS.get(&self).map_or("", String::as_str)
    }

    /// The statement, where a connection knows it for the tenant that has borrowed it.
    pub(super) fn known(self, borrowed: &Borrowed) -> Option<Statement> {
        borrowed.knows_by_name(self.statement())
    }

    /// Has a transaction's connection know the statement for a tenant.
    pub(super) fn prepare(self, tx: &mut Tx, part: &Part) -> Result<Statement, PgError> {
        let [ledger, keyring] = &*part.schemas;
        tx.prepared_by_name(self.statement(), |sql| {
            sql.replace("{ledger}", ledger).replace("{keyring}", keyring)
        })
    }

    fn text(self) -> String {
        let (guard, mut given) = match self.place {
            Place::Both | Place::Ledger => (
                "UPDATE {ledger}.head SET size = $2, frontier = $3, recorded_at = $4,
                 indexed = greatest(indexed, $5) WHERE id = 1 AND size = $1 RETURNING 1",
                5,
            ),
            Place::Keyring => (
                "UPDATE {keyring}.counter SET next = $2
                 WHERE name = 'size' AND next = $1 RETURNING 1",
                2,
            ),
        };
        let mut text = format!("WITH head_then AS ({guard})");
        for (number, table) in self.tables().enumerate() {
            let (into, types, more) = table.insert();
            let columns: Vec<String> = types
                .iter()
                .map(|kind| {
                    given += 1;
                    format!("${given}::{kind}[]")
                })
                .collect();
            let columns = columns.join(", ");
            let twice = if table == Table::Lookup { " ON CONFLICT DO NOTHING" } else { "" };
            text += &format!(
                ", into_{number} AS (INSERT INTO {into} SELECT u.*{more} FROM head_then, \
                 unnest({columns}) u{twice})"
            );
        }
        text + " SELECT 1 FROM head_then"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_the_tables_of_its_form_and_numbers_its_parameters_in_their_order() {
        let form = Form { place: Place::Both, persons: false, repeats: true };
        let text = form.statement();
        assert!(!text.contains("person (") && !text.contains("lookup"), "{text}");
        let into_repeats = "INTO {keyring}.idempotency SELECT u.* FROM head_then, unnest($15::int8[], $16::bytea[]";
        assert!(text.contains(into_repeats), "{text}");
        let numbers = text.split('$').skip(1).map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().unwrap()
        });
        let mut numbers: Vec<usize> = numbers.collect();
        // The guard compares before it sets.
        numbers[..5].sort_unstable();
        assert!(numbers.iter().copied().eq(1..=numbers.len()), "{numbers:?}");
    }
}
