//! What may become of a booking: each a POST of its own, safe to repeat, and with If-Match only if
//! nothing has changed since it was read.

use axum::extract::Path;
use domain::booking::{BookingCommand, Change, Hold, Reason};
use domain::{BookingId, Command, Event, Handle, ResourceId, Tag};
use eventstore::{Append, Appended, Idempotency, PersonId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::shown::{Booking, Depth, beginning, show_one};
use super::wish::{Times, wanted};
use crate::answer::Answer;
use crate::caller::{Caller, MayChangeBookings, MayEraseContent, MayRunBookings};
use crate::intake::{self, CancelIn, Sender};
use crate::problem::{Code, Problem};
use crate::routes::shown::{Repeat, behind};
use crate::routes::time::When;
use crate::sent::{IfMatch, Once};

/// Nothing more to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Why a request is turned down.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeclineIn {
    #[serde(default = "unknown")]
    #[schema(value_type = Option<String>, example = "no_capacity")]
    reason: Reason,
}

/// Why a booking is given up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelBookingIn {
    /// `client_request`, illness, weather, `double_booking`, `no_capacity`, policy, other or
    /// unknown.
    #[serde(default = "unknown")]
    #[schema(value_type = Option<String>, example = "illness")]
    reason: Reason,
    /// In words, sealed.
    #[serde(default)]
    note: Option<String>,
}

/// Where a booking moves.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RescheduleIn {
    #[schema(value_type = String, example = "2026-03-29T10:30:00+02:00")]
    start: When,
    /// May be left out for a service of fixed length.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    end: Option<When>,
    /// Other resources; the same ones where this is left out.
    #[serde(default)]
    resource_ids: Option<Vec<String>>,
    /// How many places of each of the other resources.
    #[serde(default = "one")]
    units: u16,
}

fn unknown() -> Reason {
    Reason::Unknown
}

fn one() -> u16 {
    1
}

/// The booker's part, as whom a caller changes a booking: a client their own. One in which they only take part
/// is the booker's to change, and those of others do not exist for them.
struct Part {
    handle: Handle,
    person: Option<PersonId>,
}

fn booker<P>(caller: &Caller<P>, id: BookingId) -> Result<Part, Problem> {
    let event = beginning(caller, id)?.event;
    let handle = event.booker().ok_or(Code::NotFound)?;
    let handles: Vec<Handle> = event.parts.iter().map(|part| part.handle).collect();
    let of = caller.tenant().keyring().persons_of(&handles)?;
    let person = of.get(&handle).copied();
    match caller.person() {
        Some(own) if person != Some(own) => {
            let takes_part = of.values().any(|person| *person == own);
            Err(if takes_part { Code::Forbidden } else { Code::NotFound }.into())
        }
        Some(_) | None => Ok(Part { handle, person }),
    }
}

/// The clock that a booking goes by: that of the first resource it holds since it was last moved, and after
/// how many entries it is so.
fn held_first<P>(caller: &Caller<P>, id: BookingId) -> Result<(Option<ResourceId>, u32), Problem> {
    let log = caller.tenant().log();
    let later = log.positions(Tag::booking(id))?;
    let version = u32::try_from(later.len()).unwrap_or(u32::MAX).saturating_add(1);
    let first = |held: &[Hold]| held.first().map(|hold| hold.resource);
    for position in later.into_iter().rev() {
        let Some(entry) = log.entry(position)? else { continue };
        if let Event::BookingRescheduled(moved) = entry.decode()?.recorded.event {
            return Ok((first(&moved.held), version));
        }
    }
    Ok((first(&beginning(caller, id)?.event.held), version))
}

async fn change<P>(
    caller: &Caller<P>,
    id: &str,
    seen: IfMatch,
    idempotency: Idempotency,
    change: Change,
) -> Result<Answer<Booking>, Problem> {
    let booking = caller.booking_id(id)?;
    let part = booker(caller, booking)?;
    let change = BookingCommand::Change { booking, expected: seen.expected(), change };
    let append = Append::new(Command::Booking(change), caller.actor_as(part.handle));
    let appended = caller.append(Append { idempotency: Some(idempotency), ..append }).await?;
    changed(caller, booking, &appended).await
}

/// The booking as it stands after a change.
async fn changed<P>(
    caller: &Caller<P>,
    id: BookingId,
    appended: &Appended,
) -> Result<Answer<Booking>, Problem> {
    caller.caught_up(behind(appended)).await?;
    let (row, _) = caller.find(|reader| reader.bookings().get(id)).await?;
    let version = row.version;
    let booking = show_one(caller, row, Depth::Ids).await?;
    Ok(Answer::changed(booking, appended).version(version))
}

/// Confirms a pending booking. For staff and administrators.
#[utoipa::path(post, path = "/v1/bookings/{id}/confirm", tag = "bookings",
    params(("id" = String, Path), Repeat, ("If-Match" = Option<String>, Header)),
    request_body = Nothing, responses((status = OK, body = Booking)))]
pub(in crate::routes) async fn confirm(
    caller: Caller<MayRunBookings>,
    Path(id): Path<String>,
    seen: IfMatch,
    Once { idempotency, .. }: Once<Nothing>,
) -> Result<Answer<Booking>, Problem> {
    change(&caller, &id, seen, idempotency, Change::Confirm).await
}

/// Turns a pending booking down. For staff and administrators.
#[utoipa::path(post, path = "/v1/bookings/{id}/decline", tag = "bookings",
    params(("id" = String, Path), Repeat, ("If-Match" = Option<String>, Header)),
    request_body = DeclineIn, responses((status = OK, body = Booking)))]
