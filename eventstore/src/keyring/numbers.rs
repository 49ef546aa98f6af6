//! Numbers for handles and persons: counted in memory, or taken in blocks where nodes share.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Counter, Read, Reader};

/// How many numbers a node takes at first; what it has not used when it ends stays unused.
const FIRST: u64 = 1024;
/// How many it takes at a time at most: each time twice as many as before, for whoever needs one waits meanwhile,
/// and so does everybody else who does.
const MOST: u64 = 65_536;

/// Gives out numbers, each once.
pub(super) struct Numbers {
    counter: Counter,
    left: Mutex<Left>,
}

/// Numbers at hand.
struct Left {
    numbers: Range<u64>,
    /// How many are taken when they are used up.
    block: u64,
}

impl Numbers {
    /// Goes on from the head's number, if that is one: where nodes share, it is 0.
    pub(super) fn new(counter: Counter, next: u64) -> Self {
        let numbers = if next == 0 { 0..0 } else { next..u64::MAX };
        Self { counter, left: Mutex::new(Left { numbers, block: FIRST }) }
    }

    pub(super) fn mint(&self, reader: &dyn Reader) -> Read<u64> {
        let mut left = self.left();
        if let Some(number) = left.numbers.next() {
            return Ok(number);
        }
        let first = reader.reserve(self.counter, left.block)?.unwrap_or(0);
        left.numbers = first..first + left.block;
        left.block = (2 * left.block).min(MOST);
        Ok(left.numbers.next().unwrap_or(first))
    }

    /// The number after the last one given out.
    pub(super) fn next(&self) -> u64 {
        self.left().numbers.start
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
