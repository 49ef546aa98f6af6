//! Time: slots between two instants, zones by their IANA name, and opening hours as wall time.
//!
//! Rules are wall time and zone, bookings are instants. The time zone database is compiled in, so
//! the same program gives the same answer on every machine.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest slot, in hours: what bounds the day tags of one entry.
pub const LONGEST_HOURS: i64 = 366 * 24;

/// A span between two whole seconds. Never empty, never backwards, never longer than a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    start: Timestamp,
    end: Timestamp,
}

/// Why two instants are no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    #[error("the end is not after the start")]
    EndNotAfterStart,
    #[error("a slot is at most 366 days long")]
    TooLong,
    #[error("times are whole seconds between the years 1970 and 9000")]
    OutOfRange,
}

impl Slot {
    /// The slot from `start` until just before `end`.
    ///
    /// # Errors
    /// Where the instants are out of order, too far apart or not whole seconds of our era.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, SlotError> {
        let in_range = |at: Timestamp| {
            at.subsec_nanosecond() == 0 && (0..221_845_392_000).contains(&at.as_second())
        };
        if !in_range(start) || !in_range(end) {
            return Err(SlotError::OutOfRange);
        }
        if end <= start {
            return Err(SlotError::EndNotAfterStart);
        }
        if end.as_second() - start.as_second() > LONGEST_HOURS * 3600 {
            return Err(SlotError::TooLong);
        }
        Ok(Self { start, end })
    }

    pub fn start(self) -> Timestamp {
        self.start
    }

    pub fn end(self) -> Timestamp {
        self.end
    }

    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    pub fn minutes(self) -> i64 {
        (self.end.as_second() - self.start.as_second()) / 60
    }

    /// The slot with time before and after it, as far as the calendar reaches.
    #[must_use]
    pub fn widened(self, before_minutes: u16, after_minutes: u16) -> Self {
        let moved = |at: Timestamp, minutes: i64| {
            at.checked_add(Span::new().minutes(minutes)).unwrap_or(at)
        };
        Self {
            start: moved(self.start, -i64::from(before_minutes)).max(Timestamp::UNIX_EPOCH),
            end: moved(self.end, i64::from(after_minutes)),
        }
    }

    /// The UTC days that the slot touches, in order.
    pub fn days(self) -> impl Iterator<Item = Date> {
        let last = self.end.as_second() - 1;
        let last = Timestamp::from_second(last).map_or(self.end, |at| at);
        let last = Offset::UTC.to_datetime(last).date();
        let first = Offset::UTC.to_datetime(self.start).date();
        first.series(Span::new().days(1)).take_while(move |date| *date <= last)
    }

    /// The part of the slot that lies on one UTC day.
    pub fn on_day(self, date: Date) -> Option<Self> {
        let midnight = |date: Date| {
            Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())).ok()
        };
        let start = self.start.max(midnight(date)?);
        let end = match date.tomorrow().ok().and_then(midnight) {
            Some(midnight) => self.end.min(midnight),
            None => self.end,
        };
        (start < end).then_some(Self { start, end })
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

/// A time zone of the IANA database, by name. Comparing and storing it is comparing its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// No zone of the IANA database has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time zone of the IANA database has this name; try one like Europe/Stockholm")]
pub struct UnknownZone;

/// Why a wall time is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocalTimeError {
    #[error("the clocks skip this local time; choose one before or after the gap")]
    InGap,
    #[error("this local time comes twice; give it with its offset from UTC")]
    Twice,
    #[error("this local time is outside the calendar")]
    OutOfRange,
}

impl Zone {
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The wall time of an instant.
    pub fn local(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(at)
    }

    /// The one instant of a wall time.
    ///
    /// # Errors
    /// Where the clocks skip the wall time or pass it twice.
    pub fn instant(&self, local: DateTime) -> Result<Timestamp, LocalTimeError> {
        let ambiguous = self.0.to_ambiguous_timestamp(local);
        if ambiguous.is_ambiguous() {
            return Err(match ambiguous.offset() {
                jiff::tz::AmbiguousOffset::Gap { .. } => LocalTimeError::InGap,
                jiff::tz::AmbiguousOffset::Fold { .. }
                | jiff::tz::AmbiguousOffset::Unambiguous { .. } => LocalTimeError::Twice,
            });
        }
        ambiguous.unambiguous().map_err(|_| LocalTimeError::OutOfRange)
    }

    /// The instant of a wall time, moved behind a gap and taken early in a fold: for opening
    /// hours, which must not vanish twice a year.
    pub fn instant_or_later(&self, local: DateTime) -> Option<Timestamp> {
        self.0.to_ambiguous_timestamp(local).compatible().ok()
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        // The database ignores case; names are stored one way only.
        let zone = TimeZone::get(name).map_err(|_| UnknownZone)?;
        if zone.iana_name().is_none_or(|known| known == "Etc/Unknown") {
            return Err(UnknownZone);
        }
        Ok(Self(zone))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}

/// Minutes after midnight, up to 48:00 so that a night shift is one opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockTime(u16);

/// Not a clock time between 00:00 and 48:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("clock times are written HH:MM, from 00:00 to 48:00")]
pub struct BadClockTime;

impl ClockTime {
    pub const MIDNIGHT: Self = Self(0);
    pub const END_OF_DAY: Self = Self(24 * 60);

