//! Deciding about persons: nothing is sealed behind a fence.

use super::{Erased, PersonCommand, PersonRefusal, Rectified, Registered};
use crate::book::Book;
use crate::entry::Draft;
use crate::ids::FenceId;
use crate::sealed::FieldSet;

pub(crate) fn decide(book: &Book, command: &PersonCommand) -> Result<Vec<Draft>, PersonRefusal> {
    let draft = match command {
        PersonCommand::Register { contact, fence, given } => {
            open(book, *fence)?;
            collected(book, *given)?;
            Draft::now(Registered { contact: *contact })
        }
        PersonCommand::Rectify { registration, contact, fence, given, expected } => {
            open(book, *fence)?;
            collected(book, *given)?;
            let known = book.registrations.get(registration).ok_or(PersonRefusal::Unknown)?;
            if let Some(expected) = expected
                && *expected != known.version
            {
                return Err(PersonRefusal::VersionConflict { current: known.version });
            }
            let (registration, was) = (*registration, known.handle);
            Draft::now(Rectified { contact: *contact, ended: 1, registration, was })
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

fn collected(book: &Book, given: FieldSet) -> Result<(), PersonRefusal> {
    if given == FieldSet::default() {
        return Err(PersonRefusal::NothingGiven);
    }
    match given.iter().find(|field| !book.policy.collect.contains(field)) {
        Some(field) => Err(PersonRefusal::FieldNotCollected(field)),
        None => Ok(()),
    }
}
