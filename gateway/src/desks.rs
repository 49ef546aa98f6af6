//! The desks of all tenants: opened when somebody comes, closed when nobody has for a while.
//!
//! An open tenant has threads, files and caches; a server may have a thousand tenants of whom a few
//! work at a time. What is known of a closed one is what was seen when it was closed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventstore::{Store, StoreError};
use tokio::runtime::Handle;

use crate::app::AppError;
use crate::desk::Desk;

/// How many desks stay open though nobody uses them; of more, those used longest ago are closed.
const OPEN: usize = 64;
/// But not one that was used so lately: who comes often should find it open.
const RECENT: Duration = Duration::from_secs(10);
/// How long a desk stays open that nobody uses.
const IDLE: Duration = Duration::from_secs(300);

/// How often it is looked whether everybody has let go of a tenant, and at which distance.
const TRIES: u32 = 500;
const BETWEEN: Duration = Duration::from_millis(20);

/// What was seen of a tenant, in counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    pub entries: u64,
    pub bookings: u64,
    /// Entries that the read models do not reflect yet.
    pub lag: u64,
    /// Read models that stopped.
    pub stopped: u64,
}

impl Seen {
    fn of(desk: &Desk) -> Self {
        let entries = desk.tenant.log().size();
        let stopped = desk.read(|reader| reader.status()).unwrap_or_default();
        let stopped = stopped.iter().filter(|status| status.error.is_some()).count();
        let counts = desk.read(|reader| reader.statistics().counts(&[], None)).unwrap_or_default();
        Self {
            entries,
            bookings: counts.first().map_or(0, |(_, count)| *count),
            lag: entries.saturating_sub(desk.position().0),
            stopped: u64::try_from(stopped).unwrap_or(u64::MAX),
        }
    }
}

/// One tenant's place.
#[derive(Default)]
struct Place {
    desk: Option<Arc<Desk>>,
    /// When it was last asked for, since the machine's start.
    used: Duration,
    seen: Option<Seen>,
    /// Being handed over to whoever does something with all of the tenant.
    leaving: bool,
}

type Shared = Arc<Mutex<Place>>;

/// All desks.
#[derive(Default)]
pub struct Desks {
    places: Mutex<BTreeMap<String, Shared>>,
}

impl Desks {
    /// A tenant's desk. Whoever opens one holds up only those who want the same.
    pub(crate) fn get(
        &self,
        store: &Store,
        runtime: Option<&Handle>,
        name: &str,
        now: Duration,
    ) -> Result<Arc<Desk>, AppError> {
        let place = self.place(name);
        let mut open = lock(&place);
        if open.leaving {
            return Err(StoreError::Closed(name.to_owned()).into());
        }
        open.used = open.used.max(now);
        if let Some(desk) = &open.desk {
            return Ok(Arc::clone(desk));
        }
        let tenant = store.tenant(name);
        if matches!(tenant, Err(StoreError::UnknownTenant)) {
            lock(&self.places).remove(name);
        }
        let desk = Arc::new(Desk::open(tenant?)?);
        follow(runtime, &desk);
        open.desk = Some(Arc::clone(&desk));
        Ok(desk)
    }

    /// Has the read models of all open desks follow their ledgers.
    pub(crate) fn keep_following(&self, runtime: &Handle) {
        for (_, place) in self.all() {
            if let Some(desk) = &lock(&place).desk {
                follow(Some(runtime), desk);
            }
        }
    }

