//! `GDPRbench`'s records, and what each of their fields is here: a record is a booking, its user
//! the client, its data the note, which is sealed.

use domain::facet::Channel;
use jiff::{SignedDuration, Timestamp};

/// How many purposes there are: services.
pub(super) const PURPOSES: u64 = 25;
/// With how many the data is shared: recipients in the policy's register.
pub(super) const RECIPIENTS: u64 = 10;
pub(super) const RESOURCES: u64 = 100;
/// For how many days after its booking content is kept.
pub(super) const KEPT_DAYS: u32 = 90;
/// The most records there are, as in the paper.
const MOST: u64 = 100_000;
const LEAST: u64 = 100;
const RECORDS_OF_A_PERSON: u64 = 10;
const CHANNELS: [Channel; 5] =
    [Channel::Online, Channel::Staff, Channel::Phone, Channel::WalkIn, Channel::Partner];
/// How far the clock goes with each delete by time to live.
pub(super) const TICK: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// After how many days the bookings to come begin: later than the clock ever gets.
const AHEAD: i32 = 60;
const LENGTH: SignedDuration = SignedDuration::from_mins(10);

/// How much there is of everything, and when it all begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub records: u64,
    pub persons: u64,
    pub operations: u64,
    /// How often content is to expire.
    pub ticks: u64,
    pub origin: Timestamp,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub key: u64,
    /// USR.
    pub person: u64,
    /// PUR. Odd ones are confirmed by staff, even ones by the machine (DEC).
    pub purpose: u64,
    pub resource: u64,
    pub start: Timestamp,
    /// SRC.
    pub channel: Channel,
    /// With which step of the clock its content expires (TTL), where the booking is over.
    pub expires: Option<u64>,
}

impl Record {
    pub(super) fn end(&self) -> Timestamp {
        later(self.start, LENGTH)
    }

    /// The 100 bytes that are personal.
    pub(super) fn data(&self) -> String {
        let mut text = String::with_capacity(112);
        while text.len() < 100 {
            text.push_str(&format!("{} comes by bus {}; ", self.key, self.key * 31 + 7));
        }
        text.truncate(100);
        text
    }

    /// How many bytes the ten fields have as the original writes them.
    pub(super) fn size(&self) -> u64 {
        const TTL: [&str; 10] = [
            "30", "10000", "12000", "14000", "16000", "18000", "20000", "22000", "24000", "1000000",
        ];
        let of = |name: &str, count: u64| format!("{name}{}", self.key % count).len();
        let ttl = usize::try_from(self.key % 10).ok().and_then(|at| TTL.get(at));
        let named = [("obj", 100), ("dec", 2), ("acl", 10), ("shr", 10), ("src", 10), ("cat", 10)];
        let sizes = named.iter().map(|(name, count)| of(name, *count)).sum::<usize>()
            + of("purpose", PURPOSES)
            + of("user", 10_000)
            + ttl.map_or(0, |ttl| ttl.len())
            + self.data().len();
        u64::try_from(sizes).unwrap_or(u64::MAX)
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

impl Scale {
    pub(super) fn of(stored: u64, origin: Timestamp) -> Self {
        let records = stored.clamp(LEAST, MOST) / 100 * 100;
        // Pages are asked for by whole microseconds.
        let origin = Timestamp::from_second(origin.as_second()).unwrap_or(origin);
        let operations = records / 10;
        let persons = records / RECORDS_OF_A_PERSON;
        Self { records, persons, operations, ticks: (operations / 12).max(1), origin }
    }

    /// The record of a key. Those that the store begins with come first; the first of each person
    /// is over.
    pub(super) fn record(&self, key: u64) -> Record {
        let person = key % self.persons;
        let purpose = key % PURPOSES;
        let channel = index(&CHANNELS, key % 5).unwrap_or(Channel::Staff);
        let resource = key % RESOURCES;
        if key < self.persons {
            let tick = 1 + key * self.ticks / self.persons;
            let start = self.over(tick, key);
            return Record { key, person, purpose, resource, start, channel, expires: Some(tick) };
        }
        let slot = (key - self.persons) / RESOURCES;
        let days = i32::try_from(slot % 365).unwrap_or(0) + AHEAD;
        let first = self.origin.as_second().div_euclid(86_400) * 86_400;
        let first = Timestamp::from_second(first).unwrap_or(self.origin);
        // So many seconds that no two begin at once: pages have one order only.
        let seconds = slot / 365 * 600 + resource * 5;
        let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0));
        let start = later(later(first, DAY * days), seconds);
        Record { key, person, purpose, resource, start, channel, expires: None }
    }

    /// A time that lies between what is over and what is to come.
    pub(super) fn before_all_to_come(&self) -> Timestamp {
        later(self.origin, DAY * (AHEAD - 2))
    }

    /// When a booking began whose content expires half an hour before a step of the clock.
    fn over(&self, tick: u64, key: u64) -> Timestamp {
        let ticks = TICK * i32::try_from(tick).unwrap_or(0);
        let back = DAY * i32::try_from(KEPT_DAYS).unwrap_or(0) + TICK / 2 + LENGTH;
        let apart = SignedDuration::from_secs(i64::try_from(key % 500).unwrap_or(0));
        later(later(self.origin, ticks), -(back + apart))
    }
}

pub(super) fn index<T: Copy>(things: &[T], number: u64) -> Option<T> {
    things.get(usize::try_from(number).ok()?).copied()
}
