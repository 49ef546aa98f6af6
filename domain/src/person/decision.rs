//! Deciding about persons: nothing is sealed behind a fence.

use super::{
    Erased, HoldGround, HoldLifted, HoldPlaced, PersonCommand, PersonRefusal, Rectified,
    Registered, Registration, Restricted, Unrestricted,
};
use crate::book::Book;
use crate::entry::{Context, Draft};
use crate::ids::{FenceId, RegistrationId};
use crate::sealed::FieldSet;

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
        PersonCommand::PlaceHold { registration, ground } => {
            let (registration, ground) = (*registration, *ground);
            registered(book, registration)?;
            if holds(book, registration, ground) {
                return Err(PersonRefusal::AlreadyHeld);
            }
            Draft::now(HoldPlaced { ground, registration })
        }
        PersonCommand::LiftHold { registration, ground } => {
            let (registration, ground) = (*registration, *ground);
            if !holds(book, registration, ground) {
                return Err(PersonRefusal::NotHeld);
            }
            Draft::now(HoldLifted { ground, registration })
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

fn holds(book: &Book, id: RegistrationId, ground: HoldGround) -> bool {
    book.legal_holds.get(&id).is_some_and(|grounds| grounds.contains(&ground))
}

fn not_held(book: &Book, id: RegistrationId) -> Result<(), PersonRefusal> {
    if book.legal_holds.contains_key(&id) { Err(PersonRefusal::Held) } else { Ok(()) }
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
