//! How a booking looks from outside: to those who run it, and to a client who has a part in it.

use std::collections::BTreeSet;

use domain::booking::{Part, Requested};
use domain::ledger::ReadPurpose;
use domain::{Actor, BookingId, Event, Handle, Position, RetentionClass};
use eventstore::{IdKind, PersonId};
use jiff::Timestamp;
use projections::{BookingRow, PartRow, SealAt};
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::problem::{Code, Problem};
use crate::routes::catalogue::Price;
use crate::routes::shown::{
    ActorOut, Ask, ClientOut, Fields, Opened, Openings, People, purpose, role, sealed_at,
};

/// A booking.
#[derive(Serialize, ToSchema)]
pub(crate) struct Booking {
    #[schema(example = "bkg_00112233445566778899aabbccddeeff")]
    id: String,
    /// How many entries tell of it; also its `ETag`.
    version: u32,
    /// pending, confirmed, declined, `checked_in`, completed, cancelled or `no_show`.
    status: &'static str,
    #[schema(value_type = String)]
    start: Timestamp,
    #[schema(value_type = String)]
    end: Timestamp,
    #[schema(example = "Europe/Stockholm")]
    time_zone: String,
    /// The start as wall time in the zone.
    local_start: String,
    service_id: String,
    resource_ids: Vec<String>,
    /// What it holds, buffers included, or held until it was given up.
    held: Vec<Held>,
    /// Whose it is; absent once that person is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    parts: Vec<PartOut>,
    channel: &'static str,
    /// How many people, as a band.
    party: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Price>,
    /// The hash of the terms that were shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_hash: Option<String>,
    #[schema(value_type = String)]
    created_at: Timestamp,
    created_by: ActorOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled: Option<Cancelled>,
    /// Whether what was said around it has been erased.
    content_erased: bool,
}

/// Places of a resource that are held.
#[derive(Serialize, ToSchema)]
pub(crate) struct Held {
    resource_id: String,
    units: u16,
    #[schema(value_type = String)]
    from: Timestamp,
    #[schema(value_type = String)]
    until: Timestamp,
}

/// Somebody's part in a booking.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartOut {
    #[schema(example = "prt_00112233445566778899aabbccddeeff")]
    id: String,
    /// booker, participant or guardian.
    role: &'static str,
    /// Absent in another person's part that a client sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<ClientOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounting: Option<Fields>,
}

/// That it was cancelled or declined.
#[derive(Serialize, ToSchema)]
pub(crate) struct Cancelled {
    #[schema(value_type = String)]
    at: Timestamp,
    /// client, staff or system.
    by: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Fields>,
}

/// How much of what is sealed an answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::routes) enum Depth {
    /// Nothing: the answer to a change.
    Ids,
    /// Who comes and what was said.
    Page,
    /// Everything, health and accounting fields too.
    Whole,
}

/// Shows bookings, all opened under one ticket.
pub(in crate::routes) async fn show<P>(
    caller: &Caller<P>,
    rows: Vec<BookingRow>,
    depth: Depth,
) -> Result<Vec<Booking>, Problem> {
    let handles: Vec<Handle> =
        rows.iter().flat_map(|row| row.parts.iter().map(|part| part.handle)).collect();
    let people = People::behind(caller, &handles)?;
    let mut openings = Openings::default();
    let asked: Vec<Asked> =
        rows.iter().map(|row| ask(caller, &people, row, depth, &mut openings)).collect();
    let mut opened = openings.open(caller, purpose(caller, ReadPurpose::Booking)).await?;
    let shown = rows.into_iter().zip(asked);
    Ok(shown.map(|(row, asked)| booking(caller, &people, row, &asked, &mut opened)).collect())
}

/// As [`show`], of one.
pub(in crate::routes) async fn show_one<P>(
    caller: &Caller<P>,
    row: BookingRow,
    depth: Depth,
) -> Result<Booking, Problem> {
    let mut shown = show(caller, vec![row], depth).await?;
    shown.pop().ok_or_else(|| Code::NotFound.into())
}

/// The seals that one booking's answer needs.
struct Asked {
    parts: Vec<AskedPart>,
    note: Option<Ask>,
}

#[derive(Default)]
struct AskedPart {
    /// Whether the caller may see whose it is.
    seen: bool,
    contact: Option<Ask>,
    details: Option<Ask>,
    health: Option<Ask>,
    accounting: Option<Ask>,
}

fn ask<P>(
    caller: &Caller<P>,
    people: &People,
    row: &BookingRow,
    depth: Depth,
    openings: &mut Openings,
) -> Asked {
    let own: BTreeSet<Handle> = row
        .parts
        .iter()
        .map(|part| part.handle)
        .filter(|handle| sees(caller, people.person(*handle).map(|info| info.id)))
        .collect();
    let parts = row.parts.iter().map(|part| match own.contains(&part.handle) {
        true => ask_part(people, part, depth, openings),
        false => AskedPart::default(),
    });
    let parts = parts.collect();
    let note = row
        .cancelled
        .and_then(|ended| ended.note)
        .filter(|note| depth != Depth::Ids && own.contains(&note.handle));
    let note = note.map(|note| {
        let person = people.person(note.handle).map(|info| info.id);
        let kind = Event::KIND_BOOKING_CANCELLED;
        openings.ask(person, sealed_at(note, kind, RetentionClass::Booking))
    });
    Asked { parts, note }
}

