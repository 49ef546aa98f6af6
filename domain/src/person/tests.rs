//! Given, when, then: what the ledger knows of persons, and that erasure is final.

use super::{
    Erased, HoldGround, HoldLifted, HoldPlaced, LegalHold, PersonCommand, PersonRefusal, Rectified,
    Registered, Restricted, RestrictionGround, Unrestricted,
};
use crate::event::Event;
use crate::ids::{Handle, RegistrationId};
use crate::sealed::{Contact, Field, FieldSet, RetentionClass, Sealed};
use crate::testing::{fence, given, salon, salon_and};

/// The first registration in an otherwise empty salon.
const ANNA: RegistrationId = RegistrationId(8);

fn contact(handle: u64) -> Sealed<Contact> {
    Sealed::new(Handle(handle), 0)
}

fn fields(fields: &[Field]) -> FieldSet {
    fields.iter().copied().collect()
}

fn register(given: &[Field]) -> PersonCommand {
    PersonCommand::Register { contact: contact(1), fence: fence(1), given: fields(given) }
}

fn rectify(expected: Option<u32>) -> PersonCommand {
    let (contact, given) = (contact(2), fields(&[Field::Email]));
    PersonCommand::Rectify { registration: ANNA, contact, fence: fence(1), given, expected }
}

fn erase() -> PersonCommand {
    PersonCommand::Erase { fence: fence(1), classes: vec![RetentionClass::Contact], ended: 2 }
}

fn registered() -> Event {
    Registered { contact: contact(1) }.into()
}

fn rectified(was: u64) -> Event {
    let (contact, was) = (contact(2), Handle(was));
    Rectified { contact, ended: 1, registration: ANNA, was }.into()
}

fn erased() -> Event {
    Erased { classes: vec![RetentionClass::Contact], ended: 2, fence: fence(1) }.into()
}

#[test]
fn somebody_becomes_a_client() {
    given(salon()).when(register(&[Field::Name, Field::Email])).then(&[registered()]);
}

#[test]
fn a_client_of_whom_nothing_is_known_is_none() {
    given(salon()).when(register(&[])).then_refused(PersonRefusal::NothingGiven);
}

/// F04: only what the tenant collects.
#[test]
fn a_field_that_is_not_collected_is_refused() {
    let refused = PersonRefusal::FieldNotCollected(Field::NationalId);
    given(salon()).when(register(&[Field::Name, Field::NationalId])).then_refused(refused);
}

/// F49: a client's data are put right; the entry says under which handle the old ones lay.
#[test]
fn a_record_is_put_right() {
    given(salon_and([registered()])).when(rectify(None)).then(&[rectified(1)]);
}

#[test]
fn a_record_is_put_right_from_where_it_stands() {
    let twice = || salon_and([registered(), rectified(1)]);
    given(twice()).when(rectify(Some(2))).then(&[rectified(2)]);
    let refused = PersonRefusal::VersionConflict { current: 2 };
    given(twice()).when(rectify(Some(1))).then_refused(refused);
}

#[test]
fn a_record_that_does_not_exist_is_not_put_right() {
    given(salon()).when(rectify(None)).then_refused(PersonRefusal::Unknown);
}

/// F53: one command, and a fence that says nothing but what ended.
#[test]
fn a_person_is_erased() {
    given(salon_and([registered()])).when(erase()).then(&[erased()]);
}

#[test]
fn nothing_is_sealed_behind_a_fence() {
    for wish in [register(&[Field::Name]), rectify(None), erase()] {
        let fenced = salon_and([registered(), erased()]);
        given(fenced).when(wish).then_refused(PersonRefusal::Erased);
    }
}

fn restrict(until: Option<jiff::civil::Date>) -> PersonCommand {
    PersonCommand::Restrict { registration: ANNA, ground: RestrictionGround::Objection, until }
}

fn restricted(until: Option<jiff::civil::Date>) -> Event {
    Restricted { ground: RestrictionGround::Objection, registration: ANNA, until }.into()
}

