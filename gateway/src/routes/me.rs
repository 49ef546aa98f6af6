//! `/v1/me`: what a client sees of themselves.

use eventstore::PersonId;

use super::bookings::shown::Booking;
use super::bookings::{self as bookings_of, BookingsQuery};
use super::clients::{self, Client};
use super::consents::{self as consents_of, Consent};
use crate::answer::{Answer, Page};
use crate::caller::{Caller, IsClient};
use crate::problem::{Code, Problem};
use crate::sent::Asked;

fn own(caller: &Caller<IsClient>) -> Result<PersonId, Problem> {
    caller.person().ok_or_else(|| Code::Forbidden.into())
}

/// Reads one's own record. For clients.
#[utoipa::path(get, path = "/v1/me", tag = "me", responses((status = OK, body = Client)))]
pub(super) async fn read(caller: Caller<IsClient>) -> Result<Answer<Client>, Problem> {
    clients::whole(&caller, own(&caller)?).await
}

/// Lists one's own bookings by start. For clients.
#[utoipa::path(get, path = "/v1/me/bookings", tag = "me", params(BookingsQuery),
    responses((status = OK, body = Page<Booking>)))]
pub(super) async fn bookings(
    caller: Caller<IsClient>,
    Asked(query): Asked<BookingsQuery>,
) -> Result<Answer<Page<Booking>>, Problem> {
    bookings_of::of_person(&caller, own(&caller)?, &query).await
}

/// Lists what one has consented to and accepted. For clients.
#[utoipa::path(get, path = "/v1/me/consents", tag = "me",
    responses((status = OK, body = Page<Consent>)))]
pub(super) async fn consents(caller: Caller<IsClient>) -> Result<Answer<Page<Consent>>, Problem> {
    consents_of::of_person(&caller, own(&caller)?)
}
