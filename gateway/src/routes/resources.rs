//! `/v1/resources`: what is held: chairs, rooms, places on a rota.

use axum::extract::Path;
use domain::catalogue::{CatalogueCommand, CatalogueRefusal, ResourceKind, is_name};
use domain::slot::{Hours, Zone};
use domain::{GroupId, Position, Refusal, ResourceId};
use eventstore::{Append, AppendError, IdKind};
use projections::Item;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::catalogue;
use super::shown::Repeat;
use crate::answer::{Answer, Page, matches};
use crate::caller::{Caller, MayChangeCatalogue, MaySeeCatalogue};
use crate::metrics;
use crate::problem::Problem;
use crate::sent::{IfMatch, Once, Sent};

/// A resource, as it is defined.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceIn {
    #[schema(example = "Chair 1")]
    name: String,
    /// staff, room or equipment.
    #[schema(value_type = String, example = "room")]
    kind: ResourceKind,
    /// How many places it has at any instant.
    #[serde(default = "one")]
    capacity: u16,
    /// The house or department it belongs to, by name; defined where it is new.
    #[schema(example = "Salon")]
    group: String,
    #[schema(value_type = String, example = "Europe/Stockholm")]
    time_zone: Zone,
    /// When it takes bookings in an ordinary week; round the clock where this is left out.
    #[serde(default = "Hours::always")]
    #[schema(value_type = Vec<OpeningShape>)]
    hours: Hours,
}

/// One span of opening, in the resource's own zone.
#[derive(ToSchema)]
#[schema(as = Opening)]
#[expect(dead_code, reason = "the shape of what the rules read themselves")]
pub(crate) struct OpeningShape {
    #[schema(example = "monday")]
    day: String,
    #[schema(example = "09:00")]
    from: String,
    /// Up to 48:00, so that a night is one opening.
    #[schema(example = "17:00")]
    to: String,
}

fn one() -> u16 {
    1
}

/// A resource.
#[derive(Serialize, ToSchema)]
pub(crate) struct Resource {
    #[schema(example = "res_00112233445566778899aabbccddeeff")]
    id: String,
    version: u32,
    name: String,
    kind: &'static str,
    capacity: u16,
    group: String,
    group_id: String,
    #[schema(value_type = String)]
    time_zone: Zone,
    #[schema(value_type = Vec<OpeningShape>)]
    hours: Hours,
    /// Whether it takes no new bookings any more.
    retired: bool,
}

type Found = (Item<ResourceId, domain::catalogue::Resource>, String);

async fn find<P>(caller: &Caller<P>, id: ResourceId) -> Result<(Found, Position), Problem> {
    caller
        .find(|reader| {
            let Some(item) = reader.catalogue().resource(id)? else { return Ok(None) };
            let group = reader.catalogue().group(item.value.group)?;
            Ok(Some((item, group.map(|group| group.value).unwrap_or_default())))
        })
        .await
}

fn shown<P>(caller: &Caller<P>, (item, group): Found) -> Resource {
    let resource = item.value;
    Resource {
        id: caller.show(IdKind::Resource, item.id.0),
        version: item.version,
        name: resource.name,
        kind: resource.kind.name(),
        capacity: resource.capacity,
        group,
        group_id: caller.show(IdKind::Group, resource.group.0),
        time_zone: resource.zone,
        hours: resource.hours,
        retired: item.retired,
    }
}

