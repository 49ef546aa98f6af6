//! Reading a ledger on a server: each question one transaction, answered in one round trip.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;

use domain::sealed::FieldSet;
use domain::{BookingId, FenceId, Handle, Position, RegistrationId, RetentionClass, Tag};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use super::{PgError, Scope, apart, int, rotation, uint};
use crate::engine::{Bundle, Counter, Hanging, KeyRow, Place, Read, Reader, SealRow};
use crate::keyring::DataKeyRow;
use crate::keyring::person::{PersonId, PersonInfo, PersonState};
use crate::keyring::provider::TenantId;
use crate::keyring::seal::SealAt;
use crate::ledger::appender::Appended;
use crate::ledger::index::PersonRow;
use crate::ledger::log::{EntryBytes, Head, ReadError};
use crate::tree::{Frontier, Hash};

/// Reads one ledger on a server.
pub(crate) struct PgReader(pub Scope);

impl PgReader {
    /// Rows of the keyring.
    pub(super) fn rows<T>(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
        row: impl Fn(&Row) -> Result<T, PgError>,
    ) -> Read<Vec<T>> {
        let rows = self.0.keyring.query(sql, params)?;
        Ok(rows.iter().map(row).collect::<Result<_, _>>()?)
    }

    fn ledger_rows<T>(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
        row: impl Fn(&Row) -> Result<T, PgError>,
    ) -> Read<Vec<T>> {
        let rows = self.0.ledger.query(sql, params)?;
        Ok(rows.iter().map(row).collect::<Result<_, _>>()?)
    }

    pub(super) fn row<T>(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
        row: impl Fn(&Row) -> Result<T, PgError>,
    ) -> Read<Option<T>> {
        Ok(self.rows(sql, params, row)?.pop())
    }
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, PgError> {
    row.try_get(column).map_err(PgError::Altered)
}

pub(super) fn number(row: &Row, column: usize) -> Result<u64, PgError> {
    Ok(uint(get::<i64>(row, column)?))
}

pub(super) fn maybe(row: &Row, column: usize) -> Result<Option<u64>, PgError> {
    Ok(get::<Option<i64>>(row, column)?.map(uint))
}

/// Bytes of a length that the schema does not promise.
fn exactly<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn positions_of(positions: &[Position]) -> Vec<i64> {
    positions.iter().map(|position| int(position.0)).collect()
}

macro_rules! person {
    ($rest:literal) => {
        concat!(
            "SELECT id, state, fence, fields, registration, contact_at, contact_handle FROM person ",
            $rest
        )
    };
}

macro_rules! person_row {
    ($rest:literal) => {
        concat!(
            "SELECT person, until, position, handle, booking, seals, year, visits
             FROM person_tag ",
            $rest
        )
    };
}

impl Reader for PgReader {
    fn head(&self) -> Read<Head> {
        let sql = "SELECT tenant, origin, size, frontier, recorded_at, indexed FROM head
                   WHERE id = 1";
        let head = self.ledger_rows(sql, &[], |row| {
            let (tenant, frontier): (&[u8], &[u8]) = (get(row, 0)?, get(row, 3)?);
            let frontier = Frontier::from_bytes(number(row, 2)?, frontier);
            let Some((tenant, frontier)) = exactly(tenant).zip(frontier) else { return Ok(None) };
            Ok(Some(Head {
                tenant: TenantId(tenant),
                origin: u32::try_from(get::<i32>(row, 1)?).unwrap_or(0),
                frontier,
                recorded_at: get(row, 4)?,
                indexed: number(row, 5)?,
                // Nodes take numbers in blocks.
                next_handle: 0,
                next_person: 0,
            }))
        })?;
        let head = head.into_iter().next().flatten().ok_or(ReadError::Head)?;
        apart::ensure(&self.0, head.frontier.size())?;
        Ok(head)
    }

    fn indexed(&self) -> Read<u64> {
        let found =
            self.ledger_rows("SELECT indexed FROM head WHERE id = 1", &[], |row| number(row, 0))?;
        found.into_iter().next().ok_or(ReadError::Head)
    }

    fn entries(&self, from: Position, limit: usize) -> Read<Vec<EntryBytes>> {
        let sql = "SELECT position, bytes, leaf FROM entry WHERE position >= $1
                   ORDER BY position LIMIT $2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        whole(self.ledger_rows(sql, &[&int(from.0), &limit], entry)?)
    }

