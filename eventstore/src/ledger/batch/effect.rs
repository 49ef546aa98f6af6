//! What an entry of a batch does to keys, links and seals that were there before.

use domain::{BookingId, Event, Handle, Position};

use super::Batch;
use crate::engine::{self, Read, Reader};
use crate::ledger::codec;
use crate::ledger::index::{PersonRow, Waiting};

/// What an entry means for keys and links that were there before.
pub(super) enum Effect {
    Registered { handle: Handle },
    Rectified { was: Handle, handle: Handle },
    ContentErased { booking: BookingId, handles: Vec<Handle>, positions: Vec<Position> },
}

impl Effect {
    /// What the event means for what was there; `positions` are the earlier entries it concerns.
    pub(super) fn of(event: Event, positions: Vec<Position>) -> Option<Self> {
        match event {
            Event::PersonRegistered(event) => {
                Some(Self::Registered { handle: event.contact.handle })
            }
            Event::PersonRectified(event) => {
                Some(Self::Rectified { was: event.was, handle: event.contact.handle })
            }
            Event::BookingContentErased(event) => {
                let (booking, handles) = (event.booking, event.handles);
                Some(Self::ContentErased { booking, handles, positions })
            }
            Event::BookingRequested(_)
            | Event::BookingConfirmed(_)
            | Event::BookingDeclined(_)
            | Event::BookingRescheduled(_)
            | Event::BookingCancelled(_)
            | Event::BookingCheckedIn(_)
            | Event::BookingCompleted(_)
            | Event::BookingMissed(_)
            | Event::BookingChanged(_)
            | Event::PersonErased(_)
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
            | Event::SealsOpened(_) => None,
        }
    }
}

impl Batch {
    /// What its entries do to rows that were there before or come with them.
    pub(super) fn effects(&self, reader: &dyn Reader) -> Read<Vec<engine::Effect>> {
        let mut effects = Vec::new();
        for entry in &self.entries {
            if let Some(effect) = &entry.effect {
                effects.extend(self.resolve(reader, entry.position, effect)?);
            }
        }
        Ok(effects)
    }

    fn resolve(
        &self,
        reader: &dyn Reader,
        position: Position,
        effect: &Effect,
    ) -> Read<Option<engine::Effect>> {
        Ok(match effect {
            Effect::Registered { handle } => self
                .person(*handle)
                .map(|person| engine::Effect::Registered { person, position, handle: *handle }),
            Effect::Rectified { was, handle } => self.person(*handle).map(|person| {
                engine::Effect::Rectified { person, position, was: *was, handle: *handle }
            }),
            Effect::ContentErased { booking, handles, positions } => {
                Some(engine::Effect::ContentErased {
                    booking: *booking,
                    handles: handles.clone(),
                    seals: self.content(reader, positions, handles)?,
                })
            }
        })
    }

    /// The seals of a booking's own content, wherever its entries have them.
    fn content(
        &self,
        reader: &dyn Reader,
        positions: &[Position],
        handles: &[Handle],
    ) -> Read<Vec<(Position, u16)>> {
        let stored = reader.entries_at(positions)?;
        let stored = stored.iter().map(|entry| (entry.position, entry.bytes.as_slice()));
        let own = self.entries.iter().filter(|entry| positions.contains(&entry.position));
        let own = own.map(|entry| (entry.position, entry.bytes.as_slice()));
        let mut seals = Vec::new();
        for (position, bytes) in stored.chain(own) {
            let Ok(event) = codec::decode_event(bytes) else { continue };
            for seal in event.seals() {
                let content = domain::booking::aggregate::is_content(seal.class);
                if content && handles.contains(&seal.handle) {
                    seals.push((position, seal.seal));
                }
            }
        }
        Ok(seals)
    }
}

/// Pending rows of what an effect has ended count no seals any more.
pub(super) fn forget_seals(rows: &mut Waiting<PersonRow>, batch: &Batch, effect: &Effect) {
    let ended = |row: &PersonRow| match effect {
        Effect::Registered { .. } => false,
        Effect::Rectified { was, handle } => {
            row.handle == *was && Some(row.person) == batch.person(*handle)
        }
        Effect::ContentErased { booking, .. } => row.booking == Some(*booking),
    };
    if matches!(effect, Effect::Registered { .. }) {
        return;
    }
    rows.iter_mut().filter(|row| ended(row)).for_each(|row| row.seals = 0);
}
