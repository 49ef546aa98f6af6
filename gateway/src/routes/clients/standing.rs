//! How it stands with a client's data: restricted (GDPR Art. 18), or under a legal hold (Art. 17(3)).
//! Each change is a POST of its own, safe to repeat.

use axum::extract::Path;
use domain::person::{self, HoldGround, PersonCommand, RestrictionGround};
use domain::{Command, RetentionClass};
use eventstore::{Append, Idempotency};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Client, known, whole};
use crate::answer::Answer;
use crate::caller::{Caller, MayHold, MayRestrict};
use crate::problem::{Code, Problem};
use crate::routes::bookings::changes::Nothing;
use crate::routes::shown::{Repeat, behind};
use crate::sent::Once;

/// That the data is kept and not used.
#[derive(Serialize, ToSchema)]
pub(crate) struct Restriction {
    #[schema(value_type = String, example = "accuracy_contested")]
    ground: RestrictionGround,
    #[schema(value_type = String)]
    since: Timestamp,
    /// When it is to be looked at again; nothing lifts itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "2027-01-31")]
    until: Option<Date>,
}

impl From<projections::Restriction> for Restriction {
    fn from(row: projections::Restriction) -> Self {
        Self { ground: row.ground, since: row.since, until: row.until }
    }
}

/// That the data is not to be erased.
#[derive(Serialize, ToSchema)]
pub(crate) struct LegalHold {
    /// Of which class; without one, of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "health")]
    class: Option<RetentionClass>,
    #[schema(value_type = String, example = "legal_claim")]
    ground: HoldGround,
    #[schema(value_type = String)]
    since: Timestamp,
}

impl From<projections::LegalHoldRow> for LegalHold {
    fn from(row: projections::LegalHoldRow) -> Self {
        Self { class: row.hold.class, ground: row.hold.ground, since: row.since }
    }
}

/// Why the data is not to be used.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestrictIn {
    /// `accuracy_contested`, `unlawful`, `legal_claim` or `objection`.
    #[schema(value_type = String, example = "accuracy_contested")]
    ground: RestrictionGround,
    /// When it is to be looked at again.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "2027-01-31")]
    until: Option<Date>,
}

/// Why the data is not to be erased.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldIn {
    /// Of which class; without one, of all. Nobody is erased while anything of theirs is held.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "health")]
    class: Option<RetentionClass>,
    /// `legal_claim`, `legal_obligation` or `authority_order`.
    #[schema(value_type = String, example = "legal_claim")]
    ground: HoldGround,
}

impl From<HoldIn> for person::LegalHold {
    fn from(HoldIn { class, ground }: HoldIn) -> Self {
        Self { class, ground }
    }
}

/// Restricts the use of a client's data: it is kept, nothing of it opens, and nothing more is
/// sealed. For staff and administrators.
#[utoipa::path(post, path = "/v1/clients/{id}/restrict", tag = "clients",
    params(("id" = String, Path), Repeat), request_body = RestrictIn,
    responses((status = OK, body = Client)))]
pub(in crate::routes) async fn restrict(
    caller: Caller<MayRestrict>,
    Path(id): Path<String>,
    Once { value, idempotency }: Once<RestrictIn>,
) -> Result<Answer<Client>, Problem> {
    let RestrictIn { ground, until } = value;
    change(&caller, &id, idempotency, |registration| PersonCommand::Restrict {
        registration,
        ground,
        until,
    })
    .await
}

/// Frees a client's data again. The client is to be told before (Art. 18(3)). For staff and
/// administrators.
#[utoipa::path(post, path = "/v1/clients/{id}/unrestrict", tag = "clients",
    params(("id" = String, Path), Repeat), request_body = Nothing,
    responses((status = OK, body = Client)))]
pub(in crate::routes) async fn unrestrict(
    caller: Caller<MayRestrict>,
    Path(id): Path<String>,
    Once { value: Nothing {}, idempotency }: Once<Nothing>,
) -> Result<Answer<Client>, Problem> {
    change(&caller, &id, idempotency, |registration| PersonCommand::Unrestrict { registration })
        .await
}

/// Places a legal hold: until it is lifted nothing of the client is erased, put right or ended by
/// retention. For administrators.
#[utoipa::path(post, path = "/v1/clients/{id}/hold", tag = "clients",
    params(("id" = String, Path), Repeat), request_body = HoldIn,
    responses((status = OK, body = Client)))]
pub(in crate::routes) async fn hold(
    caller: Caller<MayHold>,
    Path(id): Path<String>,
    Once { value, idempotency }: Once<HoldIn>,
) -> Result<Answer<Client>, Problem> {
    let hold = value.into();
    change(&caller, &id, idempotency, |registration| PersonCommand::PlaceHold {
        registration,
        hold,
    })
    .await
}

/// Lifts a legal hold. What was due meanwhile ends with the next sweep. For administrators.
#[utoipa::path(post, path = "/v1/clients/{id}/release", tag = "clients",
    params(("id" = String, Path), Repeat), request_body = HoldIn,
    responses((status = OK, body = Client)))]
pub(in crate::routes) async fn release(
    caller: Caller<MayHold>,
    Path(id): Path<String>,
    Once { value, idempotency }: Once<HoldIn>,
) -> Result<Answer<Client>, Problem> {
    let hold = value.into();
    change(&caller, &id, idempotency, |registration| PersonCommand::LiftHold { registration, hold })
        .await
}

async fn change<P>(
    caller: &Caller<P>,
    id: &str,
    idempotency: Idempotency,
    command: impl FnOnce(domain::RegistrationId) -> PersonCommand,
) -> Result<Answer<Client>, Problem> {
    let person = caller.client_id(id)?;
    let registration = known(caller, person)?.registration.ok_or(Code::Erased)?;
    let append = Append::new(Command::Person(command(registration)), caller.actor());
    let appended = caller.append(Append { idempotency: Some(idempotency), ..append }).await?;
    caller.caught_up(behind(&appended)).await?;
    whole(caller, person).await
}