    fn entries_at(&self, positions: &[Position]) -> Read<Vec<EntryBytes>> {
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT entry.position, bytes, leaf
                   FROM unnest($1::int8[]) WITH ORDINALITY AS wanted (position, n)
                   CROSS JOIN LATERAL
                       (SELECT * FROM entry WHERE entry.position = wanted.position LIMIT 1) entry
                   ORDER BY n";
        whole(self.ledger_rows(sql, &[&positions_of(positions)], entry)?)
    }

    fn positions(&self, tags: RangeInclusive<Tag>, from: Position) -> Read<Vec<Position>> {
        let (first, last) = (int(tags.start().0), int(tags.end().0));
        let place = |row: &Row| Ok(Position(number(row, 0)?));
        if first == last {
            let sql = "SELECT position FROM tag WHERE tag = $1 AND position >= $2";
            return self.ledger_rows(sql, &[&first, &int(from.0)], place);
        }
        let sql = "SELECT position FROM tag WHERE tag BETWEEN $1 AND $2 AND position >= $3";
        self.ledger_rows(sql, &[&first, &last, &int(from.0)], place)
    }

    fn positions_under(&self, tags: &[Tag]) -> Read<Vec<(Tag, Position)>> {
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT tag, position FROM tag WHERE tag = ANY ($1::int8[])";
        let tags: Vec<i64> = tags.iter().map(|tag| int(tag.0)).collect();
        self.ledger_rows(sql, &[&tags], |row| Ok((Tag(number(row, 0)?), Position(number(row, 1)?))))
    }

    fn first_tags(&self, tags: RangeInclusive<Tag>, limit: usize) -> Read<Vec<Tag>> {
        let sql = "SELECT tag FROM tag WHERE tag BETWEEN $1 AND $2 ORDER BY tag LIMIT $3";
        let (first, last) = (int(tags.start().0), int(tags.end().0));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.ledger_rows(sql, &[&first, &last, &limit], |row| Ok(Tag(number(row, 0)?)))
    }

    fn person_rows(&self, person: PersonId, until: i64) -> Read<Vec<PersonRow>> {
        let sql = person_row!("WHERE person = $1 AND until >= $2");
        self.rows(sql, &[&int(person.0), &until], person_row)
    }

    fn rows_of(&self, persons: &[PersonId]) -> Read<Vec<PersonRow>> {
        if persons.is_empty() {
            return Ok(Vec::new());
        }
        let persons: Vec<i64> = persons.iter().map(|person| int(person.0)).collect();
        self.rows(person_row!("WHERE person = ANY ($1::int8[])"), &[&persons], person_row)
    }

    fn unwritten(&self, rows: Vec<PersonRow>) -> Read<Vec<PersonRow>> {
        let name = |row: &PersonRow| (row.person, row.until, row.position, row.handle);
        let mut written = BTreeSet::new();
        let persons: BTreeSet<PersonId> = rows.iter().map(|row| row.person).collect();
        for person in persons {
            written.extend(self.person_rows(person, 0)?.iter().map(name));
        }
        Ok(rows.into_iter().filter(|row| !written.contains(&name(row))).collect())
    }

    fn known(&self, persons: &[PersonId]) -> Read<Vec<PersonInfo>> {
        let persons: Vec<i64> = persons.iter().map(|person| int(person.0)).collect();
        self.rows(person!("WHERE id = ANY($1)"), &[&persons], info)
    }

    fn persons(&self, after: PersonId, limit: u32) -> Read<Vec<PersonInfo>> {
        let sql = person!("WHERE id > $1 ORDER BY id LIMIT $2");
        self.rows(sql, &[&int(after.0), &i64::from(limit)], info)
    }

    fn person_by_fence(&self, fence: FenceId) -> Read<Option<PersonInfo>> {
        self.row(person!("WHERE fence = $1"), &[&fence.0.as_slice()], info)
    }

    fn persons_being_erased(&self) -> Read<Vec<PersonId>> {
        let sql = "SELECT id FROM person WHERE state = 3 ORDER BY id";
        self.rows(sql, &[], |row| Ok(PersonId(number(row, 0)?)))
    }

