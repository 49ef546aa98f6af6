//! One event of every kind, with every optional field filled in.

use crate::booking::{
    Cancelled, Changed, ContentErased, Declined, Hold, Part, Price, Reason, Requested, Rescheduled,
    Role, Side, Status, Step,
};
use crate::catalogue::{
    Confirmation, GroupDefined, Length, Resource, ResourceDefined, ResourceKind, ResourceRetired,
    ResourceRevised, Service, ServiceDefined, ServiceRetired, ServiceRevised,
};
use crate::consent::{Accepted, Given, Medium, Occasion, Purpose, Text, Withdrawn};
use crate::event::Event;
use crate::facet::{Channel, Facets, Lead, Nth, Party};
use crate::ids::{
    BookingId, ConsentId, FenceId, GroupId, Handle, Hash, RegistrationId, ResourceId, ServiceId,
};
use crate::ledger::{
    LogKeyRotated, Moved, Opened, PeriodEnded, ReadPurpose, Reopened, Residence, Rotated,
};
use crate::person::{
    Erased, HoldGround, HoldLifted, HoldPlaced, Rectified, Registered, Restricted,
    RestrictionGround, Unrestricted,
};
use crate::policy::{ErasureRule, Policy, PolicySet, Recipient, RecipientRole};
use crate::sealed::{Field, RetentionClass, Sealed};
use crate::slot::{Day, Hours};

use super::{at, day, stockholm};

const FACETS: Facets = Facets {
    channel: Channel::WalkIn,
    day: jiff::civil::date(2026, 11, 20),
    group: GroupId(1),
    hour: 10,
    lead: Lead::WithinThreeDays,
    nth: Nth::Second,
    party: Party::Few,
    service: ServiceId(4),
};

const BOOKING: BookingId = BookingId(8);
const STEP: Step = Step { booking: BOOKING, facets: FACETS, was: Status::Confirmed };

pub(crate) fn one_of_each_kind() -> Vec<Event> {
    [bookings(), persons(), catalogue(), rest()].concat()
}

fn held() -> Vec<Hold> {
    let (from, until) = (at("2026-11-20T08:50:00Z"), at("2026-11-20T10:20:00Z"));
    vec![Hold { from, resource: ResourceId(2), units: 1, until }]
}

fn requested() -> Requested {
    let part = Part {
        accounting: Some(Sealed::new(Handle(5), 2)),
        details: Sealed::new(Handle(5), 0),
        handle: Handle(5),
        health: Some(Sealed::new(Handle(5), 1)),
        role: Role::Booker,
    };
    Requested {
        end: at("2026-11-20T10:00:00Z"),
        facets: FACETS,
        held: held(),
        parts: vec![part],
        policy: Some(Hash([0xab; 32])),
        price: Some(Price { amount: "450.50".to_owned(), currency: "SEK".to_owned() }),
        service: ServiceId(4),
        start: at("2026-11-20T09:00:00Z"),
        status: Status::Pending,
        zone: stockholm(),
    }
}

fn rescheduled() -> Rescheduled {
    Rescheduled {
        booking: BOOKING,
        end: at("2026-11-20T10:00:00Z"),
        facets: FACETS,
        facets_before: Facets { hour: 13, ..FACETS },
        held: held(),
        start: at("2026-11-20T09:00:00Z"),
        status: Status::Confirmed,
        zone: stockholm(),
    }
}

fn bookings() -> Vec<Event> {
    let (facets, was) = (FACETS, Status::Pending);
    let note = Some(Sealed::new(Handle(5), 0));
    let (by, reason) = (Side::Client, Reason::Illness);
    let classes = vec![RetentionClass::Booking, RetentionClass::Health];
    vec![
        requested().into(),
        Event::BookingConfirmed(Step { was, ..STEP }),
        Declined { booking: BOOKING, facets, reason: Reason::NoCapacity, was }.into(),
        rescheduled().into(),
        Cancelled { booking: BOOKING, by, facets, note, reason, was }.into(),
        Event::BookingCheckedIn(STEP),
        Event::BookingCompleted(STEP),
        Event::BookingMissed(STEP),
        Changed { booking: BOOKING, times: 3 }.into(),
        ContentErased { booking: BOOKING, classes, ended: 4, handles: vec![Handle(5)] }.into(),
    ]
}

