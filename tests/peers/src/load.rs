//! What every store is asked to do: bookings of ten minutes by known persons, from many callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// The words that are sealed in Tidbok and encrypted by the peer that encrypts.
pub const NOTE: &str = "would like the place by the window, and comes by bus";
/// How many bookings of a time there may be.
pub const CAPACITY: usize = 4;
/// How many times a day has.
pub const SLOTS: i64 = 144;
/// As many days as Tidbok's own measurement has: a hundred rooms, five hundred dates.
pub const DAYS: u64 = 50_000;
/// How many bookings a full day holds.
pub const HELD: i64 = 20;
const PERSONS: u64 = 10_000;

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// One booking that somebody wants.
#[derive(Debug, Clone)]
pub struct Wish {
    pub booking: Uuid,
    pub day: String,
    pub person: Uuid,
    pub start: i64,
}

/// Which days are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Days {
    /// Each one of its own, that nobody has booked yet.
    New,
    /// Any of the full ones.
    Full,
}

impl Wish {
    pub fn new(dice: &mut fastrand::Rng, days: Days) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let day = match days {
            Days::New => format!("new-{number}"),
            Days::Full => full_day(dice.u64(..DAYS)),
        };
        let person = Uuid::from_u64_pair(7, dice.u64(..PERSONS));
        let booking = Uuid::from_u64_pair(dice.u64(..), number);
        Self { booking, day, person, start: dice.i64(..SLOTS) * 600 }
    }
}

pub fn full_day(number: u64) -> String {
    format!("day-{number}")
}

/// A store of bookings.
pub trait Store: Send + Sync + 'static {
    /// Books a time if it is free, durably; answers whether it was.
    fn book(&self, wish: Wish) -> impl Future<Output = anyhow::Result<bool>> + Send;
}

/// Bookings per second with so many callers at once, for so long.
pub async fn rate<S: Store>(
    store: &Arc<S>,
    callers: u64,
    run: Duration,
    days: Days,
) -> anyhow::Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let until = start + run;
    let seed = NUMBER.load(Ordering::Relaxed);
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let (store, done) = (Arc::clone(store), Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            let mut dice = fastrand::Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(caller));
            while Instant::now() < until {
                let booked = store.book(Wish::new(&mut dice, days)).await?;
                done.fetch_add(u64::from(booked), Ordering::Relaxed);
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}
