//! Forgetting on two nodes: from the answer that somebody is erased until the other node opens
//! nothing of theirs. Only where ledgers lie in a database, for files have one node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ledger::ReadPurpose;
use domain::{Actor, Event, RetentionClass};
use eventstore::keyring::lease::LEASE;
use eventstore::store::Databases;
use eventstore::{Disclosure, Opening, PersonId, SealAt, Tenant};

use super::rig::{Rig, register};
use super::{Extent, Figure};
use crate::app::App;
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::clock;

/// How many are erased in one run: the 99th part is the worst but one.
const PERSONS: u64 = 200;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    let (Some(ledger), keyring) = rig.addresses.clone() else { return Ok(Vec::new()) };
    let databases = Databases { ledger: Some(&ledger), keyring: keyring.as_deref(), servers: &[] };
    let (data, keys) = (rig.folder.path().join("other"), rig.folder.path().join("data.keys"));
    let other = App::open_at(databases, &data, &keys, clock::system())?;
    let there = other.store.tenant(rig.bench.tenant.name())?;
    let mut late = vec![];
    let total = u64::from(extent.runs);
    for run in 0..extent.runs {
        let persons = register(&rig.bench.tenant, PERSONS)?;
        let mut taken = Vec::new();
        for person in persons {
            taken.push(erase(rig, &there, person)?);
        }
        taken.sort_by(f64::total_cmp);
        late.push(taken.iter().rev().nth(1).copied().unwrap_or(f64::NAN));
        console.progress(u64::from(run) + 1, total);
    }
    let lease = LEASE.as_secs_f64() * 1000.0;
    let wanted = "under 1000 ms, never more than a lease";
    Ok(vec![Figure::new("erase_nodes_p99", "ms", &late, "a lease", &[lease], wanted)])
}

/// Erases somebody here whom the other node has open; answers for how many milliseconds longer it
/// opened them.
fn erase(rig: &Rig, there: &Arc<Tenant>, person: PersonId) -> Result<f64, CliError> {
    let failed = |what: &str| CliError::Bench("nodes", what.to_owned());
    let info = there.keyring().info(person)?.ok_or_else(|| failed("nobody is there"))?;
    let (at, handle) = info.contact.ok_or_else(|| failed("there is no contact"))?;
    let kind = Event::KIND_PERSON_REGISTERED;
    let seal = SealAt::new(at, kind, handle, RetentionClass::Contact, 0);
    let classes = [RetentionClass::Contact];
    let whom = [person];
    let ticket = there.disclose(Actor::System, ReadPurpose::Administration, &classes, &whom);
    let ticket = rig.runtime.block_on(ticket)?;
    if !opens(there, &ticket, seal)? {
        return Err(failed("the other node does not open what is there"));
    }
    let erased = rig.runtime.block_on(rig.bench.tenant.ledger.erase(person))?;
    let start = Instant::now();
    while opens(there, &ticket, seal)? {
        if start.elapsed() > LEASE + Duration::from_secs(1) {
            return Err(failed("the other node opens for longer than a lease"));
        }
    }
    let taken = start.elapsed().as_secs_f64() * 1000.0;
    let cleared = rig.runtime.block_on(erased.cleared);
    cleared.map_err(|_| eventstore::AppendError::Stopped)??;
    Ok(taken)
}

fn opens(tenant: &Tenant, ticket: &Disclosure, seal: SealAt) -> Result<bool, CliError> {
    let opened = tenant.keyring().open(ticket, &[seal])?;
    Ok(opened.iter().all(|opening| matches!(opening, Opening::Live(_))))
}
