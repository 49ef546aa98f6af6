//! How it stands with single seals, for somebody who may know that but not what is in them.

use domain::sealed::SealRef;
use domain::{Kind, Position, RetentionClass};
use serde::Serialize;

use crate::engine::{KeyRow, Read, SealRow};
use crate::keyring::DataKeyRow;
use crate::keyring::person::PersonState;
use crate::keyring::seal::SealAt;
use crate::ledger::log::{Log, ReadError};

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
    let reader = log.reader();
    // What opens them does not matter here, nor therefore the kind of the entry.
    let at = |(position, seal): &(Position, SealRef)| SealAt {
        position: *position,
        kind: Kind(0),
        seal: *seal,
    };
    let asked: Vec<SealAt> = seals.iter().map(at).collect();
    let rows = reader.seals(&asked)?;
    asked.iter().zip(rows).map(|(at, row)| standing(log, at.seal.class, &row)).collect()
}

fn standing(log: &Log, class: RetentionClass, row: &SealRow) -> Read<Standing> {
    let Some(key) = &row.data_key else { return Ok(Standing::Missing) };
    let by_key = of_key(log, key, class)?;
    match by_key {
        Standing::Sealed | Standing::Restricted if row.ciphertext.is_none() => {
            Ok(Standing::Missing)
        }
        Standing::Sealed | Standing::Restricted | Standing::Erased | Standing::Missing => {
            Ok(by_key)
        }
    }
}

fn of_key(log: &Log, row: &DataKeyRow, class: RetentionClass) -> Read<Standing> {
    let reader = log.reader();
    if row.wrapped.is_none() {
        return Ok(Standing::Erased);
    }
    let has_period = |year| reader.wrapped(KeyRow::Period(class, year)).map(|key| key.is_some());
    Ok(match (row.person, row.year) {
        (_, Some(year)) if !has_period(year)? => match log.has_ended(class, year)? {
            true => Standing::Erased,
            false => Standing::Missing,
        },
        (None, Some(_)) if class == RetentionClass::Accounting => Standing::Restricted,
        (_, Some(_)) => Standing::Sealed,
        (None, None) => Standing::Erased,
        (Some(person), None) => match reader.person(person)?.map(|info| info.state) {
            Some(PersonState::Live) => Standing::Sealed,
            Some(PersonState::Restricted) => Standing::Restricted,
            Some(PersonState::Erasing | PersonState::Erased) => Standing::Erased,
            None => Standing::Missing,
        },
    })
}
