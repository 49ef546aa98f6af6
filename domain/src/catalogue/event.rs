//! What happens to the catalogue.

use serde::{Deserialize, Serialize};

use super::{Resource, Service};
use crate::ids::{ResourceId, ServiceId};

/// A group of resources came to be: a house, a department.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupDefined {
    pub name: String,
}

/// A resource can be booked from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceDefined {
    pub resource: Resource,
}

/// A resource is different from now on; what is booked stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceRevised {
    pub id: ResourceId,
    pub resource: Resource,
}

/// A resource takes no new bookings any more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResourceRetired {
    pub id: ResourceId,
}

/// A service is offered from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceDefined {
    pub service: Service,
}

/// A service is different from now on; what is booked stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRevised {
    pub id: ServiceId,
    pub service: Service,
}

/// A service is not offered any more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServiceRetired {
    pub id: ServiceId,
}
