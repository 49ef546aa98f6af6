//! Rotation of all tenants' keys, and the end of epochs whose backups nobody may need any more.
//!
//! An epoch's key is destroyed when the window for backups has passed since the next one began, and
//! only after nothing of any tenant hangs on it. From then on no copy of a keyring that was made in
//! that epoch opens anything: whoever was erased before it ended is out of reach of every backup.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::tag::TagKind;
use domain::{Event, FenceId, Position};
use jiff::{SignedDuration, Timestamp};

use super::{Store, StoreError, Tenant, gate};
use crate::keyring::person::{PersonId, PersonInfo, PersonState};
use crate::keyring::provider::{Epoch, EpochInfo, ProviderError, TenantId};
use crate::keyring::rotation::Rewrapped;
use crate::ledger::{Ledger, codec};

/// How long backups are kept, unless the operator says otherwise.
pub const WINDOW: Duration = Duration::from_secs(21 * 24 * 3600);

/// How long something may be on its way that was wrapped under the key before: twice a lease, and
/// as long as a caller waits for the writer, many times over.
const UNDER_WAY: SignedDuration = SignedDuration::from_mins(10);

/// How many persons are looked at a time.
const PAGE: u32 = 4096;

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub epoch: Epoch,
    pub tenants: Vec<(String, Rewrapped)>,
    /// Epochs whose keys were destroyed.
    pub ended: Vec<Epoch>,
    /// For whose sake none is.
    pub others: Vec<TenantId>,
}

/// When an erasure is, or was, out of reach of every backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    pub fence: Position,
    pub erased_at: Timestamp,
    /// None where no rotation has been through since: the next one sets the time. Nor where tenants of
    /// another place keep all epoch keys.
    pub out_of_reach_at: Option<Timestamp>,
    /// Whether the keys of every copy that knew the person are destroyed.
    pub out_of_reach: bool,
}

/// How a tenant is found by its name: whoever keeps tenants open knows.
type Find<'a, E> = &'a dyn Fn(&str) -> Result<Arc<Tenant>, E>;