pub(in crate::routes) async fn decline(
    caller: Caller<MayRunBookings>,
    Path(id): Path<String>,
    seen: IfMatch,
    Once { value, idempotency }: Once<DeclineIn>,
) -> Result<Answer<Booking>, Problem> {
    change(&caller, &id, seen, idempotency, Change::Decline { reason: value.reason }).await
}

/// Moves a booking to another time or resource. For clients (their own, within the deadline),
/// staff and administrators.
#[utoipa::path(post, path = "/v1/bookings/{id}/reschedule", tag = "bookings",
    params(("id" = String, Path), Repeat, ("If-Match" = Option<String>, Header)),
    request_body = RescheduleIn, responses((status = OK, body = Booking)))]
pub(in crate::routes) async fn reschedule(
    caller: Caller<MayChangeBookings>,
    Path(id): Path<String>,
    seen: IfMatch,
    Once { value, idempotency }: Once<RescheduleIn>,
) -> Result<Answer<Booking>, Problem> {
    let booking = caller.booking_id(&id)?;
    booker(&caller, booking)?;
    let began = beginning(&caller, booking)?.event;
    let ids = value.resource_ids.as_deref();
    let wanted = ids.map(|ids| wanted(&caller, ids, value.units)).transpose()?;
    let times = Times { start: value.start, end: value.end };
    let (first, seen) = match wanted.as_ref().and_then(|wanted| wanted.first()) {
        Some(wanted) => (Some(wanted.resource), seen),
        None => {
            let (first, version) = held_first(&caller, booking)?;
            // Moved elsewhere meanwhile, the same words would mean another time.
            let rests_on_it = times.are_local() && seen.expected().is_none();
            (first, if rests_on_it { IfMatch::Version(version) } else { seen })
        }
    };
    let slot = times.slot(&caller, began.service, first).await?;
    change(&caller, &id, seen, idempotency, Change::Reschedule { slot, wanted }).await
}

/// Gives a booking up. For clients (their own, within the deadline), staff and administrators.
#[utoipa::path(post, path = "/v1/bookings/{id}/cancel", tag = "bookings",
    params(("id" = String, Path), Repeat, ("If-Match" = Option<String>, Header)),
    request_body = CancelBookingIn, responses((status = OK, body = Booking)))]
pub(in crate::routes) async fn cancel(
    caller: Caller<MayChangeBookings>,
    Path(id): Path<String>,
    seen: IfMatch,
    Once { value, idempotency }: Once<CancelBookingIn>,
) -> Result<Answer<Booking>, Problem> {
    let booking = caller.booking_id(&id)?;
    let part = booker(&caller, booking)?;
    let (by, reason) = (caller.side(), value.reason);
    let note = match (value.note.filter(|note| !note.is_empty()), part.person) {
        (Some(note), Some(person)) => Some((person, part.handle, note)),
        (Some(_), None) => return Err(Code::Erased.into()),
        (None, _) => None,
    };
    let actor = caller.actor_as(part.handle);
    let sender = Sender { idempotency: Some(idempotency), ..Sender::new(actor) };
    let cancel = CancelIn { booking, expected: seen.expected(), by, reason };
    let append = intake::cancel(caller.tenant(), cancel, note, sender)?;
    let appended = caller.append(append).await?;
    changed(&caller, booking, &appended).await
}

/// Notes that whoever booked is there. For staff and administrators.
#[utoipa::path(post, path = "/v1/bookings/{id}/check-in", tag = "bookings",
    params(("id" = String, Path), Repeat, ("If-Match" = Option<String>, Header)),
    request_body = Nothing, responses((status = OK, body = Booking)))]
pub(in crate::routes) async fn check_in(
    caller: Caller<MayRunBookings>,
    Path(id): Path<String>,
    seen: IfMatch,
    Once { idempotency, .. }: Once<Nothing>,
) -> Result<Answer<Booking>, Problem> {
    change(&caller, &id, seen, idempotency, Change::CheckIn).await
}

/// Notes that it took place. For staff and administrators.
#[utoipa::path(post, path = "/v1/bookings/{id}/complete", tag = "bookings",
    params(("id" = String, Path), Repeat, ("If-Match" = Option<String>, Header)),
    request_body = Nothing, responses((status = OK, body = Booking)))]
pub(in crate::routes) async fn complete(
    caller: Caller<MayRunBookings>,
    Path(id): Path<String>,
    seen: IfMatch,
    Once { idempotency, .. }: Once<Nothing>,
) -> Result<Answer<Booking>, Problem> {
    change(&caller, &id, seen, idempotency, Change::Complete).await
}

/// Notes that nobody came. For staff and administrators.
#[utoipa::path(post, path = "/v1/bookings/{id}/no-show", tag = "bookings",
    params(("id" = String, Path), Repeat, ("If-Match" = Option<String>, Header)),
    request_body = Nothing, responses((status = OK, body = Booking)))]
pub(in crate::routes) async fn no_show(
    caller: Caller<MayRunBookings>,
    Path(id): Path<String>,
    seen: IfMatch,
    Once { idempotency, .. }: Once<Nothing>,
) -> Result<Answer<Booking>, Problem> {
    change(&caller, &id, seen, idempotency, Change::NoShow).await
}

/// Erases what was said around a booking that is over; the booking itself stays. For
/// administrators.
#[utoipa::path(post, path = "/v1/bookings/{id}/erase-content", tag = "bookings",
    params(("id" = String, Path), Repeat, ("If-Match" = Option<String>, Header)),
    request_body = Nothing, responses((status = OK, body = Booking)))]
pub(in crate::routes) async fn erase_content(
    caller: Caller<MayEraseContent>,
    Path(id): Path<String>,
    seen: IfMatch,
    Once { idempotency, .. }: Once<Nothing>,
) -> Result<Answer<Booking>, Problem> {
    change(&caller, &id, seen, idempotency, Change::EraseContent).await
}
