//! Pace: a ledger is not written faster than its read models can follow.
//!
//! Callers who leave nothing of a machine would otherwise leave those who read seconds behind, and ever
//! further. So who follows says how far they are, and the writer rests a moment before each batch while that
//! is out of reach. Only who was within reach is waited for: one who has a whole ledger to catch up with, or
//! does not move any more, holds up nobody.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many entries behind is within reach: a hundredth of a second of read models by themselves, a tenth beside
/// callers who leave them little of the machine.
const REACH: u64 = 1500;
/// How long a batch waits at most: ten times what its commit takes.
const REST: Duration = Duration::from_millis(10);
/// After how many rests in which they have not moved nobody waits for them any more: half a second, longer
/// than read models take for all that is within reach.
const PATIENCE: u32 = 50;

/// How far who follows a ledger is.
#[derive(Default)]
pub(super) struct Pace {
    follower: Mutex<Follower>,
    moved: Condvar,
}

#[derive(Default)]
struct Follower {
    /// How many entries it has seen.
    seen: u64,
    /// Whether it was within reach, and has moved since.
    keeps_up: bool,
    /// How often it was waited for since it has moved.
    rests: u32,
}

impl Pace {
    /// Who follows has seen so many entries of so many.
    pub(super) fn followed(&self, seen: u64, size: u64) {
        let mut follower = self.lock();
        let in_reach = size.saturating_sub(seen) <= REACH;
        if in_reach || seen > follower.seen {
            follower.rests = 0;
        }
        follower.seen = seen;
        follower.keeps_up |= in_reach;
        self.moved.notify_all();
    }

    /// Rests while a ledger of this size is out of reach of who follows it.
    pub(super) fn keep(&self, size: u64) {
        let behind = |follower: &mut Follower| {
            follower.keeps_up && size.saturating_sub(follower.seen) > REACH
        };
        let waited = self.moved.wait_timeout_while(self.lock(), REST, behind);
        let (mut follower, rested) = waited.unwrap_or_else(PoisonError::into_inner);
        if rested.timed_out() {
            follower.rests += 1;
            follower.keeps_up = follower.rests < PATIENCE;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Follower> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn would_rest(pace: &Pace, size: u64) -> bool {
        pace.keep(size);
        let follower = pace.lock();
        follower.keeps_up && size - follower.seen > REACH
    }

    #[test]
    fn who_keeps_up_is_waited_for() {
        let pace = Pace::default();
        pace.followed(10, 10);
        assert!(!would_rest(&pace, 10 + REACH));
        assert!(would_rest(&pace, 11 + REACH));
        pace.followed(11, 11 + REACH);
        assert!(!would_rest(&pace, 11 + REACH));
    }

    #[test]
    fn who_never_followed_or_has_everything_to_catch_up_with_is_not() {
        let pace = Pace::default();
        assert!(!would_rest(&pace, 10 * REACH));
        pace.followed(REACH, 10 * REACH);
        assert!(!would_rest(&pace, 10 * REACH));
    }

    #[test]
    fn who_does_not_move_is_lost_until_within_reach_again() {
        let pace = Pace::default();
        pace.followed(0, 0);
        assert!((1..PATIENCE).all(|_| would_rest(&pace, 10 * REACH)));
        pace.followed(1, 10 * REACH);
        assert!((1..PATIENCE).all(|_| would_rest(&pace, 10 * REACH)));
        assert!(!would_rest(&pace, 10 * REACH));
        pace.followed(2, 10 * REACH);
        assert!(!would_rest(&pace, 10 * REACH));
        // Saying the same again is no step.
        pace.followed(10 * REACH, 10 * REACH);
        assert!((1..PATIENCE).all(|_| {
            pace.followed(10 * REACH, 12 * REACH);
            would_rest(&pace, 12 * REACH)
        }));
        assert!(!would_rest(&pace, 12 * REACH));
        pace.followed(10 * REACH, 10 * REACH);
        assert!(would_rest(&pace, 11 * REACH + 1));
    }
}
