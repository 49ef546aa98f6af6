//! What the rules would have refused is found in a ledger that has it all the same, and what they
//! allow is not complained of.

use jiff::Timestamp;

use super::{Auditor, Violation};
use crate::booking::{
    Cancelled, Changed, ContentErased, Reason, Requested, Rescheduled, Side, Status, Step,
};
use crate::entry::{Actor, Recorded};
use crate::event::Event;
use crate::facet::Facets;
use crate::ids::{BookingId, Handle, Position, ResourceId};
use crate::person::Erased;
use crate::sealed::{RetentionClass, Sealed};
use crate::testing::{
    CHAIR, DYE, FIRST, PLACES, ROOM, SECOND, Wish, booking, fence, given, salon_and,
};

fn audited(events: Vec<Event>) -> Vec<Violation> {
    let mut auditor = Auditor::default();
    let mut found = Vec::new();
    for (position, event) in (0..).map(Position).zip(events) {
        auditor.book.next = position;
        let tags = auditor.book.tags(&event);
        let at = Timestamp::UNIX_EPOCH;
        let actor = Actor::System;
        let recorded = Recorded { position, recorded_at: at, occurred_at: at, actor, event };
        found.extend(auditor.check(&recorded, &tags));
    }
    found
}

fn step(booking: BookingId, wish: &Wish, was: Status) -> Step {
    Step { booking, facets: wish.facets, was }
}

fn cancelled(booking: BookingId, wish: &Wish, was: Status) -> Cancelled {
    let (by, reason) = (Side::Staff, Reason::Illness);
    Cancelled { booking, by, facets: wish.facets, note: None, reason, was }
}

fn edited(wish: &Wish, edit: impl FnOnce(&mut Requested)) -> Event {
    let Event::BookingRequested(mut event) = wish.granted() else { panic!() };
    edit(&mut event);
    event.into()
}

#[test]
fn what_the_rules_grant_is_not_complained_of() {
    let dye = booking("10:00-11:00").of(DYE).holding("09:50-11:20");
    let cut = booking("12:00-13:00");
    let erased = Erased { classes: Vec::new(), ended: 3, fence: fence(1) };
    let events = salon_and([
        dye.granted(),
        cut.granted(),
        Event::BookingCheckedIn(step(FIRST, &dye, Status::Confirmed)),
        Event::BookingCompleted(step(FIRST, &dye, Status::CheckedIn)),
        cancelled(SECOND, &cut, Status::Confirmed).into(),
        Changed { booking: SECOND, times: 2 }.into(),
        booking("12:00-13:00").granted(),
        erased.into(),
    ]);
    assert_eq!(audited(events), []);
}

#[test]
fn a_time_sold_twice_is_found() {
    let found = audited(salon_and(["10:00-11:00", "10:30-11:30"].map(|t| booking(t).granted())));
    let date = jiff::civil::date(2026, 11, 20);
    let overbooked = Violation::Overbooked { resource: CHAIR, date, places: 2, capacity: 1 };
    assert_eq!(found, [overbooked]);
}

#[test]
fn a_room_is_overbooked_only_beyond_its_places() {
    let room = |units| booking("10:00-12:00").on(&[(ROOM, units)]).granted();
    assert_eq!(audited(salon_and([room(PLACES - 1), room(1)])), []);
    let found = audited(salon_and([room(PLACES), room(1)]));
    assert!(matches!(found[..], [Violation::Overbooked { places: 4, .. }]));
}

#[test]
fn moving_a_booking_onto_another_is_found() {
    let (first, second) = (booking("10:00-11:00"), booking("12:00-13:00"));
    let Event::BookingRequested(target) = booking("10:30-11:30").granted() else { panic!() };
    let moved = Rescheduled {
        booking: SECOND,
        end: target.end,
        facets: target.facets,
        facets_before: second.facets,
        held: target.held,
        start: target.start,
        status: Status::Confirmed,
        zone: target.zone,
    };
    let found = audited(salon_and([first.granted(), second.granted(), moved.into()]));
    assert!(matches!(found[..], [Violation::Overbooked { .. }]));
}

