//! The only reader of the clock and the only maker of randomness.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use eventstore::{Clock, Entropy, Environment};
use jiff::Timestamp;
use zeroize::{Zeroize, Zeroizing};

/// The machine's own clock.
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// The machine's own randomness, through aws-lc, taken in handfuls: each call there costs as much
/// as sealing a note.
struct SystemEntropy;

/// Random bytes at hand. What was given out is overwritten at once.
struct Handful {
    bytes: Zeroizing<[u8; 1024]>,
    left: usize,
}

thread_local! {
    static HANDFUL: RefCell<Handful> =
        RefCell::new(Handful { bytes: Zeroizing::new([0; 1024]), left: 0 });
}

impl Handful {
    fn fill(&mut self, bytes: &mut [u8]) {
        if bytes.len() > self.bytes.len() / 4 {
            return from_system(bytes);
        }
        if self.left < bytes.len() {
            from_system(self.bytes.as_mut_slice());
            self.left = self.bytes.len();
        }
        let from = self.left - bytes.len();
        if let Some(fresh) = self.bytes.get_mut(from..self.left) {
            bytes.copy_from_slice(fresh);
            fresh.zeroize();
        }
        self.left = from;
    }
}

fn from_system(bytes: &mut [u8]) {
    rand::fill(bytes).expect("a system without randomness cannot hold secrets");
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        HANDFUL.with_borrow_mut(|handful| handful.fill(bytes));
    }
}

/// The world as it is.
pub fn system() -> Environment {
    Environment { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_random_bytes_are_given_out_twice() {
        let env = system();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            assert!(seen.insert(env.random::<12>()));
            assert!(seen.insert(env.random::<44>().first_chunk().copied().unwrap()));
        }
        assert_ne!(env.random::<600>(), [0; 600]);
    }
}