    fn links(&self, handles: &[Handle]) -> Read<BTreeMap<Handle, PersonId>> {
        if handles.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = "SELECT handle, person
                   FROM unnest($1::int8[]) AS wanted (handle)
                   CROSS JOIN LATERAL
                       (SELECT person FROM data_key WHERE id BETWEEN handle * 8 AND handle * 8 + 7
                        AND person IS NOT NULL LIMIT 1) found";
        let handles: Vec<i64> = handles.iter().map(|handle| int(handle.0)).collect();
        let links = self.rows(sql, &[&handles], |row| {
            Ok((Handle(number(row, 0)?), PersonId(number(row, 1)?)))
        })?;
        Ok(links.into_iter().collect())
    }

    fn opens(&self, handle: Handle, class: RetentionClass) -> Read<bool> {
        let sql = "SELECT 1 FROM data_key WHERE id = $1 AND year IS NULL AND wrapped IS NOT NULL";
        let id = int(handle.0) * 8 + i64::from(class.code());
        Ok(self.row(sql, &[&id], |_| Ok(()))?.is_some())
    }

    fn wrapped(&self, key: KeyRow<'_>) -> Read<Option<Vec<u8>>> {
        let wrapped = |row: &Row| get(row, 0);
        match key {
            KeyRow::Tenant(epoch) => {
                let epoch = i32::try_from(epoch).unwrap_or(i32::MAX);
                self.row("SELECT wrapped FROM tenant_key WHERE epoch = $1", &[&epoch], wrapped)
            }
            KeyRow::Secret(name) => {
                self.row("SELECT wrapped FROM secret WHERE name = $1", &[&name], wrapped)
            }
            KeyRow::Person(person) => {
                let sql = "SELECT keys FROM person
                           WHERE id = $1 AND state = 1 AND keys IS NOT NULL";
                self.row(sql, &[&int(person.0)], wrapped)
            }
            KeyRow::Period(class, year) => {
                let sql = "SELECT wrapped FROM period_key WHERE class = $1 AND year = $2";
                self.row(sql, &[&i16::from(class.code()), &year], wrapped)
            }
        }
    }

    fn person_keys(&self, persons: &[PersonId]) -> Read<Vec<(PersonId, Vec<u8>)>> {
        let sql = "SELECT id, keys FROM person
                   WHERE id = ANY ($1) AND state = 1 AND keys IS NOT NULL";
        let persons: Vec<i64> = persons.iter().map(|person| int(person.0)).collect();
        self.rows(sql, &[&persons], |row| Ok((PersonId(number(row, 0)?), get(row, 1)?)))
    }

    fn data_key_row(&self, handle: Handle, class: RetentionClass) -> Read<Option<DataKeyRow>> {
        let sql = "SELECT id, wrapped, person, year FROM data_key WHERE id = $1";
        let id = int(handle.0) * 8 + i64::from(class.code());
        self.row(sql, &[&id], super::seals::data_key)
    }

    fn seals(&self, seals: &[SealAt]) -> Read<Vec<SealRow>> {
        if seals.is_empty() {
            return Ok(Vec::new());
        }
        Ok(super::seals::find(&self.0, seals)?)
    }

    fn epochs(&self) -> Read<Vec<u32>> {
        let sql = "SELECT epoch FROM tenant_key ORDER BY epoch DESC";
        self.rows(sql, &[], |row| Ok(u32::try_from(get::<i32>(row, 0)?).unwrap_or(0)))
    }

    fn hanging(&self) -> Read<Vec<Hanging>> {
        rotation::hanging(self)
    }

    fn bundles(&self, after: i64, limit: usize) -> Read<Vec<Bundle>> {
        rotation::bundles(self, after, limit)
    }

    fn keys_of(&self, person: PersonId) -> Read<Option<Vec<u8>>> {
        let sql = "SELECT keys FROM person WHERE id = $1 AND keys IS NOT NULL";
        self.row(sql, &[&int(person.0)], |row| get(row, 0))
    }

    fn retired_of(&self, person: PersonId) -> Read<Vec<(i16, Vec<u8>)>> {
        let sql = "SELECT class, wrapped FROM retired_key WHERE person = $1";
        self.rows(sql, &[&int(person.0)], |row| Ok((get(row, 0)?, get(row, 1)?)))
    }

    fn retired(&self, after: Place, limit: usize) -> Read<Vec<Place>> {
        rotation::retired(self, after, limit)
    }

