//! `/v1/availability`: free times. Advice only: asking for a booking decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::availability::{offered_minutes, offers};
use domain::catalogue::{Resource, Service};
use domain::slot::{Slot, Zone};
use domain::{ResourceId, ServiceId};
use eventstore::IdKind;
use jiff::{SignedDuration, Span, Timestamp};
use projections::Reader;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time::When;
use crate::answer::Answer;
use crate::caller::{Caller, MaySeeCatalogue};
use crate::problem::{Code, Problem};

const LONGEST_DAYS: i64 = 32;
const MOST_RESOURCES: usize = 200;
const MOST_OFFERS: usize = 5000;
const USUAL_STEP: u32 = 15;

/// Which free times.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AvailabilityQuery {
    service_id: String,
    /// The first start asked for: an instant, or wall time in `time_zone`.
    #[param(value_type = String, example = "2026-11-20")]
    from: String,
    /// Starts lie before this; at most 32 days after `from`.
    #[param(value_type = String, example = "2026-11-27")]
    to: String,
    #[param(example = "Europe/Stockholm")]
    time_zone: String,
    resource_id: Option<String>,
    /// Minutes between starts, 5 to 1440; 15 where it is not said.
    step_minutes: Option<u32>,
}

/// A time that could be booked now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Free {
    #[schema(value_type = String)]
    start: Timestamp,
    #[schema(value_type = String)]
    end: Timestamp,
    /// The start as wall time in the zone asked for.
    local_start: String,
    resource_ids: Vec<String>,
    /// Places left, over all these resources.
    remaining: u32,
}

/// Free times, and how many entries they reflect.
#[derive(Serialize, ToSchema)]
pub(crate) struct Availability {
    service_id: String,
    time_zone: String,
    data: Vec<Free>,
    /// There are more; ask for a shorter window.
    truncated: bool,
    position: u64,
}

/// What to look for, understood.
struct Wish {
    service: ServiceId,
    resource: Option<ResourceId>,
    window: Slot,
    zone: Zone,
    step: u32,
}

impl Wish {
    fn read(caller: &Caller<MaySeeCatalogue>, query: &AvailabilityQuery) -> Result<Self, Problem> {
        let service = caller.read_id_at(IdKind::Service, &query.service_id, "?service_id")?;
        let resource = query.resource_id.as_deref();
        let resource = resource
            .map(|id| caller.read_id_at(IdKind::Resource, id, "?resource_id"))
            .transpose()?;
        let zone: Zone =
            query.time_zone.parse().map_err(|_| Problem::invalid("?time_zone", "unknown_zone"))?;
        let step = query.step_minutes.unwrap_or(USUAL_STEP);
        if !(5..=1440).contains(&step) {
            return Err(Problem::invalid("?step_minutes", "out_of_range"));
        }
        let window = window(query, &zone)?;
        Ok(Self {
            service: ServiceId(service),
            resource: resource.map(ResourceId),
            window,
            zone,
            step,
        })
    }
}

fn window(query: &AvailabilityQuery, zone: &Zone) -> Result<Slot, Problem> {
    let instant = |text: &str, pointer: &str| {
        let when: When = text.parse().map_err(|_| Problem::invalid(pointer, "invalid"))?;
        when.instant(zone, pointer)
    };
    let (from, to) = (instant(&query.from, "?from")?, instant(&query.to, "?to")?);
    let window = Slot::new(from, to).map_err(|_| Problem::invalid("?to", "not_after_from"))?;
    match to.duration_since(from) <= SignedDuration::from_hours(LONGEST_DAYS * 24) {
        true => Ok(window),
        false => Err(Problem::invalid("?to", "too_long")),
    }
}

/// Finds free times. For everybody with a key.
#[utoipa::path(get, path = "/v1/availability", tag = "bookings", params(AvailabilityQuery),
    responses((status = OK, body = Availability)))]
