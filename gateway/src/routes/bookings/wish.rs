//! A booking as it is asked for over HTTP, read into what the intake seals.

use domain::booking::{BookingRefusal, Role, Wanted};
use domain::catalogue::Length;
use domain::facet::Channel;
use domain::ids::Hash;
use domain::slot::{Slot, Zone};
use domain::{ResourceId, RetentionClass, ServiceId};
use eventstore::{IdKind, Lookup, LookupKind, Personal};
use jiff::{Span, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::caller::{Caller, MayBook};
use crate::intake::{self, PartIn, Who};
use crate::problem::Problem;
use crate::routes::catalogue::Price;
use crate::routes::time::When;

/// A booking, as it is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BookingIn {
    service_id: String,
    /// Which resources, 1 to 16; the first one's time zone is the booking's.
    resource_ids: Vec<String>,
    /// How many places of each.
    #[serde(default = "one")]
    units: u16,
    #[schema(value_type = String, example = "2026-03-29T10:30:00+02:00")]
    start: When,
    /// May be left out for a service of fixed length.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    end: Option<When>,
    /// Whose it is. A client books for themselves and may leave it out.
    #[serde(default)]
    client_id: Option<String>,
    /// Somebody new, in place of `client_id`; for staff.
    #[serde(default)]
    client: Option<NewClient>,
    /// The booker's fields around this booking: `note`, `health_note`, `invoice_name`,
    /// `invoice_address`.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    fields: Personal,
    /// Others who come, by name; for staff.
    #[serde(default)]
    participants: Vec<Participant>,
    /// How many people come, named or not; as many as are named where it is left out.
    #[serde(default)]
    party_size: Option<u16>,
    /// online, staff, phone, `walk_in` or partner; a client's is online.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    channel: Option<Channel>,
    /// The SHA-256 of the terms that were shown, in hexadecimal digits.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    policy_hash: Option<Hash>,
    /// Another price than the service's; for staff.
    #[serde(default)]
    price: Option<Price>,
}

/// Somebody who is no client yet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewClient {
    /// `name`, `email`, `phone` and whatever else the tenant collects.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub contact: Personal,
    /// A number of the tenant's own by which the client can be found.
    #[serde(default)]
    pub reference: Option<String>,
}

/// Somebody else who comes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Participant {
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    client: Option<NewClient>,
    /// participant or guardian.
    #[serde(default = "participant")]
    #[schema(value_type = Option<String>)]
    role: Role,
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    fields: Personal,
}

fn one() -> u16 {
    1
}

fn participant() -> Role {
    Role::Participant
}

/// A wish, ready to be sealed.
pub(super) struct Wish {
    pub booking: intake::BookingIn,
    pub fiscal_year: i16,
    /// How many of its parts are of somebody new.
    pub new_clients: usize,
}

/// Reads a wish.
pub(super) async fn read(caller: &Caller<MayBook>, input: BookingIn) -> Result<Wish, Problem> {
    only_staff_may(caller, &input)?;
    let service =
        ServiceId(caller.read_id_at(IdKind::Service, &input.service_id, "/service_id")?);
    let wanted = wanted(caller, &input.resource_ids, input.units)?;
    let times = Times { start: input.start, end: input.end };
    let slot = times.slot(caller, service, wanted.first().map(|wanted| wanted.resource)).await?;
    let client_id = input.client_id.as_deref();
    let parts = parts(caller, client_id, input.client, input.fields, input.participants)?;
    let fiscal_year = fiscal_year(caller, &parts, slot).await?;
    let named = u16::try_from(parts.len()).unwrap_or(u16::MAX);
    let usual = if caller.is_client() { Channel::Online } else { Channel::Staff };
    let new_clients = parts.iter().filter(|part| part.who == Who::New).count();
    let booking = intake::BookingIn {
        service,
        wanted,
        slot,
        parts,
        party: input.party_size.unwrap_or(named).max(named),
        channel: input.channel.unwrap_or(usual),
        policy: input.policy_hash,
        price: input.price.map(Into::into),
        past: None,
    };
    Ok(Wish { booking, fiscal_year, new_clients })
}

fn only_staff_may(caller: &Caller<MayBook>, input: &BookingIn) -> Result<(), Problem> {
    if !caller.is_client() {
        return Ok(());
    }
    let claims = [
        (input.client.is_some(), "/client"),
        (!input.participants.is_empty(), "/participants"),
        (input.price.is_some(), "/price"),
        (input.channel.is_some_and(|channel| channel != Channel::Online), "/channel"),
    ];
    match claims.into_iter().find(|(claimed, _)| *claimed) {
        Some((_, pointer)) => Err(Problem::invalid(pointer, "not_allowed")),
        None => Ok(()),
    }
}

/// The resources wished for, each with so many places.
pub(super) fn wanted<P>(
    caller: &Caller<P>,
    ids: &[String],
    units: u16,
) -> Result<Vec<Wanted>, Problem> {
    if ids.is_empty() {
        return Err(Problem::invalid("/resource_ids", "missing"));
    }
    let numbered = ids.iter().enumerate();
    let wanted = numbered.map(|(n, id)| {
        let resource = caller.read_id_at(IdKind::Resource, id, &format!("/resource_ids/{n}"))?;
        Ok(Wanted { resource: ResourceId(resource), units })
    });
    wanted.collect()
}

