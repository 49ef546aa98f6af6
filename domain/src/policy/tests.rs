//! Given, when, then: what a tenant may decide for itself.

use super::{Policy, PolicyCommand, PolicyRefusal, PolicySet};
use crate::catalogue::{Length, Service, ServiceDefined};
use crate::sealed::{Field, RetentionClass};
use crate::testing::{given, policy, salon, salon_and, service};

fn set(policy: &Policy) -> PolicyCommand {
    PolicyCommand::Set(policy.clone())
}

#[test]
fn a_policy_is_set() {
    let collect = [Field::Name, Field::HealthNote].into();
    let policy = Policy { collect, cancel_before_minutes: 1440, ..policy() };
    given([]).when(set(&policy)).then(&[PolicySet { policy }.into()]);
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
