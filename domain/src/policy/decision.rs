//! Deciding about a tenant's policy.

use super::recipient::{self, is_slug};
use super::{ErasureRule, Policy, PolicyCommand, PolicyRefusal, PolicySet};
use crate::book::Book;
use crate::entry::Draft;
use crate::sealed::RetentionClass;
use crate::tag::Tag;

pub(crate) fn decide(book: &Book, command: &PolicyCommand) -> Result<Vec<Draft>, PolicyRefusal> {
    let PolicyCommand::Set { expected, policy } = command;
    let current = book.version(Tag::policy());
    if expected.is_some_and(|expected| expected != current) {
        return Err(PolicyRefusal::VersionConflict { current });
    }
    sound(policy)?;
    for (slug, known) in &book.policy.recipients {
        // Who has something of somebody's is to be told of what becomes of it.
        let Some(next) = policy.recipients.get(slug) else {
            return Err(PolicyRefusal::RecipientDropped(known.name.clone()));
        };
        if next.secret_number < known.secret_number {
            return Err(PolicyRefusal::SecretTakenBack(slug.clone()));
        }
    }
    for service in book.services.values() {
        if let Some(field) = service.requires.difference(&policy.collect).next() {
            return Err(PolicyRefusal::FieldRequired(*field));
        }
    }
    Ok(vec![Draft::now(PolicySet { policy: policy.clone() })])
}

fn sound(policy: &Policy) -> Result<(), PolicyRefusal> {
    if let Some(field) = policy.collect.iter().find(|field| !field.is_asked()) {
        return Err(PolicyRefusal::FieldNotAskable(*field));
    }
    if !(1..=12).contains(&policy.fiscal_year_ends) {
        return Err(PolicyRefusal::BadMonth);
    }
    if policy.cancel_before_minutes > 366 * 24 * 60 {
        return Err(PolicyRefusal::BadDeadline);
    }
    if policy.erasure.cooling_off_hours > ErasureRule::LONGEST_HOURS {
        return Err(PolicyRefusal::BadCoolingOff);
    }
    if policy.recipients.len() > recipient::MOST {
        return Err(PolicyRefusal::TooManyRecipients);
    }
    let mut recipients = policy.recipients.iter();
    if let Some((slug, _)) =
        recipients.find(|(slug, recipient)| !is_slug(slug) || !recipient.is_sound())
    {
        return Err(PolicyRefusal::BadRecipient(slug.clone()));
    }
    let timed = |class: &RetentionClass| match class {
        RetentionClass::Booking | RetentionClass::Health => true,
        RetentionClass::Contact
        | RetentionClass::Consent
        | RetentionClass::Accounting
        | RetentionClass::Access => false,
    };
    match policy.retention_days.keys().find(|class| !timed(class)) {
        Some(class) => Err(PolicyRefusal::ClassNotTimed(*class)),
        None => Ok(()),
    }
}
