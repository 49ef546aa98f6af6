//! Reading a ledger's file.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use domain::sealed::FieldSet;
use domain::{BookingId, FenceId, Handle, Position, RegistrationId, RetentionClass, Tag};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{int, rotation, seals, uint};
use crate::engine::{Bundle, Hanging, KeyRow, Notices, Papers, Place, Read, Reader, SealRow, Seen};
use crate::keyring::DataKeyRow;
use crate::keyring::person::{PersonId, PersonInfo, PersonState};
use crate::keyring::provider::TenantId;
use crate::keyring::seal::SealAt;
use crate::ledger::appender::Appended;
use crate::ledger::index::PersonRow;
use crate::ledger::log::{EntryBytes, Head, ReadError};
use crate::store::credentials::ApiKey;
use crate::store::notices::Notice;
use crate::store::requests::PrivacyRequest;
use crate::tree::{Frontier, Hash};

/// Readers of one file, each with a connection of its own.
pub struct SqliteReader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteReader {
    /// Opens a file that exists.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let conn = super::open_reader(path)?;
        Ok(Self { path: path.to_owned(), idle: Mutex::new(vec![conn]) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a query on a reader of its own.
    pub(crate) fn with<T>(&self, query: impl FnOnce(&Connection) -> Read<T>) -> Read<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => super::open_reader(&self.path)?,
        };
        let answer = query(&conn);
        let mut readers = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < 8 {
            readers.push(conn);
        }
        answer
    }
}

/// Hands every question to an idle connection.
macro_rules! hand_on {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> Read<$answer> {
            self.with(|conn| conn.$name($($argument),*))
        })*
    };
}

impl Reader for SqliteReader {
    hand_on! {
        head() -> Head;
        entries(from: Position, limit: usize) -> Vec<EntryBytes>;
        entries_at(positions: &[Position]) -> Vec<EntryBytes>;
        positions(tags: RangeInclusive<Tag>, from: Position) -> Vec<Position>;
        first_tags(tags: RangeInclusive<Tag>, limit: usize) -> Vec<Tag>;
        person_rows(person: PersonId, until: i64) -> Vec<PersonRow>;
        unwritten(rows: Vec<PersonRow>) -> Vec<PersonRow>;
        known(persons: &[PersonId]) -> Vec<PersonInfo>;
        persons(after: PersonId, limit: u32) -> Vec<PersonInfo>;
        person_by_fence(fence: FenceId) -> Option<PersonInfo>;
        persons_being_erased() -> Vec<PersonId>;
        links(handles: &[Handle]) -> BTreeMap<Handle, PersonId>;
        opens(handle: Handle, class: RetentionClass) -> bool;
        wrapped(key: KeyRow<'_>) -> Option<Vec<u8>>;
        person_keys(persons: &[PersonId]) -> Vec<(PersonId, Vec<u8>)>;
        data_key_row(handle: Handle, class: RetentionClass) -> Option<DataKeyRow>;
        seals(seals: &[SealAt]) -> Vec<SealRow>;
        found_by(values: &[[u8; 16]]) -> Vec<PersonId>;
        epochs() -> Vec<u32>;
        hanging() -> Vec<Hanging>;
        bundles(after: i64, limit: usize) -> Vec<Bundle>;
        keys_of(person: PersonId) -> Option<Vec<u8>>;
        retired_of(person: PersonId) -> Vec<(i16, Vec<u8>)>;
        retired(after: Place, limit: usize) -> Vec<Place>;
        dead(after: i64, limit: usize) -> Vec<(i64, PersonId)>;
        linked(after: i64, limit: usize) -> Vec<(i64, PersonId, Vec<u8>)>;
        data_keys(ids: &[i64]) -> Vec<(i64, Vec<u8>)>;
        repeats(asked: &[(i64, Hash)]) -> Vec<(Hash, (Hash, Appended))>;
    }

    fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn sqlite(&self) -> Option<&SqliteReader> {
        Some(self)
    }
}

impl Papers for SqliteReader {
    hand_on! {
        api_key(hash: &Hash) -> Option<ApiKey>;
        api_keys() -> Vec<ApiKey>;
        privacy_request(id: u64) -> Option<PrivacyRequest>;
        privacy_requests(after: Seen, limit: u32) -> Vec<PrivacyRequest>;
        open_requests() -> Vec<PrivacyRequest>;
        given_to(person: PersonId) -> Vec<String>;
        not_given(recipient: &str, persons: &[PersonId]) -> Vec<PersonId>;
        given_of(recipient: &str) -> u64;
        notices(which: Notices<'_>) -> Vec<Notice>;
    }
}

const PERSON: &str =
    "SELECT id, state, fence, fields, registration, contact_at, contact_handle FROM person";

impl Reader for Connection {
    fn head(&self) -> Read<Head> {
        read_head(self)
    }

