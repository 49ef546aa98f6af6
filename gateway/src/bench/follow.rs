//! Read models: how fast they are made of a ledger, and how far behind it they are under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::Position;
use eventstore::StoreError;
use projections::{CATCH_UP, ReadModels};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::rig::{Rig, Wish};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::desk::{self, Desk};

/// How long who looks at the lag rests between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// What a read model that is further behind is taken for.
const LOST: Duration = Duration::from_secs(30);
/// How many entries are read at a time where nothing is made of them.
const STRETCH: usize = 4096;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    let desk = Arc::new(Desk::open(Arc::clone(&rig.bench.tenant))?);
    desk.follow_with(&|done, total| console.progress(done, total))?;
    let log = Arc::clone(rig.bench.tenant.log());
    let (mut made, mut read) = (vec![], vec![]);
    for _ in 0..extent.runs {
        let start = Instant::now();
        let size = entries(rig)?;
        read.push(size as f64 / start.elapsed().as_secs_f64());
        let folder = tempfile::tempdir().map_err(StoreError::from)?;
        let mut models = ReadModels::open(&folder.path().join("read.sqlite"))?;
        let start = Instant::now();
        while models.next().0 < size {
            let entries = log.entries(models.next(), CATCH_UP)?;
            desk::feed(&entries, |feeds| models.apply(feeds))?;
        }
        made.push(size as f64 / start.elapsed().as_secs_f64());
    }
    let following = rig.runtime.spawn(Desk::keep_following(Arc::downgrade(&desk)));
    let (mut alone, mut followed, mut late) = (vec![], vec![], vec![]);
    for _ in 0..extent.runs {
        let lag = Lag::watch(&rig.runtime, &desk);
        followed.push(rig.rate(64, extent.run, Wish::Anywhere)?);
        late.push(lag.p99()?);
    }
    following.abort();
    // Until nobody waits for who has stopped.
    rig.rate(64, extent.run, Wish::Anywhere)?;
    for _ in 0..extent.runs {
        alone.push(rig.rate(64, extent.run, Wish::Anywhere)?);
    }
    let most = vec![250.0; late.len()];
    Ok(vec![
        Figure::new("follow", "entries/s", &made, "reading alone", &read, "at least 50,000/s"),
        Figure::new("follow_lag_p99", "ms", &late, "what it may be", &most, "under 250 ms"),
        Figure::new("append_followed", "bookings/s", &followed, "not followed", &alone, "shown"),
    ])
}

/// Reads the whole ledger; how many entries it has.
fn entries(rig: &Rig) -> Result<u64, CliError> {
    let log = rig.bench.tenant.log();
    let mut next = 0;
    loop {
        let entries = log.entries(Position(next), STRETCH)?;
        let Some(last) = entries.last() else { return Ok(next) };
        next = last.position.0 + 1;
    }
}

/// Somebody who looks all the time how far read models are behind.
pub(super) struct Lag {
    runtime: Handle,
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Vec<f64>>,
}

impl Lag {
    pub(super) fn watch(runtime: &Handle, desk: &Arc<Desk>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, there) = (Arc::clone(&stop), Arc::clone(desk));
        let looking = runtime.spawn(async move {
            let mut late = vec![];
            while !stopped.load(Ordering::Relaxed) {
                let (start, size) = (Instant::now(), there.tenant.log().size());
                there.reflects(Position(size), LOST).await;
                late.push(start.elapsed().as_secs_f64() * 1000.0);
                tokio::time::sleep(LOOK).await;
            }
            late
        });
        Self { runtime: runtime.clone(), stop, looking }
    }

    /// The 99th of a hundred times until a read model had what the ledger had, in milliseconds.
    pub(super) fn p99(self) -> Result<f64, CliError> {
        self.stop.store(true, Ordering::Relaxed);
        let late = self.runtime.block_on(self.looking);
        let mut late = late.map_err(|error| CliError::Bench("follow", error.to_string()))?;
        late.sort_by(f64::total_cmp);
        Ok(late.get(late.len() * 99 / 100).copied().unwrap_or(f64::NAN))
    }
}