pub(super) async fn read(
    caller: Caller<MaySeeCatalogue>,
    crate::sent::Asked(query): crate::sent::Asked<AvailabilityQuery>,
) -> Result<Answer<Availability>, Problem> {
    let wish = Wish::read(&caller, &query)?;
    let now = caller.app.env.clock.now();
    let zone = wish.zone.clone();
    let desk = Arc::clone(caller.desk());
    let position = desk.position();
    // Let go of with this request: nobody waits for the answer then.
    let waiting = Arc::new(());
    let waits = Arc::downgrade(&waiting);
    let found = tokio::task::spawn_blocking(move || {
        desk.read(|reader| search(reader, &wish, now, || waits.strong_count() > 0))
    });
    let (free, truncated) = found.await??;
    drop(waiting);
    let data = free.into_iter().map(|(slot, (resources, remaining))| Free {
        start: slot.start(),
        end: slot.end(),
        local_start: zone.local(slot.start()).to_string(),
        resource_ids: resources.iter().map(|id| caller.show(IdKind::Resource, id.0)).collect(),
        remaining,
    });
    let found = Availability {
        service_id: query.service_id,
        time_zone: zone.name().to_owned(),
        data: data.collect(),
        truncated,
        position: position.0,
    };
    Ok(Answer::read(found, position))
}

type FreeTimes = BTreeMap<Slot, (Vec<ResourceId>, u32)>;

/// Looks at one resource after the other for as long as somebody waits.
fn search(
    reader: &Reader,
    wish: &Wish,
    now: Timestamp,
    is_awaited: impl Fn() -> bool,
) -> Result<(FreeTimes, bool), Problem> {
    let service = reader.catalogue().service(wish.service)?;
    let service =
        service.ok_or_else(|| Problem::new(Code::NotFound).at("?service_id", "not_found"))?;
    let mut free = FreeTimes::new();
    if service.retired {
        return Ok((free, false));
    }
    let mut truncated = false;
    let candidates = candidates(reader, wish, &service.value)?;
    for (id, resource) in candidates.into_iter().take_while(|_| is_awaited()) {
        for (slot, remaining) in free_times(reader, wish, &service.value, id, &resource, now)? {
            let (resources, places) = free.entry(slot).or_default();
            resources.push(id);
            *places = places.saturating_add(remaining);
        }
        while free.len() > MOST_OFFERS {
            drop(free.pop_last());
            truncated = true;
        }
    }
    Ok((free, truncated))
}

fn candidates(
    reader: &Reader,
    wish: &Wish,
    service: &Service,
) -> Result<Vec<(ResourceId, Resource)>, Problem> {
    let wanted = |id: ResourceId| {
        service.is_offered_on(id) && wish.resource.is_none_or(|resource| resource == id)
    };
    let all = reader.catalogue().resources()?.into_iter();
    let offered = all.filter(|item| !item.retired && wanted(item.id));
    Ok(offered.take(MOST_RESOURCES).map(|item| (item.id, item.value)).collect())
}

fn free_times(
    reader: &Reader,
    wish: &Wish,
    service: &Service,
    id: ResourceId,
    resource: &Resource,
    now: Timestamp,
) -> Result<Vec<(Slot, u32)>, Problem> {
    // What is offered may begin at the last moment of the window, and its buffers reach on.
    let reach = |minutes: u32| Span::new().days(i64::from(minutes.div_ceil(24 * 60)) + 1);
    let (before, after) = (
        reach(service.buffer_before.into()),
        reach(offered_minutes(service) + u32::from(service.buffer_after)),
    );
    let first = wish.window.days().next().and_then(|date| date.checked_sub(before).ok());
    let last = wish.window.days().last().and_then(|date| date.checked_add(after).ok());
    let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
    let days = reader.occupancy().days(id, first..=last)?;
    let found = offers(service, resource, wish.window, wish.step, |date| days.get(&date));
    let found = found.into_iter().filter(|offer| offer.slot.start() >= now);
    Ok(found.map(|offer| (offer.slot, offer.remaining)).collect())
}
