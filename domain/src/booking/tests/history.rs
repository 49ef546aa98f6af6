//! An import: what has happened since the request comes in with it, in one decision.

use crate::booking::{
    BookingCommand, BookingRefusal, Cancelled, Change, Changed, PastStep, Reason, Side, Status,
    Step,
};
use crate::catalogue::ServiceRetired;
use crate::event::Event;
use crate::testing::{CHAIR, CUT, FIRST, Given, VISIT, Wish, booking, given, salon, salon_and};

const COMPLETED: PastStep = PastStep::Reached(Status::Completed);
const CANCELLED: PastStep = PastStep::Cancelled { by: Side::Client, reason: Reason::ClientRequest };

/// Years later, somebody reads the old book.
fn years_later(events: Vec<Event>) -> Given {
    given(events).at("2030-01-01T00:00:00Z").long_after("2026-11-19T08:00:00Z")
}

fn step(wish: &Wish, was: Status) -> Step {
    Step { booking: FIRST, facets: wish.facets, was }
}

#[test]
fn a_history_comes_in_one_decision() {
    let wish = booking("10:00-11:00").with_past(&[
        ("2026-11-19T08:00:00Z", PastStep::Changed { times: 3 }),
        ("2026-11-20T09:00:00Z", PastStep::Reached(Status::CheckedIn)),
        ("2026-11-20T10:00:00Z", COMPLETED),
    ]);
    years_later(salon()).when(wish.asked()).then(&[
        wish.granted(),
        Changed { booking: FIRST, times: 3 }.into(),
        Event::BookingCheckedIn(step(&wish, Status::Confirmed)),
        Event::BookingCompleted(step(&wish, Status::CheckedIn)),
    ]);
}

#[test]
fn a_history_may_end_in_a_cancellation() {
    let wish = booking("10:00-11:00").with_past(&[("2026-11-19T12:00:00Z", CANCELLED)]);
    let (by, reason, was) = (Side::Client, Reason::ClientRequest, Status::Confirmed);
    let cancelled = Cancelled { booking: FIRST, by, facets: wish.facets, note: None, reason, was };
    let cancelled = Event::from(cancelled);
    years_later(salon()).when(wish.asked()).then(&[wish.granted(), cancelled.clone()]);
    let after = salon_and([wish.granted(), cancelled]);
    let again = booking("10:00-11:00");
    given(after).when(again.asked()).then(&[again.granted()]);
}

#[test]
fn the_order_of_states_is_judged() {
    for (steps, was) in [
        ([COMPLETED, CANCELLED], Status::Completed),
        ([CANCELLED, COMPLETED], Status::Cancelled),
        ([COMPLETED, PastStep::Reached(Status::Pending)], Status::Completed),
    ] {
        let steps = steps.map(|step| ("2026-11-20T10:00:00Z", step));
        let wish = booking("10:00-11:00").with_past(&steps);
        years_later(salon()).when(wish.asked()).then_refused(BookingRefusal::WrongStatus(was));
    }
}

#[test]
fn the_capacity_is_judged() {
    let wish = booking("10:00-11:00").with_past(&[("2026-11-20T10:00:00Z", COMPLETED)]);
    let taken = BookingRefusal::NotFree { resource: CHAIR };
    years_later(salon_and([wish.granted()])).when(wish.asked()).then_refused(taken);
}

#[test]
fn opening_hours_retired_services_and_the_clock_are_not() {
    let wish = booking("2026-11-20T18:00/2026-11-20T19:00").with_past(&[]);
    let events = salon_and([ServiceRetired { id: CUT }.into()]);
    years_later(events).when(wish.asked()).then(&[wish.granted()]);
}

#[test]
fn nobody_waits_for_an_answer_in_the_past() {
    let wish = booking("10:00-11:00").of(VISIT).with_past(&[]);
    assert_eq!(wish.status, Status::Confirmed);
    years_later(salon()).when(wish.asked()).then(&[wish.granted()]);
}

#[test]
fn a_history_is_one_booking_with_a_version_per_entry() {
    let wish = booking("10:00-11:00");
    let changed = Changed { booking: FIRST, times: 2 };
    let events = salon_and([wish.granted(), changed.into()]);
    let stale =
        BookingCommand::Change { booking: FIRST, expected: Some(1), change: Change::CheckIn };
    given(events).when(stale).then_refused(BookingRefusal::VersionConflict { current: 2 });
}
