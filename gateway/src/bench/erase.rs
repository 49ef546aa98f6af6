//! Erasing: from the request until nothing of the person opens (fence and key destruction), for
//! somebody with ten bookings and for somebody with ten thousand, among few and among many others.

use std::time::Instant;

use domain::slot::Zone;
use eventstore::{PersonId, Tenant};

use super::rig::{Rig, register};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;

const FEW: i64 = 10;
const MANY: i64 = 10_000;
/// How many others there are in a small tenant.
const OTHERS: u64 = 10;

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
    let (among_few, among_many) = among(rig, extent, console)?;
    let (wanted, base) = ("at most 1.5", "among 10 others");
    Ok(vec![
        Figure::new("erase_10000", "ms", &many, "10 events", &few, wanted),
        Figure::new("erase_among_many", "ms", &among_many, base, &among_few, wanted),
    ])
}

/// How long an erasure takes in a tenant of ten others, and in one of as many as bookings are stored
/// elsewhere.
fn among(
    rig: &Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<(Vec<f64>, Vec<f64>), CliError> {
    let create = |name: &str| {
        let name = format!("{}-{name}", rig.bench.tenant.name());
        Ok::<_, CliError>(rig.app.store.create_tenant(&name, Zone::utc())?)
    };
    let (small, large) = (create("small")?, create("large")?);
    register(&small, OTHERS)?;
    console.say(format_args!("erase: registering {} others ...", extent.stored));
    register(&large, extent.stored)?;
    let (mut few, mut many) = (vec![], vec![]);
    for run in 0..extent.runs {
        // Each on a tenant that has done the same just before; who goes first changes.
        let mut each = [(&small, &mut few), (&large, &mut many)];
        if run % 2 == 1 {
            each.reverse();
        }
        for (tenant, taken) in each {
            let persons = register(tenant, 1)?;
            for person in persons {
                taken.push(end(rig, tenant, person)?);
            }
        }
    }
    Ok((few, many))
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
    end(rig, &rig.bench.tenant, person)
}

fn end(rig: &Rig, tenant: &Tenant, person: PersonId) -> Result<f64, CliError> {
    let ledger = &tenant.ledger;
    let start = Instant::now();
    let erased = rig.runtime.block_on(ledger.erase(person))?;
    let taken = start.elapsed().as_secs_f64() * 1000.0;
    let cleared = rig.runtime.block_on(erased.cleared);
    cleared.map_err(|_| eventstore::AppendError::Stopped)??;
    Ok(taken)
}