#[test]
fn a_step_out_of_turn_is_found() {
    let cut = booking("10:00-11:00");
    let wrong = Event::BookingConfirmed(step(FIRST, &cut, Status::Confirmed));
    let transition = Violation::Transition { from: Status::Confirmed, to: Status::Confirmed };
    assert_eq!(audited(salon_and([cut.granted(), wrong])), [transition]);
}

#[test]
fn an_entry_that_misstates_what_was_is_found() {
    let cut = booking("10:00-11:00");
    let wrong = cancelled(FIRST, &cut, Status::Pending).into();
    let differs = Violation::WasOther { stands: Status::Confirmed, said: Status::Pending };
    assert_eq!(audited(salon_and([cut.granted(), wrong])), [differs]);
}

#[test]
fn nothing_happens_to_a_booking_that_is_over_or_never_was() {
    let cut = booking("10:00-11:00");
    let cancel = |id| Event::from(cancelled(id, &cut, Status::Confirmed));
    let found = audited(salon_and([cut.granted(), cancel(FIRST), cancel(FIRST), cancel(SECOND)]));
    assert_eq!(found, [Violation::BookingOver(FIRST), Violation::BookingUnknown(SECOND)]);
}

#[test]
fn facets_that_change_on_the_way_are_found() {
    let cut = booking("10:00-11:00");
    let facets = Facets { hour: 11, ..cut.facets };
    let wrong = Event::BookingCheckedIn(Step { facets, ..step(FIRST, &cut, Status::Confirmed) });
    assert_eq!(audited(salon_and([cut.granted(), wrong])), [Violation::Facets]);
    let wrong = edited(&cut, |event| event.facets.hour = 11);
    assert_eq!(audited(salon_and([wrong])), [Violation::Facets]);
}

#[test]
fn holding_less_than_the_buffers_ask_is_found() {
    let dye = booking("10:00-11:00").of(DYE);
    assert_eq!(audited(salon_and([dye.granted()])), [Violation::Held]);
}

#[test]
fn a_resource_nobody_defined_is_found() {
    let wrong = booking("10:00-11:00").on(&[(ResourceId(99), 1)]).granted();
    assert_eq!(audited(salon_and([wrong])), [Violation::ResourceUnknown(ResourceId(99))]);
}

#[test]
fn a_fence_set_twice_is_found() {
    let erased = || Event::from(Erased { classes: Vec::new(), ended: 0, fence: fence(7) });
    assert_eq!(audited(salon_and([erased(), erased()])), [Violation::FenceRepeated]);
}

#[test]
fn a_note_under_a_strangers_handle_is_found() {
    let cut = booking("10:00-11:00");
    let note = Some(Sealed::new(Handle(99), 0));
    let wrong = Cancelled { note, ..cancelled(FIRST, &cut, Status::Confirmed) }.into();
    assert_eq!(audited(salon_and([cut.granted(), wrong])), [Violation::ForeignHandle(Handle(99))]);
}

#[test]
fn ending_more_seals_than_there_are_is_found() {
    let cut = booking("10:00-11:00");
    let (classes, handles) = (vec![RetentionClass::Booking], vec![Handle(1)]);
    let wrong = ContentErased { booking: FIRST, classes, ended: 5, handles }.into();
    let found = audited(salon_and([cut.granted(), wrong]));
    assert_eq!(found, [Violation::Ended { said: 5, stand: 1 }]);
}

#[test]
fn tags_that_are_not_the_events_are_found() {
    let mut auditor = Auditor::default();
    let [policy, ..] = &salon_and([])[..] else { panic!() };
    let at = Timestamp::UNIX_EPOCH;
    let (position, actor, event) = (Position(0), Actor::System, policy.clone());
    let recorded = Recorded { position, recorded_at: at, occurred_at: at, actor, event };
    assert_eq!(auditor.check(&recorded, &[]), [Violation::Tags]);
}

#[test]
fn whatever_the_rules_decide_passes_the_audit() {
    let held = booking("10:00-11:00");
    let more = [booking("11:00-12:00"), booking("09:00-10:00")];
    for wish in more {
        let before = salon_and([held.granted()]);
        let after = given(before.clone()).when(wish.asked()).result().unwrap();
        assert_eq!(audited([before, after].concat()), []);
    }
}
