//! Erasing: from the request until nothing of the person opens (fence and key destruction), for
//! somebody with ten bookings and for somebody with ten thousand.

use std::time::Instant;

use eventstore::PersonId;

use super::rig::{Rig, register};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;

const FEW: i64 = 10;
const MANY: i64 = 10_000;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    let (mut few, mut many) = (vec![], vec![]);
    let total = u64::from(extent.runs);
    for run in 0..extent.runs {
        let persons = register(&rig.bench.tenant, 2)?;
        let &[light, heavy] = persons.as_slice() else { continue };
        book(rig, light, i64::from(run), FEW)?;
        book(rig, heavy, i64::from(run), MANY)?;
        // In milliseconds; who goes first changes from run to run.
        if run % 2 == 0 {
            few.push(erase(rig, light)?);
            many.push(erase(rig, heavy)?);
        } else {
            many.push(erase(rig, heavy)?);
            few.push(erase(rig, light)?);
        }
        console.progress(u64::from(run) + 1, total);
    }
    Ok(vec![Figure::new("erase_10000", "ms", &many, "10 events", &few, "at most 1.5")])
}

/// Bookings that are over, for one person.
fn book(rig: &Rig, person: PersonId, run: i64, count: i64) -> Result<(), CliError> {
    let mut waiting = Vec::new();
    for number in 0..count {
        // Long ago, two at a time, each run in years of its own.
        let minutes = -(run * MANY * 10 + (number + 1) * 10) - 10 * 365 * 1440;
        let append = rig.bench.over(person, minutes)?;
        waiting.push(rig.bench.tenant.ledger.hand_in(append)?);
        if waiting.len() >= 500 {
            super::rig::drain(&mut waiting)?;
        }
    }
    super::rig::drain(&mut waiting)
}

fn erase(rig: &Rig, person: PersonId) -> Result<f64, CliError> {
    let ledger = &rig.bench.tenant.ledger;
    let start = Instant::now();
    let erased = rig.runtime.block_on(ledger.erase(person))?;
    let taken = start.elapsed().as_secs_f64() * 1000.0;
    let cleared = rig.runtime.block_on(erased.cleared);
    cleared.map_err(|_| eventstore::AppendError::Stopped)??;
    Ok(taken)
}
