//! Where a booking may go from where it stands.

use crate::booking::{
    BookingCommand, BookingRefusal, Cancelled, Change, Declined, Reason, Side, Status, Step,
};
use crate::event::Event;
use crate::ids::BookingId;
use crate::testing::{FIRST, VISIT, Wish, booking, change, given, salon, salon_and, slot};

/// What each state allows. `x`: it does; `.`: it is refused with the state's name.
const TABLE: &str = "
                confirm  decline  reschedule  cancel  check_in  complete  no_show
    pending        x        x         x          x        .         .         .
    confirmed      .        .         x          x        x         x         x
    declined       .        .         .          .        .         .         .
    checked_in     .        .         .          x        .         x         .
    completed      .        .         .          .        .         .         .
    cancelled      .        .         .          .        .         .         .
    no_show        .        .         .          .        .         .         .
";

/// While the booking takes place, so that it can be completed and missed.
const DURING: &str = "2026-11-20T09:30:00Z";

fn visit() -> Wish {
    booking("10:00-11:00").of(VISIT).pending()
}

fn step(was: Status) -> Step {
    Step { booking: FIRST, facets: visit().facets, was }
}

fn declined() -> Declined {
    let (facets, reason, was) = (visit().facets, Reason::Policy, Status::Pending);
    Declined { booking: FIRST, facets, reason, was }
}

fn cancelled(was: Status) -> Cancelled {
    let (by, reason) = (Side::Staff, Reason::Illness);
    Cancelled { booking: FIRST, by, facets: visit().facets, note: None, reason, was }
}

/// A salon whose first booking stands in `status`.
fn standing(status: Status) -> Vec<Event> {
    let was = Status::Confirmed;
    let confirmed = Event::BookingConfirmed(step(Status::Pending));
    let then = match status {
        Status::Pending => vec![],
        Status::Confirmed => vec![confirmed],
        Status::Declined => vec![declined().into()],
        Status::CheckedIn => vec![confirmed, Event::BookingCheckedIn(step(was))],
        Status::Completed => vec![confirmed, Event::BookingCompleted(step(was))],
        Status::Cancelled => vec![cancelled(Status::Pending).into()],
        Status::NoShow => vec![confirmed, Event::BookingMissed(step(was))],
    };
    salon_and([visit().granted()].into_iter().chain(then))
}

fn named(name: &str) -> Change {
    match name {
        "confirm" => Change::Confirm,
        "decline" => Change::Decline { reason: Reason::Policy },
        "reschedule" => Change::Reschedule { slot: slot("13:00-14:00"), wanted: None },
        "cancel" => {
            Change::Cancel { by: Side::Staff, reason: Reason::Illness, note: None, fence: None }
        }
        "check_in" => Change::CheckIn,
        "complete" => Change::Complete,
        "no_show" => Change::NoShow,
        other => panic!("{other} is no change"),
    }
}

#[test]
fn each_state_allows_what_the_table_says() {
    let mut rows = TABLE.lines().filter(|line| !line.trim().is_empty());
    let changes: Vec<&str> = rows.next().unwrap().split_whitespace().collect();
    let mut states = 0;
    for row in rows {
        let (name, cells) = row.trim().split_once(' ').unwrap();
        let status: Status = name.parse().unwrap();
        for (change_name, cell) in changes.iter().zip(cells.split_whitespace()) {
            let wish = change(FIRST, named(change_name));
            let result = given(standing(status)).at(DURING).when(wish).result();
            let refused = Err(BookingRefusal::WrongStatus(status).into());
            assert_eq!(result.is_ok(), cell == "x", "{change_name} when {status}: {result:?}");
            assert!(result.is_ok() || result == refused, "{change_name}: {result:?}");
        }
        states += 1;
    }
    assert_eq!((states, changes.len()), (Status::ALL.len(), 7), "the table is whole");
}

#[test]
fn each_step_says_what_the_booking_was() {
    for (name, was, event) in [
        ("confirm", Status::Pending, Event::BookingConfirmed(step(Status::Pending))),
        ("decline", Status::Pending, declined().into()),
        ("cancel", Status::Pending, cancelled(Status::Pending).into()),
        ("cancel", Status::Confirmed, cancelled(Status::Confirmed).into()),
        ("cancel", Status::CheckedIn, cancelled(Status::CheckedIn).into()),
        ("check_in", Status::Confirmed, Event::BookingCheckedIn(step(Status::Confirmed))),
        ("complete", Status::Confirmed, Event::BookingCompleted(step(Status::Confirmed))),
        ("complete", Status::CheckedIn, Event::BookingCompleted(step(Status::CheckedIn))),
        ("no_show", Status::Confirmed, Event::BookingMissed(step(Status::Confirmed))),
    ] {
        given(standing(was)).at(DURING).when(change(FIRST, named(name))).then(&[event]);
    }
}

/// Staff undo a mistaken check-in, and the program cancels for an erasure; a client is there, or never was.
#[test]
fn who_is_checked_in_is_not_cancelled_by_themselves() {
    let by = |by| Change::Cancel { by, reason: Reason::Illness, note: None, fence: None };
    for early in ["2026-11-18T09:00:00Z", DURING] {
        given(standing(Status::CheckedIn))
            .at(early)
            .when(change(FIRST, by(Side::Client)))
            .then_refused(BookingRefusal::WrongStatus(Status::CheckedIn));
    }
    let event = Cancelled { by: Side::System, ..cancelled(Status::CheckedIn) };
    given(standing(Status::CheckedIn))
        .at(DURING)
        .when(change(FIRST, by(Side::System)))
        .then(&[event.into()]);
}

#[test]
fn nothing_is_completed_or_missed_before_it_begins() {
    for too_early in [Change::Complete, Change::NoShow] {
        given(standing(Status::Confirmed))
            .at("2026-11-20T08:59:59Z")
            .when(change(FIRST, too_early))
            .then_refused(BookingRefusal::NotStarted);
    }
}

#[test]
fn what_does_not_exist_cannot_change() {
    let (nobody, confirm) = (BookingId(99), named("confirm"));
    given(salon()).when(change(nobody, confirm)).then_refused(BookingRefusal::Unknown(nobody));
}

#[test]
fn a_change_of_what_has_changed_since_is_refused() {
    let expecting = |version| BookingCommand::Change {
        booking: FIRST,
        expected: Some(version),
        change: Change::CheckIn,
    };
    let current = 2;
    for stale in [1, 3] {
        let refused = BookingRefusal::VersionConflict { current };
        given(standing(Status::Confirmed)).when(expecting(stale)).then_refused(refused);
    }
    let checked_in = Event::BookingCheckedIn(step(Status::Confirmed));
    given(standing(Status::Confirmed)).when(expecting(current)).then(&[checked_in]);
}
