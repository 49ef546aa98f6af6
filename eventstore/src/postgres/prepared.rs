//! Statements that a connection knows: a statement is planned for the tables of one tenant, so each tenant has its
//! own.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Statement;

/// Of how many tenants a connection keeps the statements. The server keeps a plan for each of them.
const TENANTS: usize = 32;

/// Statements that are prepared on a connection, by tenant, each by its text or what that is made of.
#[derive(Default)]
pub(super) struct Prepared(Vec<Known>);

/// A tenant's.
pub(super) struct Known {
    pub tenant: Arc<str>,
    /// Those that find their tables by the path.
    pub by_path: BTreeMap<&'static str, Statement>,
    /// Those that name the tenant's schemas.
    pub by_name: BTreeMap<&'static str, Statement>,
}

impl Prepared {
    pub(super) fn has(&self, tenant: &str) -> bool {
        self.0.iter().any(|known| *known.tenant == *tenant)
    }

    /// Has what follows be a tenant's. One more than are kept takes over the statements of the one that has
    /// not been here for longest: they are planned anew, and need not be prepared.
    pub(super) fn turn_to(&mut self, tenant: &Arc<str>) {
        let known = match self.0.iter().position(|known| known.tenant == *tenant) {
            Some(place) => self.0.remove(place),
            None if self.0.len() < TENANTS => Known::new(tenant),
            None => Known { by_path: self.0.remove(0).by_path, ..Known::new(tenant) },
        };
        self.0.push(known);
    }

    pub(super) fn now(&self) -> Option<&Known> {
        self.0.last()
    }

    pub(super) fn now_mut(&mut self) -> Option<&mut Known> {
        self.0.last_mut()
    }
}

impl Known {
    fn new(tenant: &Arc<str>) -> Self {
        let tenant = Arc::clone(tenant);
        Self { tenant, by_path: BTreeMap::new(), by_name: BTreeMap::new() }
    }
}