    fn entries(&self, from: Position, limit: usize) -> Read<Vec<EntryBytes>> {
        let mut select = self.prepare_cached(
            "SELECT position, bytes, leaf FROM entry WHERE position >= ?1 ORDER BY position LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = select.query_map((int(from.0), limit), entry_bytes)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn entries_at(&self, positions: &[Position]) -> Read<Vec<EntryBytes>> {
        let mut select =
            self.prepare_cached("SELECT position, bytes, leaf FROM entry WHERE position = ?1")?;
        let mut entries = Vec::with_capacity(positions.len());
        for position in positions {
            entries.extend(select.query_row([int(position.0)], entry_bytes).optional()?);
        }
        Ok(entries)
    }

    fn positions(&self, tags: RangeInclusive<Tag>, from: Position) -> Read<Vec<Position>> {
        let place = |row: &Row<'_>| Ok(Position(uint(row.get(0)?)));
        let (first, last) = (int(tags.start().0), int(tags.end().0));
        let rows: rusqlite::Result<_> = if first == last {
            self.prepare_cached("SELECT position FROM tag WHERE tag = ?1 AND position >= ?2")?
                .query_map((first, int(from.0)), place)?
                .collect()
        } else {
            self.prepare_cached(
                "SELECT position FROM tag WHERE tag BETWEEN ?1 AND ?2 AND position >= ?3",
            )?
            .query_map((first, last, int(from.0)), place)?
            .collect()
        };
        Ok(rows?)
    }

    fn first_tags(&self, tags: RangeInclusive<Tag>, limit: usize) -> Read<Vec<Tag>> {
        let (first, last) = (int(tags.start().0), int(tags.end().0));
        let sql = "SELECT tag FROM tag WHERE tag BETWEEN ?1 AND ?2 ORDER BY tag LIMIT ?3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let tag = |row: &Row<'_>| Ok(Tag(uint(row.get(0)?)));
        let rows: rusqlite::Result<_> =
            self.prepare_cached(sql)?.query_map((first, last, limit), tag)?.collect();
        Ok(rows?)
    }

    fn person_rows(&self, person: PersonId, until: i64) -> Read<Vec<PersonRow>> {
        Ok(person_rows(self, person, until)?)
    }

    fn unwritten(&self, rows: Vec<PersonRow>) -> Read<Vec<PersonRow>> {
        let mut select = self.prepare_cached(
            "SELECT 1 FROM person_tag WHERE person = ?1 AND until = ?2 AND position = ?3 AND handle = ?4",
        )?;
        let mut waiting = Vec::with_capacity(rows.len());
        for row in rows {
            let place = (int(row.person.0), row.until, int(row.position.0), int(row.handle.0));
            if !select.exists(place)? {
                waiting.push(row);
            }
        }
        Ok(waiting)
    }

    fn known(&self, persons: &[PersonId]) -> Read<Vec<PersonInfo>> {
        let mut select = self.prepare_cached(&format!("{PERSON} WHERE id = ?1"))?;
        let mut known = Vec::new();
        for person in persons {
            known.extend(select.query_row([int(person.0)], info).optional()?);
        }
        Ok(known)
    }

    fn persons(&self, after: PersonId, limit: u32) -> Read<Vec<PersonInfo>> {
        let sql = format!("{PERSON} WHERE id > ?1 ORDER BY id LIMIT ?2");
        let mut select = self.prepare_cached(&sql)?;
        let rows = select.query_map((int(after.0), limit), info)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn person_by_fence(&self, fence: FenceId) -> Read<Option<PersonInfo>> {
        let sql = format!("{PERSON} WHERE fence = ?1");
        Ok(self.prepare(&sql)?.query_row([fence.0], info).optional()?)
    }

    fn persons_being_erased(&self) -> Read<Vec<PersonId>> {
        let mut select = self.prepare("SELECT id FROM person WHERE state = 3 ORDER BY id")?;
        let rows = select.query_map([], |row| Ok(PersonId(uint(row.get(0)?))))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn links(&self, handles: &[Handle]) -> Read<BTreeMap<Handle, PersonId>> {
        let mut select = self.prepare_cached(
            "SELECT person FROM data_key WHERE id BETWEEN ?1 * 8 AND ?1 * 8 + 7 AND person IS NOT NULL LIMIT 1",
        )?;
        let mut links = BTreeMap::new();
        for handle in handles {
            let person =
                select.query_row([int(handle.0)], |row| row.get::<_, i64>(0)).optional()?;
            links.extend(person.map(|person| (*handle, PersonId(uint(person)))));
        }
        Ok(links)
    }

    fn opens(&self, handle: Handle, class: RetentionClass) -> Read<bool> {
        let mut select = self.prepare_cached(
            "SELECT 1 FROM data_key
             WHERE id = ?1 * 8 + ?2 AND year IS NULL AND wrapped IS NOT NULL",
        )?;
        Ok(select.exists((int(handle.0), class.code()))?)
    }

    fn wrapped(&self, key: KeyRow<'_>) -> Read<Option<Vec<u8>>> {
        let wrapped = |row: &Row<'_>| row.get(0);
        let found = match key {
            KeyRow::Tenant(epoch) => self
                .prepare_cached("SELECT wrapped FROM tenant_key WHERE epoch = ?1")?
                .query_row([epoch], wrapped),
            KeyRow::Secret(name) => self
                .prepare_cached("SELECT wrapped FROM secret WHERE name = ?1")?
                .query_row([name], wrapped),
            KeyRow::Person(person) => self
                .prepare_cached(
                    "SELECT keys FROM person WHERE id = ?1 AND state = ?2 AND keys IS NOT NULL",
                )?
                .query_row((int(person.0), PersonState::Live.code()), wrapped),
            KeyRow::Period(class, year) => self
                .prepare_cached("SELECT wrapped FROM period_key WHERE class = ?1 AND year = ?2")?
                .query_row((class.code(), year), wrapped),
        };
        Ok(found.optional()?)
    }

    fn data_key_row(&self, handle: Handle, class: RetentionClass) -> Read<Option<DataKeyRow>> {
        Ok(seals::data_key(self, handle, class)?)
    }

    fn seals(&self, seals: &[SealAt]) -> Read<Vec<SealRow>> {
        seals::find(self, seals)
    }

    fn found_by(&self, values: &[[u8; 16]]) -> Read<Vec<PersonId>> {
        // One snapshot: a rotation takes a row from one of these values to another.
        let tx = self.unchecked_transaction()?;
        let mut select = tx.prepare_cached("SELECT person FROM lookup WHERE value = ?1")?;
        let mut found = Vec::new();
        for value in values {
            let rows = select.query_map([value], |row| Ok(PersonId(uint(row.get(0)?))))?;
            found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        Ok(found)
    }

    fn epochs(&self) -> Read<Vec<u32>> {
        let mut select = self.prepare_cached("SELECT epoch FROM tenant_key ORDER BY epoch DESC")?;
        let rows = select.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn hanging(&self) -> Read<Vec<Hanging>> {
        rotation::hanging(self)
    }

    fn bundles(&self, after: i64, limit: usize) -> Read<Vec<Bundle>> {
        rotation::bundles(self, after, limit)
    }

    fn keys_of(&self, person: PersonId) -> Read<Option<Vec<u8>>> {
        rotation::keys_of(self, person)
    }

    fn retired_of(&self, person: PersonId) -> Read<Vec<(i16, Vec<u8>)>> {
        rotation::retired_of(self, person)
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
        rotation::data_keys(self, ids)
    }

    fn repeats(&self, asked: &[(i64, Hash)]) -> Read<Vec<(Hash, (Hash, Appended))>> {
        let mut select = self.prepare_cached(
            "SELECT body, first, count FROM idempotency WHERE day = ?1 AND key = ?2",
        )?;
        let mut answered = Vec::new();
        for (day, key) in asked {
            let found = select.query_row(params![day, key], |row| {
                let first = Position(uint(row.get(1)?));
                Ok((row.get(0)?, Appended { first, count: row.get(2)?, repeated: true }))
            });
            answered.extend(found.optional()?.map(|answer| (*key, answer)));
        }
        Ok(answered)
    }

    fn close(&self) {}
}

pub(crate) fn read_entry(
    conn: &Connection,
    position: Position,
) -> rusqlite::Result<Option<EntryBytes>> {
    let mut select =
        conn.prepare_cached("SELECT position, bytes, leaf FROM entry WHERE position = ?1")?;
    select.query_row([int(position.0)], entry_bytes).optional()
}

fn entry_bytes(row: &Row<'_>) -> rusqlite::Result<EntryBytes> {
    Ok(EntryBytes { position: Position(uint(row.get(0)?)), bytes: row.get(1)?, leaf: row.get(2)? })
}

pub(crate) fn person_rows(
    conn: &Connection,
    person: PersonId,
    until: i64,
) -> rusqlite::Result<Vec<PersonRow>> {
    let mut select = conn.prepare_cached(
        "SELECT until, position, handle, booking, seals, year, visits FROM person_tag
         WHERE person = ?1 AND until >= ?2",
    )?;
    let rows = select.query_map((int(person.0), until), |row| {
        Ok(PersonRow {
            person,
            until: row.get(0)?,
            position: Position(uint(row.get(1)?)),
            handle: Handle(uint(row.get(2)?)),
            booking: row.get::<_, Option<i64>>(3)?.map(|id| BookingId(uint(id))),
            seals: row.get(4)?,
            year: row.get(5)?,
            visits: row.get(6)?,
        })
    })?;
    rows.collect()
}

pub(crate) fn read_head(conn: &Connection) -> Result<Head, ReadError> {
    let mut select = conn.prepare_cached(
        "SELECT tenant, origin, size, frontier, recorded_at, indexed, next_handle, next_person
         FROM head WHERE id = 1",
    )?;
    let head = select
        .query_row([], |row| {
            let frontier: Vec<u8> = row.get(3)?;
            let frontier = Frontier::from_bytes(uint(row.get(2)?), &frontier);
            Ok(frontier.map(|frontier| {
                Ok::<_, rusqlite::Error>(Head {
                    tenant: TenantId(row.get(0)?),
                    origin: row.get(1)?,
                    frontier,
                    recorded_at: row.get(4)?,
                    indexed: uint(row.get(5)?),
                    next_handle: uint(row.get(6)?),
                    next_person: uint(row.get(7)?),
                })
            }))
        })
        .optional()?;
    Ok(head.flatten().ok_or(ReadError::Head)??)
}

fn info(row: &Row<'_>) -> rusqlite::Result<PersonInfo> {
    let contact_at: Option<i64> = row.get(5)?;
    let contact_handle: Option<i64> = row.get(6)?;
    Ok(PersonInfo {
        id: PersonId(uint(row.get(0)?)),
        state: PersonState::from_code(row.get(1)?),
        fence: row.get::<_, Option<[u8; 16]>>(2)?.map(FenceId),
        fields: FieldSet(row.get::<_, Option<u32>>(3)?.unwrap_or(0)),
        registration: row.get::<_, Option<i64>>(4)?.map(|id| RegistrationId(uint(id))),
        contact: contact_at
            .zip(contact_handle)
            .map(|(at, handle)| (Position(uint(at)), Handle(uint(handle)))),
    })
}
