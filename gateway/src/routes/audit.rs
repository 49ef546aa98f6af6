//! `/v1/audit/events`: the history, entry by entry, with nothing personal in it.

use domain::{Event, Position};
use eventstore::ledger::codec::Entry;
use eventstore::{EntryBytes, IdKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shown::ActorOut;
use crate::answer::Answer;
use crate::caller::{Caller, MayAudit};
use crate::problem::Problem;
use crate::sent::Asked;

const MOST: u32 = 1000;

/// Which entries.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Behind this position; from the first entry where it is left out.
    after: Option<u64>,
    /// How many at most, 1 to 1000; 100 where it is not said.
    limit: Option<u32>,
}

/// One entry of the ledger.
#[derive(Serialize, ToSchema)]
pub(crate) struct EntryOut {
    position: u64,
    #[schema(example = "booking.requested")]
    kind: &'static str,
    version: u16,
    #[schema(value_type = String)]
    recorded_at: Timestamp,
    #[schema(value_type = String)]
    occurred_at: Timestamp,
    actor: ActorOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    booking_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_ids: Vec<String>,
    /// The SHA-256 of each seal, whether or not it can still be opened.
    seal_hashes: Vec<String>,
    /// The RFC 6962 leaf hash of the entry's bytes.
    leaf: String,
}

/// Entries in order.
#[derive(Serialize, ToSchema)]
pub(crate) struct Events {
    data: Vec<EntryOut>,
    /// How many entries there are.
    size: u64,
    /// Ask again after this position; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<u64>,
}

/// Reads the history. For administrators and auditors.
#[utoipa::path(get, path = "/v1/audit/events", tag = "history", params(EventsQuery),
    responses((status = OK, body = Events)))]
pub(super) async fn events(
    caller: Caller<MayAudit>,
    Asked(query): Asked<EventsQuery>,
) -> Result<Answer<Events>, Problem> {
    let limit = match query.limit.unwrap_or(100) {
        limit @ 1..=MOST => usize::try_from(limit).unwrap_or(usize::MAX),
        _ => return Err(Problem::invalid("?limit", "out_of_range")),
    };
    let from = query.after.map_or(Position(0), |after| Position(after).next());
    let log = std::sync::Arc::clone(caller.tenant().log());
    let size = log.size();
    let reading = tokio::task::spawn_blocking(move || {
        let entries = log.entries(from, limit)?;
        entries.into_iter().map(|bytes| Ok((bytes.decode()?, bytes))).collect()
    });
    let entries: Result<Vec<(Entry, EntryBytes)>, Problem> = reading.await?;
    let data: Vec<EntryOut> =
        entries?.into_iter().map(|(entry, bytes)| shown(&caller, entry, &bytes)).collect();
    let last = data.last().map(|entry| entry.position);
    let next_after = last.filter(|last| last + 1 < size);
    Ok(Answer::read(Events { data, size, next_after }, Position(size)))
}

fn shown(caller: &Caller<MayAudit>, entry: Entry, bytes: &EntryBytes) -> EntryOut {
    let recorded = entry.recorded;
    let (booking, resources) = about(recorded.position, &recorded.event);
    let hex = |hash: [u8; 32]| domain::ids::Hash(hash).to_string();
    EntryOut {
        position: recorded.position.0,
        kind: recorded.event.kind().name(),
        version: entry.version,
        recorded_at: recorded.recorded_at,
        occurred_at: recorded.occurred_at,
        actor: ActorOut::new(caller, recorded.actor),
        booking_id: booking.map(|id| caller.show(IdKind::Booking, id)),
        resource_ids: resources.iter().map(|id| caller.show(IdKind::Resource, *id)).collect(),
        seal_hashes: entry.seal_hashes.into_iter().map(hex).collect(),
        leaf: hex(bytes.leaf),
    }
}

/// Which booking and which resources an entry is about.
fn about(position: Position, event: &Event) -> (Option<u64>, Vec<u64>) {
    let held = |held: &[domain::booking::Hold]| held.iter().map(|hold| hold.resource.0).collect();
    let booking = |id: domain::BookingId| (Some(id.0), Vec::new());
    match event {
        Event::BookingRequested(event) => (Some(position.0), held(&event.held)),
        Event::BookingRescheduled(event) => (Some(event.booking.0), held(&event.held)),
        Event::BookingConfirmed(step)
        | Event::BookingCheckedIn(step)
        | Event::BookingCompleted(step)
        | Event::BookingMissed(step) => booking(step.booking),
        Event::BookingDeclined(event) => booking(event.booking),
        Event::BookingCancelled(event) => booking(event.booking),
        Event::BookingChanged(event) => booking(event.booking),
        Event::BookingContentErased(event) => booking(event.booking),
        Event::ResourceDefined(_) => (None, vec![position.0]),
        Event::ResourceRevised(event) => (None, vec![event.id.0]),
        Event::ResourceRetired(event) => (None, vec![event.id.0]),
        Event::PersonRegistered(_)
        | Event::PersonRectified(_)
        | Event::PersonErased(_)
        | Event::PersonRestricted(_)
        | Event::PersonUnrestricted(_)
        | Event::HoldPlaced(_)
        | Event::HoldLifted(_)
        | Event::ConsentGiven(_)
        | Event::ConsentWithdrawn(_)
        | Event::PolicyAccepted(_)
        | Event::GroupDefined(_)
        | Event::ServiceDefined(_)
        | Event::ServiceRevised(_)
        | Event::ServiceRetired(_)
        | Event::PolicySet(_)
        | Event::LedgerReopened(_)
        | Event::KeysRotated(_)
        | Event::LogKeyRotated(_)
        | Event::LedgerMoved(_)
        | Event::PeriodEnded(_)
        | Event::SealsOpened(_) => (None, Vec::new()),
    }
}
