//! What may be wished of the catalogue.

use super::{Resource, Service};
use crate::ids::{ResourceId, ServiceId};

/// Where a version is expected, nothing is revised that has changed since.
#[derive(Debug, Clone)]
pub enum CatalogueCommand {
    DefineGroup { name: String },
    DefineResource(Resource),
    ReviseResource { id: ResourceId, expected: Option<u32>, resource: Resource },
    RetireResource(ResourceId),
    DefineService(Service),
    ReviseService { id: ServiceId, expected: Option<u32>, service: Service },
    RetireService(ServiceId),
}