fn persons() -> Vec<Event> {
    let text = Text { hash: Hash([0x1f; 32]), locale: "sv-SE".to_owned() };
    let evidence = Sealed::new(Handle(7), 0);
    let (medium, purpose) = (Medium::Email, Purpose::Newsletter);
    let classes = vec![RetentionClass::Contact, RetentionClass::Consent];
    let (contact, registration) = (Sealed::new(Handle(6), 0), RegistrationId(20));
    let (given, withdrawn) = (Occasion::Desk, Occasion::Link);
    let until = Some(jiff::civil::date(2027, 1, 31));
    vec![
        Registered { contact }.into(),
        Rectified { contact, ended: 1, registration, was: Handle(3) }.into(),
        Erased { classes, ended: 12, fence: FenceId([0xc4; 16]) }.into(),
        Restricted { ground: RestrictionGround::AccuracyContested, registration, until }.into(),
        Unrestricted { registration }.into(),
        HoldPlaced { class: None, ground: HoldGround::LegalClaim, registration }.into(),
        HoldLifted {
            class: Some(RetentionClass::Health),
            ground: HoldGround::AuthorityOrder,
            registration,
        }
        .into(),
        Given { evidence, medium, occasion: given, purpose, text: text.clone() }.into(),
        Withdrawn { consent: ConsentId(30), medium, occasion: withdrawn, purpose }.into(),
        Accepted { evidence, occasion: Occasion::Booking, text }.into(),
    ]
}

fn catalogue() -> Vec<Event> {
    let hours = Hours(vec![day(Day::Monday, "09:00", "17:00"), day(Day::Friday, "22:00", "30:00")]);
    let (capacity, group, kind) = (3, GroupId(1), ResourceKind::Room);
    let name = "Söderrummet \"2\"".to_owned();
    let resource = Resource { capacity, group, hours, kind, name, zone: stockholm() };
    let service = Service {
        buffer_after: 20,
        buffer_before: 10,
        confirmation: Confirmation::Staff,
        length: Length::Between { from_minutes: 15, to_minutes: 480 },
        name: "Klippning".to_owned(),
        price: Some(Price { amount: "450".to_owned(), currency: "SEK".to_owned() }),
        requires: [Field::Name, Field::Email].into(),
        resources: [ResourceId(2), ResourceId(3)].into(),
    };
    let nights = Service { length: Length::Nights { most: 7 }, price: None, ..service.clone() };
    let (resource_id, service_id) = (ResourceId(2), ServiceId(4));
    vec![
        GroupDefined { name: "Salong Å".to_owned() }.into(),
        ResourceDefined { resource: resource.clone() }.into(),
        ResourceRevised { id: resource_id, resource }.into(),
        ResourceRetired { id: resource_id }.into(),
        ServiceDefined { service }.into(),
        ServiceRevised { id: service_id, service: nights }.into(),
        ServiceRetired { id: service_id }.into(),
    ]
}

fn recipient() -> Recipient {
    Recipient {
        classes: [RetentionClass::Contact, RetentionClass::Accounting].into(),
        country: "SE".to_owned(),
        endpoint: Some("https://books.example/notices".to_owned()),
        name: "Norrsken Books".to_owned(),
        purpose: "bookkeeping".to_owned(),
        retired: false,
        role: RecipientRole::Processor,
        secret_number: 1,
    }
}

fn rest() -> Vec<Event> {
    let policy = Policy {
        cancel_before_minutes: 1440,
        collect: [Field::Name, Field::Email, Field::HealthNote].into(),
        erasure: ErasureRule { approval: true, cooling_off_hours: 48 },
        fiscal_year_ends: 6,
        recipients: [("accountant".to_owned(), recipient())].into(),
        retention_days: [(RetentionClass::Booking, 730), (RetentionClass::Health, 90)].into(),
        zone: stockholm(),
    };
    let (classes, purpose) = (vec![RetentionClass::Contact], ReadPurpose::Administration);
    let whom = Sealed::new(Handle(9), 0);
    vec![
        PolicySet { policy }.into(),
        Reopened { fences: 2, lost_root: Hash([0x5e; 32]), lost_size: 4096, origin: 2 }.into(),
        Rotated { epoch: 2, persons: 1024 }.into(),
        PeriodEnded { class: RetentionClass::Accounting, year: 2026 }.into(),
        LogKeyRotated {
            former: "tidbok.invalid/00/1+0b303b07+AWrH7GAA4Uiaa".to_owned(),
            vkey: "tidbok.invalid/00/1+3c0e6a51+ATs7aibN5xF".to_owned(),
        }
        .into(),
        Moved { to: Residence::Database }.into(),
        Opened { classes, count: 25, purpose, whom }.into(),
    ]
}
