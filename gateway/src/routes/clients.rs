//! `/v1/clients`: the people who book. No name, mail or phone ever stands in an address:
//! [`search`] is a POST.

pub(super) mod search;
pub(super) mod standing;

use axum::extract::Path;
use domain::ledger::ReadPurpose;
use domain::{Position, RetentionClass};
use eventstore::keyring::person::PersonInfo;
use eventstore::{IdKind, PersonId, PersonState, Personal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bookings::shown::Booking;
use super::bookings::{self as bookings_of, BookingsQuery, NewClient, references};
use super::consents::{self as consents_of, Consent};
use super::shown::{ClientOut, Openings, Repeat, behind, client, purpose};
use crate::answer::{Answer, Page, PageQuery, bad_cursor, cursor, cut, limit, read_cursor};
use crate::caller::{Caller, MayKeepClients};
use crate::intake::{self, Sender};
use crate::keys::{self, Role};
use crate::problem::{Code, Problem};
use crate::sent::{Asked, IfMatch, Once, Sent};
use standing::{LegalHold, Restriction};

/// A client with their record.
#[derive(Serialize, ToSchema)]
pub(crate) struct Client {
    #[serde(flatten)]
    client: ClientOut,
    #[schema(value_type = String)]
    registered_at: Timestamp,
    /// How many entries tell of the record; also its `ETag`.
    version: u32,
    /// Why the data is kept and not used, if it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    restriction: Option<Restriction>,
    /// What keeps the data from being erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    legal_holds: Vec<LegalHold>,
}

/// Contact fields put right.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RectifyIn {
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    contact: Personal,
    /// The fields given here are all there are; the others go.
    #[serde(default)]
    replace: bool,
}

/// What a key is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientKeyIn {
    /// No names: labels are not sealed.
    #[serde(default)]
    #[schema(example = "app")]
    label: String,
}

/// A new key. The secret is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    pub(super) id: String,
    #[schema(example = "tbk.salon.0123...")]
    pub(super) key: String,
}

/// Registers a client. For staff and administrators.
#[utoipa::path(post, path = "/v1/clients", tag = "clients", params(Repeat),
    request_body = NewClient, responses((status = CREATED, body = ClientOut)))]
pub(super) async fn register(
    caller: Caller<MayKeepClients>,
    Once { value, idempotency }: Once<NewClient>,
) -> Result<Answer<ClientOut>, Problem> {
    let sender = Sender { idempotency: Some(idempotency), ..Sender::new(caller.actor()) };
    let references = references(value.reference);
    let (append, _) = intake::register(caller.tenant(), &value.contact, references, sender)?;
    let appended = caller.append(append).await?;
    let info = registered(&caller, appended.first)?;
    let path = format!("/v1/clients/{}", caller.show(IdKind::Client, info.id.0));
    Ok(Answer::created(client(&caller, &info), &appended).version(1).located(&path))
}

/// Whom the entry at a position registered.
fn registered<P>(caller: &Caller<P>, position: Position) -> Result<PersonInfo, Problem> {
    let entry = caller.tenant().log().entry(position)?.ok_or(Code::NotFound)?;
    let seals = entry.decode()?.recorded.event.seals();
    let handle = seals.first().ok_or(Code::NotFound)?.handle;
    let of = caller.tenant().keyring().persons_of(&[handle])?;
    let person = of.get(&handle).copied().ok_or(Code::Erased)?;
    known(caller, person)
}

/// Somebody who is, or was, a client.
fn known<P>(caller: &Caller<P>, person: PersonId) -> Result<PersonInfo, Problem> {
    let info = caller.tenant().keyring().info(person)?.ok_or(Code::NotFound)?;
    match info.state {
        PersonState::Live | PersonState::Restricted => Ok(info),
        PersonState::Erasing | PersonState::Erased => Err(Code::Erased.into()),
    }
}

/// Lists clients in the order they came. For staff and administrators.
#[utoipa::path(get, path = "/v1/clients", tag = "clients", params(PageQuery),
    responses((status = OK, body = Page<ClientOut>)))]
pub(super) async fn list(
    caller: Caller<MayKeepClients>,
    Asked(query): Asked<PageQuery>,
) -> Result<Answer<Page<ClientOut>>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(|cursor| read_after(&caller, cursor)).transpose()?;
    let position = caller.desk().position();
    let after = after.unwrap_or(PersonId(0));
    let mut infos = caller.tenant().keyring().page(after, limit + 1)?;
    let more = cut(&mut infos, limit);
    let last = infos.last().filter(|_| more);
    let next_cursor = last.map(|info| cursor(&caller.show(IdKind::Client, info.id.0)));
    let data = show(&caller, &infos, ReadPurpose::Administration).await?;
    Ok(Answer::read(Page { data, next_cursor }, position))
}

fn read_after<P>(caller: &Caller<P>, cursor: &str) -> Result<PersonId, Problem> {
    caller.client_id(&read_cursor(cursor)?).map_err(|_| bad_cursor())
}

/// Shows clients with their contact fields, all opened under one ticket.
async fn show<P>(
    caller: &Caller<P>,
    infos: &[PersonInfo],
    otherwise: ReadPurpose,
) -> Result<Vec<ClientOut>, Problem> {
    let mut openings = Openings::default();
    let asked: Vec<_> = infos.iter().map(|info| openings.ask_contact(info)).collect();
    let mut opened = openings.open(caller, purpose(caller, otherwise)).await?;
    let shown = infos
        .iter()
        .zip(asked)
        .map(|(info, ask)| ClientOut { contact: opened.values(ask), ..client(caller, info) });
    Ok(shown.collect())
}

