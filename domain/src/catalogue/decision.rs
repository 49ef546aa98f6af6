//! Deciding about the catalogue.

use super::{
    CatalogueCommand, CatalogueRefusal, GroupDefined, Length, Resource, ResourceDefined,
    ResourceRetired, ResourceRevised, Service, ServiceDefined, ServiceRetired, ServiceRevised,
    is_name,
};
use crate::book::Book;
use crate::booking::Price;
use crate::entry::Draft;
use crate::tag::Tag;

pub(crate) fn decide(
    book: &Book,
    command: &CatalogueCommand,
) -> Result<Vec<Draft>, CatalogueRefusal> {
    let draft = match command {
        CatalogueCommand::DefineGroup { name } => {
            named(name)?;
            if book.groups.values().any(|known| known == name) {
                return Err(CatalogueRefusal::GroupExists);
            }
            Draft::now(GroupDefined { name: name.clone() })
        }
        CatalogueCommand::DefineResource(resource) => {
            sound_resource(book, resource)?;
            Draft::now(ResourceDefined { resource: resource.clone() })
        }
        CatalogueCommand::ReviseResource { id, expected, resource } => {
            book.resources.get(id).ok_or(CatalogueRefusal::ResourceUnknown)?;
            unchanged(book, Tag::resource(*id), *expected)?;
            sound_resource(book, resource)?;
            Draft::now(ResourceRevised { id: *id, resource: resource.clone() })
        }
        CatalogueCommand::RetireResource(id) => {
            book.resources.get(id).ok_or(CatalogueRefusal::ResourceUnknown)?;
            if book.retired_resources.contains(id) {
                return Ok(Vec::new());
            }
            Draft::now(ResourceRetired { id: *id })
        }
        CatalogueCommand::DefineService(service) => {
            sound_service(book, service)?;
            Draft::now(ServiceDefined { service: service.clone() })
        }
        CatalogueCommand::ReviseService { id, expected, service } => {
            book.services.get(id).ok_or(CatalogueRefusal::ServiceUnknown)?;
            unchanged(book, Tag::service(*id), *expected)?;
            sound_service(book, service)?;
            Draft::now(ServiceRevised { id: *id, service: service.clone() })
        }
        CatalogueCommand::RetireService(id) => {
            book.services.get(id).ok_or(CatalogueRefusal::ServiceUnknown)?;
            if book.retired_services.contains(id) {
                return Ok(Vec::new());
            }
            Draft::now(ServiceRetired { id: *id })
        }
    };
    Ok(vec![draft])
}

fn unchanged(book: &Book, tag: Tag, expected: Option<u32>) -> Result<(), CatalogueRefusal> {
    let current = book.version(tag);
    match expected.is_some_and(|expected| expected != current) {
        true => Err(CatalogueRefusal::VersionConflict { current }),
        false => Ok(()),
    }
}

fn named(name: &str) -> Result<(), CatalogueRefusal> {
    if is_name(name) { Ok(()) } else { Err(CatalogueRefusal::BadName) }
}

fn sound_resource(book: &Book, resource: &Resource) -> Result<(), CatalogueRefusal> {
    named(&resource.name)?;
    if resource.capacity == 0 {
        return Err(CatalogueRefusal::BadCapacity);
    }
    if !resource.hours.are_sound() {
        return Err(CatalogueRefusal::BadHours);
    }
    if !book.groups.contains_key(&resource.group) {
        return Err(CatalogueRefusal::GroupUnknown);
    }
    Ok(())
}

fn sound_service(book: &Book, service: &Service) -> Result<(), CatalogueRefusal> {
    const YEAR: u32 = 366 * 24 * 60;
    named(&service.name)?;
    let sound_length = match service.length {
        Length::Fixed { minutes } => (1..=YEAR).contains(&minutes),
        Length::Between { from_minutes, to_minutes } => {
            from_minutes >= 1 && from_minutes <= to_minutes && to_minutes <= YEAR
        }
        Length::Nights { most } => most <= 365,
    };
    if !sound_length {
        return Err(CatalogueRefusal::BadLength);
    }
    if !service.price.as_ref().is_none_or(Price::is_sound) {
        return Err(CatalogueRefusal::BadPrice);
    }
    if !service.requires.iter().all(|field| book.policy.collect.contains(field)) {
        return Err(CatalogueRefusal::BadFields);
    }
    if !service.resources.iter().all(|id| book.resources.contains_key(id)) {
        return Err(CatalogueRefusal::ResourceUnknown);
    }
    Ok(())
}
