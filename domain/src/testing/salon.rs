//! A small salon: its policy, resources and services, and the ids they get.

use crate::catalogue::{
    Confirmation, GroupDefined, Length, Resource, ResourceDefined, ResourceKind, Service,
    ServiceDefined,
};
use crate::event::Event;
use crate::ids::{BookingId, GroupId, ResourceId, ServiceId};
use crate::policy::{Policy, PolicySet};
use crate::slot::{Day, Hours, Opening, Zone};

pub(crate) const SALON: GroupId = GroupId(1);
/// One place, open from 9 to 17 every day.
pub(crate) const CHAIR: ResourceId = ResourceId(2);
/// Three places, never closed.
pub(crate) const ROOM: ResourceId = ResourceId(3);
pub(crate) const PLACES: u16 = 3;
/// From a quarter of an hour to eight hours.
pub(crate) const CUT: ServiceId = ServiceId(4);
/// One hour, with ten minutes before and twenty after.
pub(crate) const DYE: ServiceId = ServiceId(5);
/// As long as a cut, but staff answers.
pub(crate) const VISIT: ServiceId = ServiceId(6);
/// At most seven nights.
pub(crate) const STAY: ServiceId = ServiceId(7);
/// The bookings made in an otherwise empty salon.
pub(crate) const FIRST: BookingId = BookingId(8);
pub(crate) const SECOND: BookingId = BookingId(9);

pub(crate) fn stockholm() -> Zone {
    "Europe/Stockholm".parse().unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy::new(stockholm())
}

pub(crate) fn day(day: Day, from: &str, to: &str) -> Opening {
    Opening { day, from: from.parse().unwrap(), to: to.parse().unwrap() }
}

pub(crate) fn resource(name: &str, capacity: u16, hours: Hours) -> Resource {
    let (group, kind, name) = (SALON, ResourceKind::Room, name.to_owned());
    Resource { capacity, group, hours, kind, name, zone: stockholm() }
}

pub(crate) fn service(name: &str, length: Length) -> Service {
    Service {
        buffer_after: 0,
        buffer_before: 0,
        confirmation: Confirmation::Instant,
        length,
        name: name.to_owned(),
        price: None,
        requires: [].into(),
        resources: [].into(),
    }
}

/// Everything that happened before the first booking: entries 0 to 7.
pub(crate) fn salon() -> Vec<Event> {
    let working = Hours(Day::ALL.map(|each| day(each, "09:00", "17:00")).to_vec());
    let length = Length::Between { from_minutes: 15, to_minutes: 480 };
    let dye = service("Dye", Length::Fixed { minutes: 60 });
    let dye = Service { buffer_before: 10, buffer_after: 20, ..dye };
    let visit = Service { confirmation: Confirmation::Staff, ..service("Visit", length) };
    vec![
        PolicySet { policy: policy() }.into(),
        GroupDefined { name: "Salon".to_owned() }.into(),
        ResourceDefined { resource: resource("Chair", 1, working) }.into(),
        ResourceDefined { resource: resource("Room", PLACES, Hours::always()) }.into(),
        ServiceDefined { service: service("Cut", length) }.into(),
        ServiceDefined { service: dye }.into(),
        ServiceDefined { service: visit }.into(),
        ServiceDefined { service: service("Stay", Length::Nights { most: 7 }) }.into(),
    ]
}

pub(crate) fn salon_and(events: impl IntoIterator<Item = Event>) -> Vec<Event> {
    salon().into_iter().chain(events).collect()
}
