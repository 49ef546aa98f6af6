//! `bench`: measures this machine, as ratios taken in one run.
//!
//! Machines are shared and noisy, so a figure alone says little: each is the median of several
//! runs beside a baseline measured in the same run, and the ratio of the two is what counts.
//! docs/BENCHMARKS.md has the figures with the commands that made them.

#![expect(clippy::disallowed_methods, reason = "measuring is reading the clock")]
#![expect(clippy::float_arithmetic, reason = "rates and ratios are fractions")]

mod append;
mod busy;
mod erase;
mod follow;
mod http;
mod import;
mod nodes;
mod page;
mod plain;
mod replay;
mod rig;
mod rotate;
mod soak;
mod tenants;

use std::time::{Duration, Instant};

use eventstore::store::Databases;
use serde::Serialize;

use crate::cli::console::Console;
use crate::cli::{CliError, Outcome};
use crate::config::Bench;
use rig::Rig;

/// One measured figure beside its baseline.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub name: &'static str,
    /// The median of all runs.
    pub median: f64,
    pub unit: &'static str,
    pub baseline: f64,
    pub baseline_name: &'static str,
    /// Median over baseline.
    pub ratio: f64,
    /// What the ratio should be.
    pub target: &'static str,
    pub runs: u32,
    /// Each run's figure, in the order of the runs.
    pub measured: Vec<f64>,
    pub beside: Vec<f64>,
}

impl Figure {
    fn new(
        name: &'static str,
        unit: &'static str,
        measured: &[f64],
        baseline_name: &'static str,
        baseline: &[f64],
        target: &'static str,
    ) -> Self {
        let (measured, beside) = (measured.to_vec(), baseline.to_vec());
        let (median, baseline) = (median(&measured), median(&beside));
        let runs = u32::try_from(measured.len()).unwrap_or(u32::MAX);
        let ratio = median / baseline;
        Self { name, median, unit, baseline, baseline_name, ratio, target, runs, measured, beside }
    }
}

/// The middle value.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long something took, in seconds.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// What every measurement is told.
#[derive(Debug, Clone, Copy)]
struct Extent {
    runs: u32,
    stored: u64,
    tenants: u64,
    run: Duration,
}

type Measure = fn(&mut Rig, Extent, &mut Console) -> Result<Vec<Figure>, CliError>;

const MEASURES: [(&str, Measure); 13] = [
    ("append", append::measure),
    ("privacy", plain::measure),
    ("busy", busy::measure),
    ("http", http::measure),
    ("erase", erase::measure),
    ("nodes", nodes::measure),
    ("page", page::measure),
    ("replay", replay::measure),
    ("follow", follow::measure),
    ("import", import::measure),
    ("rotate", rotate::measure),
    ("tenants", tenants::measure),
    ("soak", soak::measure),
];

/// Runs the measurements that were asked for, or all.
pub(crate) fn run(
    bench: &Bench,
    databases: Databases<'_>,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    let known = |name: &String| MEASURES.iter().any(|(known, _)| known == name);
    if let Some(name) = bench.names.iter().find(|name| !known(name)) {
        let names: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        return Err(CliError::Usage(format!("{name} is no measurement; there are {names}")));
    }
    let run = Duration::from_secs(bench.seconds);
    let (runs, stored) = (bench.runs.max(1), bench.stored);
    let extent = Extent { runs, stored, tenants: bench.tenants, run };
    let mut rig = Rig::new(runtime.clone(), databases)?;
    let mut figures = Vec::new();
    for (name, measure) in MEASURES {
        if bench.names.is_empty() || bench.names.iter().any(|asked| asked == name) {
            console.say(format_args!("{name} ..."));
            figures.extend(measure(&mut rig, extent, console)?);
        }
    }
    let value = serde_json::to_value(&figures).unwrap_or_default();
    let lines: Vec<String> = figures.iter().map(line).collect();
    console.answer(&value, lines.join("\n"));
    Ok(Outcome::Done)
}

fn line(figure: &Figure) -> String {
    format!(
        "{:<22} {:>12.1} {:<10} {:>7.2} of {} ({:.1}); wanted {}",
        figure.name,
        figure.median,
        figure.unit,
        figure.ratio,
        figure.baseline_name,
        figure.baseline,
        figure.target,
    )
}