/// When, as it was written.
pub(super) struct Times {
    pub start: When,
    pub end: Option<When>,
}

impl Times {
    /// Whether what they mean depends on a zone.
    pub(super) fn are_local(&self) -> bool {
        self.start.is_local() || self.end.is_some_and(When::is_local)
    }

    /// The slot: wall times in the zone of the first resource, the end from the service where it
    /// is left out.
    pub(super) async fn slot<P>(
        &self,
        caller: &Caller<P>,
        service: ServiceId,
        first: Option<ResourceId>,
    ) -> Result<Slot, Problem> {
        let zone = match first {
            Some(resource) if self.are_local() => zone_of(caller, resource).await?,
            Some(_) | None => Zone::utc(),
        };
        let start = self.start.instant(&zone, "/start")?;
        let end = match self.end {
            Some(end) => end.instant(&zone, "/end")?,
            None => fixed_end(caller, service, start).await?,
        };
        Ok(Slot::new(start, end)?)
    }
}

async fn zone_of<P>(caller: &Caller<P>, resource: ResourceId) -> Result<Zone, Problem> {
    let found = caller.find(|reader| reader.catalogue().resource(resource)).await;
    found
        .map(|(item, _)| item.value.zone)
        .map_err(|problem| problem.at("/resource_ids/0", "not_found"))
}

async fn fixed_end<P>(
    caller: &Caller<P>,
    service: ServiceId,
    start: Timestamp,
) -> Result<Timestamp, Problem> {
    let found = caller.find(|reader| reader.catalogue().service(service)).await;
    let (item, _) = found.map_err(|problem| problem.at("/service_id", "not_found"))?;
    match item.value.length {
        Length::Fixed { minutes } => start
            .checked_add(Span::new().minutes(i64::from(minutes)))
            .map_err(|_| Problem::invalid("/start", "out_of_range")),
        Length::Between { .. } | Length::Nights { .. } => Err(Problem::invalid("/end", "missing")),
    }
}

fn parts(
    caller: &Caller<MayBook>,
    client_id: Option<&str>,
    client: Option<NewClient>,
    fields: Personal,
    participants: Vec<Participant>,
) -> Result<Vec<PartIn>, Problem> {
    let mut parts = vec![match client {
        Some(_) if client_id.is_some() => return Err(Problem::invalid("/client", "one_of_two")),
        Some(new) => new_part(new, Role::Booker, fields, "/client")?,
        None => known_part(caller, client_id, Role::Booker, fields, "/client_id")?,
    }];
    for (n, other) in participants.into_iter().enumerate() {
        let pointer = format!("/participants/{n}");
        parts.push(match other.client {
            Some(new) => new_part(new, other.role, other.fields, &format!("{pointer}/client"))?,
            None => {
                let (id, pointer) = (other.client_id.as_deref(), format!("{pointer}/client_id"));
                known_part(caller, id, other.role, other.fields, &pointer)?
            }
        });
    }
    Ok(parts)
}

fn known_part(
    caller: &Caller<MayBook>,
    id: Option<&str>,
    role: Role,
    fields: Personal,
    pointer: &str,
) -> Result<PartIn, Problem> {
    let person = caller.subject(id, pointer)?;
    Ok(PartIn { who: Who::Known(person), role, fields, references: Vec::new() })
}

fn new_part(
    new: NewClient,
    role: Role,
    fields: Personal,
    pointer: &str,
) -> Result<PartIn, Problem> {
    let misplaced = |field: Option<domain::Field>, place: &str| match field {
        Some(field) => Err(Problem::invalid(format!("{place}/{field}"), "out_of_place")),
        None => Ok(()),
    };
    let contact = |field: &domain::Field| field.class() == RetentionClass::Contact;
    misplaced(new.contact.fields().iter().find(|field| !contact(field)), pointer)?;
    misplaced(fields.fields().iter().find(contact), "/fields")?;
    if new.contact.is_empty() {
        return Err(Problem::invalid(format!("{pointer}/contact"), "missing"));
    }
    let references = references(new.reference);
    let fields = new.contact.overlaid(fields);
    Ok(PartIn { who: Who::New, role, fields, references })
}

/// What somebody new can be found by besides mail and phone.
pub(in crate::routes) fn references(reference: Option<String>) -> Vec<Lookup> {
    let reference = reference.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    reference.map(|text| Lookup::new(LookupKind::Reference, text)).into_iter().collect()
}

/// The fiscal year whose key seals the accounting fields, made where it is new.
async fn fiscal_year(
    caller: &Caller<MayBook>,
    parts: &[PartIn],
    slot: Slot,
) -> Result<i16, Problem> {
    let accounting = |part: &PartIn| {
        part.fields.fields().iter().any(|field| field.class() == RetentionClass::Accounting)
    };
    if !parts.iter().any(accounting) {
        return Ok(0);
    }
    if slot.start() < caller.app.env.clock.now() {
        // Refused in any case: no key is made for a year that nobody books in.
        return Err(BookingRefusal::Started.into());
    }
    let ((policy, _), _) = caller.find(|reader| reader.catalogue().policy()).await?;
    let year = policy.fiscal_year(slot.start());
    caller.tenant().ledger.ensure_period(RetentionClass::Accounting, year).await?;
    Ok(year)
}
