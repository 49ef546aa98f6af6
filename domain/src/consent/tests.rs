//! Given, when, then: consents are given, and taken back once; accepting a policy is no consent.

use super::{
    Accepted, ConsentCommand, ConsentRefusal, Given, Medium, Occasion, Purpose, Text, Withdrawn,
};
use crate::event::Event;
use crate::ids::{ConsentId, Handle, Hash};
use crate::person::Erased;
use crate::sealed::{Evidence, RetentionClass, Sealed};
use crate::testing::{fence, given, salon, salon_and};

/// The first consent in an otherwise empty salon.
const FIRST: ConsentId = ConsentId(8);
const EMAIL: Medium = Medium::Email;
const NEWS: Purpose = Purpose::Newsletter;

fn text(locale: &str) -> Text {
    Text { hash: Hash([7; 32]), locale: locale.to_owned() }
}

fn evidence() -> Sealed<Evidence> {
    Sealed::new(Handle(1), 0)
}

fn give(locale: &str) -> ConsentCommand {
    let (evidence, occasion, text) = (evidence(), Occasion::Desk, text(locale));
    ConsentCommand::Give { evidence, fence: fence(1), purpose: NEWS, medium: EMAIL, occasion, text }
}

fn accept() -> ConsentCommand {
    let (evidence, occasion, text) = (evidence(), Occasion::Booking, text("sv"));
    ConsentCommand::Accept { evidence, fence: fence(1), occasion, text }
}

fn withdraw() -> ConsentCommand {
    ConsentCommand::Withdraw { consent: FIRST, occasion: Occasion::Link }
}

fn was_given() -> Event {
    let (occasion, text) = (Occasion::Desk, text("sv"));
    Given { evidence: evidence(), medium: EMAIL, occasion, purpose: NEWS, text }.into()
}

fn accepted() -> Event {
    Accepted { evidence: evidence(), occasion: Occasion::Booking, text: text("sv") }.into()
}

fn withdrawn() -> Event {
    Withdrawn { consent: FIRST, medium: EMAIL, occasion: Occasion::Link, purpose: NEWS }.into()
}

/// F43: for one purpose by one medium, with the text that was shown.
#[test]
fn a_consent_is_given() {
    given(salon()).when(give("sv")).then(&[was_given()]);
}

#[test]
fn a_consent_is_taken_back() {
    given(salon_and([was_given()])).when(withdraw()).then(&[withdrawn()]);
}

#[test]
fn a_consent_is_taken_back_once() {
    let events = salon_and([was_given(), withdrawn()]);
    given(events).when(withdraw()).then_refused(ConsentRefusal::AlreadyWithdrawn);
}

#[test]
fn what_was_taken_back_can_be_given_again() {
    given(salon_and([was_given(), withdrawn()])).when(give("sv")).then(&[was_given()]);
}

#[test]
fn a_consent_that_was_never_given_is_not_taken_back() {
    given(salon()).when(withdraw()).then_refused(ConsentRefusal::Unknown);
}

/// F38: accepting the terms is an event of its own kind.
#[test]
fn a_policy_is_accepted() {
    given(salon()).when(accept()).then(&[accepted()]);
}

/// F38: and no consent, so there is nothing to take back.
#[test]
fn an_acceptance_is_no_consent() {
    given(salon_and([accepted()])).when(withdraw()).then_refused(ConsentRefusal::IsAcceptance);
}

#[test]
fn nothing_is_sealed_behind_a_fence() {
    let classes = vec![RetentionClass::Consent];
    let erased = Event::from(Erased { classes, ended: 0, fence: fence(1) });
    for wish in [give("sv"), accept()] {
        given(salon_and([erased.clone()])).when(wish).then_refused(ConsentRefusal::Erased);
    }
}

#[test]
fn taking_back_is_possible_behind_a_fence() {
    let erased = Erased { classes: vec![RetentionClass::Consent], ended: 1, fence: fence(1) };
    given(salon_and([was_given(), erased.into()])).when(withdraw()).then(&[withdrawn()]);
}

#[test]
fn a_locale_is_a_language_tag() {
    for locale in ["sv", "nb-NO", "zh-Hant-TW"] {
        assert!(given(salon()).when(give(locale)).result().is_ok(), "{locale}");
    }
    for locale in ["", "s", "sv_SE", "sv-", "Svenska för Anna", "abcdefghi"] {
        given(salon()).when(give(locale)).then_refused(ConsentRefusal::BadLocale);
    }
}
