//! Taking a tenant in on a server, from a folder: in place of what is there of it out of use.

use std::path::Path;
use std::sync::Arc;

use super::super::cluster::{Cluster, MAIN, OnServer};
use super::super::export::Export;
use super::super::{Store, StoreError};
use super::{compare, copies, distinct, hold, land, leave, ledger, may_lodge, turn};
use crate::engine::Reader;
use crate::postgres::{self, Placed, State};

impl Store {
    /// Puts a tenant into use on a server that was exported into a folder.
    pub(super) fn import_to(
        &self,
        cluster: &Cluster,
        on: Option<Arc<OnServer>>,
        (from, export): (&Path, &Export),
        forsake: bool,
    ) -> Result<(), StoreError> {
        let (name, id) = (export.tenant.as_str(), export.id()?);
        let held = hold(cluster, name)?;
        let found = cluster.main.directory.find(name)?;
        let found = found.as_ref();
        let here = found.map(|found| if forsake { left_of(cluster, found) } else { found.clone() });
        let together = match &here {
            Some(placed) if placed.state == State::Arriving => {
                compare(export, placed.id, None)?;
                if !self.is_overtaken_on(cluster, name, placed)? {
                    return self.finish(cluster, &held, name, placed);
                }
                false
            }
            Some(placed) => may_be_replaced(cluster, placed, export)?,
            None => false,
        };
        // Where nothing else is said it goes where it was.
        let was = here.as_ref().and_then(|placed| placed.server.as_deref());
        let on = on.map_or_else(|| cluster.server(was), Ok)?;
        may_lodge(&on, name, id)?;
        let workshop = self.workshop()?;
        self.take_in(from, workshop.folder(), export)?;
        let mut old = match &here {
            Some(placed) => copies(cluster, placed)?,
            None => Vec::new(),
        };
        old.retain(|old| old.name != on.name);
        // An arrival that was overtaken may be on one server, and what it was made of on another.
        for gone in old.drain(1.min(old.len())..) {
            leave(&gone, &on, (name, id))?;
        }
        let old = old.pop();
        let both = old.as_ref().map(|old| distinct(old, &on, (name, id))).transpose()?;
        land(&on, id, workshop.folder(), (together, true))?;
        let was = old.as_ref().map(|old| old.called());
        let arriving = match found {
            Some(found) => {
                let arriving = found.now(State::Arriving, on.name.as_deref(), was);
                turn(&held, name, found, &arriving)?;
                arriving
            }
            None => {
                let arriving = Placed::arriving(id, on.name.clone());
                if !held.name(name, &arriving)? {
                    return Err(StoreError::TenantExists);
                }
                arriving
            }
        };
        drop(both);
        self.finish(cluster, &held, name, &arriving)
    }
}

/// What is known of a tenant out of use without the servers that do not answer: as if nothing of it
/// were there, or had come there.
pub(super) fn left_of(cluster: &Cluster, placed: &Placed) -> Placed {
    let answers = |name: &str| {
        let on = cluster.server(Some(name));
        let asked = on.and_then(|on| Ok(postgres::is_here(&on.home.ledger, placed.id)?));
        if let Err(error) = &asked {
            let error = error as &dyn std::error::Error;
            tracing::warn!(server = name, error, "what is there of a tenant is given up");
        }
        asked.is_ok()
    };
    let other = placed.other.as_deref().filter(|other| answers(other));
    match placed.state {
        State::InUse | State::Moving => placed.clone(),
        State::Exporting | State::Exported | State::Arriving => {
            match placed.server.as_deref().filter(|server| !answers(server)) {
                None => placed.now(placed.state, placed.server.as_deref(), other),
                Some(_) => placed.now(State::Exported, other.filter(|name| *name != MAIN), None),
            }
        }
    }
}

/// Whether an export may replace what is here; whether that has its keyring with its ledger.
fn may_be_replaced(
    cluster: &Cluster,
    placed: &Placed,
    export: &Export,
) -> Result<bool, StoreError> {
    compare(export, placed.id, None)?;
    if ![State::Exporting, State::Exported].contains(&placed.state) {
        return Err(StoreError::TenantExists);
    }
    let on = cluster.server(placed.server.as_deref())?;
    if !postgres::is_here(&on.home.ledger, placed.id)? {
        return Ok(false);
    }
    compare(export, placed.id, Some(ledger(&on, placed.id).head()?.frontier.size()))?;
    Ok(on.directory.is_together(placed.id)?)
}
