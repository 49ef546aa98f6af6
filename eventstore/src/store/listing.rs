//! Which tenants there are, where they are, and which have moved.

use std::sync::PoisonError;

use super::place::{Place, Site, out_of_use};
use super::{Store, StoreError};
use crate::keyring::provider::TenantId;
use crate::postgres::Placed;
pub use crate::postgres::State;

/// A tenant and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// The other server that it is on.
    pub server: Option<String>,
    pub state: State,
}

impl Store {
    /// All tenants and where they are, those out of use too.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let Place::Server(cluster) = &self.place else {
            let mut all = out_of_use(&self.dir)?;
            // What an import may have left beside a tenant in use says nothing of it.
            all.extend(self.tenants()?.into_iter().map(|name| (name, State::InUse)));
            let listed = |(name, state)| Listed { name, server: None, state };
            return Ok(all.into_iter().map(listed).collect());
        };
        let listed = |(name, placed): (String, Placed)| {
            let Placed { server, state, .. } = placed;
            Listed { name, server, state }
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
