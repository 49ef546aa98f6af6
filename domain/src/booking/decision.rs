//! Deciding about bookings: all resources, all days and all parts at once, or not at all.

use jiff::{SignedDuration, Timestamp};

use super::aggregate::Content;
use super::{
    Booking, BookingCommand, BookingRefusal, Cancelled, Change, Changed, ContentErased, Declined,
    Hold, NewPart, Part, Past, PastStep, Price, Request, Requested, Rescheduled, Role, Side,
    Status, Step, Wanted,
};
use crate::book::{Book, wanted_of};
use crate::catalogue::{Confirmation, Resource, Service};
use crate::entry::{Actor, Context, Draft};
use crate::event::Event;
use crate::facet::{Facets, Lead, Nth, Party};
use crate::ids::{BookingId, Position, ResourceId};
use crate::person::Registered;
use crate::sealed::{FieldSet, RetentionClass};
use crate::slot::{Slot, Zone};

type Decision = Result<Vec<Draft>, BookingRefusal>;
type Found<'a> = (ResourceId, &'a Resource);

pub(crate) fn decide(book: &Book, command: &BookingCommand, context: &Context) -> Decision {
    match command {
        BookingCommand::Request(request) => request_booking(book, request, context),
        BookingCommand::Change { booking, expected, change } => {
            let known = book.bookings.get(booking).ok_or(BookingRefusal::Unknown(*booking))?;
            if let Some(expected) = expected
                && *expected != known.version
            {
                return Err(BookingRefusal::VersionConflict { current: known.version });
            }
            change_booking(book, *booking, known, change, context)
        }
    }
}

fn request_booking(book: &Book, request: &Request, context: &Context) -> Decision {
    let service = offered(book, request)?;
    let (first, resources) = resources(book, request)?;
    sound_parts(book, &request.parts)?;
    fields(book, service, &request.parts)?;
    if !request.price.as_ref().is_none_or(Price::is_sound) {
        return Err(BookingRefusal::BadPrice);
    }
    let zone = &first.zone;
    if request.past.is_none() && request.slot.start() < context.now {
        return Err(BookingRefusal::Started);
    }
    if !service.allows(request.slot, zone) {
        return Err(BookingRefusal::WrongLength);
    }
    if service.keeps_hours() && request.past.is_none() {
        within_hours(&resources, request.slot)?;
    }
    let held = free(book, service, &request.wanted, request.slot, None)?;

    let registrations = request.parts.iter().filter_map(|part| part.registers);
    let mut drafts: Vec<Draft> =
        registrations.map(|contact| Draft::now(Registered { contact })).collect();
    let position = u64::try_from(drafts.len()).unwrap_or(u64::MAX);
    let booking = BookingId(Position(book.next.0.saturating_add(position)).0);
    let event = requested(request, service, first, held, context);
    let facets = event.facets;
    let status = event.status;
    drafts.push(Draft::now(event));
    if let Some(past) = &request.past {
        drafts.extend(history(booking, facets, status, past)?);
    }
    Ok(drafts)
}

fn offered<'a>(book: &'a Book, request: &Request) -> Result<&'a Service, BookingRefusal> {
    let retired = book.retired_services.contains(&request.service);
    match book.services.get(&request.service) {
        Some(service) if !retired || request.past.is_some() => Ok(service),
        Some(_) | None => Err(BookingRefusal::ServiceUnknown),
    }
}

/// The resources asked for, each known, offered for the service and large enough; the first one's
/// zone and group are the booking's.
fn resources<'a>(
    book: &'a Book,
    request: &Request,
) -> Result<(&'a Resource, Vec<Found<'a>>), BookingRefusal> {
    let mut ids: Vec<ResourceId> = request.wanted.iter().map(|wanted| wanted.resource).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != request.wanted.len() || ids.len() > 16 {
        return Err(BookingRefusal::ResourceCount);
    }
    let service = book.services.get(&request.service);
    let mut found = Vec::with_capacity(ids.len());
    for Wanted { resource: id, units } in &request.wanted {
        let offered = service.is_some_and(|service| service.is_offered_on(*id));
        let resource = match book.resources.get(id) {
            Some(resource) if offered && !book.retired_resources.contains(id) => resource,
            Some(_) | None => return Err(BookingRefusal::ResourceUnknown(*id)),
        };
        if *units == 0 || *units > resource.capacity {
            let capacity = resource.capacity;
            return Err(BookingRefusal::Units { resource: *id, capacity });
        }
        found.push((*id, resource));
    }
    let (_, first) = found.first().ok_or(BookingRefusal::ResourceCount)?;
    Ok((first, found))
}

