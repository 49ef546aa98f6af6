//! The gate: no ledger is opened that is older than what was already promised.
//!
//! The provider's mark is not restored with the data. A ledger that ends before the mark, or has
//! other entries there, is an old or another copy, in which the erased are not erased.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::ledger::Reopened;
use domain::tag::TagKind;
use domain::{Actor, Command, Event, FenceId, Position};

use super::StoreError;
use super::place::{Site, Which};
use crate::engine::Reader;
use crate::environment::Environment;
use crate::keyring::provider::{Mark, Provider};
use crate::ledger::appender::Append;
use crate::ledger::{Ledger, codec, index};

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
    let head = reader.head()?;
    let marks = provider.marks(head.tenant)?;
    // A ledger is marked before it gets its name.
    let mark = marks.last().ok_or_else(|| StoreError::MarkLost(name.to_owned()))?;
    compare(name, reader, head.frontier.size(), mark)
}

/// Compares a ledger with the provider's mark; tells the provider of fences it has not heard of.
pub(super) fn pass(
    name: &str,
    reader: &dyn Reader,
    provider: &dyn Provider,
) -> Result<(), StoreError> {
    look(name, reader, provider)?;
    let head = reader.head()?;
    let marks = provider.marks(head.tenant)?;
    let Some(mark) = marks.last() else { return Ok(()) };
    let known: BTreeSet<FenceId> = marks.iter().filter_map(|mark| mark.fence).collect();
    // A crash may have come between a fence and its mark.
    for (position, fence) in fences(reader, head.indexed)? {
        if !known.contains(&fence) {
            let last =
                reader.entries_at(&[position])?.pop().map(|entry| entry.leaf).unwrap_or_default();
            let size = position.0 + 1;
            let caught_up =
                Mark { fence: Some(fence), size, last_leaf: domain::ids::Hash(last), ..*mark };
            provider.add_mark(head.tenant, &caught_up)?;
        }
    }
    Ok(())
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

/// The fences of a ledger with their positions, in order.
fn fences(reader: &dyn Reader, indexed: u64) -> Result<Vec<(Position, FenceId)>, StoreError> {
    let range = TagKind::Fence.range();
    let stored = reader.positions(range.clone(), Position(0))?;
    let mut positions: BTreeSet<Position> = stored.into_iter().collect();
    let pending = index::rebuild(reader, indexed)?;
    positions.extend(pending.positions_within(range));
    let positions: Vec<Position> = positions.into_iter().collect();
    let mut fences = Vec::with_capacity(positions.len());
    for entry in reader.entries_at(&positions)? {
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
    let mark = *marks.last().ok_or_else(|| StoreError::MarkLost(name.to_owned()))?;
    let known: BTreeSet<FenceId> = known.into_iter().map(|(_, fence)| fence).collect();
    let mut missing: Vec<FenceId> = Vec::new();
    for fence in marks.iter().filter_map(|mark| mark.fence) {
        if !known.contains(&fence) && !missing.contains(&fence) {
            missing.push(fence);
        }
    }
    let origin = mark.origin.max(head.origin) + 1;
    writer.reopen(origin)?;
    let fences = u32::try_from(missing.len()).unwrap_or(u32::MAX);
    let reopened = Reopened { fences, lost_root: mark.root, lost_size: mark.size, origin };
    let ledger = Ledger::over(reader, writer, Arc::clone(provider), env)?;
    ledger.append_blocking(Append::new(Command::Ledger(reopened), Actor::System))?;
    for fence in missing {
        ledger.refence_blocking(fence)?;
    }
    // What was promised before no longer binds: from here the mark is this ledger's.
    ledger.mark_blocking()?;
    let size = head.frontier.size();
    Ok(Loss { size, lost_size: mark.size, fences, origin })
}
