//! Who takes part, which fields they gave, and that nothing is sealed behind a fence.

use crate::booking::{BookingRefusal, Change, Price, Reason, Role, Side};
use crate::catalogue::{Length, Service, ServiceDefined};
use crate::event::Event;
use crate::ids::{Handle, ServiceId};
use crate::person::{Erased, Registered};
use crate::policy::{Policy, PolicySet};
use crate::sealed::{Field, RetentionClass, Sealed};
use crate::testing::{
    FIRST, SECOND, Wish, booking, change, fence, given, policy, salon, salon_and, service,
};

const CLINIC: ServiceId = ServiceId(8);

/// A service that needs a mail address, as entry 8.
fn needing_mail() -> Event {
    let length = Length::Fixed { minutes: 60 };
    let service = Service { requires: [Field::Email].into(), ..service("Clinic", length) };
    ServiceDefined { service }.into()
}

fn erased(number: u8) -> Event {
    let classes = vec![RetentionClass::Contact, RetentionClass::Booking];
    Erased { classes, ended: 1, fence: fence(number) }.into()
}

fn cut() -> Wish {
    booking("10:00-11:00")
}

/// F36: a booking rests on the contract. No consent was ever given here.
#[test]
fn a_booking_needs_no_consent() {
    given(salon()).when(cut().asked()).then(&[cut().granted()]);
}

#[test]
fn several_people_are_booked_together() {
    let family = cut().also(2, Role::Participant).also(3, Role::Guardian);
    given(salon()).when(family.asked()).then(&[family.granted()]);
}

#[test]
fn exactly_one_of_them_is_the_booker() {
    let two = cut().also(2, Role::Booker);
    given(salon()).when(two.asked()).then_refused(BookingRefusal::PartCount);
    let mut none = cut();
    none.request.parts.clear();
    given(salon()).when(none.asked()).then_refused(BookingRefusal::PartCount);
}

#[test]
fn a_party_is_at_most_fifty() {
    let party = |most| (2..=most).fold(cut(), |wish, n| wish.also(n, Role::Participant));
    assert!(given(salon()).when(party(50).asked()).result().is_ok());
    given(salon()).when(party(51).asked()).then_refused(BookingRefusal::PartCount);
}

/// F04: a field the tenant does not collect is refused, and so never stored.
#[test]
fn a_field_that_is_not_collected_is_refused() {
    let wish = cut().giving(&[Field::Name, Field::NationalId]);
    let refused = BookingRefusal::FieldNotCollected(Field::NationalId);
    given(salon()).when(wish.asked()).then_refused(refused);
}

/// F04: so is a booking without a field that the service requires.
#[test]
fn a_field_that_is_required_must_be_given() {
    let wish = cut().of(CLINIC);
    let house = || given(salon_and([needing_mail()]));
    let refused = BookingRefusal::FieldMissing(Field::Email);
    house().when(wish.clone().giving(&[Field::Name]).asked()).then_refused(refused);
    let wish = wish.giving(&[Field::Email]);
    house().when(wish.asked()).then(&[wish.granted()]);
}

/// F04: a change of the policy leaves old bookings as they were.
#[test]
fn what_was_booked_under_another_policy_stays() {
    let wish = cut().giving(&[Field::Phone]);
    let policy = Policy { collect: [Field::Name].into(), ..policy() };
    let events = salon_and([wish.granted(), PolicySet { policy }.into()]);
    let refused = BookingRefusal::FieldNotCollected(Field::Phone);
    given(events.clone())
        .when(booking("13:00-14:00").giving(&[Field::Phone]).asked())
        .then_refused(refused);
    assert!(given(events).when(change(FIRST, Change::CheckIn)).result().is_ok());
}

#[test]
fn nobody_erased_is_booked() {
    let events = || salon_and([erased(2)]);
    let family = cut().also(2, Role::Participant);
    given(events()).when(family.asked()).then_refused(BookingRefusal::Erased);
    given(events()).when(cut().asked()).then(&[cut().granted()]);
}

#[test]
fn no_note_is_sealed_for_somebody_erased() {
    let cancel = |fence_number| Change::Cancel {
        by: Side::Staff,
        reason: Reason::Illness,
        note: Some(Sealed::new(Handle(1), 0)),
        fence: Some(fence(fence_number)),
    };
    let events = || salon_and([cut().granted(), erased(1)]);
    given(events()).when(change(FIRST, cancel(1))).then_refused(BookingRefusal::Erased);
    assert!(given(events()).when(change(FIRST, cancel(2))).result().is_ok());
}

#[test]
fn who_was_no_client_before_is_registered_in_the_same_decision() {
    let mut wish = cut();
    let contact = Sealed::new(Handle(1), 0);
    wish.request.parts[0].registers = Some(contact);
    given(salon()).when(wish.asked()).then(&[Registered { contact }.into(), wish.granted()]);
    let after = salon_and([Registered { contact }.into(), wish.granted()]);
    assert!(given(after).when(change(SECOND, Change::CheckIn)).result().is_ok());
}

#[test]
fn a_price_of_ones_own_is_money_and_nothing_else() {
    let priced = |amount: &str| {
        let mut wish = cut();
        let (amount, currency) = (amount.to_owned(), "SEK".to_owned());
        wish.request.price = Some(Price { amount, currency });
        wish
    };
    given(salon()).when(priced("450.50").asked()).then(&[priced("450.50").granted()]);
    for amount in ["four", "-1", "1e3", "", "1.", ".5"] {
        given(salon()).when(priced(amount).asked()).then_refused(BookingRefusal::BadPrice);
    }
}
