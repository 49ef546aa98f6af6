//! `/v1/bookings`: asked for, listed, read. [`changes`] holds what may become of them.

pub(super) mod changes;
pub(super) mod shown;
mod wish;

use axum::extract::Path;
use domain::booking::Status;
use domain::{BookingId, Position};
use eventstore::{IdKind, PersonId};
use jiff::Timestamp;
use projections::{BookingFilter, BookingRow};
use serde::Deserialize;

use super::shown::Repeat;
use crate::answer::{Answer, Page, bad_cursor, cursor, cut, limit, read_cursor};
use crate::caller::{Caller, MayBook, MaySeeBookings};
use crate::intake::{self, Sender};
use crate::problem::{Code, Problem};
use crate::sent::{Asked, Once};

use shown::{Booking, Depth, as_begun, beginning, show, show_one};
use wish::BookingIn;
pub(in crate::routes) use wish::{NewClient, references};

/// Which bookings.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct BookingsQuery {
    #[param(value_type = Option<String>)]
    status: Option<Status>,
    service_id: Option<String>,
    resource_id: Option<String>,
    group_id: Option<String>,
    /// Starting at this instant or later.
    #[param(value_type = Option<String>)]
    from: Option<Timestamp>,
    /// Starting before this instant.
    #[param(value_type = Option<String>)]
    to: Option<Timestamp>,
    /// How many at most, 1 to 100; 50 where it is not said.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Asks for a booking: granted whole or refused. For clients, staff and administrators.
#[utoipa::path(post, path = "/v1/bookings", tag = "bookings", params(Repeat),
    request_body = BookingIn, responses((status = CREATED, body = Booking)))]
pub(super) async fn create(
    caller: Caller<MayBook>,
    Once { value, idempotency }: Once<BookingIn>,
) -> Result<Answer<Booking>, Problem> {
    let wish = wish::read(&caller, value).await?;
    let sender = Sender { idempotency: Some(idempotency), ..Sender::new(caller.actor()) };
    let (append, _) = intake::booking(caller.tenant(), wish.booking, wish.fiscal_year, sender)?;
    let appended = caller.append(append).await?;
    let id = intake::booking_id(&appended, wish.new_clients);
    let row = as_begun(id, beginning(&caller, id)?);
    let path = format!("/v1/bookings/{}", caller.show(IdKind::Booking, id.0));
    let booking = show_one(&caller, row, Depth::Ids).await?;
    Ok(Answer::created(booking, &appended).version(1).located(&path))
}

/// Reads one booking, with everything that may be opened. For clients (their own), staff and
/// administrators.
#[utoipa::path(get, path = "/v1/bookings/{id}", tag = "bookings",
    params(("id" = String, Path)), responses((status = OK, body = Booking)))]
pub(super) async fn read(
    caller: Caller<MaySeeBookings>,
    Path(id): Path<String>,
) -> Result<Answer<Booking>, Problem> {
    let id = caller.booking_id(&id)?;
    let (row, position) = caller.find(|reader| reader.bookings().get(id)).await?;
    is_own(&caller, &row)?;
    let version = row.version;
    let booking = show_one(&caller, row, Depth::Whole).await?;
    Ok(Answer::read(booking, position).version(version))
}

/// Others' bookings do not exist for a client.
fn is_own<P>(caller: &Caller<P>, row: &BookingRow) -> Result<(), Problem> {
    let Some(person) = caller.person() else { return Ok(()) };
    let handles: Vec<_> = row.parts.iter().map(|part| part.handle).collect();
    let of = caller.tenant().keyring().persons_of(&handles)?;
    match of.values().any(|other| *other == person) {
        true => Ok(()),
        false => Err(Code::NotFound.into()),
    }
}

/// Lists bookings by start. For clients (their own), staff and administrators.
#[utoipa::path(get, path = "/v1/bookings", tag = "bookings", params(BookingsQuery),
    responses((status = OK, body = Page<Booking>)))]
pub(super) async fn list(
    caller: Caller<MaySeeBookings>,
    Asked(query): Asked<BookingsQuery>,
) -> Result<Answer<Page<Booking>>, Problem> {
    match caller.person() {
        Some(own) => of_person(&caller, own, &query).await,
        None => {
            let filter = filter(&caller, &query)?;
            let (rows, position) = caller.read(|reader| reader.bookings().page(&filter))?;
            page(&caller, rows, filter.limit - 1, position).await
        }
    }
}

/// A page of one person's bookings, by start.
pub(in crate::routes) async fn of_person<P>(
    caller: &Caller<P>,
    person: PersonId,
    query: &BookingsQuery,
) -> Result<Answer<Page<Booking>>, Problem> {
    let filter = filter(caller, query)?;
    let handles = caller.tenant().keyring().handles_of(person)?;
    let (mut rows, position) = caller.read(|reader| reader.bookings().of_handles(&handles))?;
    rows.retain(|row| passes(row, &filter));
    page(caller, rows, filter.limit - 1, position).await
}

async fn page<P>(
    caller: &Caller<P>,
    mut rows: Vec<BookingRow>,
    limit: u32,
    position: Position,
) -> Result<Answer<Page<Booking>>, Problem> {
    let more = cut(&mut rows, limit);
    let last = rows.last().filter(|_| more);
    let next_cursor = last
        .map(|row| cursor(&format!("{} {}", row.start, caller.show(IdKind::Booking, row.id.0))));
    let data = show(caller, rows, Depth::Page).await?;
    Ok(Answer::read(Page { data, next_cursor }, position))
}

/// The question to the read model; asks for one row more than the page has.
fn filter<P>(caller: &Caller<P>, query: &BookingsQuery) -> Result<BookingFilter, Problem> {
    let id = |kind: IdKind, id: &Option<String>, pointer: &str| {
        id.as_deref().map(|id| caller.read_id_at(kind, id, pointer)).transpose()
    };
    let after = query.cursor.as_deref().map(|cursor| read_after(caller, cursor)).transpose()?;
    Ok(BookingFilter {
        status: query.status,
        service: id(IdKind::Service, &query.service_id, "?service_id")?.map(domain::ServiceId),
        resource: id(IdKind::Resource, &query.resource_id, "?resource_id")?.map(domain::ResourceId),
        group: id(IdKind::Group, &query.group_id, "?group_id")?.map(domain::GroupId),
        from: query.from,
        to: query.to,
        after,
        limit: limit(query.limit)? + 1,
    })
}

fn read_after<P>(caller: &Caller<P>, text: &str) -> Result<(Timestamp, BookingId), Problem> {
    let end = read_cursor(text)?;
    let (start, id) = end.split_once(' ').ok_or_else(bad_cursor)?;
    let start = start.parse().map_err(|_| bad_cursor())?;
    let id = caller.booking_id(id).map_err(|_| bad_cursor())?;
    Ok((start, id))
}

fn passes(row: &BookingRow, filter: &BookingFilter) -> bool {
    let held = |resource| row.held.iter().any(|hold| hold.resource == resource);
    filter.status.is_none_or(|status| row.status == status)
        && filter.service.is_none_or(|service| row.service == service)
        && filter.resource.is_none_or(held)
        && filter.group.is_none_or(|group| row.facets.group == group)
        && filter.from.is_none_or(|from| row.start >= from)
        && filter.to.is_none_or(|to| row.start < to)
        && filter.after.is_none_or(|after| (row.start, row.id) > after)
}
