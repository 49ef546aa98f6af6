//! What may be wished of the catalogue.

use super::{Resource, Service};
use crate::ids::{ResourceId, ServiceId};

#[derive(Debug, Clone)]
pub enum CatalogueCommand {
    DefineGroup { name: String },
    DefineResource(Resource),
    ReviseResource { id: ResourceId, resource: Resource },
    RetireResource(ResourceId),
    DefineService(Service),
    ReviseService { id: ServiceId, service: Service },
    RetireService(ServiceId),
}
