//! `/v1/recipients` and `/v1/notices`: who was given personal data, and what they are told of what
//! became of it. Who they are stands in the policy.

use axum::extract::Path;
use domain::Position;
use eventstore::IdKind;
use eventstore::engine::{Notices, Seen};
use eventstore::store::notices::Notice;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shown::open_first;
use crate::answer::{Answer, Page, PageQuery};
use crate::caller::{Caller, MayKeepClients, MayKeepRecipients, MaySeeRecipients};
use crate::problem::{Code, Problem};
use crate::recipients;
use crate::sent::{Asked, Sent};

/// A recipient, and how many clients they have something of.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecipientOut {
    /// As the policy has it.
    #[schema(example = "accountant")]
    id: String,
    name: String,
    retired: bool,
    /// In which country.
    country: String,
    /// Whether that is outside the European Economic Area (GDPR Art. 44).
    third_country: bool,
    /// Of how many clients they were given something.
    clients: u64,
}

/// Lists who is given personal data. For staff, administrators and auditors.
#[utoipa::path(get, path = "/v1/recipients", tag = "recipients",
    responses((status = OK, body = Page<RecipientOut>)))]
pub(super) async fn list(
    caller: Caller<MaySeeRecipients>,
) -> Result<Answer<Page<RecipientOut>>, Problem> {
    let tenant = caller.tenant();
    let mut data = Vec::new();
    for (id, recipient) in recipients::of(tenant)? {
        let clients = tenant.given_of(&id)?;
        data.push(RecipientOut {
            id,
            third_country: recipient.is_outside_the_eea(),
            name: recipient.name,
            retired: recipient.retired,
            country: recipient.country,
            clients,
        });
    }
    Ok(Answer::read(Page { data, next_cursor: None }, caller.desk().position()))
}

/// What a recipient checks notices with.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecretOut {
    /// A secret of Standard Webhooks.
    secret: String,
}

fn known<P>(caller: &Caller<P>, id: &str) -> Result<(), Problem> {
    match recipients::of(caller.tenant())?.contains_key(id) {
        true => Ok(()),
        false => Err(Code::NotFound.into()),
    }
}

/// Shows what a recipient checks the signatures of notices with. For administrators.
#[utoipa::path(get, path = "/v1/recipients/{id}/secret", tag = "recipients",
    params(("id" = String, Path)), responses((status = OK, body = SecretOut)))]
pub(super) async fn secret(
    caller: Caller<MayKeepRecipients>,
    Path(id): Path<String>,
) -> Result<Answer<SecretOut>, Problem> {
    let known = recipients::of(caller.tenant())?.remove(&id).ok_or(Code::NotFound)?;
    let secret = recipients::secret(caller.tenant(), &id, known.secret_number).await?;
    Ok(Answer::read(SecretOut { secret }, caller.desk().position()))
}

/// Whose data was given out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DisclosureIn {
    client_id: String,
}

/// Who has something of whose.
#[derive(Serialize, ToSchema)]
pub(crate) struct DisclosureOut {
    client_id: String,
    /// All who have.
    recipients: Vec<String>,
}

/// Takes down that a recipient was given something of a client's otherwise than by a key of theirs:
/// they are told from now on what becomes of it. For staff and administrators.
#[utoipa::path(post, path = "/v1/recipients/{id}/disclosures", tag = "recipients",
    params(("id" = String, Path)), request_body = DisclosureIn,
    responses((status = OK, body = DisclosureOut)))]
pub(super) async fn disclose(
    caller: Caller<MayKeepClients>,
    Path(id): Path<String>,
    Sent(DisclosureIn { client_id }): Sent<DisclosureIn>,
) -> Result<Answer<DisclosureOut>, Problem> {
    known(&caller, &id)?;
    let tenant = caller.tenant();
    let person = caller.subject(Some(&client_id), "/client_id")?;
    tenant.keyring().info(person)?.ok_or(Code::NotFound)?;
    tenant.give(vec![person], &id, caller.app.env.clock.now()).await?;
    let recipients = tenant.given_to(person)?;
    if recipients.is_empty() {
        return Err(Code::Erased.into());
    }
    Ok(Answer::read(DisclosureOut { client_id, recipients }, caller.desk().position()))
}

/// What a recipient is told.
#[derive(Serialize, ToSchema)]
pub(crate) struct NoticeOut {
    #[schema(example = "ntc_00112233445566778899aabbccddeeff")]
    id: String,
    recipient: String,
    /// erased, rectified, restricted or unrestricted.
    kind: &'static str,
    /// Absent once they are erased and the recipient knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// The entry that it tells of.
    position: u64,
    #[schema(value_type = String)]
    made_at: Timestamp,
    /// How often it was sent.
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    acknowledged_at: Option<Timestamp>,
}

fn shown<P>(caller: &Caller<P>, notice: Notice) -> NoticeOut {
    let at = |second| Timestamp::from_second(second).unwrap_or_default();
    NoticeOut {
        id: caller.show(IdKind::Notice, notice.id),
        recipient: notice.recipient,
        kind: notice.kind.name(),
        client_id: notice.person.map(|person| caller.show(IdKind::Client, person.0)),
        position: notice.position.0,
        made_at: at(notice.made_at),
        attempts: notice.attempts,
        acknowledged_at: notice.acknowledged_at.map(at),
    }
}

/// Lists notices: those first that nobody has acknowledged, and of each the newest first. Those without `acknowledged_at` to recipients without an endpoint are
/// for staff to pass on. For staff, administrators and auditors.
#[utoipa::path(get, path = "/v1/notices", tag = "recipients", params(PageQuery),
    responses((status = OK, body = Page<NoticeOut>)))]
pub(super) async fn notices(
    caller: Caller<MaySeeRecipients>,
    Asked(query): Asked<PageQuery>,
) -> Result<Answer<Page<NoticeOut>>, Problem> {
    let position = caller.desk().position();
    let (notices, next_cursor) = open_first(
        (&caller, IdKind::Notice, &query),
        |after, most| Ok(caller.tenant().notices(Notices::After(after, most))?),
        |last| Seen { settled: last.acknowledged_at.is_some(), id: last.id },
    )?;
    let data = notices.into_iter().map(|notice| shown(&caller, notice)).collect();
    Ok(Answer::read(Page { data, next_cursor }, position))
}

/// Takes down that a recipient knows; saying so again changes nothing. For staff and administrators.
#[utoipa::path(post, path = "/v1/notices/{id}/acknowledge", tag = "recipients",
    params(("id" = String, Path)), responses((status = OK, body = NoticeOut)))]
pub(super) async fn acknowledge(
    caller: Caller<MayKeepClients>,
    Path(id): Path<String>,
) -> Result<Answer<NoticeOut>, Problem> {
    let id = caller.read_id(IdKind::Notice, &id)?;
    caller.tenant().acknowledge(id, caller.app.env.clock.now()).await?;
    let notice = caller.tenant().notices(Notices::One(id))?.pop().ok_or(Code::NotFound)?;
    let position = Position(notice.position.0).next();
    Ok(Answer::read(shown(&caller, notice), position))
}
