//! `/v1/consents` and `/v1/policy-acceptances`: what somebody allowed, took back or accepted.

use axum::extract::Path;
use domain::consent::{ConsentCommand, Medium, Occasion, Purpose, Text};
use domain::ids::Hash;
use domain::{Command, ConsentId};
use eventstore::{Append, Appended, IdKind, PersonId};
use jiff::Timestamp;
use projections::ConsentRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shown::{Repeat, behind};
use crate::answer::{Answer, Page};
use crate::caller::{Caller, MayConsent};
use crate::intake::{self, ConsentIn, Sender};
use crate::problem::{Code, Problem};
use crate::sent::Once;

/// Which text was shown.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextShape {
    /// The SHA-256 of the text, in hexadecimal digits.
    #[schema(value_type = String)]
    hash: Hash,
    /// BCP 47.
    #[schema(example = "sv")]
    locale: String,
}

/// A consent, as it is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GiveIn {
    /// Whose. A client gives their own and may leave it out.
    #[serde(default)]
    client_id: Option<String>,
    /// newsletter, offers, reminders, surveys, `health_notes`, photos or research.
    #[schema(value_type = String, example = "newsletter")]
    purpose: Purpose,
    /// email, sms, phone, post or none.
    #[schema(value_type = String, example = "email")]
    medium: Medium,
    /// booking, account, desk, link or import.
    #[schema(value_type = String, example = "account")]
    occasion: Occasion,
    text: TextShape,
    /// What shows that it was given, in words; sealed.
    #[serde(default)]
    evidence: String,
}

/// An acceptance of the tenant's terms or policy.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptIn {
    #[serde(default)]
    client_id: Option<String>,
    #[schema(value_type = String, example = "booking")]
    occasion: Occasion,
    text: TextShape,
    #[serde(default)]
    evidence: String,
}

/// A consent taken back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithdrawIn {
    #[serde(default = "account")]
    #[schema(value_type = Option<String>, example = "account")]
    occasion: Occasion,
}

fn account() -> Occasion {
    Occasion::Account
}

/// A consent or an acceptance.
#[derive(Serialize, ToSchema)]
pub(crate) struct Consent {
    #[schema(example = "con_00112233445566778899aabbccddeeff")]
    id: String,
    /// consent or acceptance.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    medium: Option<&'static str>,
    occasion: &'static str,
    text: TextShape,
    #[schema(value_type = String)]
    given_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    withdrawn_at: Option<Timestamp>,
}

fn shown<P>(caller: &Caller<P>, row: ConsentRow) -> Consent {
    Consent {
        id: caller.show(IdKind::Consent, row.id.0),
        kind: if row.is_acceptance() { "acceptance" } else { "consent" },
        purpose: row.allows.map(|(purpose, _)| purpose.name()),
        medium: row.allows.map(|(_, medium)| medium.name()),
        occasion: row.occasion.name(),
        text: TextShape { hash: row.text.hash, locale: row.text.locale },
        given_at: row.given_at,
        withdrawn_at: row.withdrawn_at,
    }
}

fn text(text: TextShape) -> Text {
    Text { hash: text.hash, locale: text.locale }
}

/// What one person has consented to and accepted.
pub(super) fn of_person<P>(
    caller: &Caller<P>,
    person: PersonId,
) -> Result<Answer<Page<Consent>>, Problem> {
    let handles = caller.tenant().keyring().handles_of(person)?;
    let (rows, position) = caller.read(|reader| reader.consents().of_handles(&handles))?;
    let data = rows.into_iter().map(|row| shown(caller, row)).collect();
    Ok(Answer::read(Page { data, next_cursor: None }, position))
}

/// The consent as it stands behind an append.
async fn after(
    caller: &Caller<MayConsent>,
    id: ConsentId,
    appended: &Appended,
) -> Result<Consent, Problem> {
    caller.caught_up(behind(appended)).await?;
    let (row, _) = caller.find(|reader| reader.consents().get(id)).await?;
    Ok(shown(caller, row))
}

/// Records a consent. For clients (their own), staff and administrators.
#[utoipa::path(post, path = "/v1/consents", tag = "consents", params(Repeat),
    request_body = GiveIn, responses((status = CREATED, body = Consent)))]
pub(super) async fn give(
    caller: Caller<MayConsent>,
    Once { value, idempotency }: Once<GiveIn>,
) -> Result<Answer<Consent>, Problem> {
    let person = caller.subject(value.client_id.as_deref(), "/client_id")?;
    let sender = Sender { idempotency: Some(idempotency), ..Sender::new(caller.actor()) };
    let consent = ConsentIn {
        purpose: value.purpose,
        medium: value.medium,
        occasion: value.occasion,
        text: text(value.text),
        evidence: value.evidence,
    };
    let (append, _) = intake::consent(caller.tenant(), person, consent, sender)?;
    let appended = caller.append(append).await?;
    let consent = after(&caller, ConsentId(appended.first.0), &appended).await?;
    Ok(Answer::created(consent, &appended))
}

/// Records that somebody accepted a text, which is no consent. For clients (their own), staff and
/// administrators.
#[utoipa::path(post, path = "/v1/policy-acceptances", tag = "consents", params(Repeat),
    request_body = AcceptIn, responses((status = CREATED, body = Consent)))]
pub(super) async fn accept(
    caller: Caller<MayConsent>,
    Once { value, idempotency }: Once<AcceptIn>,
) -> Result<Answer<Consent>, Problem> {
    let person = caller.subject(value.client_id.as_deref(), "/client_id")?;
    let sender = Sender { idempotency: Some(idempotency), ..Sender::new(caller.actor()) };
    let (occasion, text) = (value.occasion, text(value.text));
    let accept = intake::accept(caller.tenant(), person, occasion, text, value.evidence, sender);
    let appended = caller.append(accept?.0).await?;
    let consent = after(&caller, ConsentId(appended.first.0), &appended).await?;
    Ok(Answer::created(consent, &appended))
}

/// Takes a consent back: always possible, and once. For clients (their own), staff and
/// administrators.
#[utoipa::path(post, path = "/v1/consents/{id}/withdraw", tag = "consents",
    params(("id" = String, Path), Repeat),
    request_body = WithdrawIn, responses((status = OK, body = Consent)))]
pub(super) async fn withdraw(
    caller: Caller<MayConsent>,
    Path(id): Path<String>,
    Once { value, idempotency }: Once<WithdrawIn>,
) -> Result<Answer<Consent>, Problem> {
    let consent = caller.consent_id(&id)?;
    let (row, _) = caller.find(|reader| reader.consents().get(consent)).await?;
    let handle = row.evidence.handle;
    let of = caller.tenant().keyring().persons_of(&[handle])?;
    if caller.person().is_some_and(|own| of.get(&handle) != Some(&own)) {
        return Err(Code::NotFound.into());
    }
    let command = ConsentCommand::Withdraw { consent, occasion: value.occasion };
    let append = Append::new(Command::Consent(command), caller.actor_as(handle));
    let appended = caller.append(Append { idempotency: Some(idempotency), ..append }).await?;
    let consent = after(&caller, consent, &appended).await?;
    Ok(Answer::changed(consent, &appended))
}
