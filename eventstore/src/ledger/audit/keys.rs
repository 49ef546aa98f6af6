//! What the keyring says of handles, packed so that a million take a few megabytes.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Handle, RegistrationId, RetentionClass};
use rusqlite::Connection;

use super::Findings;
use super::fault::Fault;
use crate::keyring::bundle;
use crate::keyring::person::PersonId;
use crate::ledger::log::ReadError;
use crate::sqlite::uint;

/// How it stands with the key of one handle and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyState {
    /// There is no row, or nothing above it that could open it.
    Unknown,
    /// The person's, and it opens.
    Live,
    /// A period's, and the period's key is there.
    Kept,
    /// Destroyed.
    Blank,
    /// Its person is being erased: nothing opens, the row is still to be cleared.
    Dark,
    /// Its period is over.
    Over,
}

impl KeyState {
    const ALL: [Self; 6] =
        [Self::Unknown, Self::Live, Self::Kept, Self::Blank, Self::Dark, Self::Over];

    fn code(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Live => 1,
            Self::Kept => 2,
            Self::Blank => 3,
            Self::Dark => 4,
            Self::Over => 5,
        }
    }
}

/// Bits that one class takes.
const BITS: u32 = 3;
/// The bit that says that a matter has begun under the handle.
const USED: u32 = 1 << 31;

/// One handle: whose, and the states of its keys.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    person: Option<u32>,
    packed: u32,
}

impl Row {
    fn state(self, class: RetentionClass) -> KeyState {
        let code = (self.packed >> (BITS * u32::from(class.code() - 1))) & ((1 << BITS) - 1);
        KeyState::ALL.into_iter().find(|state| state.code() == code).unwrap_or(KeyState::Unknown)
    }

    fn set(&mut self, class: RetentionClass, state: KeyState) {
        self.packed |= state.code() << (BITS * u32::from(class.code() - 1));
    }
}

/// Rows by number in pages, so that a stray number costs a page and not all below it.
#[derive(Debug, Default)]
struct Pages(BTreeMap<u64, Box<[Row]>>);

impl Pages {
    const PAGE: u64 = 1024;

    fn get(&self, number: u64) -> Row {
        let page = self.0.get(&(number / Self::PAGE));
        page.and_then(|page| page.get(Self::place(number))).copied().unwrap_or_default()
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Row> {
        let empty = || vec![Row::default(); Self::place(u64::MAX) + 1].into_boxed_slice();
        let page = self.0.entry(number / Self::PAGE).or_insert_with(empty);
        page.get_mut(Self::place(number))
    }

    fn place(number: u64) -> usize {
        usize::try_from(number % Self::PAGE).unwrap_or(0)
    }
}

/// The keyring as an auditor sees it, who has no key.
pub(super) struct Keys {
    handles: Pages,
    /// Years of classes on whose keys something hangs, and whose keys are gone.
    pub(super) over: BTreeSet<(u8, i16)>,
    /// Whether somebody's links and seals are being cleared right now.
    pub(super) erasing: bool,
}

/// Persons by state, and the classes of which each has a key.
struct Persons {
    states: BTreeMap<u64, i64>,
    keys: BTreeMap<u64, u32>,
}

const PERSONS: &str = "SELECT id, state, keys FROM person";
/// As [`PERSONS`], of a file that nobody has opened to write since the second schema.
const OLDER: &str = "SELECT id, state, (SELECT unhex('00' || group_concat(printf('%02x', class)
    || hex(wrapped), '')) FROM person_key WHERE person = person.id AND class < 8) FROM person";

const ERASING: i64 = 3;
const ERASED: i64 = 4;

