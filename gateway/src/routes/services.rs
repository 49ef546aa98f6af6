//! `/v1/services`: what people come for.

use std::collections::BTreeSet;

use axum::extract::Path;
use domain::catalogue::{CatalogueCommand, Confirmation, Length};
use domain::{Field, Position, ResourceId, ServiceId};
use eventstore::IdKind;
use projections::Item;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::catalogue::{self, Price};
use super::shown::Repeat;
use crate::answer::{Answer, Page};
use crate::caller::{Caller, MayChangeCatalogue, MaySeeCatalogue};
use crate::problem::Problem;
use crate::sent::{IfMatch, Once, Sent};

/// A service, as it is defined.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceIn {
    #[schema(example = "Haircut")]
    name: String,
    length: LengthIn,
    #[serde(default)]
    price: Option<Price>,
    /// `instant`, or `staff` where somebody answers each request.
    #[serde(default = "instant")]
    #[schema(value_type = Option<String>, example = "instant")]
    confirmation: Confirmation,
    /// The personal fields without which it cannot be booked.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    requires: BTreeSet<Field>,
    /// The resources it can be booked on; empty for all.
    #[serde(default)]
    resource_ids: Vec<String>,
    #[serde(default)]
    buffer_before_minutes: u16,
    #[serde(default)]
    buffer_after_minutes: u16,
}

/// How long a booking lasts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum LengthIn {
    /// Always so long, within opening hours.
    Fixed { minutes: u32 },
    /// As the booker chooses, within opening hours.
    Between { from_minutes: u32, to_minutes: u32 },
    /// Over night, whatever the opening hours.
    Nights { most: u16 },
}

fn instant() -> Confirmation {
    Confirmation::Instant
}

/// A service.
#[derive(Serialize, ToSchema)]
pub(crate) struct Service {
    #[schema(example = "svc_00112233445566778899aabbccddeeff")]
    id: String,
    version: u32,
    name: String,
    length: LengthIn,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Price>,
    confirmation: &'static str,
    #[schema(value_type = Vec<String>)]
    requires: BTreeSet<Field>,
    resource_ids: Vec<String>,
    buffer_before_minutes: u16,
    buffer_after_minutes: u16,
    /// Whether it takes no new bookings any more.
    retired: bool,
}

impl From<LengthIn> for Length {
    fn from(length: LengthIn) -> Self {
        match length {
            LengthIn::Fixed { minutes } => Self::Fixed { minutes },
            LengthIn::Between { from_minutes, to_minutes } => {
                Self::Between { from_minutes, to_minutes }
            }
            LengthIn::Nights { most } => Self::Nights { most },
        }
    }
}

impl From<Length> for LengthIn {
    fn from(length: Length) -> Self {
        match length {
            Length::Fixed { minutes } => Self::Fixed { minutes },
            Length::Between { from_minutes, to_minutes } => {
                Self::Between { from_minutes, to_minutes }
            }
            Length::Nights { most } => Self::Nights { most },
        }
    }
}

fn wished<P>(
    caller: &Caller<P>,
    service: ServiceIn,
) -> Result<domain::catalogue::Service, Problem> {
    let ids = service.resource_ids.iter().enumerate();
    let resources = ids.map(|(n, id)| {
        let number = caller.read_id_at(IdKind::Resource, id, &format!("/resource_ids/{n}"));
        number.map(ResourceId)
    });
    Ok(domain::catalogue::Service {
        buffer_after: service.buffer_after_minutes,
        buffer_before: service.buffer_before_minutes,
        confirmation: service.confirmation,
        length: service.length.into(),
        name: service.name,
        price: service.price.map(Into::into),
        requires: service.requires,
        resources: resources.collect::<Result<_, _>>()?,
    })
}

fn shown<P>(caller: &Caller<P>, item: Item<ServiceId, domain::catalogue::Service>) -> Service {
    let service = item.value;
    Service {
        id: caller.show(IdKind::Service, item.id.0),
        version: item.version,
        name: service.name,
        length: service.length.into(),
        price: service.price.map(Into::into),
        confirmation: service.confirmation.name(),
        requires: service.requires,
        resource_ids: service
            .resources
            .iter()
            .map(|id| caller.show(IdKind::Resource, id.0))
            .collect(),
        buffer_before_minutes: service.buffer_before,
        buffer_after_minutes: service.buffer_after,
        retired: item.retired,
    }
}

