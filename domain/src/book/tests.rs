//! A book whose shelves hold only what a command needs decides as one that holds everything, and
//! no book ever lets more be held than there is.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::audit::Auditor;
use super::{Book, Command, Key};
use crate::booking::{BookingCommand, Change, Reason, Side, Wanted};
use crate::consent::{ConsentCommand, Medium, Occasion, Purpose, Text};
use crate::entry::{Actor, Context, Recorded, Tagged};
use crate::event::Event;
use crate::ids::{
    ActorId, BookingId, ConsentId, Handle, Hash, Position, RegistrationId, ResourceId,
};
use crate::person::PersonCommand;
use crate::sealed::{Field, Sealed};
use crate::slot::Slot;
use crate::tag::{Tag, TagKind};
use crate::testing::{
    CHAIR, CUT, DYE, NOW, PLACES, ROOM, STAY, VISIT, at, booking, change, fence, salon, slot,
};

/// More than one command needs, and little enough that shelves forget all the time.
const LIMIT: usize = 8;

/// Some hours before the first time that chance may choose.
const SUNDAY_EVENING: &str = "2026-11-22T20:00:00Z";

/// A ledger in memory, a complete book and a forgetful one.
struct Pair {
    entries: Vec<(Event, Vec<Tag>)>,
    complete: Book,
    partial: Book,
}

impl Pair {
    fn new() -> Self {
        let (complete, partial) = (Book::default(), Book::partial(LIMIT));
        let mut pair = Self { entries: Vec::new(), complete, partial };
        for event in salon() {
            let tags = pair.complete.tags(&event);
            pair.partial.apply_next(&event, &tags);
            pair.complete.apply_next(&event, &tags);
            pair.entries.push((event, tags));
        }
        pair
    }

    /// The entries of which a key's state is made: those under its tag, and the one that began it.
    fn entries(&self, key: Key) -> impl Iterator<Item = (Position, &Event)> {
        let first = match key {
            Key::Booking(BookingId(at))
            | Key::Consent(ConsentId(at))
            | Key::Registration(RegistrationId(at)) => Some(at),
            Key::Day(..) => None,
        };
        let tag = key.tag();
        (0..).zip(&self.entries).filter_map(move |(position, (event, tags))| {
            let wanted = tags.contains(&tag) || first == Some(position);
            wanted.then_some((Position(position), event))
        })
    }

    fn put_what_is_missing(&mut self, command: &Command) {
        for _ in 0..4 {
            let missing = self.partial.missing(command);
            if missing.is_empty() {
                return;
            }
            for key in missing {
                let mut partial = std::mem::take(&mut self.partial);
                partial.load(key, self.entries(key));
                self.learn_around(&mut partial, key.tag());
                self.partial = partial;
            }
        }
        panic!("{command:?} needs more than the shelves can hold");
    }

    /// Has a book know of some days from this one on whether anything is there.
    fn learn_around(&self, book: &mut Book, tag: Tag) {
        let end = *TagKind::Day.range().end();
        let rows = self.entries.iter().flat_map(|(_, tags)| tags).copied();
        let mut rows: Vec<Tag> = rows.filter(|row| (tag..=end).contains(row)).collect();
        rows.sort_unstable();
        rows.truncate(LIMIT);
        let last = rows.last().copied().filter(|_| rows.len() == LIMIT).unwrap_or(end);
        book.learn(tag..=last, &rows);
    }

    /// Decides in both books, which must agree; says whether something happened.
    fn decide(&mut self, command: &Command, context: &Context) -> bool {
        self.put_what_is_missing(command);
        let drafts = self.complete.decide(command, context);
        assert_eq!(self.partial.decide(command, context), drafts, "{command:?}");
        let drafts = drafts.unwrap_or_default();
        let happened = !drafts.is_empty();
        for draft in drafts {
            let Tagged { draft, tags } = self.complete.take(draft);
            assert_eq!(self.partial.take(draft.clone()).tags, tags, "{:?}", draft.event);
            self.entries.push((draft.event, tags));
        }
        happened
    }

