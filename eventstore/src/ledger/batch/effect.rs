//! What an entry of a batch does to keys, links and seals that were there before.

use domain::booking::ContentErased;
use domain::ledger::PeriodEnded;
use domain::{Event, Handle, Position, RetentionClass};

use super::Batch;
use crate::engine::{self, Ended, Read, Reader, Rekeyed};
use crate::keyring::person::PersonId;
use crate::ledger::codec;
use crate::ledger::index::Pending;

/// What the writer knows of what an event is about.
#[derive(Default)]
pub(in crate::ledger) struct Known {
    /// The seals of a booking's content that it erases.
    pub ended: Vec<Ended>,
    /// Whom it restricts or frees.
    pub person: Option<PersonId>,
    /// Data keys of a booking that it moves into another fiscal year.
    pub rekeyed: Vec<Rekeyed>,
}

/// What an entry means for keys and links that were there before.
pub(super) enum Effect {
    Registered { handle: Handle },
    Rectified { was: Handle, handle: Handle },
    ContentErased { handles: Vec<Handle>, classes: Vec<RetentionClass>, ended: Vec<Ended> },
    PeriodEnded(PeriodEnded),
    Rekeyed(Vec<Rekeyed>),
    Restricted { person: PersonId, restricted: bool },
}

impl Effect {
    /// What the event means for what was there.
    pub(super) fn of(event: Event, known: Known) -> Option<Self> {
        let restricted =
            |restricted| known.person.map(|person| Self::Restricted { person, restricted });
        match event {
            Event::PersonRestricted(_) => restricted(true),
            Event::PersonUnrestricted(_) => restricted(false),
            Event::PersonRegistered(event) => {
                Some(Self::Registered { handle: event.contact.handle })
            }
            Event::PersonRectified(event) => {
                Some(Self::Rectified { was: event.was, handle: event.contact.handle })
            }
            Event::BookingContentErased(event) => {
                let (handles, classes) = (event.handles, event.classes);
                Some(Self::ContentErased { handles, classes, ended: known.ended })
            }
            Event::PeriodEnded(period) => Some(Self::PeriodEnded(period)),
            Event::BookingRescheduled(_) => {
                (!known.rekeyed.is_empty()).then_some(Self::Rekeyed(known.rekeyed))
            }
            Event::BookingRequested(_)
            | Event::BookingConfirmed(_)
            | Event::BookingDeclined(_)
            | Event::BookingCancelled(_)
            | Event::BookingCheckedIn(_)
            | Event::BookingCompleted(_)
            | Event::BookingMissed(_)
            | Event::BookingChanged(_)
            | Event::PersonErased(_)
            | Event::HoldPlaced(_)
            | Event::HoldLifted(_)
            | Event::ConsentGiven(_)
            | Event::ConsentWithdrawn(_)
            | Event::PolicyAccepted(_)
            | Event::GroupDefined(_)
            | Event::ResourceDefined(_)
            | Event::ResourceRevised(_)
            | Event::ResourceRetired(_)
            | Event::ServiceDefined(_)
            | Event::ServiceRevised(_)
            | Event::ServiceRetired(_)
            | Event::PolicySet(_)
            | Event::LedgerReopened(_)
            | Event::KeysRotated(_)
            | Event::LogKeyRotated(_)
            | Event::LedgerMoved(_)
            | Event::SealsOpened(_) => None,
        }
    }
}

impl Batch {
    /// Whom it restricts or frees.
    pub(super) fn restricted(&self) -> impl Iterator<Item = PersonId> {
        self.entries.iter().filter_map(|entry| match entry.effect {
            Some(Effect::Restricted { person, .. }) => Some(person),
            Some(
                Effect::Registered { .. }
                | Effect::Rectified { .. }
                | Effect::ContentErased { .. }
                | Effect::PeriodEnded(_)
                | Effect::Rekeyed(_),
            )
            | None => None,
        })
    }

