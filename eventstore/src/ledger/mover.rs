//! Moving index rows into their table beside the writer, where a ledger has several nodes.
//!
//! A row of the index over tags has its place anywhere in the table, and costs a server more than the
//! entry that brings it. So no commit brings any: they wait in the memory of each node that has the
//! ledger open, and a thread moves them in sorted slices once enough wait. Tags name nobody, and a row
//! that is moved by two nodes is one row. `indexed` in the head tells the others what they may forget.
//! Rows of persons do not wait here: no node may hold back a row of somebody whom another erases.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::log::Log;
use crate::engine::{EngineError, TagMover};

/// How many rows go into the table with one transaction.
const SLICE: usize = 10_000;
/// How long the writer waits for a slice before it looks again whether anybody is at work.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many rows wait at least before a round begins, by the size of the ledger: a larger index has more
/// pages, each of which would else meet fewer rows. More make opening a ledger longer.
fn enough(size: u64) -> usize {
    usize::try_from(size / 10).unwrap_or(usize::MAX).clamp(100_000, 1_000_000)
}

/// Moves the rows of one ledger, on a thread of its own while there is enough to do.
pub(crate) struct Mover {
    engine: Mutex<Box<dyn TagMover>>,
    log: Weak<Log>,
    at_work: AtomicBool,
    turn: Mutex<()>,
    moved: Condvar,
}

impl Mover {
    pub(super) fn new(engine: Box<dyn TagMover>, log: Weak<Log>) -> Self {
        let (turn, moved) = Default::default();
        Self { engine: Mutex::new(engine), log, at_work: AtomicBool::new(false), turn, moved }
    }

    /// Has rows moved by this node, which adds to them, once enough wait. Waits itself where they come
    /// faster than they go.
    pub(super) fn after_commit(self: &Arc<Self>, log: &Log) {
        let enough = enough(log.size());
        if log.pending().tags.len() <= enough {
            return;
        }
        self.begin(enough);
        while log.pending().tags.len() > 3 * enough && self.at_work.load(Ordering::Acquire) {
            let turn = lock(&self.turn);
            drop(self.moved.wait_timeout(turn, PATIENCE));
        }
    }

    /// Has rows forgotten that another node, which adds to them, has moved; or moved where it did not.
    pub(crate) fn after_growth(self: &Arc<Self>, log: &Log) {
        let enough = 2 * enough(log.size());
        if log.pending().tags.len() > enough {
            self.begin(enough);
        }
    }

    fn begin(self: &Arc<Self>, enough: usize) {
        if self.at_work.swap(true, Ordering::AcqRel) {
            return;
        }
        let itself = Arc::clone(self);
        let thread = std::thread::Builder::new().name("index".to_owned()).spawn(move || {
            if let Err(error) = itself.work(enough) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "index rows stay in memory and are moved later"
                );
            }
            itself.at_work.store(false, Ordering::Release);
            itself.moved.notify_all();
        });
        if let Err(error) = thread {
            self.at_work.store(false, Ordering::Release);
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no thread to move index rows; they are moved later"
            );
        }
    }

    /// Moves rows until no more than enough wait.
    pub(super) fn work(&self, enough: usize) -> Result<(), EngineError> {
        let Some(log) = self.log.upgrade() else { return Ok(()) };
        let mut engine = lock(&self.engine);
        let known = log.head().map_err(EngineError::of_reading)?.indexed;
        log.pending().tags.complete(known, |(_, position)| position.0 < known);
        loop {
            let slice = {
                let mut pending = log.pending();
                let reach = pending.reach;
                pending.tags.next(SLICE, enough, reach)
            };
            if slice.rows.is_empty() {
                break;
            }
            engine.write(&slice.rows)?;
            log.pending().tags.written(&slice);
            self.moved.notify_all();
        }
        let complete = log.pending().tags.complete_to();
        if complete > known { engine.complete(complete) } else { Ok(()) }
    }
}

fn lock<T: ?Sized>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use domain::{Position, Tag};

    use super::*;
    use crate::keyring::Founding;
    use crate::keyring::provider::TenantId;
    use crate::ledger::index::{Pending, TagRow};
    use crate::sqlite;

    /// What a table has, and up to which entry it is said to be complete.
    #[derive(Clone, Default)]
    struct Table(Arc<Mutex<(Vec<TagRow>, u64)>>);

    impl TagMover for Table {
        fn write(&mut self, rows: &[TagRow]) -> Result<(), EngineError> {
            assert!(rows.is_sorted() && rows.len() <= SLICE);
            lock(&self.0).0.extend(rows);
            Ok(())
        }

        fn complete(&mut self, indexed: u64) -> Result<(), EngineError> {
            lock(&self.0).1 = indexed;
            Ok(())
        }
    }

    /// A ledger without entries whose late rows go into a table.
    fn log() -> (tempfile::TempDir, Arc<Log>, Table) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.sqlite");
        let keys = Founding { epoch: 1, tenant_key: vec![], secrets: vec![] };
        sqlite::found(&path, TenantId([7; 16]), &keys).unwrap();
        let (log, table) = (Arc::new(Log::open(&path).unwrap()), Table::default());
        log.moved_by(Box::new(table.clone()));
        (folder, log, table)
    }

    /// The rows of entries between two, two each and scattered.
    fn rows(from: u64, to: u64) -> Vec<TagRow> {
        let two = |at: u64| [Tag(at * 7919 % 100_003), Tag(1 << 56 | at)];
        (from..to).flat_map(|at| two(at).map(|tag| (tag, Position(at)))).collect()
    }

    #[test]
    fn rows_wait_until_they_are_enough_and_then_all_go_in_slices() {
        let (_folder, log, table) = log();
        log.pending().take_in(rows(0, 50_000), 50_000);
        let mover = log.mover().unwrap();
        mover.work(100_000).unwrap();
        assert_eq!(*lock(&table.0), (vec![], 0));
        log.pending().take_in(rows(49_000, 60_000), 60_000);
        mover.work(100_000).unwrap();
        let (mut stored, complete) = std::mem::take(&mut *lock(&table.0));
        stored.sort_unstable();
        let mut owed = rows(0, 60_000);
        owed.sort_unstable();
        assert_eq!((stored, complete), (owed, 60_000), "each once, though some came twice");
        assert!(log.pending().tags.is_empty());
    }

    #[test]
    fn a_round_stores_nothing_that_came_after_it_began() {
        let (_folder, log, table) = log();
        log.pending().take_in(rows(0, 60_000), 60_000);
        let first = log.pending().tags.next(SLICE, 100_000, 60_000);
        log.pending().tags.written(&first);
        log.pending().take_in(rows(60_000, 60_010), 60_010);
        log.mover().unwrap().work(100_000).unwrap();
        let (stored, complete) = std::mem::take(&mut *lock(&table.0));
        assert_eq!((stored.len(), complete), (120_000 - SLICE, 60_000));
        assert_eq!(log.pending().tags.sorted().len(), 20);
    }

    #[test]
    fn what_another_node_has_moved_is_forgotten_and_what_is_made_anew_loses_nothing_newer() {
        let (_folder, log, _) = log();
        log.pending().take_in(rows(0, 10), 10);
        log.pending().tags.complete(4, |(_, position)| position.0 < 4);
        assert_eq!(log.pending().tags.sorted().len(), 12);
        let mut anew = Pending::default();
        anew.take_in(rows(4, 8), 8);
        log.pending().replace(anew);
        let mut owed = rows(4, 10);
        owed.sort_unstable();
        let pending = log.pending();
        assert_eq!((pending.tags.sorted(), pending.reach), (owed, 10));
    }
}