    /// What stands on the complete book's bookings, counted at every instant where a hold begins.
    fn assert_nothing_is_held_beyond_capacity(&self) {
        let bookings = self.complete.bookings.iter().filter(|(_, booking)| booking.holds());
        let holds: Vec<_> = bookings.flat_map(|(_, booking)| &booking.held).collect();
        for begun in &holds {
            let at = begun.from;
            let inside = holds.iter().filter(|hold| {
                hold.resource == begun.resource && hold.from <= at && at < hold.until
            });
            let places: u32 = inside.map(|hold| u32::from(hold.units)).sum();
            let capacity = self.complete.resources[&begun.resource].capacity;
            assert!(places <= u32::from(capacity), "{places} of {capacity} at {at}");
        }
    }

    fn assert_an_audit_finds_nothing(&self) {
        let mut auditor = Auditor::default();
        for (position, (event, tags)) in (0..).map(Position).zip(&self.entries) {
            let (actor, event, at) = (Actor::System, event.clone(), at(NOW));
            let recorded = Recorded { position, recorded_at: at, occurred_at: at, actor, event };
            assert_eq!(auditor.check(&recorded, tags), [], "{recorded:?}");
        }
    }
}

/// Random commands by a seed, so that what fails once fails again.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// The next number below `limit` (`SplitMix64`).
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// A slot in the first days of the salon, on quarters of an hour.
    fn slot(&mut self) -> Slot {
        let quarter = |count| SignedDuration::from_mins(15 * i64::try_from(count).unwrap());
        let monday = slot("2026-11-23T09:00/2026-11-23T10:00").start();
        let start = monday + quarter(96 * self.below(3)) + quarter(self.below(34));
        let lengths = [1, 2, 4, 4, 4, 8, 96];
        Slot::new(start, start + quarter(self.of(&lengths))).unwrap()
    }

    fn wanted(&mut self) -> Vec<(ResourceId, u16)> {
        let places = self.of(&[1, 2, PLACES]);
        match self.below(3) {
            0 => vec![(CHAIR, 1)],
            1 => vec![(ROOM, places)],
            _ => vec![(CHAIR, 1), (ROOM, places)],
        }
    }

    fn request(&mut self) -> Command {
        let mut wish = booking("10:00-11:00").of(self.of(&[CUT, DYE, VISIT, STAY]));
        wish = wish.on(&self.wanted());
        wish.request.slot = self.slot();
        wish.asked()
    }

    fn change(&mut self, known: &Book) -> Command {
        let wanted = |(resource, units)| Wanted { resource, units };
        let reason = Reason::Other;
        let moved = self.wanted().into_iter().map(wanted).collect();
        let wanted = self.of(&[true, false]).then_some(moved);
        let change = match self.below(9) {
            0 => Change::Confirm,
            1 => Change::Decline { reason },
            2..=4 => Change::Reschedule { slot: self.slot(), wanted },
            5 => Change::Cancel { by: Side::Client, reason, note: None, fence: None },
            6 => Change::CheckIn,
            7 => Change::Complete,
            _ => Change::NoShow,
        };
        let expected = self.of(&[None, None, Some(1), Some(2)]);
        let mut booking = BookingId(self.below(known.next.0));
        if self.of(&[true, true, false]) {
            let first_after = known.bookings.iter().find(|(id, _)| **id >= booking);
            booking = first_after.map_or(booking, |(id, _)| *id);
        }
        BookingCommand::Change { booking, expected, change }.into()
    }

    fn consent(&mut self, next: u64) -> Command {
        let evidence = Sealed::new(Handle(self.below(99)), 0);
        let (fence, occasion) = (fence(1), Occasion::Desk);
        let text = Text { hash: Hash([0; 32]), locale: "sv".to_owned() };
        let (purpose, medium) = (Purpose::Offers, Medium::Sms);
        let command = match self.below(3) {
            0 => ConsentCommand::Give { evidence, fence, purpose, medium, occasion, text },
            1 => ConsentCommand::Accept { evidence, fence, occasion, text },
            _ => ConsentCommand::Withdraw { consent: ConsentId(self.below(next)), occasion },
        };
        command.into()
    }

    fn person(&mut self, next: u64) -> Command {
        let contact = Sealed::new(Handle(self.below(99)), 0);
        let (fence, given) = (fence(1), [Field::Name].into_iter().collect());
        let registration = RegistrationId(self.below(next));
        let command = match self.below(2) {
            0 => PersonCommand::Register { contact, fence, given },
            _ => PersonCommand::Rectify { registration, contact, fence, given, expected: None },
        };
        command.into()
    }

    fn command(&mut self, known: &Book) -> Command {
        match self.below(10) {
            0..=3 => self.request(),
            4..=7 => self.change(known),
            8 => self.consent(known.next.0),
            _ => self.person(known.next.0),
        }
    }
}

