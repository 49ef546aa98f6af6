//! What statistics may know of a booking is fixed when it is made.

use crate::facet::{Channel, Facets, Lead, Nth, Party};
use crate::testing::{NOW, Wish, at, booking, given, salon};

fn facets(wish: &Wish, visits: u32) -> Facets {
    let granted = given(salon()).visits(2026, visits).visits(2027, 5).when(wish.asked());
    let [crate::event::Event::BookingRequested(event)] = &granted.result().unwrap()[..] else {
        panic!("one event, the request");
    };
    event.facets
}

#[test]
fn day_and_hour_are_those_of_the_wall_clock() {
    let late = booking("2026-12-31T15:00/2026-12-31T16:00");
    let Facets { day, hour, .. } = facets(&late, 0);
    assert_eq!((day, hour), (jiff::civil::date(2026, 12, 31), 15));
}

#[test]
fn the_persons_visits_are_counted_in_the_year_of_the_local_start() {
    for (visits, nth) in [(0, Nth::First), (1, Nth::Second), (2, Nth::Later), (9, Nth::Later)] {
        assert_eq!(facets(&booking("10:00-11:00"), visits).nth, nth);
    }
    let next_year = booking("2027-01-01T10:00/2027-01-01T11:00");
    assert_eq!(facets(&next_year, 0).nth, Nth::Later);
}

#[test]
fn a_party_is_known_by_its_size_class() {
    let sizes = [(1, "1"), (2, "2"), (3, "3-4"), (4, "3-4"), (5, "5+"), (40, "5+")];
    for (people, name) in sizes {
        let mut wish = booking("10:00-11:00");
        wish.request.party = people;
        assert_eq!(facets(&wish, 0).party, name.parse::<Party>().unwrap());
    }
}

#[test]
fn the_way_in_is_kept() {
    let mut wish = booking("10:00-11:00");
    wish.request.channel = Channel::WalkIn;
    assert_eq!(facets(&wish, 0).channel, Channel::WalkIn);
}

#[test]
fn how_long_before_is_known_by_its_class() {
    let later = |hours: i64| at(NOW) + jiff::SignedDuration::from_hours(hours);
    for (hours, lead) in [
        (-5, Lead::SameDay),
        (23, Lead::SameDay),
        (24, Lead::WithinThreeDays),
        (4 * 24, Lead::WithinWeek),
        (8 * 24, Lead::WithinMonth),
        (32 * 24, Lead::WithinQuarter),
        (93 * 24, Lead::Longer),
    ] {
        assert_eq!(Lead::between(at(NOW), later(hours)), lead);
    }
}
