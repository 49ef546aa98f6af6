//! Deciding about consents: taking one back is always possible, and once.

use super::{Accepted, ConsentCommand, ConsentRefusal, Given, Text, Withdrawn};
use crate::book::Book;
use crate::entry::Draft;
use crate::ids::FenceId;

pub(crate) fn decide(book: &Book, command: &ConsentCommand) -> Result<Vec<Draft>, ConsentRefusal> {
    let draft = match command {
        ConsentCommand::Give { evidence, fence, purpose, medium, occasion, text } => {
            sound(book, *fence, text)?;
            Draft::now(Given {
                evidence: *evidence,
                medium: *medium,
                occasion: *occasion,
                purpose: *purpose,
                text: text.clone(),
            })
        }
        ConsentCommand::Accept { evidence, fence, occasion, text } => {
            sound(book, *fence, text)?;
            Draft::now(Accepted { evidence: *evidence, occasion: *occasion, text: text.clone() })
        }
        ConsentCommand::Withdraw { consent, occasion } => {
            let known = book.consents.get(consent).ok_or(ConsentRefusal::Unknown)?;
            let (purpose, medium) = known.allows.ok_or(ConsentRefusal::IsAcceptance)?;
            if known.withdrawn {
                return Err(ConsentRefusal::AlreadyWithdrawn);
            }
            Draft::now(Withdrawn { consent: *consent, medium, occasion: *occasion, purpose })
        }
    };
    Ok(vec![draft])
}

fn sound(book: &Book, fence: FenceId, text: &Text) -> Result<(), ConsentRefusal> {
    if book.fences.contains(&fence) {
        return Err(ConsentRefusal::Erased);
    }
    if text.is_sound() { Ok(()) } else { Err(ConsentRefusal::BadLocale) }
}
