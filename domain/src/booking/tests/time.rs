//! No time is held twice, and none outside what is offered.

use crate::booking::{BookingRefusal, Cancelled, Change, Declined, Reason, Side, Status};
use crate::catalogue::{
    Length, ResourceDefined, ResourceRetired, Service, ServiceDefined, ServiceRetired,
};
use crate::event::Event;
use crate::ids::{BookingId, ResourceId, ServiceId};
use crate::slot::{Hours, SlotError};
use crate::testing::{
    CHAIR, CUT, DYE, FIRST, PLACES, ROOM, STAY, VISIT, Wish, booking, change, given, resource,
    salon, salon_and, service,
};

const TAKEN: BookingRefusal = BookingRefusal::NotFree { resource: CHAIR };
const CLOSED: BookingRefusal = BookingRefusal::OutsideHours { resource: CHAIR };

fn room(text: &str, places: u16) -> Wish {
    booking(text).on(&[(ROOM, places)])
}

fn cancelled(booking: BookingId, wish: &Wish) -> Event {
    let (by, reason) = (Side::Staff, Reason::Illness);
    Cancelled { booking, by, facets: wish.facets, note: None, reason, was: wish.status }.into()
}

#[test]
fn a_free_time_is_granted() {
    let cut = booking("10:00-11:00");
    given(salon()).when(cut.asked()).then(&[cut.granted()]);
}

#[test]
fn the_same_time_is_not_granted_twice() {
    let cut = booking("10:00-11:00");
    given(salon_and([cut.granted()])).when(cut.asked()).then_refused(TAKEN);
}

#[test]
fn no_overlap_is_granted_however_small_or_large() {
    for text in ["09:30-10:15", "10:45-11:15", "10:15-10:45", "09:00-12:00"] {
        let held = booking("10:00-11:00").granted();
        given(salon_and([held])).when(booking(text).asked()).then_refused(TAKEN);
    }
}

#[test]
fn times_that_touch_are_both_granted() {
    let held = || salon_and([booking("10:00-11:00").granted()]);
    for text in ["09:00-10:00", "11:00-12:00"] {
        let cut = booking(text);
        given(held()).when(cut.asked()).then(&[cut.granted()]);
    }
}

#[test]
fn a_room_is_full_when_its_places_are() {
    let held = salon_and([room("10:00-12:00", 2).granted()]);
    let last = room("11:00-13:00", 1);
    given(held.clone()).when(last.asked()).then(&[last.granted()]);
    let refused = BookingRefusal::NotFree { resource: ROOM };
    given(held).when(room("11:00-13:00", 2).asked()).then_refused(refused);
}

#[test]
fn what_counts_is_the_peak_and_not_the_sum() {
    let one_after_another = ["09:00-10:00", "10:00-11:00", "11:00-12:00"];
    let held = salon_and(one_after_another.map(|text| room(text, 2).granted()));
    let across = room("09:00-12:00", PLACES - 2);
    given(held).when(across.asked()).then(&[across.granted()]);
}

#[test]
fn nobody_asks_for_more_places_than_there_are() {
    for places in [0, PLACES + 1] {
        let refused = BookingRefusal::Units { resource: ROOM, capacity: PLACES };
        given(salon()).when(room("10:00-11:00", places).asked()).then_refused(refused);
    }
}

#[test]
fn several_resources_are_granted_together() {
    let both = booking("10:00-11:00").on(&[(CHAIR, 1), (ROOM, 2)]);
    given(salon()).when(both.asked()).then(&[both.granted()]);
}

#[test]
fn several_resources_are_refused_together() {
    let held = salon_and([booking("10:00-11:00").granted()]);
    let both = booking("10:30-11:30").on(&[(ROOM, 1), (CHAIR, 1)]);
    given(held).when(both.asked()).then_refused(TAKEN);
}

#[test]
fn a_booking_is_on_at_least_one_resource_and_on_each_once() {
    for wanted in [&[][..], &[(ROOM, 1), (ROOM, 1)][..]] {
        let wish = booking("10:00-11:00").on(wanted);
        given(salon()).when(wish.asked()).then_refused(BookingRefusal::ResourceCount);
    }
}