/// Shows one client with their record.
pub(super) async fn whole<P>(
    caller: &Caller<P>,
    person: PersonId,
) -> Result<Answer<Client>, Problem> {
    let info = known(caller, person)?;
    let id = info.registration.ok_or(Code::Erased)?;
    let (row, position) = caller.find(|reader| reader.clients().get(id)).await?;
    let (holds, _) = caller.read(|reader| reader.clients().legal_holds(id))?;
    let mut shown = show(caller, &[info], ReadPurpose::Administration).await?;
    let whole = Client {
        client: shown.pop().ok_or(Code::NotFound)?,
        registered_at: row.registered_at,
        version: row.version,
        restriction: row.restriction.map(Restriction::from),
        legal_holds: holds.into_iter().map(LegalHold::from).collect(),
    };
    Ok(Answer::read(whole, position).version(row.version))
}

/// Reads one client. For staff and administrators.
#[utoipa::path(get, path = "/v1/clients/{id}", tag = "clients",
    params(("id" = String, Path)), responses((status = OK, body = Client)))]
pub(super) async fn read(
    caller: Caller<MayKeepClients>,
    Path(id): Path<String>,
) -> Result<Answer<Client>, Problem> {
    whole(&caller, caller.client_id(&id)?).await
}

/// Puts a client's contact fields right; what was sealed before cannot be opened any more. For
/// staff and administrators.
#[utoipa::path(patch, path = "/v1/clients/{id}", tag = "clients",
    params(("id" = String, Path), ("If-Match" = String, Header)),
    request_body = RectifyIn, responses((status = OK, body = ClientOut)))]
pub(super) async fn rectify(
    caller: Caller<MayKeepClients>,
    Path(id): Path<String>,
    seen: IfMatch,
    Sent(value): Sent<RectifyIn>,
) -> Result<Answer<ClientOut>, Problem> {
    let (person, expected) = (caller.client_id(&id)?, seen.required()?);
    let info = known(&caller, person)?;
    let fields = match value.replace {
        true => value.contact,
        false => present(&caller, &info).await?.overlaid(value.contact),
    };
    let sender = Sender::new(caller.actor());
    let append = intake::rectify(caller.tenant(), person, &fields, expected, sender)?;
    let appended = caller.append(append).await?;
    caller.caught_up(behind(&appended)).await?;
    let id = info.registration.ok_or(Code::Erased)?;
    let (row, _) = caller.find(|reader| reader.clients().get(id)).await?;
    Ok(Answer::changed(client(&caller, &info), &appended).version(row.version))
}

/// The contact fields as they are, to lay new ones over.
async fn present<P>(caller: &Caller<P>, info: &PersonInfo) -> Result<Personal, Problem> {
    let mut openings = Openings::default();
    if info.state == PersonState::Restricted {
        return Err(Code::Restricted.into());
    }
    caller.may_see(RetentionClass::Contact)?;
    let ask = openings.ask_contact(info).ok_or(Code::Erased)?;
    let mut opened = openings.open(caller, ReadPurpose::Administration).await?;
    opened.content(ask).ok_or_else(|| Code::Erased.into())
}

/// Lists a client's bookings by start. For staff and administrators.
#[utoipa::path(get, path = "/v1/clients/{id}/bookings", tag = "clients",
    params(("id" = String, Path), BookingsQuery),
    responses((status = OK, body = Page<Booking>)))]
pub(super) async fn bookings(
    caller: Caller<MayKeepClients>,
    Path(id): Path<String>,
    Asked(query): Asked<BookingsQuery>,
) -> Result<Answer<Page<Booking>>, Problem> {
    let info = known(&caller, caller.client_id(&id)?)?;
    bookings_of::of_person(&caller, info.id, &query).await
}

/// Lists what a client has consented to and accepted. For staff and administrators.
#[utoipa::path(get, path = "/v1/clients/{id}/consents", tag = "clients",
    params(("id" = String, Path)), responses((status = OK, body = Page<Consent>)))]
pub(super) async fn consents(
    caller: Caller<MayKeepClients>,
    Path(id): Path<String>,
) -> Result<Answer<Page<Consent>>, Problem> {
    let info = known(&caller, caller.client_id(&id)?)?;
    consents_of::of_person(&caller, info.id)
}

/// Issues a key for a client, which ends with them. For staff and administrators.
#[utoipa::path(post, path = "/v1/clients/{id}/keys", tag = "clients",
    params(("id" = String, Path)), request_body = ClientKeyIn,
    responses((status = CREATED, body = NewKey)))]
pub(super) async fn issue_key(
    caller: Caller<MayKeepClients>,
    Path(id): Path<String>,
    Sent(value): Sent<ClientKeyIn>,
) -> Result<Answer<NewKey>, Problem> {
    let info = known(&caller, caller.client_id(&id)?)?;
    caller.may_issue()?;
    let (tenant, env) = (caller.tenant(), &caller.app.env);
    let issued =
        keys::issue(tenant, Role::Client, &value.label, (Some(info.id), None), env).await?;
    Ok(Answer::made(NewKey { id: caller.show(IdKind::Key, issued.0), key: issued.1 }))
}