fn at_time(now: Timestamp) -> Context {
    let actor = Actor::Staff(ActorId(1));
    Context { now, occurred_at: now, actor, visits: [].into(), held: [].into() }
}

#[test]
fn a_forgetful_book_decides_as_a_complete_one() {
    let mut kinds = BTreeMap::<&str, usize>::new();
    for seed in 0..40 {
        let (mut chance, mut pair, mut now) = (Chance(seed), Pair::new(), at(SUNDAY_EVENING));
        for _ in 0..200 {
            now += SignedDuration::from_mins(i64::try_from(chance.below(30)).unwrap());
            let command = chance.command(&pair.complete);
            if pair.decide(&command, &at_time(now)) {
                pair.assert_nothing_is_held_beyond_capacity();
            }
        }
        pair.assert_an_audit_finds_nothing();
        for (event, _) in &pair.entries {
            *kinds.entry(event.kind().name()).or_default() += 1;
        }
    }
    // Chance must have come by everything, or the comparison says little.
    for kind in ["booking.rescheduled", "booking.declined", "booking.cancelled", "booking.no_show"]
    {
        assert!(kinds.get(kind).is_some_and(|count| *count > 10), "{kind}: {kinds:?}");
    }
}

#[test]
fn a_key_is_known_by_the_tag_under_which_its_entries_lie() {
    let date = jiff::civil::date(2026, 11, 20);
    for key in [
        Key::Booking(BookingId(8)),
        Key::Day(CHAIR, date),
        Key::Consent(ConsentId(9)),
        Key::Registration(RegistrationId(10)),
    ] {
        assert_eq!(Book::key_of(key.tag()), Some(key));
    }
    assert_eq!(Book::key_of(Tag::policy()), None);
}

#[test]
fn what_does_not_exist_is_known_not_to() {
    let nobody = BookingId(99);
    let mut book = Book::partial(LIMIT);
    let command = change(nobody, Change::Confirm);
    assert_eq!(book.missing(&command), [Key::Booking(nobody)]);
    book.load(Key::Booking(nobody), std::iter::empty());
    assert_eq!(book.missing(&command), []);
}

#[test]
fn a_request_needs_every_day_it_touches_buffers_included() {
    let mut book = Pair::new().partial;
    let after_midnight = booking("2026-11-21T01:05/2026-11-21T02:05").on(&[(ROOM, 1)]);
    let day = |day| Key::Day(ROOM, jiff::civil::date(2026, 11, day));
    assert_eq!(book.missing(&after_midnight.asked()), [day(21)]);
    assert_eq!(book.missing(&after_midnight.of(DYE).asked()), [day(20), day(21)]);
}

#[test]
fn a_booking_is_tagged_with_the_days_it_leaves_and_takes() {
    let mut pair = Pair::new();
    let cut = booking("10:00-11:00");
    let moved =
        Change::Reschedule { slot: slot("2026-11-23T10:00/2026-11-23T11:00"), wanted: None };
    for command in [cut.asked(), change(crate::testing::FIRST, moved)] {
        assert!(pair.decide(&command, &at_time(at(NOW))));
    }
    let day = |day| Tag::day(CHAIR, jiff::civil::date(2026, 11, day));
    let (_, tags) = pair.entries.last().unwrap();
    assert_eq!(tags, &[Tag::booking(crate::testing::FIRST), day(20), day(23)]);
}
