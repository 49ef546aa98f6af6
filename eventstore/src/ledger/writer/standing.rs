//! How it stands with persons when something is decided: who is restricted, and what is held.
//!
//! The book knows registrations, the keyring whose they are. Both are few at any time, so that
//! nothing is looked up where nobody is restricted or held.

use std::collections::BTreeSet;

use domain::booking::{BookingCommand, Change};
use domain::ledger::PeriodEnded;
use domain::{Command, Event, Handle, RegistrationId, RetentionClass};

use super::Writer;
use crate::keyring::KeyError;
use crate::keyring::person::PersonId;
use crate::ledger::appender::{Append, AppendError};
use crate::ledger::batch::Batch;
use crate::ledger::codec;
use crate::ledger::loader;
use crate::ledger::log::ReadError;

/// Classes that are held.
type Classes = BTreeSet<RetentionClass>;

impl Writer {
    /// Nothing more is taken in for somebody who was restricted after it was sealed.
    pub(super) fn not_restricted(&self, batch: &Batch, append: &Append) -> Result<(), AppendError> {
        if self.book.restricted.is_empty() {
            return Ok(());
        }
        let brought = &append.brought;
        let persons = brought.links.iter().map(|(_, person)| *person);
        let known = persons.filter(|person| {
            !batch.is_new(*person) && !brought.persons.iter().any(|new| new.id == *person)
        });
        let infos = self.keyring.infos(known)?;
        let restricted = |id: &RegistrationId| self.book.restricted.contains(id);
        match infos.values().any(|info| info.registration.as_ref().is_some_and(restricted)) {
            true => Err(KeyError::Restricted.into()),
            false => Ok(()),
        }
    }

    /// The classes that a legal hold keeps of what a command would end.
    pub(super) fn held(&self, command: &Command) -> Result<Classes, AppendError> {
        if self.book.legal_holds.is_empty() {
            return Ok(Classes::new());
        }
        match command {
            Command::Booking(BookingCommand::Change {
                booking,
                change: Change::EraseContent | Change::Expire,
                ..
            }) => {
                let booking = self.book.bookings.get(booking);
                self.held_of(booking.map(|booking| booking.handles.as_slice()).unwrap_or_default())
            }
            Command::Period(period) => Ok(match self.is_year_held(*period)? {
                true => Classes::from([period.class]),
                false => Classes::new(),
            }),
            Command::Booking(_)
            | Command::Person(_)
            | Command::Consent(_)
            | Command::Catalogue(_)
            | Command::Policy(_)
            | Command::Ledger(_)
            | Command::Keys(_)
            | Command::LogKey(_)
            | Command::Moved(_)
            | Command::Access(_) => Ok(Classes::new()),
        }
    }

    fn held_of(&self, handles: &[Handle]) -> Result<Classes, AppendError> {
        let persons = self.log.reader().links(handles)?.into_values();
        let infos = self.keyring.infos(persons)?;
        let of: Vec<RegistrationId> = infos.values().filter_map(|info| info.registration).collect();
        let held = |class: &RetentionClass| of.iter().any(|id| self.book.holds_class(*id, *class));
        Ok(RetentionClass::ALL.into_iter().filter(held).collect())
    }

    /// Whether somebody who is held has something that ends with the year.
    fn is_year_held(&self, period: PeriodEnded) -> Result<bool, AppendError> {
        for registration in self.book.legal_holds.keys() {
            if !self.book.holds_class(*registration, period.class) {
                continue;
            }
            let Some(person) = self.registered(*registration)? else { continue };
            for row in loader::all_rows(&self.log, person)? {
                if self.hangs_on(row.handle, period.class, period.year)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn hangs_on(
        &self,
        handle: Handle,
        class: RetentionClass,
        year: i16,
    ) -> Result<bool, ReadError> {
        let row = self.log.reader().data_key_row(handle, class)?;
        Ok(row.is_some_and(|row| row.year == Some(year) && row.wrapped.is_some()))
    }

    /// Who was registered by an entry, if anybody is linked to it any more.
    pub(super) fn registered(&self, id: RegistrationId) -> Result<Option<PersonId>, ReadError> {
        let position = domain::Position(id.0);
        let Some(entry) = self.log.entry(position)? else { return Ok(None) };
        let event =
            codec::decode_event(&entry.bytes).map_err(|error| ReadError::Entry(position, error))?;
        let Event::PersonRegistered(event) = event else { return Ok(None) };
        self.stored_person(event.contact.handle)
    }
}
