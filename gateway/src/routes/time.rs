//! Times as callers write them: an instant with its offset, or wall time in a zone.

use std::str::FromStr;

use domain::slot::{LocalTimeError, Zone};
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::Deserialize;

use crate::problem::Problem;

/// `2026-03-29T02:30:00+01:00`, or `2026-03-29T02:30:00` in the zone of whatever it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum When {
    Instant(Timestamp),
    Local(DateTime),
}

/// Neither an instant nor a wall time.
#[derive(Debug, thiserror::Error)]
#[error("not a time")]
pub(super) struct NoTime;

impl FromStr for When {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        if let Ok(instant) = text.parse() {
            return Ok(Self::Instant(instant));
        }
        text.parse().map(Self::Local).map_err(|_| NoTime)
    }
}

impl TryFrom<String> for When {
    type Error = NoTime;

    fn try_from(text: String) -> Result<Self, NoTime> {
        text.parse()
    }
}

impl When {
    pub(super) fn is_local(self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// The instant, whatever the form; `pointer` says where it stands.
    pub(super) fn instant(self, zone: &Zone, pointer: &str) -> Result<Timestamp, Problem> {
        match self {
            Self::Instant(instant) => Ok(instant),
            Self::Local(local) => zone.instant(local).map_err(|error| {
                let what = match error {
                    LocalTimeError::InGap => "nonexistent",
                    LocalTimeError::Twice => "ambiguous",
                    LocalTimeError::OutOfRange => "out_of_range",
                };
                Problem::from(error).at(pointer, what)
            }),
        }
    }
}
