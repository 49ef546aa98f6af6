//! A round through tenants that a server makes as long as it runs: each in its turn, many at a time.
//!
//! Whoever has waited longest comes first, so that a few that take long, however often they come
//! back, keep nobody waiting for good.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use eventstore::AppendError;
use jiff::Timestamp;
use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::app::{App, AppError};

/// How often tenants are looked after that somebody works with.
const TICK: Duration = Duration::from_secs(5);
/// After what time something is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// How many tenants are looked after at a time.
const AT_ONCE: usize = 16;
/// After how many tenants those that only this has opened are closed.
const OPEN: u64 = 32;

/// When to look after a tenant again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// When somebody works with it.
    Open,
    /// Then at the latest.
    Due(Timestamp),
    /// Not before, whoever works with it.
    NotBefore(Timestamp),
}

/// When to try something again.
pub(crate) fn soon(now: Timestamp) -> Timestamp {
    now.checked_add(AGAIN).unwrap_or(Timestamp::MAX)
}

/// Who is to be looked after.
#[derive(Default)]
struct Line {
    waiting: VecDeque<String>,
    /// Those who wait, and those who are looked after now: nobody is twice in line.
    known: BTreeSet<String>,
    at_work: usize,
    due: BTreeMap<String, Timestamp>,
    /// Those of the due that are not looked after before.
    held: BTreeSet<String>,
}

impl Line {
    /// All that there are, to be looked after once.
    fn of(all: Vec<String>) -> Self {
        let due = all.into_iter().map(|name| (name, Timestamp::UNIX_EPOCH)).collect();
        Self { due, ..Self::default() }
    }

    fn join(&mut self, name: String) {
        if self.known.insert(name.clone()) {
            self.waiting.push_back(name);
        }
    }

    /// Has those get in line whose time has come, and those that are open.
    fn tick(&mut self, now: Timestamp, open: Vec<String>) {
        let late = self.due.iter().filter(|(_, at)| **at <= now);
        let late: Vec<String> = late.map(|(name, _)| name.clone()).collect();
        let open = open.into_iter().filter(|name| !self.held.contains(name));
        for name in late.into_iter().chain(open.collect::<Vec<_>>()) {
            self.join(name);
        }
    }

    /// Whose turn it is, unless enough are looked after already.
    fn next(&mut self) -> Option<String> {
        let name = self.waiting.pop_front_if(|_| self.at_work < AT_ONCE)?;
        self.at_work += 1;
        Some(name)
    }

    /// Takes note of when to look again after somebody who was looked after.
    fn done(&mut self, name: String, next: Next) {
        self.at_work -= 1;
        self.known.remove(&name);
        self.held.remove(&name);
        match next {
            Next::Open => drop(self.due.remove(&name)),
            Next::Due(at) => drop(self.due.insert(name, at)),
            Next::NotBefore(at) => {
                self.held.insert(name.clone());
                self.due.insert(name, at);
            }
        }
    }
}

/// Goes round: at the start to each tenant, then to those that are open, and to the others when
/// something of theirs is due.
pub(crate) async fn go<F>(app: Arc<App>, visit: impl Fn(Arc<App>, String) -> F)
where
    F: Future<Output = Next> + Send + 'static,
{
    let on = Arc::clone(&app);
    let all = tokio::task::spawn_blocking(move || on.store.tenants()).await;
    let all = all.map_err(|_| AppError::from(AppendError::Stopped));
    let all = all.and_then(|all| Ok(all?)).unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "nobody is looked after");
        Vec::new()
    });
    let (mut line, mut visits, mut visited) = (Line::of(all), JoinSet::new(), 0_u64);
    let mut at_work: Vec<(Id, String)> = Vec::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => line.tick(app.env.clock.now(), app.open_tenants()),
            Some(ended) = visits.join_next_with_id() => {
                let (id, next) = ended.unwrap_or_else(|panicked| {
                    (panicked.id(), Next::Due(soon(app.env.clock.now())))
                });
                if let Some(at) = at_work.iter().position(|(of, _)| *of == id) {
                    line.done(at_work.swap_remove(at).1, next);
                }
                visited += 1;
                if visited.is_multiple_of(OPEN) {
                    let on = Arc::clone(&app);
                    // Where that fails, they are closed by whoever closes idle ones.
                    drop(tokio::task::spawn_blocking(move || on.rest()).await);
                }
            }
        }
        while let Some(name) = line.next() {
            at_work.push((visits.spawn(visit(Arc::clone(&app), name.clone())).id(), name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("tenant-{number:03}")).collect()
    }

    #[test]
    fn whoever_has_waited_longest_comes_first() {
        let all = names(50);
        let mut line = Line::of(all.clone());
        let mut seen = Vec::new();
        // All of them are open, and each comes back at once.
        for _ in 0..4 {
            line.tick(Timestamp::UNIX_EPOCH, all.clone());
            let turn: Vec<String> = std::iter::from_fn(|| line.next()).collect();
            assert_eq!(turn.len(), AT_ONCE);
            for name in turn {
                seen.push(name.clone());
                line.done(name, Next::Due(Timestamp::UNIX_EPOCH));
            }
        }
        assert_eq!(seen.get(..50), all.get(..), "nobody twice before everybody once");
    }

    #[test]
    fn whoever_is_looked_after_is_not_in_line() {
        let mut line = Line::of(names(1));
        line.tick(Timestamp::UNIX_EPOCH, names(1));
        let name = line.next().unwrap();
        line.tick(Timestamp::UNIX_EPOCH, names(1));
        assert_eq!(line.next(), None);
        line.done(name, Next::Open);
        line.tick(Timestamp::UNIX_EPOCH, Vec::new());
        assert_eq!(line.next(), None, "closed, and nothing is due");
        line.tick(Timestamp::UNIX_EPOCH, names(1));
        assert!(line.next().is_some());
    }

    #[test]
    fn whoever_is_to_be_left_alone_is_not_looked_after_before() {
        let (start, mut line) = (Timestamp::UNIX_EPOCH, Line::of(names(2)));
        let next = |line: &mut Line, now| {
            line.tick(now, names(2));
            std::iter::from_fn(|| line.next()).collect::<Vec<_>>()
        };
        for (name, is) in next(&mut line, start).into_iter().zip([Next::NotBefore, Next::Due]) {
            line.done(name, is(soon(start)));
        }
        assert_eq!(next(&mut line, start), names(2).split_off(1));
        assert_eq!(next(&mut line, soon(start)), names(1));
    }
}
