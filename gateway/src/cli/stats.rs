//! `stats`: counts of bookings by facets, now or as it was.

use std::sync::Arc;

use ::projections::{ReadModels, StatFacet, nested};
use domain::Position;
use eventstore::Log;
use jiff::Timestamp;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::Stats;
use crate::desk::{DeskError, feed};

/// Up to where a history is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Position(Position),
    Recorded(Timestamp),
}

impl std::str::FromStr for Until {
    type Err = CliError;

    fn from_str(text: &str) -> Result<Self, CliError> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(Position(position)));
        }
        text.parse().map(Self::Recorded).map_err(|_| {
            CliError::Usage(format!("{text} is neither a position nor a time (RFC 3339)"))
        })
    }
}

pub(super) fn run(
    app: &Arc<App>,
    command: &Stats,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let by = facets(&command.by)?;
    let desk = app.desk(&command.tenant)?;
    let counts = match (&command.as_of, &command.occurred) {
        (None, None) => {
            desk.follow_with(&|done, total| console.progress(done, total))?;
            desk.read(|reader| reader.statistics().counts(&by, None))?
        }
        (Some(until), _) => {
            let models = fold(desk.tenant.log(), ReadModels::in_memory()?, Some(until.parse()?))?;
            models.into_reader()?.statistics().counts(&by, None)?
        }
        (None, Some(time)) => {
            let time = time
                .parse()
                .map_err(|_| CliError::Usage(format!("{time} is no time (RFC 3339)")))?;
            let models = fold(desk.tenant.log(), ReadModels::in_memory_as_occurred(time)?, None)?;
            models.into_reader()?.statistics().counts(&by, None)?
        }
    };
    let text: Vec<String> =
        counts.iter().map(|(values, count)| format!("{count:>10}  {}", values.join(", "))).collect();
    console.answer(&nested(&by, &counts), text.join("\n"));
    Ok(Outcome::Done)
}

fn facets(names: &[String]) -> Result<Vec<StatFacet>, CliError> {
    names
        .iter()
        .map(|name| {
            name.trim().parse().map_err(|_| {
                CliError::Usage(format!("{name} is no facet; `tidbok stats --help` lists them"))
            })
        })
        .collect()
}

/// Folds a ledger into fresh read models, up to a point.
fn fold(log: &Log, mut models: ReadModels, until: Option<Until>) -> Result<ReadModels, CliError> {
    loop {
        let next = models.next();
        let mut entries = log.entries(next, 2000)?;
        match until {
            Some(Until::Position(position)) => entries.retain(|entry| entry.position <= position),
            Some(Until::Recorded(time)) => {
                let mut kept = Vec::with_capacity(entries.len());
                for entry in entries {
                    let position = entry.position;
                    let decoded =
                        entry.decode().map_err(|error| DeskError::Entry(position, error))?;
                    if decoded.recorded.recorded_at > time {
                        break;
                    }
                    kept.push(entry);
                }
                entries = kept;
            }
            None => (),
        }
        if entries.is_empty() {
            return Ok(models);
        }
        feed(&entries, |feeds| models.apply(feeds))?;
        if models.next() == next {
            return Err(DeskError::Stopped(next).into());
        }
    }
}
