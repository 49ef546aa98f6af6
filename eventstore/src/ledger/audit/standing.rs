//! How it stands with single seals, for somebody who may know that but not what is in them.

use domain::sealed::SealRef;
use domain::{Position, RetentionClass};
use rusqlite::Connection;
use serde::Serialize;

use crate::keyring::person::{self, PersonState};
use crate::keyring::{DataKeyRow, data_key};
use crate::ledger::log::{Log, ReadError};
use crate::sqlite::int;

/// How it stands with a seal. Nothing is opened to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Stored, with its key.
    Sealed,
    /// Stored, and kept from use: its person asked so, or only bookkeeping may see it.
    Restricted,
    /// Its key was destroyed, as the law or the person asked.
    Erased,
    /// Neither erased nor there.
    Missing,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Restricted => "restricted",
            Self::Erased => "erased",
            Self::Missing => "missing",
        }
    }
}

/// How it stands with seals, in the order asked for.
///
/// # Errors
/// Where the file cannot be read.
pub fn standings(log: &Log, seals: &[(Position, SealRef)]) -> Result<Vec<Standing>, ReadError> {
    log.with(|conn| {
        let tx = conn.unchecked_transaction()?;
        let standings = seals.iter().map(|(position, seal)| standing(&tx, *position, seal));
        Ok(standings.collect::<rusqlite::Result<_>>()?)
    })
}

fn standing(conn: &Connection, position: Position, seal: &SealRef) -> rusqlite::Result<Standing> {
    let Some(row) = data_key(conn, seal.handle, seal.class)? else { return Ok(Standing::Missing) };
    let by_key = of_key(conn, &row, seal.class)?;
    match by_key {
        Standing::Sealed | Standing::Restricted if !is_stored(conn, position, seal.seal)? => {
            Ok(Standing::Missing)
        }
        Standing::Sealed | Standing::Restricted | Standing::Erased | Standing::Missing => {
            Ok(by_key)
        }
    }
}

fn of_key(
    conn: &Connection,
    row: &DataKeyRow,
    class: RetentionClass,
) -> rusqlite::Result<Standing> {
    if row.wrapped.is_none() {
        return Ok(Standing::Erased);
    }
    Ok(match (row.person, row.year) {
        (_, Some(year)) if !has_period(conn, class, year)? => Standing::Erased,
        (None, Some(_)) if class == RetentionClass::Accounting => Standing::Restricted,
        (_, Some(_)) => Standing::Sealed,
        (None, None) => Standing::Erased,
        (Some(person), None) => match person::read(conn, person)?.map(|info| info.state) {
            Some(PersonState::Live) => Standing::Sealed,
            Some(PersonState::Restricted) => Standing::Restricted,
            Some(PersonState::Erasing | PersonState::Erased) => Standing::Erased,
            None => Standing::Missing,
        },
    })
}

fn has_period(conn: &Connection, class: RetentionClass, year: i16) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM period_key WHERE class = ?1 AND year = ?2")?
        .exists((class.code(), year))
}

fn is_stored(conn: &Connection, position: Position, n: u16) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM seal WHERE id = ?1 * 65536 + ?2")?
        .exists((int(position.0), n))
}
