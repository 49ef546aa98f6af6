//! What was said around one booking can end alone.

use crate::booking::{
    BookingRefusal, Cancelled, Change, ContentErased, Reason, Role, Side, Status,
};
use crate::event::Event;
use crate::ids::Handle;
use crate::policy::{Policy, PolicySet};
use crate::sealed::{RetentionClass, Sealed};
use crate::testing::{FIRST, Wish, booking, change, given, policy, salon_and, slot};

const AFTER: &str = "2026-11-20T10:00:00Z";

/// Two people, one with a health note and a voucher: three seals of content, one of accounting.
fn told() -> Wish {
    let mut wish = booking("10:00-11:00").also(2, Role::Participant);
    let handle = Handle(2);
    wish.request.parts[1].health = Some(Sealed::new(handle, 1));
    wish.request.parts[1].accounting = Some(Sealed::new(handle, 2));
    wish
}

fn erased(ended: u32) -> Event {
    let classes = vec![RetentionClass::Booking, RetentionClass::Health];
    ContentErased { booking: FIRST, classes, ended, handles: vec![Handle(1), Handle(2)] }.into()
}

#[test]
fn content_ends_and_the_voucher_stays() {
    given(salon_and([told().granted()]))
        .at(AFTER)
        .when(change(FIRST, Change::EraseContent))
        .then(&[erased(3)]);
}

#[test]
fn a_note_on_the_cancellation_ends_with_it() {
    let note = Some(Sealed::new(Handle(1), 0));
    let (by, reason, was) = (Side::Client, Reason::Illness, Status::Confirmed);
    let facets = told().facets;
    let cancelled = Cancelled { booking: FIRST, by, facets, note, reason, was };
    given(salon_and([told().granted(), cancelled.into()]))
        .when(change(FIRST, Change::EraseContent))
        .then(&[erased(4)]);
}

#[test]
fn content_is_needed_while_the_booking_is_open() {
    let refused = BookingRefusal::WrongStatus(Status::Confirmed);
    given(salon_and([told().granted()]))
        .at("2026-11-20T09:59:59Z")
        .when(change(FIRST, Change::EraseContent))
        .then_refused(refused);
}

#[test]
fn to_erase_again_is_to_do_nothing() {
    given(salon_and([told().granted(), erased(3)]))
        .at(AFTER)
        .when(change(FIRST, Change::EraseContent))
        .then(&[]);
}

/// A tenant that keeps what was said for so many days, and what was said of health for others.
fn kept(details: u32, health: u32) -> Vec<Event> {
    let days = [(RetentionClass::Booking, details), (RetentionClass::Health, health)];
    let policy = Policy { retention_days: days.into(), ..policy() };
    salon_and([told().granted(), PolicySet { policy }.into()])
}

fn expired(class: RetentionClass, ended: u32) -> Event {
    let handles = vec![Handle(1), Handle(2)];
    ContentErased { booking: FIRST, classes: vec![class], ended, handles }.into()
}

#[test]
fn each_class_ends_so_many_days_after_the_booking() {
    let expire = || change(FIRST, Change::Expire);
    given(kept(2, 9)).at("2026-11-22T09:59:59Z").when(expire()).then(&[]);
    let details = expired(RetentionClass::Booking, 2);
    given(kept(2, 9))
        .at("2026-11-22T10:00:00Z")
        .when(expire())
        .then(std::slice::from_ref(&details));
    let after: Vec<Event> = kept(2, 9).into_iter().chain([details]).collect();
    given(after.clone()).at("2026-11-29T09:59:59Z").when(expire()).then(&[]);
    let health = expired(RetentionClass::Health, 1);
    given(after).at("2026-11-29T10:00:00Z").when(expire()).then(&[health]);
    given(kept(2, 2)).at("2026-11-22T10:00:00Z").when(expire()).then(&[erased(3)]);
}

/// What is left is ended by hand: the entry names only what ends with it.
#[test]
fn content_of_which_a_class_has_ended_ends_with_the_rest() {
    let details = expired(RetentionClass::Booking, 2);
    let after: Vec<Event> = kept(2, 9).into_iter().chain([details]).collect();
    given(after)
        .at("2026-11-22T10:00:00Z")
        .when(change(FIRST, Change::EraseContent))
        .then(&[expired(RetentionClass::Health, 1)]);
}

/// Staff may find out late why nobody came: the reason is a code, and words would open for nobody.
#[test]
fn nothing_is_said_after_the_end() {
    let (by, reason) = (Side::Staff, Reason::Illness);
    let cancel = |note| change(FIRST, Change::Cancel { by, reason, note, fence: None });
    let ended = || given(salon_and([told().granted(), erased(3)])).at(AFTER);
    let note = Some(Sealed::new(Handle(1), 0));
    ended().when(cancel(note)).then_refused(BookingRefusal::ContentEnded);
    let (facets, was) = (told().facets, Status::Confirmed);
    let cancelled = Cancelled { booking: FIRST, by, facets, note: None, reason, was };
    ended().when(cancel(None)).then(&[cancelled.into()]);
}

#[test]
fn what_no_rule_ends_stays() {
    given(salon_and([told().granted()]))
        .at("2099-01-01T00:00:00Z")
        .when(change(FIRST, Change::Expire))
        .then(&[]);
}

#[test]
fn days_count_from_the_time_it_was_moved_to() {
    let moved = Change::Reschedule { slot: slot("13:00-14:00"), wanted: None };
    let moved = given(kept(2, 9)).when(change(FIRST, moved)).result().unwrap();
    let after: Vec<Event> = kept(2, 9).into_iter().chain(moved).collect();
    let expire = || change(FIRST, Change::Expire);
    given(after.clone()).at("2026-11-22T12:59:59Z").when(expire()).then(&[]);
    let details = expired(RetentionClass::Booking, 2);
    given(after).at("2026-11-22T13:00:00Z").when(expire()).then(&[details]);
}

/// F67: what was said is not needed for the visit any more, but somebody may need it in court.
#[test]
fn a_hold_keeps_what_was_said_and_it_is_due_again_afterwards() {
    let (booking, health) = (RetentionClass::Booking, RetentionClass::Health);
    let over = || given(kept(2, 2)).at("2026-11-22T10:00:00Z");
    let expire = || change(FIRST, Change::Expire);
    over().held(&[booking, health]).when(expire()).then(&[]);
    over().held(&[health]).when(expire()).then(&[expired(booking, 2)]);
    over().held(&[RetentionClass::Contact]).when(expire()).result().unwrap();
    let erase = || change(FIRST, Change::EraseContent);
    over().held(&[health]).when(erase()).then_refused(BookingRefusal::Held);
}
