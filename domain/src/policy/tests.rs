//! Given, when, then: what a tenant may decide for itself.

use super::{
    ErasureRule, Policy, PolicyCommand, PolicyRefusal, PolicySet, Recipient, RecipientRole,
};
use crate::catalogue::{Length, Service, ServiceDefined};
use crate::sealed::{Field, RetentionClass};
use crate::testing::{given, policy, salon, salon_and, service};

fn set(policy: &Policy) -> PolicyCommand {
    PolicyCommand::Set { expected: None, policy: policy.clone() }
}

#[test]
fn a_policy_is_set() {
    let collect = [Field::Name, Field::HealthNote].into();
    let policy = Policy { collect, cancel_before_minutes: 1440, ..policy() };
    given([]).when(set(&policy)).then(&[PolicySet { policy }.into()]);
}

#[test]
fn a_policy_that_has_changed_since_it_was_seen_is_not_set() {
    let events = || [PolicySet { policy: policy() }.into(), PolicySet { policy: policy() }.into()];
    let set = |expected| PolicyCommand::Set { expected: Some(expected), policy: policy() };
    let stale = PolicyRefusal::VersionConflict { current: 2 };
    given(events()).when(set(1)).then_refused(stale);
    given(events()).when(set(2)).then(&[PolicySet { policy: policy() }.into()]);
}

#[test]
fn the_programs_own_fields_cannot_be_asked_for() {
    for field in [Field::Whom, Field::Evidence, Field::CancelNote] {
        let policy = Policy { collect: [field].into(), ..policy() };
        given(salon()).when(set(&policy)).then_refused(PolicyRefusal::FieldNotAskable(field));
    }
}

/// F04: a field that a service requires is collected.
#[test]
fn a_field_that_a_service_requires_stays() {
    let length = Length::Fixed { minutes: 60 };
    let service = Service { requires: [Field::Email].into(), ..service("Clinic", length) };
    let events = salon_and([ServiceDefined { service }.into()]);
    let policy = Policy { collect: [Field::Name].into(), ..policy() };
    given(events).when(set(&policy)).then_refused(PolicyRefusal::FieldRequired(Field::Email));
}

#[test]
fn a_fiscal_year_ends_in_a_month() {
    for month in [0, 13] {
        let policy = Policy { fiscal_year_ends: month, ..policy() };
        given(salon()).when(set(&policy)).then_refused(PolicyRefusal::BadMonth);
    }
}

#[test]
fn a_deadline_is_at_most_a_year() {
    let year = 366 * 24 * 60;
    let with = |minutes| Policy { cancel_before_minutes: minutes, ..policy() };
    given(salon()).when(set(&with(year))).then(&[PolicySet { policy: with(year) }.into()]);
    given(salon()).when(set(&with(year + 1))).then_refused(PolicyRefusal::BadDeadline);
}

#[test]
fn only_what_was_said_around_a_booking_ends_after_days() {
    for class in RetentionClass::ALL {
        let policy = Policy { retention_days: [(class, 90)].into(), ..policy() };
        let result = given(salon()).when(set(&policy)).result();
        match class {
            RetentionClass::Booking | RetentionClass::Health => assert!(result.is_ok()),
            RetentionClass::Contact
            | RetentionClass::Consent
            | RetentionClass::Accounting
            | RetentionClass::Access => {
                assert_eq!(result, Err(PolicyRefusal::ClassNotTimed(class).into()));
            }
        }
    }
}

fn recipient() -> Recipient {
    Recipient {
        classes: [RetentionClass::Contact].into(),
        country: "DK".to_owned(),
        endpoint: Some("https://mail.example/hook".to_owned()),
        name: "Mail house".to_owned(),
        purpose: "sending mail".to_owned(),
        retired: false,
        role: RecipientRole::Processor,
        secret_number: 0,
    }
}

fn with(slug: &str, recipient: Recipient) -> Policy {
    Policy { recipients: [(slug.to_owned(), recipient)].into(), ..policy() }
}

/// Whoever has something of somebody's is to be told of what becomes of it, for good.
#[test]
fn a_recipient_is_retired_and_never_dropped() {
    let known = || salon_and([PolicySet { policy: with("mail", recipient()) }.into()]);
    let dropped = PolicyRefusal::RecipientDropped("Mail house".to_owned());
    given(known()).when(set(&policy())).then_refused(dropped);
    let retired = with("mail", Recipient { retired: true, ..recipient() });
    given(known()).when(set(&retired)).then(&[PolicySet { policy: retired }.into()]);
}

/// A policy written from an older one, or by a program that does not know the number, would bring back what
/// others may know.
#[test]
fn a_secret_that_was_exchanged_does_not_come_back() {
    let numbered = |secret_number| with("mail", Recipient { secret_number, ..recipient() });
    let known = || salon_and([PolicySet { policy: numbered(2) }.into()]);
    let refused = PolicyRefusal::SecretTakenBack("mail".to_owned());
    given(known()).when(set(&numbered(1))).then_refused(refused);
    given(known()).when(set(&numbered(3))).then(&[PolicySet { policy: numbered(3) }.into()]);
}

#[test]
fn a_recipient_is_called_described_and_addressed_as_one_can_be() {
    let refused = |slug: &str, recipient| {
        let bad = PolicyRefusal::BadRecipient(slug.to_owned());
        given(salon()).when(set(&with(slug, recipient))).then_refused(bad);
    };
    for slug in ["", "Mail", "mail house", "mail/house"] {
        refused(slug, recipient());
    }
    for country in ["", "dk", "DNK", "D1"] {
        refused("mail", Recipient { country: country.to_owned(), ..recipient() });
    }
    for endpoint in ["", "ftp://mail.example", "https://", "https:///hook", "https://a b"] {
        refused("mail", Recipient { endpoint: Some(endpoint.to_owned()), ..recipient() });
    }
    refused("mail", Recipient { name: " ".to_owned(), ..recipient() });
    refused("mail", Recipient { purpose: String::new(), ..recipient() });
}

#[test]
fn an_erasure_waits_for_a_fortnight_at_most() {
    let waits = |hours| {
        let erasure = ErasureRule { approval: true, cooling_off_hours: hours };
        Policy { erasure, ..policy() }
    };
    let longest = waits(ErasureRule::LONGEST_HOURS);
    given(salon()).when(set(&longest)).then(&[PolicySet { policy: longest }.into()]);
    let longer = waits(ErasureRule::LONGEST_HOURS + 1);
    given(salon()).when(set(&longer)).then_refused(PolicyRefusal::BadCoolingOff);
}
