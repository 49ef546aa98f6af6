//! `stats`: counts of bookings by facets, now or as it was.

use std::sync::Arc;

use ::projections::{CATCH_UP, ReadModels, StatFacet, nested};
use eventstore::Log;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::audit::AsOf;
use crate::config::Stats;
use crate::desk::{DeskError, feed};

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
            let models = fold(desk.tenant.log(), ReadModels::in_memory()?, Some(moment(until)?))?;
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
    let text: Vec<String> = counts
        .iter()
        .map(|(values, count)| format!("{count:>10}  {}", values.join(", ")))
        .collect();
    console.answer(&nested(&by, &counts), text.join("\n"));
    Ok(Outcome::Done)
}

fn moment(text: &str) -> Result<AsOf, CliError> {
    text.parse().map_err(|error| CliError::Usage(format!("--as-of {text}: {error}")))
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
fn fold(log: &Log, mut models: ReadModels, until: Option<AsOf>) -> Result<ReadModels, CliError> {
    loop {
        let next = models.next();
        let mut entries = log.entries(next, CATCH_UP)?;
        if let Some(until) = until {
            let mut kept = 0;
            for entry in &entries {
                let decoded =
                    entry.decode().map_err(|error| DeskError::Entry(entry.position, error))?;
                if !until.includes(&decoded.recorded) {
                    break;
                }
                kept += 1;
            }
            entries.truncate(kept);
        }
        if entries.is_empty() {
            return Ok(models);
        }
        feed(&entries, |feeds| models.apply(feeds))?;
        if models.next() == next || models.status().iter().any(|model| model.error.is_some()) {
            return Err(DeskError::Stopped(next).into());
        }
    }
}
