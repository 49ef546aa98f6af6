//! Rotation of all tenants' keys, and the end of epochs whose backups nobody may need any more.
//!
//! An epoch's key is destroyed when the window for backups has passed since the next one began, and
//! only after nothing of any tenant hangs on it. From then on no copy of a keyring that was made in
//! that epoch opens anything: whoever was erased before it ended is out of reach of every backup.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::tag::TagKind;
use domain::{Event, Position};
use jiff::{SignedDuration, Timestamp};

use super::{Store, StoreError, Tenant};
use crate::keyring::provider::{Epoch, EpochInfo};
use crate::keyring::rotation::Rewrapped;
use crate::ledger::codec;

/// How long backups are kept, unless the operator says otherwise.
pub const WINDOW: Duration = Duration::from_secs(21 * 24 * 3600);

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub epoch: Epoch,
    pub tenants: Vec<(String, Rewrapped)>,
    /// Epochs whose keys were destroyed.
    pub ended: Vec<Epoch>,
}

/// When an erasure is, or was, out of reach of every backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    pub fence: Position,
    pub erased_at: Timestamp,
    /// None where no later epoch has begun: the next rotation sets the time.
    pub out_of_reach_at: Option<Timestamp>,
    /// Whether the keys of every copy that knew the person are destroyed.
    pub out_of_reach: bool,
}

/// How a tenant is found by its name: whoever keeps tenants open knows.
type Find<'a, E> = &'a dyn Fn(&str) -> Result<Arc<Tenant>, E>;

impl Store {
    /// Wraps everything of every tenant anew under the key of a new epoch, or goes on with a
    /// rotation that was cut off; then destroys the keys of epochs that ended before the window.
    ///
    /// # Errors
    /// Where a tenant or the key store cannot be read or written. It goes on when called again.
    pub fn rotate<E: From<StoreError>>(
        &self,
        window: Duration,
        find: Find<'_, E>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Rotation, E> {
        let names = self.tenants()?;
        let epochs = self.provider.epochs().map_err(StoreError::from)?;
        let epoch = match epochs.last().filter(|info| !info.is_finished()) {
            Some(info) => info.epoch,
            None => self.provider.begin_epoch(&self.env).map_err(StoreError::from)?,
        };
        let mut tenants = Vec::with_capacity(names.len());
        let total = u64::try_from(names.len()).unwrap_or(u64::MAX);
        for (done, name) in (1..).zip(names) {
            let rewrapped = find(&name)?.rotate(epoch)?;
            tenants.push((name, rewrapped));
            progress(done, total);
        }
        let now = self.env.clock.now();
        self.provider.finish_epoch(epoch, now).map_err(StoreError::from)?;
        let ended = self.end_epochs(epoch, window, find)?;
        Ok(Rotation { epoch, tenants, ended })
    }

    /// Destroys the keys of epochs that ended before the window.
    fn end_epochs<E: From<StoreError>>(
        &self,
        current: Epoch,
        window: Duration,
        find: Find<'_, E>,
    ) -> Result<Vec<Epoch>, E> {
        let epochs = self.provider.epochs().map_err(StoreError::from)?;
        let now = self.env.clock.now();
        let kept = epochs.iter().filter(|info| info.epoch < current && info.destroyed_at.is_none());
        let over =
            kept.filter(|info| ends_at(&epochs, info.epoch, window).is_some_and(|end| end <= now));
        let over: Vec<Epoch> = over.map(|info| info.epoch).collect();
        let Some(last) = over.last().copied() else { return Ok(over) };
        let mut known = BTreeSet::new();
        for name in self.tenants()? {
            let tenant = find(&name)?;
            known.insert(tenant.keyring().tenant);
            tenant.end_epochs(Epoch(last.0 + 1))?;
        }
        let all = self.provider.tenants().map_err(StoreError::from)?;
        if let Some(other) = all.into_iter().find(|id| !known.contains(id)) {
            return Err(StoreError::KeysOfOthers(other).into());
        }
        for epoch in &over {
            self.provider.destroy(*epoch, now).map_err(StoreError::from)?;
        }
        Ok(over)
    }

    /// Whether it is time to rotate: the newest epoch is older than this, or a rotation was cut off.
    ///
    /// # Errors
    /// Where the key store cannot be read.
    pub fn is_rotation_due(&self, after: Duration) -> Result<bool, StoreError> {
        let epochs = self.provider.epochs()?;
        let age = |made: Timestamp| self.env.clock.now().duration_since(made);
        let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
        Ok(epochs.last().is_some_and(|info| {
            !info.is_finished() || info.made_at.is_none_or(|made| age(made) >= after)
        }))
    }

    /// All epochs there have been, oldest first, each with when its key is to be destroyed.
    ///
    /// # Errors
    /// Where the key store cannot be read.
    pub fn epochs(
        &self,
        window: Duration,
    ) -> Result<Vec<(EpochInfo, Option<Timestamp>)>, StoreError> {
        let epochs = self.provider.epochs()?;
        let ends: Vec<_> =
            epochs.iter().map(|info| (*info, ends_at(&epochs, info.epoch, window))).collect();
        Ok(ends)
    }

    /// How far each erasure of a tenant has come in backups, oldest first.
    ///
    /// # Errors
    /// Where the tenant or the key store cannot be read.
    pub fn reach(&self, tenant: &Tenant, window: Duration) -> Result<Vec<Reach>, StoreError> {
        let epochs = self.provider.epochs()?;
        let log = tenant.log();
        let mut positions = log.reader().positions(TagKind::Fence.range(), Position(0))?;
        positions.extend(log.pending().positions_within(TagKind::Fence.range()));
        positions.sort_unstable();
        positions.dedup();
        let mut reach = Vec::new();
        for entry in log.reader().entries_at(&positions)? {
            let Ok(decoded) = codec::decode(&entry.bytes) else { continue };
            let Event::PersonErased(_) = decoded.recorded.event else { continue };
            let erased_at = decoded.recorded.recorded_at;
            let at =
                epochs.iter().rev().find(|info| info.made_at.is_none_or(|made| made <= erased_at));
            let gone = at.and_then(|info| info.destroyed_at);
            reach.push(Reach {
                fence: entry.position,
                erased_at,
                out_of_reach_at: gone.or(at.and_then(|at| ends_at(&epochs, at.epoch, window))),
                out_of_reach: gone.is_some(),
            });
        }
        Ok(reach)
    }
}

impl Tenant {
    fn rotate(&self, epoch: Epoch) -> Result<Rewrapped, StoreError> {
        self.access()?.rotate(epoch, self.provider.as_ref(), &self.env)?;
        let done = self.ledger.rotate(epoch, self.provider.as_ref(), &self.env)?;
        self.ledger.record_rotation(epoch, done)?;
        Ok(done)
    }

    fn end_epochs(&self, before: Epoch) -> Result<(), StoreError> {
        self.access()?.end_epochs(before)?;
        Ok(self.ledger.end_epochs(before)?)
    }
}

/// When an epoch's key is to be destroyed: a window after the next one began.
fn ends_at(epochs: &[EpochInfo], epoch: Epoch, window: Duration) -> Option<Timestamp> {
    let next = epochs.iter().find(|info| info.epoch > epoch)?.made_at?;
    next.checked_add(SignedDuration::try_from(window).ok()?).ok()
}
