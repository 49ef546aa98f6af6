//! What must exist before a row can be booked: groups, resources, services, and the fields that
//! the tenant collects. What exists by its name is used as it is; a second run makes nothing new.

use std::collections::BTreeMap;

use domain::catalogue::{CatalogueCommand, Resource, Service};
use domain::policy::{Policy, PolicyCommand};
use domain::slot::{Slot, Zone};
use domain::{Command, GroupId, ResourceId, ServiceId};

use projections::Item;

use super::ImportError;
use super::mapping::{Capacity, Mapping};
use super::refusal::Why;
use super::report::{Report, Seats};
use super::survey::{Place, Survey};
use super::target::Target;
use crate::desk::{Desk, DeskError};

/// The catalogue of a tenant by its names.
pub(super) struct Catalogue {
    groups: BTreeMap<String, GroupId>,
    resources: BTreeMap<Place, Item<ResourceId, Resource>>,
    services: BTreeMap<String, (ServiceId, Service)>,
    pub(super) policy: Policy,
    /// Which version of it: what somebody has changed since it was read is not undone.
    policy_version: u32,
}

/// Where rows can be booked: what their names stand for, or why they stand for nothing.
#[derive(Default)]
pub(super) struct Places {
    pub(super) resources: BTreeMap<Place, Result<ResourceId, Why>>,
    pub(super) services: BTreeMap<String, Result<ServiceId, Why>>,
}

impl Catalogue {
    /// What the tenant has, after everything committed so far. Of two things of one name the
    /// older is meant.
    pub(super) fn of(desk: &Desk) -> Result<Self, ImportError> {
        desk.follow()?;
        let found = desk.read::<_, DeskError>(|reader| {
            let catalogue = reader.catalogue();
            let groups = catalogue.groups()?;
            let names: BTreeMap<GroupId, String> =
                groups.iter().map(|item| (item.id, item.value.clone())).collect();
            let place = |resource: &Resource| {
                let group = names.get(&resource.group).cloned().unwrap_or_default();
                (group, resource.name.clone())
            };
            let (policy, policy_version) = catalogue.policy()?.unwrap_or_default();
            Ok(Self {
                groups: groups.into_iter().rev().map(|item| (item.value, item.id)).collect(),
                resources: (catalogue.resources()?.into_iter().rev())
                    .map(|item| (place(&item.value), item))
                    .collect(),
                services: (catalogue.services()?.into_iter().rev())
                    .map(|item| (item.value.name.clone(), (item.id, item.value)))
                    .collect(),
                policy,
                policy_version,
            })
        })?;
        Ok(found)
    }

    pub(super) fn resource(&self, place: &Place) -> Option<ResourceId> {
        self.resources.get(place).map(|item| item.id)
    }

    /// The time that a booking holds, with its service's buffers.
    pub(super) fn held(&self, service: &str, slot: Slot) -> Slot {
        match self.services.get(service) {
            Some((_, service)) => slot.widened(service.buffer_before, service.buffer_after),
            None => slot,
        }
    }
}

/// Makes what the file names and the tenant lacks.
pub(super) fn furnish(
    mut catalogue: Catalogue,
    survey: &Survey,
    mapping: &Mapping,
    zone: &Zone,
    target: &mut Target<'_>,
    report: &mut Report,
) -> Result<Places, ImportError> {
    collect(&mut catalogue, mapping, target, report)?;
    let mut places = Places::default();
    for (place, needed) in &survey.resources {
        let made = resource(&mut catalogue, place, *needed, mapping, zone, target, report)?;
        places.resources.insert(place.clone(), made);
    }
    for name in &survey.services {
        let made = match catalogue.services.get(name) {
            Some((id, _)) => Ok(*id),
            None => service(name, mapping, target, report)?,
        };
        places.services.insert(name.clone(), made);
    }
    Ok(places)
}

/// Lets the tenant collect the fields that the mapping fills.
fn collect(
    catalogue: &mut Catalogue,
    mapping: &Mapping,
    target: &mut Target<'_>,
    report: &mut Report,
) -> Result<(), ImportError> {
    let (fields, policy) = (mapping.fields(), &mut catalogue.policy);
    let missing: Vec<_> = fields.difference(&policy.collect).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    policy.collect.extend(&missing);
    let expected = Some(catalogue.policy_version);
    let set = Command::Policy(PolicyCommand::Set { expected, policy: policy.clone() });
    if target.settle(set)?.is_ok() {
        report.created.fields.extend(missing.iter().map(|field| field.name().to_owned()));
    }
    Ok(())
}

fn group(
    catalogue: &mut Catalogue,
    name: &str,
    target: &mut Target<'_>,
    report: &mut Report,
) -> Result<Result<GroupId, Why>, ImportError> {
    if let Some(id) = catalogue.groups.get(name) {
        return Ok(Ok(*id));
    }
    let define = CatalogueCommand::DefineGroup { name: name.to_owned() };
    Ok(target.settle(Command::Catalogue(define))?.map(|position| {
        let id = GroupId(position.0);
        catalogue.groups.insert(name.to_owned(), id);
        report.created.groups.push(name.to_owned());
        id
    }))
}

fn resource(
    catalogue: &mut Catalogue,
    place: &Place,
    needed: u32,
    mapping: &Mapping,
    zone: &Zone,
    target: &mut Target<'_>,
    report: &mut Report,
) -> Result<Result<ResourceId, Why>, ImportError> {
    let fits = u16::try_from(needed).unwrap_or(u16::MAX);
    if let Some(known) = catalogue.resources.get(place) {
        let id = known.id;
        // To make it larger would put it on sale again.
        if known.value.capacity >= fits || known.retired {
            return Ok(Ok(id));
        }
        let resource = Resource { capacity: fits, ..known.value.clone() };
        let expected = Some(known.version);
        let revise = CatalogueCommand::ReviseResource { id, expected, resource };
        let revised = target.settle(Command::Catalogue(revise))?;
        return Ok(revised.map(|_| {
            report.capacities.push(seats(place, fits));
            id
        }));
    }
    let group = match group(catalogue, &place.0, target, report)? {
        Ok(group) => group,
        Err(why) => return Ok(Err(why)),
    };
    let capacity = match mapping.resource.capacity {
        Capacity::Fixed(places) => places.get(),
        Capacity::Fit => fits.max(1),
    };
    let define = CatalogueCommand::DefineResource(Resource {
        capacity,
        group,
        hours: mapping.resource.hours.clone(),
        kind: mapping.resource.kind,
        name: place.1.clone(),
        zone: zone.clone(),
    });
    let defined = target.settle(Command::Catalogue(define))?;
    Ok(defined.map(|position| {
        report.created.resources.push(seats(place, capacity));
        if mapping.resource.capacity == Capacity::Fit {
            report.capacities.push(seats(place, capacity));
        }
        ResourceId(position.0)
    }))
}

fn seats((group, name): &Place, capacity: u16) -> Seats {
    Seats { group: group.clone(), name: name.clone(), capacity }
}

fn service(
    name: &str,
    mapping: &Mapping,
    target: &mut Target<'_>,
    report: &mut Report,
) -> Result<Result<ServiceId, Why>, ImportError> {
    let define = CatalogueCommand::DefineService(Service {
        buffer_after: 0,
        buffer_before: 0,
        confirmation: mapping.service.confirmation,
        length: mapping.length(),
        name: name.to_owned(),
        price: None,
        requires: [].into(),
        resources: [].into(),
    });
    Ok(target.settle(Command::Catalogue(define))?.map(|position| {
        report.created.services.push(name.to_owned());
        ServiceId(position.0)
    }))
}