/// The group of this name; a new one where there is none.
async fn group(caller: &Caller<MayChangeCatalogue>, name: &str) -> Result<GroupId, Problem> {
    let command = CatalogueCommand::DefineGroup { name: name.to_owned() };
    let append = Append::new(domain::Command::Catalogue(command), caller.actor());
    match metrics::append(&caller.app, caller.tenant(), append).await {
        Ok(appended) => Ok(GroupId(appended.first.0)),
        Err(AppendError::Refused(Refusal::Catalogue(CatalogueRefusal::GroupExists))) => {
            let named = |reader: &projections::Reader| {
                let groups = reader.catalogue().groups()?;
                Ok(groups.into_iter().find(|group| group.value == name).map(|group| group.id))
            };
            Ok(caller.find(named).await?.0)
        }
        Err(AppendError::Refused(Refusal::Catalogue(CatalogueRefusal::BadName))) => {
            Err(Problem::invalid("/group", "invalid"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn wished(
    caller: &Caller<MayChangeCatalogue>,
    resource: ResourceIn,
) -> Result<domain::catalogue::Resource, Problem> {
    // A resource that is refused must not leave a group behind.
    if !is_name(&resource.name) {
        return Err(CatalogueRefusal::BadName.into());
    }
    if resource.capacity == 0 {
        return Err(CatalogueRefusal::BadCapacity.into());
    }
    if !resource.hours.are_sound() {
        return Err(CatalogueRefusal::BadHours.into());
    }
    Ok(domain::catalogue::Resource {
        capacity: resource.capacity,
        group: group(caller, &resource.group).await?,
        hours: resource.hours,
        kind: resource.kind,
        name: resource.name,
        zone: resource.time_zone,
    })
}

/// Lists all resources, retired ones too. For everybody with a key.
#[utoipa::path(get, path = "/v1/resources", tag = "catalogue",
    responses((status = OK, body = Page<Resource>)))]
pub(super) async fn list(
    caller: Caller<MaySeeCatalogue>,
) -> Result<Answer<Page<Resource>>, Problem> {
    let ((items, groups), position) = caller.read(|reader| {
        reader.at_once(|reader| Ok((reader.catalogue().resources()?, reader.catalogue().groups()?)))
    })?;
    let name = |id: GroupId| {
        let group = groups.iter().find(|group| group.id == id);
        group.map(|group| group.value.clone()).unwrap_or_default()
    };
    let data = items.into_iter().map(|item| {
        let group = name(item.value.group);
        shown(&caller, (item, group))
    });
    Ok(Answer::read(Page { data: data.collect(), next_cursor: None }, position))
}

/// Reads one resource. For everybody with a key.
#[utoipa::path(get, path = "/v1/resources/{id}", tag = "catalogue",
    params(("id" = String, Path)), responses((status = OK, body = Resource)))]
pub(super) async fn read(
    caller: Caller<MaySeeCatalogue>,
    Path(id): Path<String>,
) -> Result<Answer<Resource>, Problem> {
    let (found, position) = find(&caller, caller.resource_id(&id)?).await?;
    let version = found.0.version;
    Ok(Answer::read(shown(&caller, found), position).version(version))
}

/// Defines a resource. For administrators.
#[utoipa::path(post, path = "/v1/resources", tag = "catalogue", params(Repeat),
    request_body = ResourceIn, responses((status = CREATED, body = Resource)))]
pub(super) async fn create(
    caller: Caller<MayChangeCatalogue>,
    Once { value, idempotency }: Once<ResourceIn>,
) -> Result<Answer<Resource>, Problem> {
    let command = CatalogueCommand::DefineResource(wished(&caller, value).await?);
    let appended = catalogue::append(&caller, command, Some(idempotency)).await?;
    let (found, _) = find(&caller, ResourceId(appended.first.0)).await?;
    let path = format!("/v1/resources/{}", caller.show(IdKind::Resource, found.0.id.0));
    let version = found.0.version;
    Ok(Answer::created(shown(&caller, found), &appended).version(version).located(&path))
}

/// Puts a new definition in place of a resource's; bookings stay. For administrators.
#[utoipa::path(put, path = "/v1/resources/{id}", tag = "catalogue",
    params(("id" = String, Path), ("If-Match" = String, Header)),
    request_body = ResourceIn, responses((status = OK, body = Resource)))]
pub(super) async fn revise(
    caller: Caller<MayChangeCatalogue>,
    Path(id): Path<String>,
    seen: IfMatch,
    Sent(value): Sent<ResourceIn>,
) -> Result<Answer<Resource>, Problem> {
    let (id, seen) = (caller.resource_id(&id)?, seen.required()?);
    // Before anything is decided, for what is refused must not leave a group behind.
    caller.caught_up_now().await?;
    let (found, _) = find(&caller, id).await?;
    matches(seen, found.0.version)?;
    let resource = wished(&caller, value).await?;
    let command = CatalogueCommand::ReviseResource { id, expected: seen, resource };
    let appended = catalogue::append(&caller, command, None).await?;
    caller.caught_up_now().await?;
    let (found, _) = find(&caller, id).await?;
    let version = found.0.version;
    Ok(Answer::changed(shown(&caller, found), &appended).version(version))
}

/// Retires a resource: it takes no new bookings any more. For administrators.
#[utoipa::path(delete, path = "/v1/resources/{id}", tag = "catalogue",
    params(("id" = String, Path)), responses((status = OK, body = Resource)))]
pub(super) async fn retire(
    caller: Caller<MayChangeCatalogue>,
    Path(id): Path<String>,
) -> Result<Answer<Resource>, Problem> {
    let id = caller.resource_id(&id)?;
    let command = CatalogueCommand::RetireResource(id);
    let appended = catalogue::append(&caller, command, None).await?;
    caller.caught_up_now().await?;
    let (found, _) = find(&caller, id).await?;
    let version = found.0.version;
    Ok(Answer::changed(shown(&caller, found), &appended).version(version))
}
