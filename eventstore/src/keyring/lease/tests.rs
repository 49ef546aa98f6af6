//! How long a key may be used, and how it is taken back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::RetentionClass::{Booking, Contact};
use jiff::Timestamp;

use super::{KeyName, LEASE, Leases};
use crate::environment::{Clock, Entropy, Environment};
use crate::keyring::key::Key;
use crate::keyring::person::PersonId;

const ANNA: KeyName = KeyName::Person(PersonId(1), Contact);

/// A machine that has been on for so many milliseconds, and whose time of day nobody may ask.
struct Machine(AtomicU64);

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        panic!("a lease is no matter of the time of day");
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Entropy for Machine {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn machine() -> (Arc<Machine>, Environment) {
    let machine = Arc::new(Machine(AtomicU64::new(1)));
    let clock = Arc::clone(&machine) as Arc<dyn Clock>;
    (Arc::clone(&machine), Environment { clock, entropy: machine })
}

impl Machine {
    fn sleep(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

#[test]
fn a_key_is_lent_for_a_short_time() {
    let (machine, env) = machine();
    let leases = Leases::default();
    let lease = leases.put(ANNA, Key::random(&env), &env);
    machine.sleep(LEASE - Duration::from_millis(1));
    assert!(lease.holds(&env) && leases.get(ANNA, &env).is_some());
    machine.sleep(Duration::from_millis(1));
    assert!(!lease.holds(&env) && leases.get(ANNA, &env).is_none());
    assert!(!lease.ended(), "its time is over, but nobody took it back");
}

#[test]
fn a_key_that_was_not_lent_is_not_there() {
    let (_, env) = machine();
    let leases = Leases::default();
    leases.put(ANNA, Key::random(&env), &env);
    for other in [KeyName::Person(PersonId(1), Booking), KeyName::Person(PersonId(2), Contact)] {
        assert!(leases.get(other, &env).is_none());
    }
}

#[test]
fn whoever_uses_a_key_that_is_taken_back_learns_of_it() {
    let (_, env) = machine();
    let leases = Leases::default();
    let other = KeyName::Person(PersonId(2), Contact);
    let booking = KeyName::Person(PersonId(1), Booking);
    let [anna, annas, others] =
        [ANNA, booking, other].map(|name| leases.put(name, Key::random(&env), &env));
    leases.end_person(PersonId(1));
    assert!(anna.ended() && annas.ended() && !anna.holds(&env));
    assert!(leases.get(ANNA, &env).is_none() && leases.get(booking, &env).is_none());
    assert!(others.holds(&env) && leases.get(other, &env).is_some());
}

#[test]
fn a_sweep_lets_go_of_what_is_over() {
    let (machine, env) = machine();
    let leases = Leases::default();
    let old = leases.put(ANNA, Key::random(&env), &env);
    machine.sleep(LEASE);
    let young = leases.put(KeyName::Tenant(1), Key::random(&env), &env);
    leases.sweep(&env);
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&young)), (1, 2));
}

#[test]
fn what_was_read_before_keys_were_taken_back_is_not_lent() {
    let (_, env) = machine();
    let leases = Leases::default();
    let seen = leases.taken_back();
    leases.end_person(PersonId(1));
    assert!(leases.put_unless_taken_back(seen, ANNA, Key::random(&env), &env).is_none());
    let seen = leases.taken_back();
    assert!(leases.put_unless_taken_back(seen, ANNA, Key::random(&env), &env).is_some());
}
