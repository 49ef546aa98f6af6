//! `POST /v1/clients/search`: by mail or phone through a keyed hash, by name by opening.
//!
//! No index knows names, so a search by name opens a bounded number of contact seals under one
//! ticket and says where to go on.

use domain::ledger::ReadPurpose;
use domain::{Field, RetentionClass};
use eventstore::{IdKind, Lookup, LookupKind, PersonId, PersonState, Personal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{known, read_after, show};
use crate::answer::{Answer, LONGEST_PAGE, cursor};
use crate::caller::{Caller, MayKeepClients};
use crate::intake;
use crate::problem::Problem;
use crate::routes::shown::{ClientOut, Openings, client};
use crate::sent::Sent;

/// How many persons one search by name opens.
const OPENED_AT_ONCE: u32 = 1000;

/// Whom to find: exactly one of the four.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchIn {
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    email: Option<Plain>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    phone: Option<Plain>,
    /// A number of the tenant's own.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    reference: Option<Plain>,
    /// A part of the name, at least two letters; great and small are the same.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Option<Plain>,
    /// The `next_cursor` of the search before, by name only.
    #[serde(default)]
    cursor: Option<String>,
}

/// A personal value on its way to a comparison. Cannot be printed.
#[derive(Deserialize)]
#[serde(transparent)]
struct Plain(String);

/// Who was found.
#[derive(Serialize, ToSchema)]
pub(crate) struct Found {
    data: Vec<ClientOut>,
    /// How many persons were looked at.
    searched: u32,
    /// There are more persons to look at: search again with this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Finds clients. For staff and administrators.
#[utoipa::path(post, path = "/v1/clients/search", tag = "clients",
    request_body = SearchIn, responses((status = OK, body = Found)))]
pub(in crate::routes) async fn search(
    caller: Caller<MayKeepClients>,
    Sent(wanted): Sent<SearchIn>,
) -> Result<Answer<Found>, Problem> {
    let position = caller.desk().position();
    let SearchIn { email, phone, reference, name, cursor } = wanted;
    if reference.is_none() {
        // Whom somebody's address finds, that says of whom it is.
        caller.may_see(RetentionClass::Contact)?;
    }
    let found = match (email, phone, reference, name) {
        (Some(Plain(mail)), None, None, None) => by_contact(&caller, Field::Email, mail).await?,
        (None, Some(Plain(phone)), None, None) => by_contact(&caller, Field::Phone, phone).await?,
        (None, None, Some(Plain(text)), None) => {
            let lookup = Lookup::new(LookupKind::Reference, text.trim().to_owned());
            by_lookups(&caller, vec![lookup]).await?
        }
        (None, None, None, Some(Plain(name))) => by_name(&caller, &name, cursor).await?,
        _ => return Err(Problem::invalid("", "one_of_many")),
    };
    Ok(Answer::read(found, position))
}

async fn by_contact(
    caller: &Caller<MayKeepClients>,
    field: Field,
    value: String,
) -> Result<Found, Problem> {
    let lookups = intake::lookups(&Personal::default().with(field, value))
        .map_err(|_| Problem::invalid(format!("/{field}"), "malformed"))?;
    by_lookups(caller, lookups).await
}

async fn by_lookups(
    caller: &Caller<MayKeepClients>,
    lookups: Vec<Lookup>,
) -> Result<Found, Problem> {
    let mut infos = Vec::new();
    for lookup in lookups {
        let persons = caller.tenant().keyring().find(&lookup)?;
        let most = usize::try_from(LONGEST_PAGE).unwrap_or(usize::MAX);
        // Who is being erased just now is not found any more.
        infos.extend(persons.into_iter().take(most).filter_map(|id| known(caller, id).ok()));
    }
    let searched = u32::try_from(infos.len()).unwrap_or(u32::MAX);
    let data = show(caller, &infos, ReadPurpose::Search).await?;
    Ok(Found { data, searched, next_cursor: None })
}

async fn by_name(
    caller: &Caller<MayKeepClients>,
    name: &str,
    after: Option<String>,
) -> Result<Found, Problem> {
    let wanted = name.trim().to_lowercase();
    if wanted.chars().count() < 2 {
        return Err(Problem::invalid("/name", "too_short"));
    }
    let after = after.as_deref().map(|cursor| read_after(caller, cursor)).transpose();
    let after = after.map_err(|_| Problem::invalid("/cursor", "invalid"))?.unwrap_or(PersonId(0));
    let infos = caller.tenant().keyring().page(after, OPENED_AT_ONCE)?;
    let searched = u32::try_from(infos.len()).unwrap_or(u32::MAX);
    let last = infos.last().filter(|_| searched == OPENED_AT_ONCE);
    let next_cursor = last.map(|info| cursor(&caller.show(IdKind::Client, info.id.0)));
    let mut openings = Openings::default();
    let live = infos.iter().filter(|info| info.state == PersonState::Live);
    let asked: Vec<_> = live.filter_map(|info| Some((info, openings.ask_contact(info)?))).collect();
    let mut opened = openings.open(caller, ReadPurpose::Search).await?;
    let named = asked.into_iter().filter_map(|(info, ask)| {
        let contact = opened.values(Some(ask))?;
        let is_it = contact.get(Field::Name).is_some_and(|it| it.to_lowercase().contains(&wanted));
        is_it.then(|| ClientOut { contact: Some(contact), ..client(caller, info) })
    });
    Ok(Found { data: named.collect(), searched, next_cursor })
}
