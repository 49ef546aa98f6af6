//! Until when a client may give a time back.

use crate::booking::{BookingRefusal, Cancelled, Change, Reason, Side, Status};
use crate::event::Event;
use crate::policy::{Policy, PolicySet};
use crate::testing::{FIRST, Wish, booking, change, given, policy, salon_and, slot};

const CLOSED: BookingRefusal = BookingRefusal::CancellationClosed;

/// On the day on which the clocks went back at three in the morning: starts at 09:00 UTC.
const SUNDAY: &str = "2026-10-25T10:00/2026-10-25T11:00";
/// On the day on which the clocks went forward at two in the morning: starts at 08:00 UTC.
const SPRING: &str = "2027-03-28T10:00/2027-03-28T11:00";

fn cancel(by: Side) -> Change {
    Change::Cancel { by, reason: Reason::ClientRequest, note: None, fence: None }
}

fn cancelled(wish: &Wish, by: Side) -> Event {
    let (reason, was) = (Reason::ClientRequest, Status::Confirmed);
    Cancelled { booking: FIRST, by, facets: wish.facets, note: None, reason, was }.into()
}

fn with_notice(minutes: u32, wish: &Wish) -> Vec<Event> {
    let policy = Policy { cancel_before_minutes: minutes, ..policy() };
    salon_and([wish.granted(), PolicySet { policy }.into()])
}

#[track_caller]
fn client_may_cancel_until(text: &str, minutes: u32, last: &str, too_late: &str) {
    let cut = booking(text);
    given(with_notice(minutes, &cut))
        .at(last)
        .when(change(FIRST, cancel(Side::Client)))
        .then(&[cancelled(&cut, Side::Client)]);
    given(with_notice(minutes, &cut))
        .at(too_late)
        .when(change(FIRST, cancel(Side::Client)))
        .then_refused(CLOSED);
}

/// F27: the tenant's cancellation rule, to the second.
#[test]
fn a_deadline_is_kept_to_the_second() {
    let (last, too_late) = ("2026-11-20T07:00:00Z", "2026-11-20T07:00:01Z");
    client_may_cancel_until("10:00-11:00", 120, last, too_late);
    client_may_cancel_until("10:00-11:00", 120, "2026-11-20T06:59:59Z", "2026-11-20T07:00:00.1Z");
}

/// F27: a day's notice is 24 hours; in the tenant's zone that is 11 o'clock the day before.
#[test]
fn a_deadline_is_as_long_when_the_clocks_go_back() {
    client_may_cancel_until(SUNDAY, 1440, "2026-10-24T09:00:00Z", "2026-10-24T09:00:01Z");
    client_may_cancel_until(SUNDAY, 1440, "2026-10-24T08:59:59Z", "2026-10-24T09:00:01Z");
}

/// F27: and here it is 9 o'clock the day before.
#[test]
fn a_deadline_is_as_long_when_the_clocks_go_forward() {
    client_may_cancel_until(SPRING, 1440, "2027-03-27T08:00:00Z", "2027-03-27T08:00:01Z");
    client_may_cancel_until(SPRING, 1440, "2027-03-27T07:59:59Z", "2027-03-27T08:00:01Z");
}

/// F23: a client removes a time of their own that has not begun.
#[test]
fn a_client_cancels_until_the_start() {
    let cut = booking("10:00-11:00");
    given(with_notice(0, &cut))
        .at("2026-11-20T08:59:59Z")
        .when(change(FIRST, cancel(Side::Client)))
        .then(&[cancelled(&cut, Side::Client)]);
}

/// F23: at the start and after it, no more.
#[test]
fn a_client_does_not_cancel_what_has_begun() {
    for now in ["2026-11-20T09:00:00Z", "2026-11-20T09:00:01Z", "2026-11-21T09:00:00Z"] {
        given(with_notice(0, &booking("10:00-11:00")))
            .at(now)
            .when(change(FIRST, cancel(Side::Client)))
            .then_refused(BookingRefusal::Started);
    }
}

/// F23: the time is free at once.
#[test]
fn what_a_client_cancels_can_be_booked_again() {
    let cut = booking("10:00-11:00");
    let freed = salon_and([cut.granted(), cancelled(&cut, Side::Client)]);
    given(freed).when(cut.asked()).then(&[cut.granted()]);
}

/// F24: staff removes bookings whatever the deadline, and the reason is kept.
#[test]
fn staff_cancels_after_the_deadline() {
    let cut = booking("10:00-11:00");
    given(with_notice(1440, &cut))
        .at("2026-11-20T08:59:59Z")
        .when(change(FIRST, cancel(Side::Staff)))
        .then(&[cancelled(&cut, Side::Staff)]);
}

/// F27: else a client could move the time away and cancel it there.
#[test]
fn a_client_does_not_move_what_they_may_not_cancel() {
    let moved = || change(FIRST, Change::Reschedule { slot: slot("13:00-14:00"), wanted: None });
    let given = || given(with_notice(120, &booking("10:00-11:00"))).at("2026-11-20T07:00:01Z");
    given().by_client().when(moved()).then_refused(CLOSED);
    assert!(given().when(moved()).result().is_ok(), "staff may");
}