impl Keys {
    pub(super) fn read(conn: &Connection, findings: &mut Findings) -> Result<Self, ReadError> {
        let persons = Persons::read(conn)?;
        let periods = periods(conn)?;
        let (mut handles, mut over) = (Pages::default(), BTreeSet::new());
        let mut select =
            conn.prepare("SELECT handle, class, person, year, wrapped IS NULL FROM data_key")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let person = row.get::<_, Option<i64>>(2)?.map(uint);
            let Some(class) = RetentionClass::from_code(row.get(1)?) else { continue };
            if person.is_some_and(|person| persons.are_gone(person)) {
                findings.add(None, &Fault::LinkLeft("data_key"));
            }
            let year: Option<i16> = row.get(3)?;
            let state = match (row.get(4)?, year, person) {
                (true, ..) => KeyState::Blank,
                (false, Some(year), _) if periods.contains(&(class.code(), year)) => KeyState::Kept,
                (false, Some(year), _) => {
                    over.insert((class.code(), year));
                    KeyState::Over
                }
                (false, None, Some(person)) => persons.key(person, class),
                (false, None, None) => KeyState::Unknown,
            };
            if let Some(known) = handles.get_mut(uint(row.get(0)?)) {
                known.set(class, state);
                known.person = person.and_then(|person| u32::try_from(person).ok());
            }
        }
        let older = is_older(conn)?;
        let keys = if older { "person_key" } else { "retired_key" };
        for table in ["person_tag", "lookup", keys, "api_key"] {
            for _ in 0..links_left(conn, table)? {
                findings.add(None, &Fault::LinkLeft(table));
            }
        }
        for _ in 0..if older { 0 } else { unlisted(conn)? } {
            findings.add(None, &Fault::LinkLeft("lookup"));
        }
        let erasing = persons.states.values().any(|state| *state == ERASING);
        Ok(Self { handles, over, erasing })
    }

    pub(super) fn state(&self, handle: Handle, class: RetentionClass) -> KeyState {
        self.handles.get(handle.0).state(class)
    }

    /// Whose handle, if anybody's any more.
    pub(super) fn person(&self, handle: Handle) -> Option<PersonId> {
        self.handles.get(handle.0).person.map(|person| PersonId(person.into()))
    }

    /// A matter begins under the handle; whether it is the first.
    pub(super) fn begin(&mut self, handle: Handle) -> bool {
        let Some(row) = self.handles.get_mut(handle.0) else { return false };
        let first = row.packed & USED == 0;
        row.packed |= USED;
        first
    }
}

impl Persons {
    fn read(conn: &Connection) -> Result<Self, ReadError> {
        let mut persons = Self { states: BTreeMap::new(), keys: BTreeMap::new() };
        let mut select = conn.prepare(if is_older(conn)? { OLDER } else { PERSONS })?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let person = uint(row.get(0)?);
            persons.states.insert(person, row.get(1)?);
            let keys: Option<Vec<u8>> = row.get(2)?;
            for class in keys.iter().flat_map(|keys| bundle::classes(keys)) {
                *persons.keys.entry(person).or_default() |= 1 << class.min(31);
            }
        }
        Ok(persons)
    }

    fn are_gone(&self, person: u64) -> bool {
        self.states.get(&person).is_none_or(|state| *state == ERASED)
    }

    fn key(&self, person: u64, class: RetentionClass) -> KeyState {
        let keys = self.keys.get(&person).copied().unwrap_or(0);
        let has = keys & (1 << class.code()) != 0;
        match self.states.get(&person) {
            Some(&ERASING) => KeyState::Dark,
            Some(_) if has => KeyState::Live,
            Some(_) | None => KeyState::Unknown,
        }
    }
}

fn periods(conn: &Connection) -> Result<BTreeSet<(u8, i16)>, ReadError> {
    let mut select = conn.prepare("SELECT class, year FROM period_key")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many rows of a table refer to somebody who is not there any more.
fn links_left(conn: &Connection, table: &str) -> Result<u64, ReadError> {
    let sql = format!(
        "SELECT count(*) FROM {table} WHERE person IS NOT NULL
         AND person NOT IN (SELECT id FROM person WHERE state <> {ERASED})"
    );
    Ok(uint(conn.query_row(&sql, [], |row| row.get(0))?))
}

/// Whether each key of a person has a row of its own, and no list says what they are found by: a
/// file is audited without being changed.
fn is_older(conn: &Connection) -> Result<bool, ReadError> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'person_key'";
    Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0)
}

/// How many lookups no list knows, so that they would not go with whose they are.
fn unlisted(conn: &Connection) -> Result<u64, ReadError> {
    let sql = format!(
        "SELECT count(*) FROM lookup JOIN person ON person.id = lookup.person
         WHERE state <> {ERASED} AND instr(lookups, value) = 0"
    );
    Ok(uint(conn.query_row(&sql, [], |row| row.get(0))?))
}

/// Whoever the keyring restricts, the entries restrict, and the other way round, where there is
/// still somebody.
pub(super) fn check_restrictions(
    conn: &Connection,
    said: &BTreeSet<RegistrationId>,
    findings: &mut Findings,
) -> Result<(), ReadError> {
    let mut select = conn.prepare(
        "SELECT registration, state = 2 FROM person WHERE registration IS NOT NULL AND state < 3",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let registration = RegistrationId(uint(row.get(0)?));
        if said.contains(&registration) != row.get::<_, bool>(1)? {
            findings.add(None, &Fault::Restriction(registration));
        }
    }
    Ok(())
}