    /// Opens a tenant of which nothing is known, to see how it is, and closes it again unless it
    /// has something to do.
    pub(crate) fn look(
        &self,
        store: &Store,
        runtime: Option<&Handle>,
        name: &str,
    ) -> Result<Seen, AppError> {
        let place = self.place(name);
        let mut open = lock(&place);
        if let Some(desk) = &open.desk {
            return Ok(Seen::of(desk));
        }
        if open.leaving {
            return Err(StoreError::Closed(name.to_owned()).into());
        }
        let desk = Arc::new(Desk::open(store.tenant(name)?)?);
        if let Err(error) = desk.follow() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                tenant = name,
                "read models stopped"
            );
        }
        let seen = Seen::of(&desk);
        open.seen = Some(seen);
        if is_at_rest(&desk) {
            drop(desk);
            store.close(name);
        } else {
            follow(runtime, &desk);
            open.desk = Some(desk);
        }
        Ok(seen)
    }

    /// What is known of a tenant: of an open one what is so, of a closed one what was so.
    pub(crate) fn seen(&self, name: &str) -> Option<Seen> {
        let place = self.place(name);
        let open = lock(&place);
        open.desk.as_deref().map(Seen::of).or(open.seen)
    }

    /// Closes desks that nobody has used for a while, and the idlest of too many.
    pub(crate) fn rest(&self, store: &Store, now: Duration) {
        let mut open: Vec<(Duration, String, Shared)> = self
            .all()
            .into_iter()
            .filter_map(|(name, place)| {
                // One that is being opened or closed is not idle.
                let used = place.try_lock().ok().filter(|open| open.desk.is_some())?.used;
                Some((used, name, place))
            })
            .collect();
        open.sort_by_key(|(used, _, _)| *used);
        let excess = open.len().saturating_sub(OPEN);
        for (number, (used, name, place)) in open.iter().enumerate() {
            let enough = if number < excess { RECENT } else { IDLE };
            if used.saturating_add(enough) <= now {
                close(store, name, place);
            }
        }
    }

    /// Closes a tenant's desk and keeps it closed while something is done with all of the tenant.
    /// Where its database keeps out who still has it, nobody is waited for.
    pub(crate) fn hand_over<T>(
        &self,
        store: &Store,
        name: &str,
        shared: bool,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = self.place(name);
        lock(&place).leaving = true;
        let mut closed = shared;
        for _ in 0..TRIES {
            close(store, name, &place);
            closed = closed || lock(&place).desk.is_none();
            if closed {
                break;
            }
            std::thread::sleep(BETWEEN);
        }
        let done = if closed {
            self.let_go(store, name);
            work()
        } else {
            Err(StoreError::InUse(name.to_owned()))
        };
        let mut place = lock(&place);
        place.leaving = false;
        done
    }

    /// Forgets a tenant's desk; who still has it finishes with it.
    pub(crate) fn let_go(&self, store: &Store, name: &str) {
        let place = self.place(name);
        let mut open = lock(&place);
        if let Some(desk) = open.desk.take() {
            desk.leave();
        }
        open.seen = None;
        store.close(name);
    }

    /// The names of those that are open.
    pub(crate) fn open(&self) -> Vec<String> {
        let all = self.all().into_iter();
        // One that is being opened or closed is looked for again soon.
        let open = all.filter(|(_, place)| place.try_lock().is_ok_and(|open| open.desk.is_some()));
        open.map(|(name, _)| name).collect()
    }

    fn place(&self, name: &str) -> Shared {
        Arc::clone(lock(&self.places).entry(name.to_owned()).or_default())
    }

    fn all(&self) -> Vec<(String, Shared)> {
        let places = lock(&self.places);
        places.iter().map(|(name, place)| (name.clone(), Arc::clone(place))).collect()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(runtime: Option<&Handle>, desk: &Arc<Desk>) {
    if let Some(runtime) = runtime {
        drop(runtime.spawn(Desk::keep_following(Arc::downgrade(desk))));
    }
}

/// Closes a desk, unless somebody has it or it has something left to do.
fn close(store: &Store, name: &str, place: &Shared) {
    let Ok(mut open) = place.try_lock() else { return };
    let Some(desk) = open.desk.take_if(|desk| is_at_rest(desk)) else { return };
    match Arc::try_unwrap(desk) {
        Ok(desk) => {
            open.seen = Some(Seen::of(&desk));
            // While the place is locked: nobody opens it before all its files are closed.
            drop(desk);
            store.close(name);
        }
        // Somebody who remembered it has come just now.
        Err(desk) => open.desk = Some(desk),
    }
}

/// Nobody has it, read models are where the ledger is, and no erasure has anything left to clear.
fn is_at_rest(desk: &Arc<Desk>) -> bool {
    // The store has the tenant too.
    Arc::strong_count(desk) == 1
        && Arc::strong_count(&desk.tenant) <= 2
        && desk.position().0 == desk.tenant.log().size()
        && desk.tenant.is_resting()
}
