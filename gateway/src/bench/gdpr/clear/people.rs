//! What becomes of persons: put right, restricted, shared, erased, and what they consent to.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use domain::booking::{BookingCommand, Change, Reason, Side};
use domain::consent::{ConsentCommand, Medium, Occasion, Purpose, Text};
use domain::ids::Hash;
use domain::person::{PersonCommand, RestrictionGround};
use domain::sealed::{FieldSet, Sealed};
use domain::{BookingId, Command, ConsentId, Field, RegistrationId, RetentionClass};
use eventstore::IdKind;
use rusqlite::params;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rows::{self, NewConsent};
use super::{Ask, Clear, Role, Rows, fence, number, once, read_id, reads, show, shown};
use crate::problem::{Code, Problem};
use crate::sent::Sent;

type Answer = Result<Json<Value>, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RectifyIn {
    contact: AddressIn,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressIn {
    address: String,
}

fn registration_of(clear: &Clear, person: u64) -> Result<RegistrationId, Problem> {
    let id = clear.read(|reader| {
        let sql = "SELECT registration FROM c_person WHERE id = ?1";
        reader.prepare_cached(sql)?.query_row([number(person)], |row| row.get::<_, i64>(0))
    })?;
    Ok(RegistrationId(u64::try_from(id).unwrap_or(0)))
}

pub(super) async fn rectify(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Sent(value): Sent<RectifyIn>,
) -> Answer {
    let actor = clear.worker(&headers)?;
    let person = read_id(IdKind::Client, &id)?;
    let registration = registration_of(&clear, person)?;
    let handle = clear.handle();
    let given = FieldSet::default().with(Field::Name).with(Field::Email);
    let command = PersonCommand::Rectify {
        registration,
        contact: Sealed::new(handle, 0),
        fence: fence(person),
        given: given.with(Field::Phone).with(Field::Address),
        expected: None,
    };
    let rows: Rows = Box::new(move |tx, _| {
        let sql = "UPDATE c_person SET address = ?2, version = version + 1 WHERE id = ?1";
        tx.prepare_cached(sql)?.execute(params![number(person), value.contact.address]).map(drop)
    });
    let (ask, answer) = Ask::new(vec![Command::Person(command)], rows);
    clear.append(Ask { actor, ..ask }, answer).await?;
    Ok(Json(clear.read(|reader| shown::person(reader, person, false))?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestrictIn {
    ground: RestrictionGround,
}

pub(super) async fn restrict(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Sent(RestrictIn { ground }): Sent<RestrictIn>,
) -> Answer {
    let person = read_id(IdKind::Client, &id)?;
    let registration = registration_of(&clear, person)?;
    let command = PersonCommand::Restrict { registration, ground, until: None };
    let rows: Rows =
        Box::new(move |tx, told| rows::restrict(tx, person, Some(told.at.as_microsecond())));
    stand(&clear, &headers, person, command, rows).await
}

pub(super) async fn unrestrict(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    _: Bytes,
) -> Answer {
    let person = read_id(IdKind::Client, &id)?;
    let registration = registration_of(&clear, person)?;
    let rows: Rows = Box::new(move |tx, _| rows::restrict(tx, person, None));
    let command = PersonCommand::Unrestrict { registration };
    stand(&clear, &headers, person, command, rows).await
}

async fn stand(
    clear: &Clear,
    headers: &HeaderMap,
    person: u64,
    command: PersonCommand,
    rows: Rows,
) -> Answer {
    let actor = clear.worker(headers)?;
    let (ask, answer) = Ask::new(vec![Command::Person(command)], rows);
    clear.append(Ask { actor, once: once(headers)?, ..ask }, answer).await?;
    Ok(Json(clear.read(|reader| shown::person(reader, person, true))?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextIn {
    hash: Hash,
    locale: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GiveIn {
    client_id: Option<String>,
    purpose: Purpose,
    medium: Medium,
    occasion: Occasion,
    text: TextIn,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptIn {
    occasion: Occasion,
    text: TextIn,
}

/// Whom a request is about: a client is always themselves.
fn subject(clear: &Clear, headers: &HeaderMap, named: Option<&str>) -> Result<u64, Problem> {
    match clear.caller(headers)? {
        Role::Client(person) => Ok(person),
        Role::Staff | Role::Admin => read_id(IdKind::Client, named.ok_or(Code::Validation)?),
        Role::Auditor => Err(Code::Forbidden.into()),
    }
}

type Created = Result<(StatusCode, Json<Value>), Problem>;

pub(super) async fn give(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Sent(value): Sent<GiveIn>,
) -> Created {
    let person = subject(&clear, &headers, value.client_id.as_deref())?;
    let TextIn { hash, locale } = value.text;
    let new = NewConsent {
        person,
        purpose: Some(value.purpose.name().to_owned()),
        medium: Some(value.medium.name().to_owned()),
        occasion: value.occasion.name().to_owned(),
        hash: hash.to_string(),
        locale: locale.clone(),
    };
    let command = ConsentCommand::Give {
        evidence: Sealed::new(clear.handle(), 0),
        fence: fence(person),
        purpose: value.purpose,
        medium: value.medium,
        occasion: value.occasion,
        text: Text { hash, locale },
    };
    consented(&clear, &headers, command, new).await
}

pub(super) async fn accept(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Sent(value): Sent<AcceptIn>,
) -> Created {
    let person = subject(&clear, &headers, None)?;
    let TextIn { hash, locale } = value.text;
    let new = NewConsent {
        person,
        purpose: None,
        medium: None,
        occasion: value.occasion.name().to_owned(),
        hash: hash.to_string(),
        locale: locale.clone(),
    };
    let command = ConsentCommand::Accept {
        evidence: Sealed::new(clear.handle(), 0),
        fence: fence(person),
        occasion: value.occasion,
        text: Text { hash, locale },
    };
    consented(&clear, &headers, command, new).await
}

async fn consented(
    clear: &Clear,
    headers: &HeaderMap,
    command: ConsentCommand,
    new: NewConsent,
) -> Created {
    let rows: Rows =
        Box::new(move |tx, told| rows::add_consent(tx, told.first, told.at.as_microsecond(), &new));
    let (ask, answer) = Ask::new(vec![Command::Consent(command)], rows);
    let told = clear.append(Ask { once: once(headers)?, ..ask }, answer).await?;
    Ok((StatusCode::CREATED, Json(consent(clear, told.first)?)))
}

fn consent(clear: &Clear, id: u64) -> Result<Value, Problem> {
    let rows = clear.read(|reader| shown::consents(reader, "WHERE id = ?1", [number(id)]))?;
    Ok(rows.into_iter().next().ok_or(Code::NotFound)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WithdrawIn {
    occasion: Occasion,
}

pub(super) async fn withdraw(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Sent(WithdrawIn { occasion }): Sent<WithdrawIn>,
) -> Answer {
    let id = read_id(IdKind::Consent, &id)?;
    let person: Option<i64> = clear.read(|reader| {
        let sql = "SELECT person FROM c_consent WHERE id = ?1";
        reader.prepare_cached(sql)?.query_row([number(id)], |row| row.get(0))
    })?;
    match clear.caller(&headers)? {
        Role::Client(own) if person != Some(number(own)) => return Err(Code::NotFound.into()),
        Role::Client(_) | Role::Staff | Role::Admin => (),
        Role::Auditor => return Err(Code::Forbidden.into()),
    }
    let command = ConsentCommand::Withdraw { consent: ConsentId(id), occasion };
    let rows: Rows = Box::new(move |tx, told| {
        let sql = "UPDATE c_consent SET withdrawn_at = ?2 WHERE id = ?1";
        tx.prepare_cached(sql)?.execute([number(id), told.at.as_microsecond()]).map(drop)
    });
    let (ask, answer) = Ask::new(vec![Command::Consent(command)], rows);
    clear.append(Ask { once: once(&headers)?, ..ask }, answer).await?;
    Ok(Json(consent(&clear, id)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShareIn {
    client_id: String,
}

pub(super) async fn share(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Sent(ShareIn { client_id }): Sent<ShareIn>,
) -> Answer {
    clear.worker(&headers)?;
    let person = read_id(IdKind::Client, &client_id)?;
    let rows: Rows =
        Box::new(move |tx, told| rows::share(tx, person, &id, told.at.as_microsecond()));
    let (ask, answer) = Ask::new(Vec::new(), rows);
    clear.append(ask, answer).await?;
    let recipients = reads::recipients_of(&clear, person)?;
    Ok(Json(json!({ "client_id": client_id, "recipients": recipients })))
}

#[derive(Deserialize)]
pub(super) struct EraseIn {
    client_id: String,
}

/// Cancels what is open and deletes all there is of somebody, in one commit.
pub(super) async fn erase(
    State(clear): State<Arc<Clear>>,
    headers: HeaderMap,
    Sent(EraseIn { client_id }): Sent<EraseIn>,
) -> Created {
    let actor = clear.worker(&headers)?;
    let person = read_id(IdKind::Client, &client_id)?;
    let open: Vec<i64> = clear.read(|reader| {
        let sql = "SELECT id FROM c_booking WHERE person = ?1 \
                   AND status IN ('confirmed', 'pending')";
        reader.prepare_cached(sql)?.query_map([number(person)], |row| row.get(0))?.collect()
    })?;
    let cancel = |id: &i64| {
        let (by, reason) = (Side::System, Reason::Erasure);
        let change = Change::Cancel { by, reason, note: None, fence: None };
        let booking = BookingId(u64::try_from(*id).unwrap_or(0));
        Command::Booking(BookingCommand::Change { booking, expected: None, change })
    };
    let mut commands: Vec<Command> = open.iter().map(cancel).collect();
    let classes = RetentionClass::ALL.into_iter().filter(|class| class.ends_with_person());
    let erase = PersonCommand::Erase { fence: fence(person), classes: classes.collect(), ended: 0 };
    commands.push(Command::Person(erase));
    let rows: Rows = Box::new(move |tx, told| {
        let at = told.at.as_microsecond();
        for id in open {
            rows::cancel(tx, id, at)?;
        }
        rows::erase(tx, person, told.first, at)
    });
    let (ask, answer) = Ask::new(commands, rows);
    let told = clear.append(Ask { actor, ..ask }, answer).await?;
    let id = show(IdKind::PrivacyRequest, told.first);
    let fence = told.first + told.count - 1;
    let value = json!({
        "id": id, "kind": "erasure", "state": "done", "waits_for_approval": false,
        "fence_position": fence, "requested_at": told.at, "decided_at": told.at,
    });
    Ok((StatusCode::ACCEPTED, Json(value)))
}