    fn dead(&self, after: i64, limit: usize) -> Read<Vec<(i64, PersonId)>> {
        rotation::dead(self, after, limit)
    }

    fn linked(&self, after: i64, limit: usize) -> Read<Vec<(i64, PersonId, Vec<u8>)>> {
        rotation::linked(self, after, limit)
    }

    fn data_keys(&self, ids: &[i64]) -> Read<Vec<(i64, Vec<u8>)>> {
        let sql = "SELECT id, wrapped FROM data_key WHERE id = ANY ($1) AND wrapped IS NOT NULL
                   AND year IS NULL";
        self.rows(sql, &[&ids], |row| Ok((get(row, 0)?, get(row, 1)?)))
    }

    fn found_by(&self, values: &[[u8; 16]]) -> Read<Vec<PersonId>> {
        let sql = "SELECT person FROM lookup WHERE value = ANY ($1)";
        let values: Vec<&[u8]> = values.iter().map(<[u8; 16]>::as_slice).collect();
        self.rows(sql, &[&values], |row| Ok(PersonId(number(row, 0)?)))
    }

    fn repeats(&self, asked: &[(i64, Hash)]) -> Read<Vec<(Hash, (Hash, Appended))>> {
        let sql = "SELECT key, body, first, count FROM unnest($1::int8[], $2::bytea[]) w (d, k)
                   JOIN idempotency ON day = d AND key = k";
        let (days, keys): (Vec<i64>, Vec<&[u8]>) =
            asked.iter().map(|(day, key)| (*day, key.as_slice())).unzip();
        let found = self.rows(sql, &[&days, &keys], |row| {
            let count = u32::try_from(get::<i32>(row, 3)?).unwrap_or(0);
            let appended = Appended { first: Position(number(row, 2)?), count, repeated: true };
            let hashes = exactly(get(row, 0)?).zip(exactly(get(row, 1)?));
            Ok(hashes.map(|(key, body)| (key, (body, appended))))
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    fn reserve(&self, counter: Counter, count: u64) -> Read<Option<u64>> {
        Ok(Some(self.0.reserve(counter.name(), count)?))
    }

    fn reached(&self) -> Read<Option<u64>> {
        Ok(apart::reached(&self.0)?)
    }

    fn lag(&self) -> Read<Option<RangeInclusive<u64>>> {
        Ok(apart::lag(&self.0)?)
    }

    fn copy(&self, to: &Path) -> Read<()> {
        super::copy::copy(&self.0, to)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn close(&self) {}
}

/// Entries as they were asked for, or an error: a leaf of another length is no leaf.
fn whole(entries: Vec<Option<EntryBytes>>) -> Read<Vec<EntryBytes>> {
    entries.into_iter().collect::<Option<_>>().ok_or(ReadError::Head)
}

fn entry(row: &Row) -> Result<Option<EntryBytes>, PgError> {
    let position = Position(number(row, 0)?);
    let leaf = exactly(get(row, 2)?);
    let bytes = get(row, 1)?;
    Ok(leaf.map(|leaf| EntryBytes { position, bytes, leaf }))
}

fn person_row(row: &Row) -> Result<PersonRow, PgError> {
    Ok(PersonRow {
        person: PersonId(number(row, 0)?),
        until: get(row, 1)?,
        position: Position(number(row, 2)?),
        handle: Handle(number(row, 3)?),
        booking: maybe(row, 4)?.map(BookingId),
        seals: u32::try_from(get::<i32>(row, 5)?).unwrap_or(0),
        year: get(row, 6)?,
        visits: i8::try_from(get::<i16>(row, 7)?).unwrap_or(0),
    })
}

fn info(row: &Row) -> Result<PersonInfo, PgError> {
    let contact = maybe(row, 5)?.zip(maybe(row, 6)?);
    Ok(PersonInfo {
        id: PersonId(number(row, 0)?),
        state: PersonState::from_code(i64::from(get::<i16>(row, 1)?)),
        fence: get::<Option<&[u8]>>(row, 2)?.and_then(exactly).map(FenceId),
        fields: FieldSet(
            get::<Option<i32>>(row, 3)?.and_then(|bits| u32::try_from(bits).ok()).unwrap_or(0),
        ),
        registration: maybe(row, 4)?.map(RegistrationId),
        contact: contact.map(|(at, handle)| (Position(at), Handle(handle))),
    })
}