impl Store {
    /// Whether the key store can be used now.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn key_store(&self) -> Result<(), ProviderError> {
        self.provider.current().map(drop)
    }

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
        let (mut tenants, mut failed) = (Vec::with_capacity(names.len()), None);
        let total = u64::try_from(names.len()).unwrap_or(u64::MAX);
        for (done, name) in (1..).zip(names) {
            // One that cannot be rotated holds up the end of earlier epochs, and nobody else.
            match find(&name).and_then(|tenant| Ok(tenant.rotate(epoch)?)) {
                Ok(rewrapped) => tenants.push((name, rewrapped)),
                Err(error) => {
                    tracing::error!(tenant = name, "keys are not rotated");
                    failed = failed.or(Some(error));
                }
            }
            progress(done, total);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let now = self.env.clock.now();
        self.provider.finish_epoch(epoch, now).map_err(StoreError::from)?;
        self.caught_up.store(epoch.0, Ordering::Relaxed);
        let others = self.others()?;
        let ended = if others.is_empty() { self.end_epochs(window, find)? } else { Vec::new() };
        Ok(Rotation { epoch, tenants, ended, others })
    }

    /// The tenants that the key store has marks of and that are not in use here: another place has
    /// the same key store, or they are out of use. As long as there are any, no epoch key ends, for
    /// nobody here knows what hangs on it.
    ///
    /// # Errors
    /// Where the key store or a tenant's ledger cannot be read.
    pub fn others(&self) -> Result<Vec<TenantId>, StoreError> {
        let all = self.provider.tenants()?;
        // Each that is here has a mark: where there are no more of these, no ledger has to be asked.
        if all.len() <= self.tenants()?.len() {
            return Ok(Vec::new());
        }
        let here = self.place.ids(&self.dir)?;
        Ok(all.into_iter().filter(|id| !here.contains(id)).collect())
    }

    /// Wraps anew what is still under an earlier epoch than the newest. Where another place that has
    /// the same key store has begun that one, no clock here says that a rotation is due. Answers how
    /// many tenants there were.
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub fn catch_up<E: From<StoreError>>(&self, find: Find<'_, E>) -> Result<u64, E> {
        let epochs = self.provider.epochs().map_err(StoreError::from)?;
        let Some(current) = epochs.last().filter(|info| info.is_finished()) else { return Ok(0) };
        if self.caught_up.load(Ordering::Relaxed) >= current.epoch.0 {
            return Ok(0);
        }
        let (mut done, mut failed) = (0, None);
        for name in self.tenants()? {
            match find(&name).and_then(|tenant| Ok(tenant.catch_up(current.epoch)?)) {
                Ok(behind) => done += u64::from(behind),
                Err(error) => {
                    tracing::error!(tenant = name, "keys are not rotated");
                    failed = failed.or(Some(error));
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.caught_up.store(current.epoch.0, Ordering::Relaxed);
        Ok(done)
    }

    /// Destroys the keys of epochs for whose backups the window has passed. What may still hang on
    /// them is wrapped anew first.
    ///
    /// # Errors
    /// As [`Self::rotate`], and where the key store has keys of a tenant who is not here: then
    /// nothing is destroyed.
    pub fn end_epochs<E: From<StoreError>>(
        &self,
        window: Duration,
        find: Find<'_, E>,
    ) -> Result<Vec<Epoch>, E> {
        let epochs = self.provider.epochs().map_err(StoreError::from)?;
        let now = self.env.clock.now();
        let kept = epochs.iter().filter(|info| info.destroyed_at.is_none());
        let over =
            kept.filter(|info| ends_at(&epochs, info.epoch, window).is_some_and(|end| end <= now));
        let over: Vec<Epoch> = over.map(|info| info.epoch).collect();
        let (Some(last), Some(current)) = (over.last(), epochs.last()) else { return Ok(over) };
        let names = self.tenants()?;
        let mut here = BTreeSet::new();
        for name in &names {
            here.insert(find(name)?.keyring().tenant);
        }
        let all = self.provider.tenants().map_err(StoreError::from)?;
        if let Some(other) = all.into_iter().find(|id| !here.contains(id)) {
            return Err(StoreError::KeysOfOthers(other).into());
        }
        for name in &names {
            let tenant = find(name)?;
            tenant.rotate(current.epoch)?;
            tenant.end_epochs(Epoch(last.0 + 1))?;
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

    /// All epochs there have been, oldest first, each with when its key is to be destroyed; without
    /// where [`Self::others`] keep it.
    ///
    /// # Errors
    /// Where the key store cannot be read.
    pub fn epochs(
        &self,
        window: Duration,
    ) -> Result<Vec<(EpochInfo, Option<Timestamp>)>, StoreError> {
        let (epochs, held) = (self.provider.epochs()?, !self.others()?.is_empty());
        let ends = |info: &EpochInfo| ends_at(&epochs, info.epoch, window).filter(|_| !held);
        Ok(epochs.iter().map(|info| (*info, ends(info))).collect())
    }

    /// How far each erasure of a tenant has come in backups, oldest first.
    ///
    /// # Errors
    /// Where the tenant or the key store cannot be read.
    pub fn reach(&self, tenant: &Tenant, window: Duration) -> Result<Vec<Reach>, StoreError> {
        let (epochs, now) = (self.provider.epochs()?, self.env.clock.now());
        let held = !self.others()?.is_empty();
        let log = tenant.log();
        let positions = log.positions_within(TagKind::Fence.range())?;
        let mut reach = Vec::new();
        for entry in log.reader().entries_at(&positions)? {
            let Ok(decoded) = codec::decode(&entry.bytes) else { continue };
            let Event::PersonErased(_) = decoded.recorded.event else { continue };
            let erased_at = decoded.recorded.recorded_at;
            let at =
                epochs.iter().rev().find(|info| info.made_at.is_none_or(|made| made <= erased_at));
            let lingers = at.map(EpochInfo::lingers).unwrap_or_default();
            let gone = at.and_then(|info| info.destroyed_at?.checked_add(lingers).ok());
            let ends = at.and_then(|at| ends_at(&epochs, at.epoch, window)).filter(|_| !held);
            reach.push(Reach {
                fence: entry.position,
                erased_at,
                out_of_reach_at: gone.or(ends.and_then(|end| end.checked_add(lingers).ok())),
                out_of_reach: gone.is_some_and(|gone| gone <= now),
            });
        }
        Ok(reach)
    }
}

impl Tenant {
    pub(super) fn rotate(&self, epoch: Epoch) -> Result<Rewrapped, StoreError> {
        let not = |error: StoreError| StoreError::NotRotated(self.name.clone(), Box::new(error));
        let access = self.access().map_err(not)?;
        let rotate = |ledger: &Ledger| ledger.rotate(epoch, self.provider.as_ref(), &self.env);
        rotate(&access).map_err(|error| not(error.into()))?;
        let done = rotate(&self.ledger).map_err(|error| not(error.into()))?;
        self.hold_against_fences().map_err(not)?;
        self.ledger.record_rotation(epoch, done).map_err(|error| not(error.into()))?;
        Ok(done)
    }

    /// Has everything hang on an epoch that another place may have begun; whether it did not yet. One
    /// that was made in that epoch has no key of another.
    fn catch_up(&self, epoch: Epoch) -> Result<bool, StoreError> {
        let epochs = self.log().reader().epochs()?;
        let older = epochs.iter().any(|of| *of < epoch.0);
        let behind = older && !self.ledger.has_recorded(epoch)?;
        if behind {
            self.rotate(epoch)?;
        }
        Ok(behind)
    }

    /// Makes sure that nobody has keys whom the ledger has a fence for: a row that was put back by hand,
    /// or by a copy that no gate has seen, must not be carried into the new epoch unnoticed.
    fn hold_against_fences(&self) -> Result<(), StoreError> {
        let (log, reader) = (self.log(), self.log().reader());
        let fences = gate::fences_at(reader, &log.positions_within(TagKind::Fence.range())?)?;
        let fences: BTreeSet<FenceId> = fences.into_iter().map(|(_, fence)| fence).collect();
        let mut after = PersonId(0);
        while !fences.is_empty() {
            let page = reader.persons(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let has_keys = |person: &&PersonInfo| {
                matches!(person.state, PersonState::Live | PersonState::Restricted)
            };
            let mut fenced = page.iter().filter_map(|person| Some((person, person.fence?)));
            if fenced.any(|(person, fence)| has_keys(&person) && fences.contains(&fence)) {
                return Err(StoreError::AliveBehindFence(self.name.clone()));
            }
        }
        Ok(())
    }

    fn end_epochs(&self, before: Epoch) -> Result<(), StoreError> {
        self.access()?.end_epochs(before)?;
        Ok(self.ledger.end_epochs(before)?)
    }
}

/// When an epoch's key is to be destroyed: a window after a later one began, and not before
/// whoever sealed under the earlier without having heard of that is through.
fn ends_at(epochs: &[EpochInfo], epoch: Epoch, window: Duration) -> Option<Timestamp> {
    let later = || epochs.iter().filter(|info| info.epoch > epoch);
    // When one was made may have been lost in a crash; then the next one tells.
    let made = later().find_map(|info| info.made_at)?;
    let finished = later().find_map(|info| info.finished_at)?;
    let end = made.checked_add(SignedDuration::try_from(window).ok()?).ok()?;
    Some(finished.checked_add(UNDER_WAY).ok()?.max(end))
}
