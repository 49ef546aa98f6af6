//! Persons: rows that only the keyring has, and what is known of each without any key.

use domain::sealed::FieldSet;
use domain::{FenceId, Handle, Position, RegistrationId};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::sqlite::{int, uint};

/// A person, by a number that stands nowhere but in the keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonId(pub u64);

/// How it stands with a person's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PersonState {
    Live,
    /// Kept, not used (GDPR Art. 18).
    Restricted,
    /// Nothing opens any more; links and seals are still being cleared.
    Erasing,
    Erased,
}

impl PersonState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restricted => "restricted",
            Self::Erasing => "erasing",
            Self::Erased => "erased",
        }
    }

    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Live => 1,
            Self::Restricted => 2,
            Self::Erasing => 3,
            Self::Erased => 4,
        }
    }

    fn from_code(code: i64) -> Self {
        match code {
            1 => Self::Live,
            2 => Self::Restricted,
            3 => Self::Erasing,
            _ => Self::Erased,
        }
    }
}

/// A person's row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PersonInfo {
    pub id: PersonId,
    pub state: PersonState,
    pub fence: Option<FenceId>,
    pub fields: FieldSet,
    pub registration: Option<RegistrationId>,
    /// Where the newest contact seal lies, and under which handle.
    pub contact: Option<(Position, Handle)>,
}

const COLUMNS: &str = "id, state, fence, fields, registration, contact_at, contact_handle";

pub(crate) fn read(conn: &Connection, person: PersonId) -> rusqlite::Result<Option<PersonInfo>> {
    let sql = select("WHERE id = ?1");
    conn.prepare_cached(&sql)?.query_row([int(person.0)], info).optional()
}

/// Up to `limit` persons after one, in the order they came.
pub(crate) fn page(
    conn: &Connection,
    after: PersonId,
    limit: u32,
) -> rusqlite::Result<Vec<PersonInfo>> {
    let sql = select("WHERE id > ?1 ORDER BY id LIMIT ?2");
    conn.prepare_cached(&sql)?.query_map((int(after.0), limit), info)?.collect()
}

/// The person with this fence, for the gate that sets fences again.
pub(crate) fn by_fence(conn: &Connection, fence: FenceId) -> rusqlite::Result<Option<PersonInfo>> {
    let sql = select("WHERE fence = ?1");
    conn.prepare(&sql)?.query_row([fence.0], info).optional()
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM person {rest}")
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
