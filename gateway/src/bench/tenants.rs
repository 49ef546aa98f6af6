//! Many tenants in one place: a hundred of them who book at once, and one that nobody has used for
//! a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use domain::slot::Zone;
use projections::BookingFilter;

use super::rig::{Bench, Load, Rig, Wish};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::desk::{Desk, DeskError};

/// How many tenants are busy at once.
const ACTIVE: u64 = 100;
/// How many persons each of them knows.
const PERSONS: u64 = 20;
/// How many bookings the one has that is opened.
const BOOKINGS: u64 = 1000;
/// How many bookings its first answer shows.
const PAGE: u32 = 50;
/// How many tenants are made at once: more wait for the disk as well.
const MAKERS: u64 = 4;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    // And one that is not busy.
    let names = make(rig, extent.tenants.max(ACTIVE + 1), console)?;
    let active = names.iter().take(usize::try_from(ACTIVE).unwrap_or(usize::MAX));
    let tenants = active.map(|name| {
        let tenant = rig.app.store.tenant(name)?;
        Ok(Arc::new(Bench::furnish(tenant, &rig.app, PERSONS)?))
    });
    let tenants = tenants.collect::<Result<Vec<_>, CliError>>()?;
    let mut seed = rig.stored;
    let mut load = |callers| {
        seed += 1;
        Load { callers, run: extent.run, wish: Wish::Anywhere, seed }
    };
    load(64).on(&rig.runtime, &tenants)?;
    let (mut among, mut alone) = (vec![], vec![]);
    for _ in 0..extent.runs {
        among.push(load(64).on(&rig.runtime, &tenants)?.1);
        alone.push(rig.rate(64, extent.run, Wish::Anywhere)?);
    }
    drop(tenants);
    names.iter().for_each(|name| rig.app.store.close(name));
    let name = names.last().map_or("", String::as_str);
    let cold = cold(rig, name, extent.runs)?;
    let most = vec![100.0; cold.len()];
    Ok(vec![
        Figure::new("tenants_64", "bookings/s", &among, "all in one tenant", &alone, "shown"),
        Figure::new("tenant_cold", "ms", &cold, "what it may be", &most, "under 100 ms"),
    ])
}

/// Makes so many tenants; answers their names.
fn make(rig: &Rig, count: u64, console: &Console) -> Result<Vec<String>, CliError> {
    let made = AtomicU64::new(0);
    let prefix = rig.bench.tenant.name();
    let name = |number| format!("{prefix}-{number}");
    let make = || -> Result<(), CliError> {
        loop {
            let number = made.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            drop(rig.app.store.create_tenant(&name(number), Zone::utc())?);
            rig.app.store.close(&name(number));
            console.progress(number, count);
        }
    };
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(make)).collect();
        let broken = || CliError::Bench("tenants", "a thread ended".to_owned());
        makers.into_iter().try_for_each(|maker| maker.join().map_err(|_| broken())?)
    })?;
    console.progress(1, 1);
    Ok((0..count).map(name).collect())
}

/// How long, in milliseconds, a tenant with a thousand bookings takes to be opened and to show some.
fn cold(rig: &Rig, name: &str, runs: u32) -> Result<Vec<f64>, CliError> {
    let store = &rig.app.store;
    {
        let bench = Bench::furnish(store.tenant(name)?, &rig.app, PERSONS)?;
        let mut dice = crate::dice::Dice::new(1);
        for _ in 0..BOOKINGS {
            // The few that find their time taken are no matter here.
            drop(bench.tenant.ledger.append_blocking(bench.booking(&mut dice)?));
        }
        Desk::open(Arc::clone(&bench.tenant))?.follow()?;
    }
    let mut taken = vec![];
    for _ in 0..runs {
        store.close(name);
        let start = Instant::now();
        let desk = Desk::open(store.tenant(name)?)?;
        desk.follow()?;
        let filter = BookingFilter { limit: PAGE, ..BookingFilter::default() };
        desk.read::<_, DeskError>(|reader| Ok(reader.bookings().page(&filter)?))?;
        taken.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    store.close(name);
    Ok(taken)
}