#[test]
fn buffers_are_held_on_both_sides() {
    let dye = booking("10:30-11:30").of(DYE).holding("10:20-11:50");
    given(salon()).when(dye.asked()).then(&[dye.granted()]);
    let held = salon_and([dye.granted()]);
    for text in ["10:00-10:21", "11:49-12:30"] {
        given(held.clone()).when(booking(text).asked()).then_refused(TAKEN);
    }
}

#[test]
fn the_buffers_of_the_new_booking_count_as_well() {
    let held = salon_and([booking("10:00-11:00").granted()]);
    let too_early = booking("11:05-12:05").of(DYE).asked();
    given(held.clone()).when(too_early).then_refused(TAKEN);
    let dye = booking("11:10-12:10").of(DYE).holding("11:00-12:30");
    given(held).when(dye.asked()).then(&[dye.granted()]);
}

#[test]
fn buffers_cannot_make_a_hold_that_no_day_knows_of() {
    let length = Length::Between { from_minutes: 1, to_minutes: 366 * 24 * 60 };
    let year = Service { buffer_before: 1, ..service("Year", length) };
    let house = salon_and([ServiceDefined { service: year }.into()]);
    let whole = room("2026-11-20T10:00/2027-11-21T10:00", 1).of(ServiceId(8));
    given(house).when(whole.asked()).then_refused(BookingRefusal::Slot(SlotError::TooLong));
}

#[test]
fn nights_are_held_across_days() {
    let nights = room("2026-11-20T15:00/2026-11-23T11:00", 2).of(STAY);
    given(salon()).when(nights.asked()).then(&[nights.granted()]);
    let held = salon_and([nights.granted()]);
    let refused = BookingRefusal::NotFree { resource: ROOM };
    let inside = room("2026-11-21T15:00/2026-11-22T11:00", 2).of(STAY);
    given(held).when(inside.asked()).then_refused(refused);
}

#[test]
fn who_leaves_in_the_morning_makes_room_for_who_comes_in_the_afternoon() {
    let first = room("2026-11-20T15:00/2026-11-21T11:00", PLACES).of(STAY);
    let second = room("2026-11-21T15:00/2026-11-22T11:00", PLACES).of(STAY);
    given(salon_and([first.granted()])).when(second.asked()).then(&[second.granted()]);
}

#[test]
fn a_stay_of_no_night_is_day_use() {
    let day_use = room("2026-11-20T15:00/2026-11-20T18:00", 1).of(STAY);
    given(salon()).when(day_use.asked()).then(&[day_use.granted()]);
}

#[test]
fn a_stay_has_a_longest() {
    let week = room("2026-11-20T15:00/2026-11-27T11:00", 1).of(STAY);
    given(salon()).when(week.asked()).then(&[week.granted()]);
    let longer = room("2026-11-20T15:00/2026-11-28T11:00", 1).of(STAY);
    given(salon()).when(longer.asked()).then_refused(BookingRefusal::WrongLength);
}

#[test]
fn a_service_takes_its_time() {
    for (service, text) in [(DYE, "10:30-11:00"), (CUT, "10:00-10:14"), (CUT, "09:00-17:01")] {
        let wish = booking(text).of(service);
        given(salon()).when(wish.asked()).then_refused(BookingRefusal::WrongLength);
    }
}

#[test]
fn a_pending_request_holds_its_time() {
    let visit = booking("10:00-11:00").of(VISIT).pending();
    given(salon()).when(visit.asked()).then(&[visit.granted()]);
    given(salon_and([visit.granted()])).when(booking("10:30-11:30").asked()).then_refused(TAKEN);
}