fn place(ground: HoldGround) -> PersonCommand {
    PersonCommand::PlaceHold { registration: ANNA, hold: LegalHold::on_all(ground) }
}

fn lift(ground: HoldGround) -> PersonCommand {
    PersonCommand::LiftHold { registration: ANNA, hold: LegalHold::on_all(ground) }
}

fn placed(ground: HoldGround) -> Event {
    HoldPlaced { class: None, ground, registration: ANNA }.into()
}

/// Data is restricted on one of the four grounds of the law, once, and freed again.
#[test]
fn a_person_is_restricted_and_freed() {
    let (unrestrict, freed) =
        (PersonCommand::Unrestrict { registration: ANNA }, Unrestricted { registration: ANNA });
    let once = || salon_and([registered(), restricted(None)]);
    given(salon_and([registered()])).when(restrict(None)).then(&[restricted(None)]);
    given(once()).when(restrict(None)).then_refused(PersonRefusal::AlreadyRestricted);
    given(once()).when(unrestrict.clone()).then(&[freed.into()]);
    let over = salon_and([registered(), restricted(None), freed.into()]);
    given(over).when(unrestrict).then_refused(PersonRefusal::NotRestricted);
    given(salon()).when(restrict(None)).then_refused(PersonRefusal::Unknown);
}

#[test]
fn a_restriction_is_looked_at_again_today_or_later() {
    let (today, yesterday) = (jiff::civil::date(2026, 11, 19), jiff::civil::date(2026, 11, 18));
    let client = || given(salon_and([registered()]));
    client().when(restrict(Some(today))).then(&[restricted(Some(today))]);
    client().when(restrict(Some(yesterday))).then_refused(PersonRefusal::UntilOver);
}

/// F67: two holds are lifted one by one; the data is put right after the last.
#[test]
fn a_hold_keeps_what_there_is_until_the_last_is_lifted() {
    let (claim, order) = (HoldGround::LegalClaim, HoldGround::AuthorityOrder);
    let lifted = |ground| Event::from(HoldLifted { class: None, ground, registration: ANNA });
    let both = || vec![registered(), placed(claim), placed(order)];
    given(salon_and([registered()])).when(place(claim)).then(&[placed(claim)]);
    given(salon_and(both())).when(place(claim)).then_refused(PersonRefusal::AlreadyHeld);
    given(salon_and(both())).when(rectify(None)).then_refused(PersonRefusal::Held);
    given(salon_and(both())).when(lift(claim)).then(&[lifted(claim)]);
    let one = || [both(), vec![lifted(claim)]].concat();
    given(salon_and(one())).when(lift(claim)).then_refused(PersonRefusal::NotHeld);
    given(salon_and(one())).when(rectify(None)).then_refused(PersonRefusal::Held);
    let none = [one(), vec![lifted(order)]].concat();
    given(salon_and(none)).when(rectify(None)).then(&[rectified(1)]);
    given(salon()).when(place(claim)).then_refused(PersonRefusal::Unknown);
}

/// F67: a hold on one class keeps that class, beside one on all of the same ground.
#[test]
fn a_hold_on_one_class_keeps_nothing_else() {
    let (claim, registration) = (HoldGround::LegalClaim, ANNA);
    let on = |class| LegalHold { class: Some(class), ground: claim };
    let place = |class| PersonCommand::PlaceHold { registration, hold: on(class) };
    let placed =
        |class| Event::from(HoldPlaced { class: Some(class), ground: claim, registration });
    let (health, contact) = (RetentionClass::Health, RetentionClass::Contact);
    let held = |class| given(salon_and([registered(), placed(class)]));
    held(health).when(rectify(None)).then(&[rectified(1)]);
    held(contact).when(rectify(None)).then_refused(PersonRefusal::Held);
    held(health).when(place(health)).then_refused(PersonRefusal::AlreadyHeld);
    held(health).when(place(contact)).then(&[placed(contact)]);
    held(health).when(lift(claim)).then_refused(PersonRefusal::NotHeld);
    let access = place(RetentionClass::Access);
    given(salon_and([registered()])).when(access).then_refused(PersonRefusal::ClassNotHeld);
}
