//! A tenant's policy as the ledger has it now, for whoever must not go by an older one.

use domain::policy::Policy;
use domain::{Event, Tag};
use eventstore::Tenant;
use eventstore::ledger::codec;
use eventstore::ledger::log::ReadError;

/// The newest policy.
///
/// # Errors
/// Where the ledger cannot be read.
pub(crate) fn of(tenant: &Tenant) -> Result<Policy, ReadError> {
    let log = tenant.log();
    let newest = log.positions(Tag::policy())?.into_iter().max();
    let Some(entry) = newest.map(|at| log.entry(at)).transpose()?.flatten() else {
        return Ok(Policy::default());
    };
    let event = codec::decode_event(&entry.bytes)
        .map_err(|error| ReadError::Entry(entry.position, error))?;
    // Nothing else lies under the tag.
    let Event::PolicySet(set) = event else { return Ok(Policy::default()) };
    Ok(set.policy)
}
