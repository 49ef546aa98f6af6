//! Which tenants there are, where they are, and which have moved.

use std::sync::PoisonError;

use super::place::{Place, Site, out_of_use};
use super::{Store, StoreError};
use crate::keyring::provider::TenantId;
use crate::postgres::{Placed, State};

/// A tenant and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// The other server that it is on.
    pub server: Option<String>,
    /// Out of use: exported, or on its way.
    pub closed: bool,
}

impl Store {
    /// All tenants and where they are, those out of use too.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let Place::Server(cluster) = &self.place else {
            let mut all = Vec::new();
            for (closed, names) in [(false, self.tenants()?), (true, out_of_use(&self.dir)?)] {
                all.extend(names.into_iter().map(|name| Listed { name, server: None, closed }));
            }
            // One in use comes first, and may have something left beside it by an import.
            all.sort_by(|one, other| one.name.cmp(&other.name));
            all.dedup_by(|one, other| one.name == other.name);
            return Ok(all);
        };
        let listed = |(name, placed): (String, Placed)| {
            let closed = placed.state != State::InUse;
            Listed { name, server: placed.server, closed }
        };
        Ok(cluster.main.directory.all()?.into_iter().map(listed).collect())
    }

    /// Those of the open tenants that are not where they were when they were opened, or out of use.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn moved(&self) -> Result<Vec<String>, StoreError> {
        let Place::Server(cluster) = &self.place else { return Ok(Vec::new()) };
        let open: Vec<(String, TenantId, Option<String>)> = {
            let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            tenants
                .iter()
                .filter_map(|(name, open)| {
                    // One that is being opened or closed is looked at the next time.
                    match &open.try_lock().ok()?.as_ref()?.site {
                        Site::Folder(_) => None,
                        Site::Server { on, id, .. } => Some((name.clone(), *id, on.name.clone())),
                    }
                })
                .collect()
        };
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = open.iter().map(|(name, ..)| name.clone()).collect();
        let placed = cluster.main.directory.those(&names)?;
        let stays = |(name, id, server): &(String, TenantId, Option<String>)| {
            placed.iter().any(|(of, now)| {
                of == name && now.id == *id && now.server == *server && now.state == State::InUse
            })
        };
        Ok(open.into_iter().filter(|tenant| !stays(tenant)).map(|(name, ..)| name).collect())
    }
}