#[test]
fn a_declined_request_frees_its_time() {
    let visit = booking("10:00-11:00").of(VISIT).pending();
    let (facets, reason, was) = (visit.facets, Reason::NoCapacity, Status::Pending);
    let declined = Declined { booking: FIRST, facets, reason, was };
    given(salon_and([visit.granted()]))
        .when(change(FIRST, Change::Decline { reason }))
        .then(&[declined.into()]);
    let cut = booking("10:00-11:00");
    given(salon_and([visit.granted(), declined.into()])).when(cut.asked()).then(&[cut.granted()]);
}

#[test]
fn a_cancelled_booking_frees_its_time() {
    let cut = booking("10:00-11:00");
    let freed = salon_and([cut.granted(), cancelled(FIRST, &cut)]);
    given(freed).when(cut.asked()).then(&[cut.granted()]);
}

#[test]
fn nothing_is_granted_outside_opening_hours() {
    for text in ["08:30-09:30", "16:30-17:30", "2026-11-20T16:00/2026-11-20T20:00"] {
        given(salon()).when(booking(text).asked()).then_refused(CLOSED);
    }
}

#[test]
fn every_resource_must_be_open() {
    let late = booking("16:30-17:30").on(&[(ROOM, 1), (CHAIR, 1)]);
    given(salon()).when(late.asked()).then_refused(CLOSED);
}

#[test]
fn opening_hours_are_wall_time_when_the_clocks_change() {
    let saturday_and_sunday =
        ["2026-10-24T09:00/2026-10-24T10:00", "2026-10-25T09:00/2026-10-25T10:00"];
    for text in saturday_and_sunday {
        let first = booking(text).asked();
        assert!(given(salon()).at("2026-10-01T08:00:00Z").when(first).result().is_ok());
    }
    let too_early = booking("2026-10-25T08:00/2026-10-25T09:00").asked();
    given(salon()).at("2026-10-01T08:00:00Z").when(too_early).then_refused(CLOSED);
}

#[test]
fn a_resource_without_hours_takes_nobody() {
    let closed = ResourceDefined { resource: resource("Attic", 1, Hours::default()) };
    let attic = ResourceId(8);
    let wish = booking("10:00-11:00").on(&[(attic, 1)]);
    let refused = BookingRefusal::OutsideHours { resource: attic };
    given(salon_and([closed.into()])).when(wish.asked()).then_refused(refused);
}

#[test]
fn a_time_that_has_begun_is_not_granted() {
    let cut = booking("10:00-11:00");
    given(salon())
        .at("2026-11-20T09:00:01Z")
        .when(cut.asked())
        .then_refused(BookingRefusal::Started);
    assert!(given(salon()).at("2026-11-20T09:00:00Z").when(cut.asked()).result().is_ok());
}

#[test]
fn a_retired_service_is_not_granted() {
    let retired = salon_and([ServiceRetired { id: CUT }.into()]);
    let cut = booking("10:00-11:00").asked();
    given(retired).when(cut).then_refused(BookingRefusal::ServiceUnknown);
}

#[test]
fn a_retired_resource_is_not_granted() {
    let retired = salon_and([ResourceRetired { id: CHAIR }.into()]);
    let cut = booking("10:00-11:00").asked();
    given(retired).when(cut).then_refused(BookingRefusal::ResourceUnknown(CHAIR));
}

#[test]
fn a_service_is_granted_only_where_it_is_offered() {
    let length = Length::Fixed { minutes: 60 };
    let massage = Service { resources: [ROOM].into(), ..service("Massage", length) };
    let offered = salon_and([ServiceDefined { service: massage }.into()]);
    let wish = booking("10:00-11:00").of(ServiceId(8));
    given(offered).when(wish.asked()).then_refused(BookingRefusal::ResourceUnknown(CHAIR));
}

#[test]
fn what_does_not_exist_is_not_granted() {
    let (nowhere, nothing) = (ResourceId(99), ServiceId(99));
    let wish = booking("10:00-11:00");
    given(salon())
        .when(wish.clone().on(&[(nowhere, 1)]).asked())
        .then_refused(BookingRefusal::ResourceUnknown(nowhere));
    given(salon()).when(wish.of(nothing).asked()).then_refused(BookingRefusal::ServiceUnknown);
}
