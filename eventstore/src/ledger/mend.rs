//! Bringing a keyring that is older than its ledger back to what the ledger says has ended.
//!
//! Where the keyring is in a database of its own, that may be an older copy while the ledger is not.
//! Then the erased would open again. Keys that came after the copy are lost, and say so; what
//! ended after it ends again before anybody asks for anything.

use std::collections::BTreeMap;

use domain::person::{Restricted, Unrestricted};
use domain::{Event, Handle, Position, RegistrationId, Tag};

use super::batch::Batch;
use super::codec;
use super::index::{self, Pending, StoredLinks, rows_of};
use super::log::ReadError;
use crate::engine::{Effect, EngineError, Older, Reader, Writer};
use crate::keyring::person::PersonId;

/// How many entries are read at a time.
const STRETCH: usize = 1024;

/// Brings a keyring up to its ledger, where it is behind.
pub(crate) fn mend(reader: &dyn Reader, writer: &mut dyn Writer) -> Result<(), EngineError> {
    let Some(lag) = reader.lag().map_err(EngineError::of_reading)? else { return Ok(()) };
    let older = missed(reader, *lag.start(), *lag.end()).map_err(EngineError::of_reading)?;
    if !writer.take_up(&older)? {
        return Ok(());
    }
    tracing::warn!(
        from = lag.start(),
        to = lag.end(),
        fences = older.fences.len(),
        "a keyring was older than its ledger: keys that came with these entries are lost, and what \
         they ended was ended again"
    );
    Ok(())
}

fn missed(reader: &dyn Reader, from: u64, size: u64) -> Result<Older, ReadError> {
    let mut older = Older { from, size, ..Older::default() };
    let stored = StoredLinks::new(reader);
    let pending = index::rebuild(reader, reader.indexed()?)?;
    // Whose handles they are that the keyring has lost.
    let mut links = BTreeMap::new();
    let mut next = from;
    while next < size {
        let limit = usize::try_from(size - next).unwrap_or(STRETCH).min(STRETCH);
        let entries = reader.entries(Position(next), limit)?;
        let Some(last) = entries.last() else { return Err(ReadError::Head) };
        next = last.position.0 + 1;
        for entry in entries {
            let damaged = |error| ReadError::Entry(entry.position, error);
            let told = codec::decode(&entry.bytes).map_err(damaged)?.recorded;
            let (at, event) = (told.recorded_at.as_second(), told.event);
            let handles = event.seals().iter().map(|seal| seal.handle.0).max();
            older.next_handle = older.next_handle.max(handles.map_or(0, |most| most + 1));
            if let Event::PersonErased(erased) = &event {
                older.fences.push((erased.fence, (entry.position, at)));
            }
            older.rows.extend(rows_of(entry.position, &event, &stored));
            let effect = effect((reader, &pending), &mut links, entry.position, event)?;
            older.effects.extend(effect.map(|effect| (effect, at)));
        }
    }
    stored.sound()?;
    Ok(older)
}

/// What an entry did to keys and links that the keyring still has.
fn effect(
    (reader, pending): (&dyn Reader, &Pending),
    links: &mut BTreeMap<Handle, PersonId>,
    position: Position,
    event: Event,
) -> Result<Option<Effect>, ReadError> {
    if let Event::PersonRestricted(Restricted { registration, .. }) = event {
        return restricted(reader, registration, position, true);
    }
    if let Event::PersonUnrestricted(Unrestricted { registration }) = event {
        return restricted(reader, registration, position, false);
    }
    if let Event::PeriodEnded(period) = event {
        return Ok(Some(Effect::PeriodEnded(period)));
    }
    if let Event::PersonRectified(event) = event {
        let (was, handle) = (event.was, event.contact.handle);
        let linked = reader.links(&[was])?.remove(&was).or_else(|| links.remove(&was));
        let Some(person) = linked else { return Ok(None) };
        links.insert(handle, person);
        return Ok(Some(Effect::Rectified { person, position, was, handle }));
    }
    let Event::BookingContentErased(event) = event else { return Ok(None) };
    let tag = Tag::booking(event.booking);
    let mut positions = reader.positions(tag..=tag, Position(0))?;
    positions.extend(pending.positions(tag));
    positions.push(Position(event.booking.0));
    positions.sort_unstable();
    positions.dedup();
    let ended = Batch::default().content(reader, &positions, &event)?;
    let (handles, classes) = (event.handles, event.classes);
    Ok(Some(Effect::ContentErased { handles, classes, ended }))
}

fn restricted(
    reader: &dyn Reader,
    registration: RegistrationId,
    position: Position,
    restricted: bool,
) -> Result<Option<Effect>, ReadError> {
    let at = Position(registration.0);
    let Some(entry) = reader.entries_at(&[at])?.pop() else { return Ok(None) };
    let event = codec::decode_event(&entry.bytes).map_err(|error| ReadError::Entry(at, error))?;
    let Event::PersonRegistered(event) = event else { return Ok(None) };
    let handle = event.contact.handle;
    let person = reader.links(&[handle])?.remove(&handle);
    Ok(person.map(|person| Effect::Restricted { person, position, restricted }))
}
