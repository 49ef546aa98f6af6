//! Given, when, then: what can be booked is sound, and what is booked stays.

use super::{
    CatalogueCommand, CatalogueRefusal, GroupDefined, Length, Resource, ResourceDefined,
    ResourceRetired, ResourceRevised, Service, ServiceDefined, ServiceRetired, ServiceRevised,
};
use crate::booking::{Change, Price};
use crate::ids::{GroupId, ResourceId, ServiceId};
use crate::sealed::Field;
use crate::slot::{Day, Hours};
use crate::testing::{
    CHAIR, CUT, FIRST, booking, change, day, given, resource, salon, salon_and, service,
};

fn chair() -> Resource {
    resource("Second chair", 1, Hours::always())
}

fn shave() -> Service {
    service("Shave", Length::Fixed { minutes: 20 })
}

#[track_caller]
fn refused(command: CatalogueCommand, refusal: CatalogueRefusal) {
    given(salon()).when(command).then_refused(refusal);
}

#[test]
fn a_group_has_a_name_of_its_own() {
    let define = |name: &str| CatalogueCommand::DefineGroup { name: name.to_owned() };
    given(salon()).when(define("Spa")).then(&[GroupDefined { name: "Spa".to_owned() }.into()]);
    refused(define("Salon"), CatalogueRefusal::GroupExists);
}

#[test]
fn a_name_is_short_and_of_one_line() {
    let too_long = "x".repeat(101);
    for name in ["", " Spa", "Spa ", "Spa\nINFO forged", "Spa\u{7f}", &too_long] {
        let name = name.to_owned();
        refused(CatalogueCommand::DefineGroup { name: name.clone() }, CatalogueRefusal::BadName);
        let resource = Resource { name: name.clone(), ..chair() };
        refused(CatalogueCommand::DefineResource(resource), CatalogueRefusal::BadName);
        let service = Service { name, ..shave() };
        refused(CatalogueCommand::DefineService(service), CatalogueRefusal::BadName);
    }
}

#[test]
fn a_resource_is_defined_revised_and_retired() {
    let (id, resource) = (CHAIR, chair());
    for (command, event) in [
        (
            CatalogueCommand::DefineResource(resource.clone()),
            ResourceDefined { resource: resource.clone() }.into(),
        ),
        (
            CatalogueCommand::ReviseResource { id, expected: None, resource: resource.clone() },
            ResourceRevised { id, resource }.into(),
        ),
        (CatalogueCommand::RetireResource(id), ResourceRetired { id }.into()),
    ] {
        given(salon()).when(command).then(&[event]);
    }
}

#[test]
fn a_service_is_defined_revised_and_retired() {
    let (id, service) = (CUT, shave());
    for (command, event) in [
        (
            CatalogueCommand::DefineService(service.clone()),
            ServiceDefined { service: service.clone() }.into(),
        ),
        (
            CatalogueCommand::ReviseService { id, expected: None, service: service.clone() },
            ServiceRevised { id, service }.into(),
        ),
        (CatalogueCommand::RetireService(id), ServiceRetired { id }.into()),
    ] {
        given(salon()).when(command).then(&[event]);
    }
}

#[test]
fn what_does_not_exist_is_neither_revised_nor_retired() {
    let (resource, service) = (ResourceId(99), ServiceId(99));
    let unknown = CatalogueRefusal::ResourceUnknown;
    let revised =
        CatalogueCommand::ReviseResource { id: resource, expected: None, resource: chair() };
    refused(revised, unknown.clone());
    refused(CatalogueCommand::RetireResource(resource), unknown);
    let unknown = CatalogueRefusal::ServiceUnknown;
    let revised = CatalogueCommand::ReviseService { id: service, expected: None, service: shave() };
    refused(revised, unknown.clone());
    refused(CatalogueCommand::RetireService(service), unknown);
}

