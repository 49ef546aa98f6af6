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
mod gdpr;
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
use serde_json::Value;
use tokio::runtime::Handle;

use crate::cli::console::Console;
use crate::cli::{CliError, Outcome};
use crate::config::{Bench, Mix};
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
    /// What the figure is made of, where there is more to say.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub parts: Value,
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
        let parts = Value::Null;
        Self {
            name,
            median,
            unit,
            baseline,
            baseline_name,
            ratio,
            target,
            runs,
            measured,
            beside,
            parts,
        }
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
    clients: u64,
    mix: Mix,
}

impl Extent {
    /// In how many turns a run takes each of what is compared: a machine that is shared is slow for
    /// seconds at a time, and is then so for all of them.
    const TURNS: u32 = 6;

    /// The means of what `measure` tells of each of `N` things, one after the other and again, for a
    /// part of a run each time.
    fn in_turns<const N: usize>(
        &self,
        mut measure: impl FnMut(usize, Duration) -> Result<f64, CliError>,
    ) -> Result<[f64; N], CliError> {
        let mut sums = [0.0; N];
        for _ in 0..Self::TURNS {
            for (which, sum) in sums.iter_mut().enumerate() {
                *sum += measure(which, self.run / Self::TURNS)?;
            }
        }
        Ok(sums.map(|sum| sum / f64::from(Self::TURNS)))
    }
}

type Figures = Result<Vec<Figure>, CliError>;

/// Where something is measured.
#[derive(Clone, Copy)]
enum Measure {
    /// On the tenant that all share.
    Together(fn(&mut Rig, Extent, &mut Console) -> Figures),
    /// On tenants of its own.
    Alone(fn(&Handle, Databases<'_>, Extent, &mut Console) -> Figures),
}

use Measure::{Alone, Together};

const MEASURES: [(&str, Measure); 14] = [
    ("append", Together(append::measure)),
    ("privacy", Together(plain::measure)),
    ("busy", Together(busy::measure)),
    ("http", Together(http::measure)),
    ("erase", Together(erase::measure)),
    ("nodes", Together(nodes::measure)),
    ("page", Together(page::measure)),
    ("replay", Together(replay::measure)),
    ("follow", Together(follow::measure)),
    ("import", Together(import::measure)),
    ("rotate", Together(rotate::measure)),
    ("tenants", Together(tenants::measure)),
    ("soak", Together(soak::measure)),
    ("gdpr", Alone(gdpr::measure)),
];

/// Runs the measurements that were asked for, or all.
pub(crate) fn run(
    bench: &Bench,
    databases: Databases<'_>,
    console: &mut Console,
    runtime: &Handle,
) -> Result<Outcome, CliError> {
    let known = |name: &String| MEASURES.iter().any(|(known, _)| known == name);
    if let Some(name) = bench.names.iter().find(|name| !known(name)) {
        let names: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        return Err(CliError::Usage(format!("{name} is no measurement; there are {names}")));
    }
    let run = Duration::from_secs(bench.seconds);
    let Bench { stored, tenants, clients, mix, .. } = *bench;
    let extent = Extent { runs: bench.runs.max(1), stored, tenants, run, clients, mix };
    let mut rig = None;
    let mut figures = Vec::new();
    for (name, measure) in MEASURES {
        if bench.names.is_empty() || bench.names.iter().any(|asked| asked == name) {
            console.say(format_args!("{name} ..."));
            figures.extend(match measure {
                Together(measure) => {
                    let rig = match &mut rig {
                        Some(rig) => rig,
                        None => rig.insert(Rig::new(runtime.clone(), databases)?),
                    };
                    measure(rig, extent, console)?
                }
                Alone(measure) => measure(runtime, databases, extent, console)?,
            });
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