    /// What its entries do to rows that were there before or come with them.
    pub(super) fn effects(&self) -> Vec<engine::Effect> {
        let effects = self.entries.iter().filter_map(|entry| {
            let effect = entry.effect.as_ref()?;
            self.resolve(entry.position, effect)
        });
        effects.collect()
    }

    fn resolve(&self, position: Position, effect: &Effect) -> Option<engine::Effect> {
        match effect {
            Effect::Registered { handle } => self
                .person(*handle)
                .map(|person| engine::Effect::Registered { person, position, handle: *handle }),
            Effect::Rectified { was, handle } => self.person(*handle).map(|person| {
                engine::Effect::Rectified { person, position, was: *was, handle: *handle }
            }),
            Effect::PeriodEnded(period) => Some(engine::Effect::PeriodEnded(*period)),
            Effect::Rekeyed(rekeyed) => Some(engine::Effect::Rekeyed(rekeyed.clone())),
            Effect::Restricted { person, restricted } => {
                let (person, restricted) = (*person, *restricted);
                Some(engine::Effect::Restricted { person, position, restricted })
            }
            Effect::ContentErased { handles, classes, ended } => {
                Some(engine::Effect::ContentErased {
                    handles: handles.clone(),
                    classes: classes.clone(),
                    ended: ended.clone(),
                })
            }
        }
    }

    /// The seals that an event about a booking's content ends, wherever the booking's entries have
    /// them.
    pub(in crate::ledger) fn content(
        &self,
        reader: &dyn Reader,
        positions: &[Position],
        event: &ContentErased,
    ) -> Read<Vec<Ended>> {
        let links = reader.links(&event.handles)?;
        let stored = reader.entries_at(positions)?;
        let stored = stored.iter().map(|entry| (entry.position, entry.bytes.as_slice()));
        let own = self.entries.iter().filter(|entry| positions.contains(&entry.position));
        let own = own.map(|entry| (entry.position, entry.bytes.as_slice()));
        let mut ended: Vec<Ended> = Vec::new();
        for (position, bytes) in stored.chain(own) {
            let Ok(told) = codec::decode_event(bytes) else { continue };
            // As the row of the person was made.
            let until =
                if let Event::BookingRequested(event) = &told { event.end.as_second() } else { 0 };
            for seal in told.seals() {
                let (handle, n) = (seal.handle, seal.seal);
                if !event.classes.contains(&seal.class) || !event.handles.contains(&handle) {
                    continue;
                }
                match ended.last_mut() {
                    Some(last) if (last.position, last.handle) == (position, handle) => {
                        last.seals.push(n);
                    }
                    Some(_) | None => {
                        let person = links.get(&handle).copied().or_else(|| self.person(handle));
                        ended.push(Ended { person, position, handle, until, seals: vec![n] });
                    }
                }
            }
        }
        Ok(ended)
    }
}

/// Pending rows of what an effect has ended count no seals any more.
pub(super) fn forget_seals(pending: &mut Pending, batch: &Batch, effect: &Effect) {
    match effect {
        Effect::Registered { .. }
        | Effect::PeriodEnded(_)
        | Effect::Rekeyed(_)
        | Effect::Restricted { .. } => (),
        Effect::Rectified { was, handle } => {
            let Some(person) = batch.person(*handle) else { return };
            let rows = pending.of_person_mut(person, 0).filter(|row| row.handle == *was);
            rows.for_each(|row| row.seals = 0);
        }
        Effect::ContentErased { ended, .. } => {
            for Ended { person, position, handle, until, seals } in ended {
                let Some(person) = *person else { continue };
                let count = u32::try_from(seals.len()).unwrap_or(u32::MAX);
                let rows = pending.of_person_mut(person, *until);
                let rows = rows.filter(|row| (row.position, row.handle) == (*position, *handle));
                rows.for_each(|row| row.seals = row.seals.saturating_sub(count));
            }
        }
    }
}
