//! The only reader of the clock and the only maker of randomness.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use eventstore::{Clock, Entropy, Environment};
use jiff::Timestamp;

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

/// The machine's own randomness, through aws-lc.
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes).expect("a system without randomness cannot hold secrets");
    }
}

/// The world as it is.
pub fn system() -> Environment {
    Environment { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
}