    pub fn minutes(self) -> u16 {
        self.0
    }

    /// The wall time this much after midnight of `date`.
    pub fn on(self, date: Date) -> Option<DateTime> {
        date.to_datetime(jiff::civil::Time::midnight())
            .checked_add(Span::new().minutes(i64::from(self.0)))
            .ok()
    }
}

impl FromStr for ClockTime {
    type Err = BadClockTime;

    fn from_str(text: &str) -> Result<Self, BadClockTime> {
        let (hours, minutes) = text.split_once(':').ok_or(BadClockTime)?;
        let number = |digits: &str| match digits.len() {
            2 if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse::<u16>().ok(),
            _ => None,
        };
        match (number(hours), number(minutes)) {
            (Some(hours @ 0..=47), Some(minutes @ 0..=59)) => Ok(Self(hours * 60 + minutes)),
            (Some(48), Some(0)) => Ok(Self(48 * 60)),
            _ => Err(BadClockTime),
        }
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A day of the week, written as its English name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    pub fn of(date: Date) -> Self {
        match date.weekday() {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }
}

/// One span of opening on one day of the week, in the resource's own zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    pub day: Day,
    pub from: ClockTime,
    pub to: ClockTime,
}

/// When a resource takes bookings in an ordinary week. An empty week is never open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hours(pub Vec<Opening>);

impl Hours {
    /// Open round the clock, every day.
    pub fn always() -> Self {
        let open = |day| Opening { day, from: ClockTime::MIDNIGHT, to: ClockTime::END_OF_DAY };
        Self(Day::ALL.into_iter().map(open).collect())
    }

    /// Whether every opening ends after it starts and none starts on the following day.
    pub fn are_sound(&self) -> bool {
        self.0.len() <= 70 && self.0.iter().all(|o| o.from < o.to && o.from < ClockTime::END_OF_DAY)
    }

    /// The spans of opening that begin on a local date, as instants.
    pub fn on(&self, date: Date, zone: &Zone) -> impl Iterator<Item = Slot> {
        let day = Day::of(date);
        self.0.iter().filter(move |opening| opening.day == day).filter_map(move |opening| {
            let start = zone.instant_or_later(opening.from.on(date)?)?;
            let end = zone.instant_or_later(opening.to.on(date)?)?;
            Slot::new(start, end).ok()
        })
    }

    /// Whether the slot lies within opening hours that meet without a gap (23:00 to 24:00 and
    /// 00:00 to 07:00 of the next day are one).
    pub fn cover(&self, slot: Slot, zone: &Zone) -> bool {
        let first = zone.local(slot.start()).date();
        // Mostly one opening of the day holds it all.
        if self.on(first, zone).any(|opening| opening.contains(slot)) {
            return true;
        }
        let first = first.yesterday();
        let last = zone.local(slot.end()).date();
        let Ok(first) = first else { return false };
        let mut spans: Vec<Slot> = first
            .series(Span::new().days(1))
            .take_while(|date| *date <= last)
            .flat_map(|date| self.on(date, zone))
            .collect();
        spans.sort();
        let mut covered = slot.start();
        for span in spans {
            if span.start() <= covered && covered < span.end() {
                covered = span.end();
            }
        }
        covered >= slot.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn slot(start: &str, end: &str) -> Slot {
        Slot::new(at(start), at(end)).unwrap()
    }

    #[test]
    fn a_slot_that_ends_at_midnight_does_not_touch_the_next_day() {
        let days = slot("2026-11-20T20:00:00Z", "2026-11-21T00:00:00Z").days().count();
        assert_eq!(days, 1);
    }

    #[test]
    fn a_time_in_the_gap_of_the_clock_is_no_instant() {
        let zone: Zone = "Europe/Stockholm".parse().unwrap();
        let gap = jiff::civil::date(2026, 3, 29).at(2, 30, 0, 0);
        assert_eq!(zone.instant(gap), Err(LocalTimeError::InGap));
        let fold = jiff::civil::date(2026, 10, 25).at(2, 30, 0, 0);
        assert_eq!(zone.instant(fold), Err(LocalTimeError::Twice));
    }

    #[test]
    fn hours_keep_their_wall_time_when_the_clocks_change() {
        let zone: Zone = "Europe/Stockholm".parse().unwrap();
        let hours = Hours(vec![Opening {
            day: Day::Sunday,
            from: "09:00".parse().unwrap(),
            to: "17:00".parse().unwrap(),
        }]);
        assert!(hours.cover(slot("2026-03-22T08:00:00Z", "2026-03-22T16:00:00Z"), &zone));
        assert!(hours.cover(slot("2026-03-29T07:00:00Z", "2026-03-29T15:00:00Z"), &zone));
        assert!(!hours.cover(slot("2026-03-29T08:00:00Z", "2026-03-29T16:00:00Z"), &zone));
    }

    #[test]
    fn open_days_that_meet_at_midnight_are_one_opening() {
        let night = slot("2026-11-20T22:00:00Z", "2026-11-21T03:00:00Z");
        assert!(Hours::always().cover(night, &Zone::utc()));
    }
}