type Found = Item<ServiceId, domain::catalogue::Service>;

async fn find<P>(caller: &Caller<P>, id: ServiceId) -> Result<(Found, Position), Problem> {
    caller.find(|reader| reader.catalogue().service(id)).await
}

/// Lists all services, retired ones too. For everybody with a key.
#[utoipa::path(get, path = "/v1/services", tag = "catalogue",
    responses((status = OK, body = Page<Service>)))]
pub(super) async fn list(
    caller: Caller<MaySeeCatalogue>,
) -> Result<Answer<Page<Service>>, Problem> {
    let (items, position) = caller.read(|reader| reader.catalogue().services())?;
    let data = items.into_iter().map(|item| shown(&caller, item)).collect();
    Ok(Answer::read(Page { data, next_cursor: None }, position))
}

/// Reads one service. For everybody with a key.
#[utoipa::path(get, path = "/v1/services/{id}", tag = "catalogue",
    params(("id" = String, Path)), responses((status = OK, body = Service)))]
pub(super) async fn read(
    caller: Caller<MaySeeCatalogue>,
    Path(id): Path<String>,
) -> Result<Answer<Service>, Problem> {
    let (item, position) = find(&caller, caller.service_id(&id)?).await?;
    let version = item.version;
    Ok(Answer::read(shown(&caller, item), position).version(version))
}

/// Defines a service. For administrators.
#[utoipa::path(post, path = "/v1/services", tag = "catalogue", params(Repeat),
    request_body = ServiceIn, responses((status = CREATED, body = Service)))]
pub(super) async fn create(
    caller: Caller<MayChangeCatalogue>,
    Once { value, idempotency }: Once<ServiceIn>,
) -> Result<Answer<Service>, Problem> {
    let command = CatalogueCommand::DefineService(wished(&caller, value)?);
    let appended = catalogue::append(&caller, command, Some(idempotency)).await?;
    let (item, _) = find(&caller, ServiceId(appended.first.0)).await?;
    let path = format!("/v1/services/{}", caller.show(IdKind::Service, item.id.0));
    let version = item.version;
    Ok(Answer::created(shown(&caller, item), &appended).version(version).located(&path))
}

/// Puts a new definition in place of a service's; bookings stay. For administrators.
#[utoipa::path(put, path = "/v1/services/{id}", tag = "catalogue",
    params(("id" = String, Path), ("If-Match" = String, Header)),
    request_body = ServiceIn, responses((status = OK, body = Service)))]
pub(super) async fn revise(
    caller: Caller<MayChangeCatalogue>,
    Path(id): Path<String>,
    seen: IfMatch,
    Sent(value): Sent<ServiceIn>,
) -> Result<Answer<Service>, Problem> {
    let (id, seen) = (caller.service_id(&id)?, seen.required()?);
    let service = wished(&caller, value)?;
    let command = CatalogueCommand::ReviseService { id, expected: seen, service };
    let appended = catalogue::append(&caller, command, None).await?;
    caller.caught_up_now().await?;
    let (item, _) = find(&caller, id).await?;
    let version = item.version;
    Ok(Answer::changed(shown(&caller, item), &appended).version(version))
}

/// Retires a service: it takes no new bookings any more. For administrators.
#[utoipa::path(delete, path = "/v1/services/{id}", tag = "catalogue",
    params(("id" = String, Path)), responses((status = OK, body = Service)))]
pub(super) async fn retire(
    caller: Caller<MayChangeCatalogue>,
    Path(id): Path<String>,
) -> Result<Answer<Service>, Problem> {
    let id = caller.service_id(&id)?;
    let command = CatalogueCommand::RetireService(id);
    let appended = catalogue::append(&caller, command, None).await?;
    caller.caught_up_now().await?;
    let (item, _) = find(&caller, id).await?;
    let version = item.version;
    Ok(Answer::changed(shown(&caller, item), &appended).version(version))
}
