//! A long time under load: whether it stays as fast as it began, and as small.
//!
//! Callers book as fast as they can for a quarter of every minute, or of every sixtieth of a shorter
//! run, so that an hour fits on a disk, and each time for later days; the read models follow all the
//! time, and on a server so do autovacuum and checkpoints. What is compared are the first and the last sixth of the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rig::{Rig, Wish};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::desk::Desk;

/// How many bursts there are.
const BURSTS: u32 = 60;
/// How many of them are compared with as many.
const COMPARED: usize = 10;
/// How many days have passed with each, so that a day has as many bookings at the end as at the beginning.
const PASSED: u64 = 100;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    let desk = rig.app.desk(rig.bench.tenant.name())?;
    let following = rig.runtime.spawn(Desk::keep_following(Arc::downgrade(&desk)));
    let each = extent.run / BURSTS;
    // Warm: what is measured is a running system.
    rig.rate(64, each, Wish::Anywhere)?;
    let (mut rates, mut sizes) = (vec![], vec![]);
    let begun = Instant::now();
    for burst in 1..=BURSTS {
        rates.push(rig.rate(64, each / 4, Wish::Later(u64::from(burst) * PASSED))?);
        desk.follow()?;
        sizes.push(memory());
        let due = each * burst;
        std::thread::sleep(due.saturating_sub(begun.elapsed()).min(Duration::from_secs(60)));
        console.progress(u64::from(burst), u64::from(BURSTS));
    }
    following.abort();
    let first = |all: &[f64]| all.iter().take(COMPARED).copied().collect::<Vec<_>>();
    let last = |all: &[f64]| all.iter().rev().take(COMPARED).copied().collect::<Vec<_>>();
    let (then, now) = ("the first sixth of the time", "at least 0.85");
    Ok(vec![
        Figure::new("soak_64", "bookings/s", &last(&rates), then, &first(&rates), now),
        Figure::new("soak_memory", "MiB", &last(&sizes), then, &first(&sizes), "flat"),
    ])
}

/// What this process holds in memory, in MiB; nothing where the system does not tell.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