fn sound_parts(book: &Book, parts: &[NewPart]) -> Result<(), BookingRefusal> {
    let bookers = parts.iter().filter(|part| part.role == Role::Booker).count();
    if bookers != 1 || parts.len() > 50 {
        return Err(BookingRefusal::PartCount);
    }
    if parts.iter().any(|part| book.fences.contains(&part.fence)) {
        return Err(BookingRefusal::Erased);
    }
    Ok(())
}

fn fields(book: &Book, service: &Service, parts: &[NewPart]) -> Result<(), BookingRefusal> {
    for part in parts {
        if let Some(field) = part.given.iter().find(|field| !book.policy.collect.contains(field)) {
            return Err(BookingRefusal::FieldNotCollected(field));
        }
    }
    let booker = parts.iter().find(|part| part.role == Role::Booker);
    let given = booker.map_or(FieldSet::default(), |part| part.given);
    match service.requires.iter().find(|field| !given.contains(**field)) {
        Some(field) => Err(BookingRefusal::FieldMissing(*field)),
        None => Ok(()),
    }
}

fn within_hours(resources: &[Found<'_>], slot: Slot) -> Result<(), BookingRefusal> {
    match resources.iter().find(|(_, resource)| !resource.hours.cover(slot, &resource.zone)) {
        Some((id, _)) => Err(BookingRefusal::OutsideHours { resource: *id }),
        None => Ok(()),
    }
}

/// What would be held, if every resource has the places free at every instant.
fn free(
    book: &Book,
    service: &Service,
    wanted: &[Wanted],
    slot: Slot,
    without: Option<BookingId>,
) -> Result<Vec<Hold>, BookingRefusal> {
    let held = slot.widened(service.buffer_before, service.buffer_after);
    // Buffers may make it too long for a slot, and then no day would know of it.
    let held = Slot::new(held.start(), held.end())?;
    for Wanted { resource, units } in wanted {
        let capacity = book.resources.get(resource).map_or(0, |resource| resource.capacity);
        for date in held.days() {
            let Some(part) = held.on_day(date) else { continue };
            let day = book.days.get(&(*resource, date));
            let peak = day.map_or(0, |day| day.peak(part, without));
            if peak.saturating_add(u32::from(*units)) > u32::from(capacity) {
                return Err(BookingRefusal::NotFree { resource: *resource });
            }
        }
    }
    let (from, until) = (held.start(), held.end());
    Ok(wanted.iter().map(|w| Hold { from, resource: w.resource, units: w.units, until }).collect())
}

fn requested(
    request: &Request,
    service: &Service,
    first: &Resource,
    held: Vec<Hold>,
    context: &Context,
) -> Requested {
    let local = first.zone.local(request.slot.start());
    let prior = context.visits.get(&local.year()).copied().unwrap_or(0);
    let booked = context.occurred_at;
    let facets = Facets {
        channel: request.channel,
        day: local.date(),
        group: first.group,
        hour: local.hour(),
        lead: Lead::between(booked, request.slot.start()),
        nth: Nth::after(prior),
        party: Party::of(request.party),
        service: request.service,
    };
    let status = match service.confirmation {
        Confirmation::Instant => Status::Confirmed,
        Confirmation::Staff if request.past.is_some() => Status::Confirmed,
        Confirmation::Staff => Status::Pending,
    };
    let part = |part: &NewPart| Part {
        accounting: part.accounting,
        details: part.details,
        handle: part.handle,
        health: part.health,
        role: part.role,
    };
    Requested {
        end: request.slot.end(),
        facets,
        held,
        parts: request.parts.iter().map(part).collect(),
        policy: request.policy,
        price: request.price.clone().or_else(|| service.price.clone()),
        service: request.service,
        start: request.slot.start(),
        status,
        zone: first.zone.clone(),
    }
}

/// What happened since the request, as far as an import knows it.
fn history(booking: BookingId, facets: Facets, mut was: Status, past: &Past) -> Decision {
    let mut drafts = Vec::with_capacity(past.steps.len());
    for (at, step) in &past.steps {
        let event = match *step {
            PastStep::Changed { times } => Event::from(Changed { booking, times }),
            PastStep::Cancelled { by, reason } => {
                let next = Status::Cancelled;
                allowed(was, next)?;
                let event = Cancelled { booking, by, facets, note: None, reason, was };
                was = next;
                event.into()
            }
            PastStep::Reached(next) => {
                allowed(was, next)?;
                let step = Step { booking, facets, was };
                was = next;
                reached(step, next).ok_or(BookingRefusal::WrongStatus(next))?
            }
        };
        drafts.push(Draft { event, occurred_at: Some(*at) });
    }
    Ok(drafts)
}

fn reached(step: Step, status: Status) -> Option<Event> {
    match status {
        Status::Confirmed => Some(Event::BookingConfirmed(step)),
        Status::CheckedIn => Some(Event::BookingCheckedIn(step)),
        Status::Completed => Some(Event::BookingCompleted(step)),
        Status::NoShow => Some(Event::BookingMissed(step)),
        Status::Pending | Status::Declined | Status::Cancelled => None,
    }
}

fn allowed(was: Status, next: Status) -> Result<(), BookingRefusal> {
    if was.may_become(next) { Ok(()) } else { Err(BookingRefusal::WrongStatus(was)) }
}

fn change_booking(
    book: &Book,
    id: BookingId,
    known: &Booking,
    change: &Change,
    context: &Context,
) -> Decision {
    let was = known.status;
    let step = Step { booking: id, facets: known.facets, was };
    let event: Event = match change {
        Change::Confirm => go(step, Status::Confirmed)?,
        Change::CheckIn => go(step, Status::CheckedIn)?,
        Change::Complete => begun(known, context).and_then(|()| go(step, Status::Completed))?,
        Change::NoShow => begun(known, context).and_then(|()| go(step, Status::NoShow))?,
        Change::Decline { reason } => {
            allowed(was, Status::Declined)?;
            Declined { booking: id, facets: known.facets, reason: *reason, was }.into()
        }
        Change::Cancel { by, reason, note, fence } => {
            allowed(was, Status::Cancelled)?;
            // Whoever was noted as there by mistake is let go by those who noted it.
            if was == Status::CheckedIn && *by == Side::Client {
                return Err(BookingRefusal::WrongStatus(was));
            }
            in_time(book, known, *by, context.now)?;
            if fence.is_some_and(|fence| book.fences.contains(&fence)) {
                return Err(BookingRefusal::Erased);
            }
            // Every booking has had some. A note would hang on a key that is destroyed.
            if note.is_some() && known.content.of(RetentionClass::Booking) == 0 {
                return Err(BookingRefusal::ContentEnded);
            }
            let (by, note, reason) = (*by, *note, *reason);
            Cancelled { booking: id, by, facets: known.facets, note, reason, was }.into()
        }
        Change::Reschedule { slot, wanted } => {
            reschedule(book, id, known, *slot, wanted.as_deref(), context)?.into()
        }
        Change::EraseContent => {
            if known.status.is_open() && known.slot_end > context.now {
                return Err(BookingRefusal::WrongStatus(was));
            }
            if left(known).any(|class| context.held.contains(&class)) {
                return Err(BookingRefusal::Held);
            }
            return Ok(erase(id, known, left(known).collect()).into_iter().collect());
        }
        Change::Expire => {
            let over = |class: &RetentionClass| {
                // Due again when the hold is lifted.
                let held = context.held.contains(class);
                let until = book.policy.kept_until(*class, known.slot_end);
                !held && until.is_some_and(|at| at <= context.now)
            };
            let classes = left(known).filter(over).collect();
            return Ok(erase(id, known, classes).into_iter().collect());
        }
    };
    Ok(vec![Draft::now(event)])
}

/// The classes of a booking's content of which something is left: no entry ends a class twice, for
/// whoever counts what it ended counts all of the class.
fn left(known: &Booking) -> impl Iterator<Item = RetentionClass> {
    Content::CLASSES.into_iter().filter(|class| known.content.of(*class) > 0)
}

/// Ends classes of a booking's content, if there is any.
fn erase(id: BookingId, known: &Booking, classes: Vec<RetentionClass>) -> Option<Draft> {
    let ended = known.content.within(&classes);
    let handles = known.handles.clone();
    let event = ContentErased { booking: id, classes, ended, handles };
    (ended > 0).then(|| Draft::now(event))
}

fn go(step: Step, next: Status) -> Result<Event, BookingRefusal> {
    allowed(step.was, next)?;
    reached(step, next).ok_or(BookingRefusal::WrongStatus(step.was))
}

fn begun(known: &Booking, context: &Context) -> Result<(), BookingRefusal> {
    if context.now < known.slot_start { Err(BookingRefusal::NotStarted) } else { Ok(()) }
}

/// Clients keep the tenant's deadline and never take back a time that has begun.
fn in_time(book: &Book, known: &Booking, by: Side, now: Timestamp) -> Result<(), BookingRefusal> {
    match by {
        Side::Staff | Side::System => Ok(()),
        Side::Client if now >= known.slot_start => Err(BookingRefusal::Started),
        Side::Client => {
            let notice = SignedDuration::from_mins(book.policy.cancel_before_minutes.into());
            let left = known.slot_start.duration_since(now);
            if left >= notice { Ok(()) } else { Err(BookingRefusal::CancellationClosed) }
        }
    }
}

fn reschedule(
    book: &Book,
    id: BookingId,
    known: &Booking,
    slot: Slot,
    wanted: Option<&[Wanted]>,
    context: &Context,
) -> Result<Rescheduled, BookingRefusal> {
    match known.status {
        Status::Pending | Status::Confirmed => (),
        Status::Declined
        | Status::CheckedIn
        | Status::Completed
        | Status::Cancelled
        | Status::NoShow => return Err(BookingRefusal::WrongStatus(known.status)),
    }
    // To move a time is to give it back: else a client could move it away and cancel it there.
    if let Actor::Client(_) = context.actor {
        in_time(book, known, Side::Client, context.now)?;
    }
    if slot.start() < context.now {
        return Err(BookingRefusal::Started);
    }
    let request = Request {
        service: known.service,
        wanted: wanted.map_or_else(|| wanted_of(&known.held), <[Wanted]>::to_vec),
        slot,
        parts: Vec::new(),
        party: 1,
        channel: known.facets.channel,
        policy: None,
        price: None,
        past: None,
    };
    let service = book.services.get(&known.service).ok_or(BookingRefusal::ServiceUnknown)?;
    let (first, resources) = resources(book, &request)?;
    if !service.allows(slot, &first.zone) {
        return Err(BookingRefusal::WrongLength);
    }
    if service.keeps_hours() {
        within_hours(&resources, slot)?;
    }
    let held = free(book, service, &request.wanted, slot, Some(id))?;
    let facets = moved(known.facets, first, slot, context.occurred_at, &first.zone);
    Ok(Rescheduled {
        booking: id,
        end: slot.end(),
        facets,
        facets_before: known.facets,
        held,
        start: slot.start(),
        status: known.status,
        zone: first.zone.clone(),
    })
}

/// The facets of a moved booking: its place among the person's bookings is never renumbered.
fn moved(before: Facets, first: &Resource, slot: Slot, at: Timestamp, zone: &Zone) -> Facets {
    let local = zone.local(slot.start());
    let lead = Lead::between(at, slot.start());
    Facets { day: local.date(), group: first.group, hour: local.hour(), lead, ..before }
}
