//! The gate: no ledger is opened that is older than what was already promised.
//!
//! The provider's mark is not restored with the data. A ledger that ends before the mark, or has
//! other entries there, is an old or another copy, in which the erased are not erased.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::ledger::Reopened;
use domain::tag::TagKind;
use domain::{Actor, Command, Event, FenceId, Position, RegistrationId};

use super::StoreError;
use super::place::{Site, Which};
use crate::engine::{Reader, Writer};
use crate::environment::Environment;
use crate::keyring::DataKeyRow;
use crate::keyring::provider::{Mark, Provider};
use crate::keyring::seal::SealAt;
use crate::ledger::appender::Append;
use crate::ledger::{Ledger, codec, index};

/// How many entries are read at a time.
const STRETCH: usize = 1024;

/// What was lost, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub size: u64,
    pub lost_size: u64,
    pub fences: u32,
    pub origin: u32,
}

/// Compares a ledger with the provider's mark.
pub(super) fn look(
    name: &str,
    reader: &dyn Reader,
    provider: &dyn Provider,
) -> Result<(), StoreError> {
    let mark = binding(name, &provider.marks(reader.head()?.tenant)?)?;
    // Read after the marks: those of another process that goes on meanwhile follow their commits.
    compare(name, reader, reader.head()?.frontier.size(), &mark)
}

/// The mark that a ledger is held against: the furthest of the newest origin. What was written last
/// may be about an earlier place.
fn binding(name: &str, marks: &[Mark]) -> Result<Mark, StoreError> {
    // A ledger is marked before it gets its name.
    let furthest = marks.iter().max_by_key(|mark| (mark.origin, mark.size));
    furthest.copied().ok_or_else(|| StoreError::MarkLost(name.to_owned()))
}

/// Compares a ledger with the provider's mark; tells the provider of fences it has not heard of.
pub(super) fn pass(
    name: &str,
    reader: &dyn Reader,
    provider: &dyn Provider,
) -> Result<(), StoreError> {
    look(name, reader, provider)?;
    let marks = provider.marks(reader.head()?.tenant)?;
    let head = reader.head()?;
    let promised: BTreeSet<FenceId> = marks.iter().filter_map(|mark| mark.fence).collect();
    let set: BTreeSet<FenceId> =
        fences(reader, head.indexed)?.into_iter().map(|(_, fence)| fence).collect();
    let size = head.frontier.size();
    if !promised.is_subset(&set) {
        // However it came about: of somebody who was erased this ledger does not know that.
        let (tenant, mark) = (name.to_owned(), binding(name, &marks)?.size);
        return Err(StoreError::Behind { tenant, size, mark });
    }
    let unmarked: Vec<FenceId> = set.difference(&promised).copied().collect();
    if unmarked.is_empty() {
        return Ok(());
    }
    // A crash may have come between a fence and its mark.
    let last = reader.entries_at(&[Position(size.saturating_sub(1))])?.pop();
    let last_leaf = domain::ids::Hash(last.map(|entry| entry.leaf).unwrap_or_default());
    let (root, origin) = (domain::ids::Hash(head.frontier.root()), head.origin);
    let mark = |fence| Mark { fence: Some(fence), size, root, last_leaf, origin };
    let marks: Vec<Mark> = unmarked.into_iter().map(mark).collect();
    Ok(provider.add_marks(head.tenant, &marks)?)
}

fn compare(name: &str, reader: &dyn Reader, size: u64, mark: &Mark) -> Result<(), StoreError> {
    if size < mark.size {
        let tenant = name.to_owned();
        return Err(StoreError::Behind { tenant, size, mark: mark.size });
    }
    let last = reader.entries_at(&[Position(mark.size.saturating_sub(1))])?.pop();
    if last.is_none_or(|entry| entry.leaf != mark.last_leaf.0) {
        return Err(StoreError::Forked(name.to_owned()));
    }
    Ok(())
}

/// Refuses a ledger that ends before what its keyring has heard of, where that is in a database of
/// its own: the mark goes on with fences only, the keyring with every commit.
pub(super) fn reach(name: &str, reader: &dyn Reader) -> Result<(), StoreError> {
    let Some(mark) = reader.reached()? else { return Ok(()) };
    let size = reader.head()?.frontier.size();
    if size < mark {
        return Err(StoreError::Behind { tenant: name.to_owned(), size, mark });
    }
    Ok(())
}

/// The fences of a ledger that nobody has open, with their positions, in order.
fn fences(reader: &dyn Reader, indexed: u64) -> Result<Vec<(Position, FenceId)>, StoreError> {
    let range = TagKind::Fence.range();
    let stored = reader.positions(range.clone(), Position(0))?;
    let mut positions: BTreeSet<Position> = stored.into_iter().collect();
    positions.extend(index::missing_within(reader, indexed, &range)?);
    let positions: Vec<Position> = positions.into_iter().collect();
    fences_at(reader, &positions)
}

