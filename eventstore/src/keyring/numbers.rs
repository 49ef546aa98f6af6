//! Numbers for handles and persons: counted in memory, or taken in blocks where nodes share.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Counter, Read, Reader};

/// How many numbers a node takes at a time; what it has not used when it ends stays unused.
const BLOCK: u64 = 1024;

/// Gives out numbers, each once.
pub(super) struct Numbers {
    counter: Counter,
    left: Mutex<Range<u64>>,
}

impl Numbers {
    /// Goes on from the head's number, if that is one: where nodes share, it is 0.
    pub(super) fn new(counter: Counter, next: u64) -> Self {
        let left = if next == 0 { 0..0 } else { next..u64::MAX };
        Self { counter, left: Mutex::new(left) }
    }

    pub(super) fn mint(&self, reader: &dyn Reader) -> Read<u64> {
        let mut left = self.left();
        if let Some(number) = left.next() {
            return Ok(number);
        }
        let first = reader.reserve(self.counter, BLOCK)?.unwrap_or(0);
        *left = first..first + BLOCK;
        Ok(left.next().unwrap_or(first))
    }

    /// The number after the last one given out.
    pub(super) fn next(&self) -> u64 {
        self.left().start
    }

    fn left(&self) -> MutexGuard<'_, Range<u64>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