#[test]
fn what_has_changed_since_it_was_seen_is_not_revised() {
    let (id, service) = (CUT, shave());
    let revised = || salon_and([ServiceRevised { id, service: shave() }.into()]);
    let revise = |expected| CatalogueCommand::ReviseService { id, expected, service: shave() };
    let event = ServiceRevised { id, service }.into();
    let stale = CatalogueRefusal::VersionConflict { current: 2 };
    given(revised()).when(revise(Some(1))).then_refused(stale);
    given(revised()).when(revise(Some(2))).then(&[event]);
    let resource = chair();
    let revise = CatalogueCommand::ReviseResource { id: CHAIR, expected: Some(2), resource };
    refused(revise, CatalogueRefusal::VersionConflict { current: 1 });
}

#[test]
fn what_is_retired_is_not_retired_again() {
    let retired = salon_and([ResourceRetired { id: CHAIR }.into()]);
    given(retired).when(CatalogueCommand::RetireResource(CHAIR)).then(&[]);
    let retired = salon_and([ServiceRetired { id: CUT }.into()]);
    given(retired).when(CatalogueCommand::RetireService(CUT)).then(&[]);
}

#[test]
fn a_resource_has_a_place_a_group_and_sound_hours() {
    let backwards = Hours(vec![day(Day::Monday, "17:00", "09:00")]);
    let tomorrow = Hours(vec![day(Day::Monday, "24:00", "30:00")]);
    for (resource, refusal) in [
        (Resource { capacity: 0, ..chair() }, CatalogueRefusal::BadCapacity),
        (Resource { group: GroupId(99), ..chair() }, CatalogueRefusal::GroupUnknown),
        (Resource { hours: backwards, ..chair() }, CatalogueRefusal::BadHours),
        (Resource { hours: tomorrow, ..chair() }, CatalogueRefusal::BadHours),
    ] {
        refused(CatalogueCommand::DefineResource(resource), refusal);
    }
}

#[test]
fn a_service_has_a_sound_length() {
    for length in [
        Length::Fixed { minutes: 0 },
        Length::Between { from_minutes: 0, to_minutes: 10 },
        Length::Between { from_minutes: 20, to_minutes: 10 },
        Length::Between { from_minutes: 1, to_minutes: 366 * 24 * 60 + 1 },
        Length::Nights { most: 366 },
    ] {
        let service = Service { length, ..shave() };
        refused(CatalogueCommand::DefineService(service), CatalogueRefusal::BadLength);
    }
}

#[test]
fn a_service_has_a_sound_price() {
    let price = |amount: &str, currency: &str| {
        Some(Price { amount: amount.to_owned(), currency: currency.to_owned() })
    };
    for price in [price("4,50", "SEK"), price("free", "SEK"), price("4", "kronor")] {
        let service = Service { price, ..shave() };
        refused(CatalogueCommand::DefineService(service), CatalogueRefusal::BadPrice);
    }
}

/// F04: what is required must be collected.
#[test]
fn a_service_requires_only_what_is_collected() {
    let service = Service { requires: [Field::NationalId].into(), ..shave() };
    refused(CatalogueCommand::DefineService(service), CatalogueRefusal::BadFields);
}

#[test]
fn a_service_is_offered_on_what_exists() {
    let service = Service { resources: [ResourceId(99)].into(), ..shave() };
    refused(CatalogueCommand::DefineService(service), CatalogueRefusal::ResourceUnknown);
}

#[test]
fn what_is_revised_is_offered_again() {
    let cut = booking("10:00-11:00");
    let back = ResourceRevised { id: CHAIR, resource: chair() };
    let events = salon_and([ResourceRetired { id: CHAIR }.into(), back.into()]);
    given(events).when(cut.asked()).then(&[cut.granted()]);
}

#[test]
fn what_is_booked_stays_when_its_resource_retires() {
    let cut = booking("10:00-11:00").granted();
    let events = salon_and([cut, ResourceRetired { id: CHAIR }.into()]);
    assert!(given(events).when(change(FIRST, Change::CheckIn)).result().is_ok());
}