/// The fences that entries set.
pub(super) fn fences_at(
    reader: &dyn Reader,
    positions: &[Position],
) -> Result<Vec<(Position, FenceId)>, StoreError> {
    let mut fences = Vec::with_capacity(positions.len());
    for entry in reader.entries_at(positions)? {
        if let Ok(Event::PersonErased(event)) = codec::decode_event(&entry.bytes) {
            fences.push((entry.position, event.fence));
        }
    }
    Ok(fences)
}

/// Takes up an older copy: new origin, the loss on record, all fences set again.
pub(super) fn accept_loss(
    name: &str,
    site: &Site,
    provider: &Arc<dyn Provider>,
    env: &Environment,
) -> Result<Loss, StoreError> {
    let (reader, mut writer) = site.open(Which::Ledger)?;
    let head = reader.head()?;
    let known = fences(reader.as_ref(), head.indexed)?;
    let marks = provider.marks(head.tenant)?;
    let mark = binding(name, &marks)?;
    let known: BTreeSet<FenceId> = known.into_iter().map(|(_, fence)| fence).collect();
    let mut missing: Vec<FenceId> = Vec::new();
    for fence in marks.iter().filter_map(|mark| mark.fence) {
        if !known.contains(&fence) && !missing.contains(&fence) {
            missing.push(fence);
        }
    }
    let origin = mark.origin.max(head.origin) + 1;
    let mut newer = reader.reached()?.is_some();
    if newer {
        writer.cut(&restricted(reader.as_ref())?)?;
        // The ledger of who read what went back with it, and has no mark of its own.
        site.open(Which::Access)?.1.cut(&[])?;
    }
    writer.reopen(origin)?;
    for fence in &missing {
        newer |= reader.person_by_fence(*fence)?.is_none();
    }
    let mut ended = match newer {
        // Of what has ended since, a newer keyring only knows that there was something.
        true => delete_ended(reader.as_ref(), writer.as_mut(), head.frontier.size())?,
        false => 0,
    };
    let fences = u32::try_from(missing.len()).unwrap_or(u32::MAX);
    let reopened = Reopened { fences, lost_root: mark.root, lost_size: mark.size, origin };
    let ledger = Ledger::over(reader, writer, Arc::clone(provider), env)?;
    ledger.append_blocking(Append::new(Command::Ledger(reopened), Actor::System))?;
    for fence in missing {
        let of_nobody = ledger.log().reader().person_by_fence(fence)?.is_none();
        // Which of them ended how many is not known any more; together they ended these.
        let ended = if of_nobody { std::mem::take(&mut ended) } else { 0 };
        ledger.refence_blocking(fence, ended)?;
    }
    // What was promised before no longer binds: from here the mark is this ledger's. Not before all
    // fences are set: until then it is refused, and whoever was cut off begins again.
    ledger.mark_blocking()?;
    let size = head.frontier.size();
    Ok(Loss { size, lost_size: mark.size, fences, origin })
}

/// Who is restricted, by what the ledger says.
fn restricted(reader: &dyn Reader) -> Result<Vec<RegistrationId>, StoreError> {
    let range = TagKind::Standing.range();
    let mut positions = reader.positions(range.clone(), Position(0))?;
    positions.extend(index::missing_within(reader, reader.indexed()?, &range)?);
    positions.sort_unstable();
    positions.dedup();
    let mut restricted = BTreeSet::new();
    for entry in reader.entries_at(&positions)? {
        match codec::decode_event(&entry.bytes) {
            Ok(Event::PersonRestricted(event)) => drop(restricted.insert(event.registration)),
            Ok(Event::PersonUnrestricted(event)) => drop(restricted.remove(&event.registration)),
            Ok(_) | Err(_) => (),
        }
    }
    Ok(restricted.into_iter().collect())
}

/// Deletes the seals that an older ledger still has and whose keys a newer keyring has ended: by
/// erasing somebody, putting them right, or with a booking's content. How many there were.
fn delete_ended(
    reader: &dyn Reader,
    writer: &mut dyn Writer,
    size: u64,
) -> Result<u64, StoreError> {
    let (mut next, mut count) = (0, 0);
    while next < size {
        let entries = reader.entries(Position(next), STRETCH)?;
        let Some(last) = entries.last() else { break };
        next = last.position.0 + 1;
        let mut seals = Vec::new();
        for entry in entries {
            let Ok(event) = codec::decode_event(&entry.bytes) else { continue };
            let (position, kind) = (entry.position, event.kind());
            seals.extend(event.seals().into_iter().map(|seal| SealAt { position, kind, seal }));
        }
        let mut ended = Vec::new();
        for (at, row) in seals.iter().zip(reader.seals(&seals)?) {
            let gone = |key: &DataKeyRow| key.wrapped.is_none();
            if row.ciphertext.is_some() && row.data_key.as_ref().is_some_and(gone) {
                ended.push((at.position, at.seal.seal));
            }
        }
        count += u64::try_from(ended.len()).unwrap_or_default();
        writer.delete_seals(&ended)?;
    }
    Ok(count)
}
