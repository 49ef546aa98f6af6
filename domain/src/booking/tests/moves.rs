//! A booking that moves gives its old time back and takes the new one, in one decision.

use jiff::civil::date;

use crate::booking::{BookingRefusal, Change, Hold, Rescheduled, Status, Wanted};
use crate::event::Event;
use crate::facet::{Facets, Lead, Nth};
use crate::ids::ResourceId;
use crate::slot::Slot;
use crate::testing::{
    CHAIR, DYE, FIRST, ROOM, Wish, booking, change, given, salon_and, slot, stockholm,
};

fn to(text: &str) -> Change {
    Change::Reschedule { slot: slot(text), wanted: None }
}

fn moved(wish: &Wish, to: Slot, facets: Facets) -> Rescheduled {
    let hold = Hold { from: to.start(), resource: CHAIR, units: 1, until: to.end() };
    Rescheduled {
        booking: FIRST,
        end: to.end(),
        facets,
        facets_before: wish.facets,
        held: vec![hold],
        start: to.start(),
        status: Status::Confirmed,
        zone: stockholm(),
    }
}

fn moved_to_one() -> (Wish, Event) {
    let cut = booking("10:00-11:00");
    let event = moved(&cut, slot("13:00-14:00"), Facets { hour: 13, ..cut.facets }).into();
    (cut, event)
}

#[test]
fn a_booking_moves_to_a_free_time() {
    let (cut, event) = moved_to_one();
    given(salon_and([cut.granted()])).when(change(FIRST, to("13:00-14:00"))).then(&[event]);
}

#[test]
fn the_old_time_is_free_and_the_new_one_is_not() {
    let (cut, event) = moved_to_one();
    let given = || given(salon_and([cut.granted(), event.clone()]));
    given().when(cut.asked()).then(&[cut.granted()]);
    let taken = BookingRefusal::NotFree { resource: CHAIR };
    given().when(booking("13:30-14:30").asked()).then_refused(taken);
}

#[test]
fn a_booking_is_not_in_its_own_way() {
    let cut = booking("10:00-11:00");
    let half_an_hour_later = slot("10:30-11:30");
    given(salon_and([cut.granted()])).when(change(FIRST, to("10:30-11:30"))).then(&[moved(
        &cut,
        half_an_hour_later,
        cut.facets,
    )
    .into()]);
}

#[test]
fn a_booking_does_not_move_to_where_another_is() {
    let held = salon_and(["10:00-11:00", "13:00-14:00"].map(|text| booking(text).granted()));
    let taken = BookingRefusal::NotFree { resource: CHAIR };
    given(held).when(change(FIRST, to("13:30-14:30"))).then_refused(taken);
}

#[test]
fn a_move_keeps_the_place_among_the_persons_bookings() {
    let mut cut = booking("10:00-11:00");
    cut.facets.nth = Nth::Second;
    let next_year = "2027-01-04T10:00/2027-01-04T11:00";
    let facets = Facets { day: date(2027, 1, 4), lead: Lead::WithinQuarter, ..cut.facets };
    given(salon_and([cut.granted()]))
        .visits(2027, 7)
        .when(change(FIRST, to(next_year)))
        .then(&[moved(&cut, slot(next_year), facets).into()]);
}

#[test]
fn a_move_to_another_resource_holds_that_one() {
    let cut = booking("10:00-11:00");
    let wanted = Some(vec![Wanted { resource: ROOM, units: 2 }]);
    let hold = Hold { from: cut.held.start(), resource: ROOM, units: 2, until: cut.held.end() };
    let event = Rescheduled { held: vec![hold], ..moved(&cut, cut.held, cut.facets) };
    given(salon_and([cut.granted()]))
        .when(change(FIRST, Change::Reschedule { slot: cut.held, wanted }))
        .then(&[event.into()]);
}

#[test]
fn the_rules_of_a_request_hold_for_a_move() {
    let dye = booking("10:30-11:30").of(DYE).holding("10:20-11:50");
    let held = || given(salon_and([dye.granted()]));
    held().when(change(FIRST, to("13:00-13:30"))).then_refused(BookingRefusal::WrongLength);
    let closed = BookingRefusal::OutsideHours { resource: CHAIR };
    held().when(change(FIRST, to("16:30-17:30"))).then_refused(closed);
    let yesterday = to("2026-11-18T10:00/2026-11-18T11:00");
    held().when(change(FIRST, yesterday)).then_refused(BookingRefusal::Started);
    let elsewhere = ResourceId(99);
    let wanted = Some(vec![Wanted { resource: elsewhere, units: 1 }]);
    let elsewhere = BookingRefusal::ResourceUnknown(elsewhere);
    let slot = slot("13:00-14:00");
    held().when(change(FIRST, Change::Reschedule { slot, wanted })).then_refused(elsewhere);
}