/// A client sees their own part; whose part nobody is any more, only those who run the place.
fn sees<P>(caller: &Caller<P>, person: Option<PersonId>) -> bool {
    caller.person().is_none_or(|own| person == Some(own))
}

fn ask_part(people: &People, part: &PartRow, depth: Depth, openings: &mut Openings) -> AskedPart {
    let mut asked = AskedPart { seen: true, ..AskedPart::default() };
    if depth == Depth::Ids {
        return asked;
    }
    let info = people.person(part.handle);
    let person = info.map(|info| info.id);
    let kind = Event::KIND_BOOKING_REQUESTED;
    let mut ask = |at: SealAt, class| openings.ask(person, sealed_at(at, kind, class));
    asked.details = Some(ask(part.details, RetentionClass::Booking));
    if depth == Depth::Whole {
        asked.health = part.health.map(|at| ask(at, RetentionClass::Health));
        asked.accounting = part.accounting.map(|at| ask(at, RetentionClass::Accounting));
    }
    asked.contact = info.and_then(|info| openings.ask_contact(info));
    asked
}

fn booking<P>(
    caller: &Caller<P>,
    people: &People,
    row: BookingRow,
    asked: &Asked,
    opened: &mut Opened,
) -> Booking {
    let parts: Vec<PartOut> = row
        .parts
        .iter()
        .zip(&asked.parts)
        .map(|(part, asked)| part_out(caller, people, part, asked, opened))
        .collect();
    let client = parts.iter().find(|part| part.role == role(domain::booking::Role::Booker));
    let client_id = client.and_then(|part| part.client.as_ref()?.id.clone());
    let note = asked.note.map(|note| opened.take(note));
    let cancelled = row.cancelled.map(|ended| Cancelled {
        at: ended.at,
        by: ended.by.name(),
        reason: ended.reason.name(),
        note,
    });
    let resource = |id: domain::ResourceId| caller.show(IdKind::Resource, id.0);
    let held = row.held.iter().map(|hold| Held {
        resource_id: resource(hold.resource),
        units: hold.units,
        from: hold.from,
        until: hold.until,
    });
    Booking {
        id: caller.show(IdKind::Booking, row.id.0),
        version: row.version,
        status: row.status.name(),
        start: row.start,
        end: row.end,
        time_zone: row.zone.name().to_owned(),
        local_start: row.zone.local(row.start).to_string(),
        service_id: caller.show(IdKind::Service, row.service.0),
        resource_ids: row.held.iter().map(|hold| resource(hold.resource)).collect(),
        held: held.collect(),
        client_id,
        parts,
        channel: row.facets.channel.name(),
        party: row.facets.party.name(),
        price: row.price.map(Into::into),
        policy_hash: row.policy.map(|hash| hash.to_string()),
        created_at: row.created_at,
        created_by: ActorOut::new(caller, row.created_by),
        cancelled,
        content_erased: row.content_erased,
    }
}

fn part_out<P>(
    caller: &Caller<P>,
    people: &People,
    part: &PartRow,
    asked: &AskedPart,
    opened: &mut Opened,
) -> PartOut {
    let client = asked.seen.then(|| ClientOut {
        contact: opened.values(asked.contact),
        ..people.client(caller, part.handle)
    });
    let mut take = |ask: Option<Ask>| ask.map(|ask| opened.take(ask));
    PartOut {
        id: caller.show(IdKind::Part, part.handle.0),
        role: role(part.role),
        client,
        details: take(asked.details),
        health: take(asked.health),
        accounting: take(asked.accounting),
    }
}

/// The entry with which a booking began: when, by whom, and what.
pub(super) struct Beginning {
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub actor: Actor,
    pub event: Requested,
}

/// Reads how a booking began, from the ledger itself: it needs no read model to be there.
pub(super) fn beginning<P>(caller: &Caller<P>, id: BookingId) -> Result<Beginning, Problem> {
    let entry = caller.tenant().log().entry(Position(id.0))?.ok_or(Code::NotFound)?;
    let recorded = entry.decode()?.recorded;
    let (occurred_at, recorded_at) = (recorded.occurred_at, recorded.recorded_at);
    // An id of something else cannot be made from outside; it would mean nothing.
    let Event::BookingRequested(event) = recorded.event else { return Err(Code::NotFound.into()) };
    Ok(Beginning { occurred_at, recorded_at, actor: recorded.actor, event })
}

/// A booking as it was when it began.
pub(super) fn as_begun(id: BookingId, begun: Beginning) -> BookingRow {
    let event = begun.event;
    let at = |handle, seal| SealAt { position: Position(id.0), seal, handle };
    let part = |part: &Part| PartRow {
        handle: part.handle,
        role: part.role,
        details: at(part.details.handle, part.details.seal),
        health: part.health.map(|seal| at(seal.handle, seal.seal)),
        accounting: part.accounting.map(|seal| at(seal.handle, seal.seal)),
    };
    BookingRow {
        id,
        status: event.status,
        service: event.service,
        start: event.start,
        end: event.end,
        zone: event.zone,
        version: 1,
        held: event.held,
        parts: event.parts.iter().map(part).collect(),
        facets: event.facets,
        price: event.price,
        policy: event.policy,
        created_by: begun.actor,
        created_at: begun.occurred_at,
        recorded_at: begun.recorded_at,
        cancelled: None,
        content_erased: false,
    }
}
