//! `GDPRbench` (Shastri et al., PVLDB 13(7), 2020) over our own HTTP interface: four roles, each
//! answer held against a model, beside the same requests to a server with privacy switched off.
//!
//! Access records and durable commits are on, as always. docs/BENCHMARKS.md says which of our
//! routes answers each of its queries, and where the two differ.

mod clear;
mod client;
mod judge;
mod mix;
mod model;
mod place;
mod reads;
mod records;
mod regulator;
mod side;
mod space;
mod told;
mod wire;
mod writes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use eventstore::store::Databases;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::dice::Dice;
use client::{Client, Outcome, Task};
use mix::Role;
use side::{Side, System};
use space::Space;
use told::Told;

/// One of so many persons is erased before the regulator comes.
const ERASED: usize = 100;
/// How many records are looked at again after each role.
const LOOKED_AT: u64 = 500;

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Bench("gdpr", error.to_string())
}

/// What both sides stand on.
struct Ground<'a> {
    runtime: &'a Handle,
    databases: Databases<'a>,
    stored: u64,
    console: &'a Console,
    serving: Mutex<Vec<JoinHandle<()>>>,
}

impl Ground<'_> {
    /// Serves until the run is over.
    fn serve(&self, server: impl Future<Output = ()> + Send + 'static) {
        let server = self.runtime.spawn(server);
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).push(server);
    }

    fn progress(&self, done: u64, total: u64) {
        if done.is_multiple_of(4096) || done == total {
            self.console.progress(done, total);
        }
    }
}

impl Drop for Ground<'_> {
    fn drop(&mut self) {
        let serving = self.serving.get_mut().unwrap_or_else(PoisonError::into_inner);
        serving.iter().for_each(JoinHandle::abort);
    }
}

pub(super) fn measure(
    runtime: &Handle,
    databases: Databases<'_>,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    let mut told = Told::default();
    for run in 0..extent.runs {
        let serving = Mutex::default();
        let ground = Ground { runtime, databases, stored: extent.stored, console, serving };
        one_run(&ground, extent, u64::from(run), &mut told)?;
    }
    Ok(told.figures())
}

/// All roles on both sides, on stores of their own.
fn one_run(ground: &Ground<'_>, extent: Extent, run: u64, told: &mut Told) -> Result<(), CliError> {
    let folder = tempfile::Builder::new()
        .prefix("tidbok-gdpr-")
        .tempdir()
        .map_err(|error| CliError::File("a temporary folder".to_owned(), error))?;
    let ours = place::open(ground, folder.path())?;
    let System::Ours(app, _) = &ours.system else { return Err(failed("no side of ours")) };
    let clear = clear::open(ground, app, folder.path())?;
    if ground.databases.ledger.is_none() {
        told.space("loaded", Space::of(&ours, &clear, folder.path())?);
    }
    for role in Role::ALL {
        // Whoever comes second finds a warmer machine: they take turns.
        let sides = if run.is_multiple_of(2) { [&ours, &clear] } else { [&clear, &ours] };
        for side in sides {
            let (seconds, outcome) =
                ground.runtime.block_on(all_clients(side, extent, role, run))?;
            told.add(role, side.is_ours(), seconds, outcome);
        }
    }
    if ground.databases.ledger.is_none() {
        told.space("after", Space::of(&ours, &clear, folder.path())?);
    }
    Ok(())
}

/// One role on one side; answers how long its operations took, and what came of them.
async fn all_clients(
    side: &Arc<Side>,
    extent: Extent,
    role: Role,
    seed: u64,
) -> Result<(f64, Outcome), CliError> {
    let Extent { clients, mix, .. } = extent;
    let (operations, persons) = {
        let scale = side.model().scale;
        (scale.operations, scale.persons)
    };
    let clients = clients.min(persons);
    let mut outcome = Outcome::default();
    let task = |number| {
        let operations = operations / clients + u64::from(number < operations % clients);
        Task { mix, role, operations, number, clients, seed }
    };
    if role == Role::Regulator {
        outcome.add(erase_some(side, task(0)).await?);
    }
    let mut ready = Vec::new();
    for number in 0..clients {
        let mut client = Client::new(Arc::clone(side), task(number)).await?;
        if role == Role::Regulator && side.is_ours() {
            client.verify_log().await?;
        }
        ready.push(client);
    }
    let start = Instant::now();
    let running: Vec<_> = ready.into_iter().map(|client| tokio::spawn(client.run())).collect();
    for client in running {
        outcome.add(client.await.map_err(failed)??);
    }
    let seconds = start.elapsed().as_secs_f64();
    outcome.add(look_again(side, task(0)).await?);
    Ok((seconds, outcome))
}

/// Erases those of whom the regulator will ask for the receipts.
async fn erase_some(side: &Arc<Side>, task: Task) -> Result<Outcome, CliError> {
    let mut client = Client::new(Arc::clone(side), Task { seed: task.seed + 1000, ..task }).await?;
    let mut outcome = Outcome::default();
    let all = side.model().persons.len();
    for person in (3..all).step_by(ERASED) {
        let verdict = client.erase(person).await?;
        outcome.judge("erasing", verdict);
        side.model().erased.push(person);
    }
    side.later();
    Ok(outcome)
}

/// Holds records against the model once more when nobody changes anything, those first that should
/// be gone.
async fn look_again(side: &Arc<Side>, task: Task) -> Result<Outcome, CliError> {
    let mut client = Client::new(Arc::clone(side), Task { seed: task.seed + 2000, ..task }).await?;
    let (gone, all) = {
        let model = side.model();
        let now = model.now();
        let is_gone =
            |at: &usize| model.expected(*at, now).is_some_and(|expected| expected.was_gone);
        let gone: Vec<usize> = (0..model.records.len()).filter(is_gone).collect();
        (gone, model.records.len() as u64)
    };
    let mut dice = Dice::new(task.seed);
    let mut outcome = Outcome::default();
    let key = side.keys.staff.clone();
    for number in 0..LOOKED_AT.min(all) {
        let among = gone.len() as u64;
        let at = match number % 2 == 0 && among > 0 {
            true => records::index(&gone, dice.roll(among)),
            false => usize::try_from(dice.roll(all)).ok(),
        };
        let verdict = client.read(key.clone(), at.unwrap_or_default()).await?;
        outcome.judge("looking again", verdict);
    }
    Ok(outcome)
}

/// The value below which so many of a hundred lie.
fn percentile(sorted: &[u64], hundredths: usize) -> u64 {
    let at = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}

/// Milliseconds of each query, as they are told.
fn percentiles(took: &BTreeMap<mix::Query, Vec<u64>>) -> serde_json::Value {
    let all = took.iter().map(|(query, took)| {
        let mut took = took.clone();
        took.sort_unstable();
        let milliseconds = |at| percentile(&took, at) as f64 / 1000.0;
        let sum = took.iter().sum::<u64>() as f64 / 1_000_000.0;
        let name = serde_json::to_value(query).unwrap_or_default();
        let name = name.as_str().unwrap_or_default().to_owned();
        let told = serde_json::json!({
            "count": took.len(), "p50_ms": milliseconds(50), "p99_ms": milliseconds(99),
            "seconds": sum,
        });
        (name, told)
    });
    serde_json::Value::Object(all.collect())
}
