//! Given, when, then: what the ledger knows of persons, and that erasure is final.

use super::{Erased, PersonCommand, PersonRefusal, Rectified, Registered};
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
