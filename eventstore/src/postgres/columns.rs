//! The rows of a batch, by column: each table's go over as arrays of one statement.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::insert::{Form, Place, Table};
use super::pool::Borrowed;
use super::{PgError, int};
use crate::engine::Commit;
use crate::tree::Hash;

/// What one commit adds.
pub(super) struct Rows<'a> {
    base: i64,
    size: i64,
    frontier: &'a [u8],
    recorded_at: i64,
    indexed: i64,
    entries: (Vec<i64>, Vec<&'a [u8]>, Vec<&'a [u8]>),
    seals: (Vec<i64>, Vec<&'a [u8]>),
    persons: Persons<'a>,
    data_keys: DataKeys<'a>,
    repeats: Repeats<'a>,
    lookups: (Vec<&'a [u8]>, Vec<i64>),
    person_rows: PersonRows,
}

/// A value that goes along with a statement.
type Param<'a> = &'a (dyn ToSql + Sync);
type Persons<'a> = (Vec<i64>, Vec<&'a [u8]>, Vec<i32>, Vec<&'a [u8]>, Vec<Vec<u8>>);
type DataKeys<'a> = (Vec<i64>, Vec<Option<i64>>, Vec<Option<i16>>, Vec<&'a [u8]>);
type Repeats<'a> = (Vec<i64>, Vec<&'a [u8]>, Vec<&'a [u8]>, Vec<i64>, Vec<i32>);

#[derive(Default)]
struct PersonRows {
    person: Vec<i64>,
    until: Vec<i64>,
    position: Vec<i64>,
    handle: Vec<i64>,
    booking: Vec<Option<i64>>,
    seals: Vec<i32>,
    year: Vec<i16>,
    visits: Vec<i16>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(commit: &'a Commit<'_>) -> Self {
        let mut rows = Self {
            base: int(commit.base),
            size: int(commit.head.size),
            frontier: &commit.head.frontier,
            recorded_at: commit.head.recorded_at,
            indexed: int(commit.head.indexed),
            entries: Default::default(),
            seals: Default::default(),
            persons: Default::default(),
            data_keys: Default::default(),
            repeats: Default::default(),
            lookups: Default::default(),
            person_rows: PersonRows::default(),
        };
        rows.take_entries(commit);
        rows.take_keys(commit);
        for (repeat, appended) in &commit.batch.repeats {
            rows.repeats.0.push(repeat.day);
            rows.repeats.1.push(bytes(&repeat.key));
            rows.repeats.2.push(bytes(&repeat.body));
            rows.repeats.3.push(int(appended.first.0));
            rows.repeats.4.push(i32::try_from(appended.count).unwrap_or(i32::MAX));
        }
        let person_rows = &mut rows.person_rows;
        for row in commit.persons {
            person_rows.person.push(int(row.person.0));
            person_rows.until.push(row.until);
            person_rows.position.push(int(row.position.0));
            person_rows.handle.push(int(row.handle.0));
            person_rows.booking.push(row.booking.map(|booking| int(booking.0)));
            person_rows.seals.push(i32::try_from(row.seals).unwrap_or(i32::MAX));
            person_rows.year.push(row.year);
            person_rows.visits.push(i16::from(row.visits));
        }
        rows
    }

    fn take_entries(&mut self, commit: &'a Commit<'_>) {
        for entry in &commit.batch.entries {
            self.entries.0.push(int(entry.position.0));
            self.entries.1.push(&entry.bytes);
            self.entries.2.push(bytes(&entry.leaf));
            for (n, seal) in (0_i64..).zip(&entry.seals) {
                self.seals.0.push(int(entry.position.0) * 65_536 + n);
                self.seals.1.push(&seal.bytes);
            }
        }
    }

    fn take_keys(&mut self, commit: &'a Commit<'_>) {
        let mut lists = commit.batch.lists();
        for person in &commit.batch.persons {
            self.persons.0.push(int(person.id.0));
            self.persons.1.push(person.fence.0.as_slice());
            self.persons.2.push(i32::try_from(person.fields.0).unwrap_or(0));
            self.persons.3.push(&person.keys);
            self.persons.4.push(lists.remove(&person.id).unwrap_or_default());
        }
        for key in &commit.batch.data_keys {
            self.data_keys.0.push(int(key.handle.0) * 8 + i64::from(key.class.code()));
            self.data_keys.1.push(key.person.map(|person| int(person.0)));
            self.data_keys.2.push(key.year);
            self.data_keys.3.push(key.wrapped.as_slice());
        }
        for lookup in &commit.batch.lookups {
            self.lookups.0.push(lookup.value.as_slice());
            self.lookups.1.push(int(lookup.person.0));
        }
    }

    /// The form of the statement that has all of these.
    pub(super) fn form(&self, place: Place) -> Form {
        let keyring = place != Place::Ledger;
        let persons = keyring && !(self.persons.0.is_empty() && self.lookups.0.is_empty());
        Form { place, persons, repeats: keyring && !self.repeats.0.is_empty() }
    }

    /// Sends a statement of this form; a row comes back where the guard held.
    pub(super) async fn send(
        &self,
        tx: &Borrowed,
        form: Form,
        statement: &Statement,
    ) -> Result<Vec<Row>, PgError> {
        let mut params: Vec<Param<'_>> = vec![&self.base, &self.size];
        if form.place != Place::Keyring {
            params.extend::<[Param<'_>; 3]>([&self.frontier, &self.recorded_at, &self.indexed]);
        }
        form.tables().for_each(|table| params.extend(self.columns(table)));
        tx.client()?.query(statement, &params).await.map_err(PgError::of)
    }

    fn columns(&self, table: Table) -> Vec<Param<'_>> {
        match table {
            Table::Entry => vec![&self.entries.0, &self.entries.1, &self.entries.2],
            Table::Seal => vec![&self.seals.0, &self.seals.1],
            Table::Person => {
                let (id, fence, fields, keys, lookups) = &self.persons;
                vec![id, fence, fields, keys, lookups]
            }
            Table::Lookup => vec![&self.lookups.0, &self.lookups.1],
            Table::DataKey => {
                let (id, person, year, wrapped) = &self.data_keys;
                vec![id, person, year, wrapped]
            }
            Table::Repeat => {
                let (day, key, body, first, count) = &self.repeats;
                vec![day, key, body, first, count]
            }
            Table::PersonTag => {
                let PersonRows { person, until, position, handle, booking, seals, year, visits } =
                    &self.person_rows;
                vec![person, until, position, handle, booking, seals, year, visits]
            }
        }
    }
}

fn bytes(hash: &Hash) -> &[u8] {
    hash.as_slice()
}
