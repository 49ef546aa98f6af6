//! Where an import goes: into the ledger, or into a book that is thrown away after a dry run.

use domain::booking::{BookingCommand, Request};
use domain::{Actor, Book, Command, Context, Position, Refusal};
use eventstore::{Append, AppendError, Log, Tenant};
use jiff::Timestamp;

use super::ImportError;
use super::refusal::Why;
use crate::desk::DeskError;

/// Entries that are read at once for a dry run.
const STRIDE: usize = 2000;

/// Where an import goes.
pub(super) enum Target<'a> {
    Ledger(&'a Tenant),
    Trial(Box<Trial>),
}

impl Target<'_> {
    /// Has a command decided at once; answers where its first entry stands.
    pub(super) fn settle(
        &mut self,
        command: Command,
    ) -> Result<Result<Position, Why>, ImportError> {
        match self {
            Self::Ledger(tenant) => {
                let append = Append::new(command, Actor::System);
                match tenant.ledger.append_blocking(append) {
                    Ok(appended) => Ok(Ok(appended.first)),
                    Err(AppendError::Refused(refusal)) => Ok(Err(refusal.into())),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Trial(trial) => Ok(trial.decide(&command, trial.now).map_err(Why::from)),
        }
    }
}

/// A book with everything that the ledger holds, on which a dry run decides.
pub(super) struct Trial {
    book: Book,
    /// Never before the last entry, as in the ledger.
    now: Timestamp,
}

impl Trial {
    /// Folds a whole ledger.
    pub(super) fn of(log: &Log, mut now: Timestamp) -> Result<Self, ImportError> {
        let mut book = Book::default();
        loop {
            let entries = log.entries(book.next, STRIDE)?;
            if entries.is_empty() {
                return Ok(Self { book, now });
            }
            for entry in entries {
                let position = entry.position;
                let decoded = entry.decode().map_err(|error| DeskError::Entry(position, error))?;
                book.apply_next(&decoded.recorded.event, &decoded.tags);
                now = now.max(decoded.recorded.recorded_at);
            }
        }
    }

    /// Decides a booking as the ledger would.
    pub(super) fn book(&mut self, request: Request, booked: Timestamp) -> Result<(), Refusal> {
        let command = Command::Booking(BookingCommand::Request(Box::new(request)));
        self.decide(&command, booked).map(drop)
    }

    fn decide(&mut self, command: &Command, occurred_at: Timestamp) -> Result<Position, Refusal> {
        let (now, actor, visits) = (self.now, Actor::System, [].into());
        let context = Context { now, occurred_at, actor, visits, held: [].into() };
        let drafts = self.book.decide(command, &context)?;
        let first = self.book.next;
        for draft in drafts {
            self.book.take(draft);
        }
        Ok(first)
    }
}
