//! What was said around one booking can end alone.

use crate::booking::{
    BookingRefusal, Cancelled, Change, ContentErased, Reason, Role, Side, Status,
};
use crate::event::Event;
use crate::ids::Handle;
use crate::sealed::{RetentionClass, Sealed};
use crate::testing::{FIRST, Wish, booking, change, given, salon_and};

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
