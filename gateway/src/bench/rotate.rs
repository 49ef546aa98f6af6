//! Rotating keys: persons whose keys are wrapped anew in a second, and bookings meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use eventstore::keyring::bundle::{self, Held, Wrapping};
use eventstore::keyring::key::Key;
use eventstore::store::rotation::WINDOW;

use super::rig::{Rig, Wish, register};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::rotation;

/// Enough persons for a run to take a while.
const PERSONS: u64 = 100_000;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    register(&rig.bench.tenant, PERSONS)?;
    let (mut persons, mut bare, mut busy, mut calm) = (vec![], vec![], vec![], vec![]);
    rig.rate(64, extent.run, Wish::Anywhere)?;
    for _ in 0..extent.runs {
        let start = Instant::now();
        let done = rotate(rig)?;
        persons.push(done as f64 / start.elapsed().as_secs_f64());
        bare.push(wraps(rig, done));
        calm.push(rig.rate(64, extent.run, Wish::Anywhere)?);
        busy.push(beside(rig, extent)?);
    }
    let wanted = "at least 100,000 persons/s";
    Ok(vec![
        Figure::new("rotate", "persons/s", &persons, "wrapping alone", &bare, wanted),
        Figure::new("append_rotating", "bookings/s", &busy, "at rest", &calm, "at least 0.8"),
    ])
}

/// Rotates; answers how many persons there were.
fn rotate(rig: &Rig) -> Result<u64, CliError> {
    let rotated = rotation::rotate(&rig.app, WINDOW, &|_, _| ())?;
    let of = rotated.tenants.iter().find(|(name, _)| *name == rig.bench.tenant.name());
    Ok(of.map_or(0, |(_, done)| done.persons))
}

/// Persons per second whose four keys are unwrapped and wrapped in memory.
fn wraps(rig: &Rig, persons: u64) -> f64 {
    let random = || Key::random(&rig.app.env);
    let under = [Wrapping::new(2, &random()), Wrapping::new(1, &random())];
    let held = [1, 2, 3, 4].map(|class| Held { class, at: 1, key: random() });
    let [_, old] = &under;
    let wrapped = old.wrap(1, &held);
    let start = Instant::now();
    let mut whole = true;
    for _ in 0..persons {
        whole &= bundle::anew(&wrapped, 1, &under).is_ok_and(|row| row.is_some());
    }
    let taken = start.elapsed().as_secs_f64();
    if whole { persons as f64 / taken } else { f64::NAN }
}

/// Bookings per second while keys are rotated all the time.
fn beside(rig: &mut Rig, extent: Extent) -> Result<f64, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (app, stopped) = (Arc::clone(&rig.app), Arc::clone(&stop));
    let rotating = std::thread::spawn(move || {
        let mut ended = Ok(());
        while ended.is_ok() && !stopped.load(Ordering::Relaxed) {
            ended = rotation::rotate(&app, WINDOW, &|_, _| ()).map(drop);
        }
        ended
    });
    let rate = rig.rate(64, extent.run, Wish::Anywhere)?;
    stop.store(true, Ordering::Relaxed);
    let broken = |_| CliError::Bench("rotate", "the rotation broke off".to_owned());
    rotating.join().map_err(broken)??;
    Ok(rate)
}
