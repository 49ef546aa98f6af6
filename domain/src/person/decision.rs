//! Deciding about persons: nothing is sealed behind a fence.

use super::{
    Erased, HoldLifted, HoldPlaced, LegalHold, PersonCommand, PersonRefusal, Rectified, Registered,
    Registration, Restricted, Unrestricted,
};
use crate::book::Book;
use crate::entry::{Context, Draft};
use crate::ids::{FenceId, RegistrationId};
use crate::sealed::{FieldSet, RetentionClass};

pub(crate) fn decide(
    book: &Book,
    command: &PersonCommand,
    context: &Context,
) -> Result<Vec<Draft>, PersonRefusal> {
    let draft = match command {
        PersonCommand::Register { contact, fence, given } => {
            open(book, *fence)?;
            collected(book, *given)?;
            Draft::now(Registered { contact: *contact })
        }
        PersonCommand::Rectify { registration, contact, fence, given, expected } => {
            open(book, *fence)?;
            collected(book, *given)?;
            let known = registered(book, *registration)?;
            // The old value would be destroyed.
            not_held(book, *registration)?;
            if let Some(expected) = expected
                && *expected != known.version
            {
                return Err(PersonRefusal::VersionConflict { current: known.version });
            }
            let (registration, was) = (*registration, known.handle);
            Draft::now(Rectified { contact: *contact, ended: 1, registration, was })
        }
        PersonCommand::Restrict { registration, ground, until } => {
            let (registration, ground, until) = (*registration, *ground, *until);
            registered(book, registration)?;
            if book.restricted.contains(&registration) {
                return Err(PersonRefusal::AlreadyRestricted);
            }
            let today = book.policy.zone.local(context.now).date();
            if until.is_some_and(|until| until < today) {
                return Err(PersonRefusal::UntilOver);
            }
            Draft::now(Restricted { ground, registration, until })
        }
        PersonCommand::Unrestrict { registration } => {
            let registration = *registration;
            if !book.restricted.contains(&registration) {
                return Err(PersonRefusal::NotRestricted);
            }
            Draft::now(Unrestricted { registration })
        }
        PersonCommand::PlaceHold { registration, hold } => {
            let (registration, LegalHold { class, ground }) = (*registration, *hold);
            registered(book, registration)?;
            if class == Some(RetentionClass::Access) {
                return Err(PersonRefusal::ClassNotHeld);
            }
            if holds(book, registration, *hold) {
                return Err(PersonRefusal::AlreadyHeld);
            }
            Draft::now(HoldPlaced { class, ground, registration })
        }
        PersonCommand::LiftHold { registration, hold } => {
            let (registration, LegalHold { class, ground }) = (*registration, *hold);
            if !holds(book, registration, *hold) {
                return Err(PersonRefusal::NotHeld);
            }
            Draft::now(HoldLifted { class, ground, registration })
        }
        PersonCommand::Erase { fence, classes, ended } => {
            open(book, *fence)?;
            Draft::now(Erased { classes: classes.clone(), ended: *ended, fence: *fence })
        }
    };
    Ok(vec![draft])
}

fn open(book: &Book, fence: FenceId) -> Result<(), PersonRefusal> {
    if book.fences.contains(&fence) { Err(PersonRefusal::Erased) } else { Ok(()) }
}

fn registered(book: &Book, id: RegistrationId) -> Result<&Registration, PersonRefusal> {
    book.registrations.get(&id).ok_or(PersonRefusal::Unknown)
}

fn holds(book: &Book, id: RegistrationId, hold: LegalHold) -> bool {
    book.legal_holds.get(&id).is_some_and(|holds| holds.contains(&hold))
}

fn not_held(book: &Book, id: RegistrationId) -> Result<(), PersonRefusal> {
    match book.holds_class(id, RetentionClass::Contact) {
        true => Err(PersonRefusal::Held),
        false => Ok(()),
    }
}

fn collected(book: &Book, given: FieldSet) -> Result<(), PersonRefusal> {
    if given == FieldSet::default() {
        return Err(PersonRefusal::NothingGiven);
    }
    match given.iter().find(|field| !book.policy.collect.contains(field)) {
        Some(field) => Err(PersonRefusal::FieldNotCollected(field)),
        None => Ok(()),
    }
}
