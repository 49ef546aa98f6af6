//! `/v1/keys`: what staff, administrators and auditors sign with. Clients' keys are issued beside
//! their record, and listed and revoked here.

use axum::extract::Path;
use eventstore::IdKind;
use eventstore::store::credentials::ApiKey;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clients::NewKey;
use crate::answer::{Answer, Page};
use crate::caller::{Caller, MayKeepKeys};
use crate::keys::{self, Role};
use crate::problem::{Code, Problem};
use crate::recipients;
use crate::sent::Sent;

/// A key, as it is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyIn {
    /// staff, admin or auditor.
    #[schema(example = "staff")]
    role: String,
    /// What it is for. No names of clients: labels are not sealed.
    #[serde(default)]
    label: String,
    /// For whom a program reads with it, by the policy's name of the recipient: then they are told of
    /// what becomes of the data of whomever it has read.
    #[serde(default)]
    recipient: Option<String>,
}

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyOut {
    #[schema(example = "key_00112233445566778899aabbccddeeff")]
    id: String,
    role: String,
    label: String,
    /// Whose, for a client's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// For whom a program reads with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    revoked_at: Option<Timestamp>,
}

fn shown<P>(caller: &Caller<P>, key: ApiKey) -> KeyOut {
    let at = |second| Timestamp::from_second(second).unwrap_or_default();
    KeyOut {
        id: caller.show(IdKind::Key, key.id),
        role: key.role,
        label: key.label,
        client_id: key.person.map(|person| caller.show(IdKind::Client, person.0)),
        recipient: key.recipient,
        created_at: at(key.created_at),
        revoked_at: key.revoked_at.map(at),
    }
}

fn find(caller: &Caller<MayKeepKeys>, id: u64) -> Result<KeyOut, Problem> {
    let keys = caller.tenant().api_keys()?;
    let key = keys.into_iter().find(|key| key.id == id).ok_or(Code::NotFound)?;
    Ok(shown(caller, key))
}

/// Lists all keys, without their secrets. For administrators.
#[utoipa::path(get, path = "/v1/keys", tag = "keys",
    responses((status = OK, body = Page<KeyOut>)))]
pub(super) async fn list(caller: Caller<MayKeepKeys>) -> Result<Answer<Page<KeyOut>>, Problem> {
    let keys = caller.tenant().api_keys()?;
    let data = keys.into_iter().map(|key| shown(&caller, key)).collect();
    Ok(Answer::read(Page { data, next_cursor: None }, caller.desk().position()))
}

/// Issues a key. For administrators.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyIn,
    responses((status = CREATED, body = NewKey)))]
pub(super) async fn create(
    caller: Caller<MayKeepKeys>,
    Sent(asked): Sent<KeyIn>,
) -> Result<Answer<NewKey>, Problem> {
    caller.may_issue()?;
    let role: Role = asked.role.parse().map_err(|_| Problem::invalid("/role", "invalid"))?;
    if let Some(recipient) = &asked.recipient
        && recipients::given(caller.tenant(), recipient)?.is_none()
    {
        return Err(Problem::invalid("/recipient", "unknown"));
    }
    let whose = (None, asked.recipient);
    let issued = keys::issue(caller.tenant(), role, &asked.label, whose, &caller.app.env).await?;
    Ok(Answer::made(NewKey { id: caller.show(IdKind::Key, issued.0), key: issued.1 }))
}

/// Revokes a key, at once; revoking it again changes nothing. For administrators.
#[utoipa::path(post, path = "/v1/keys/{id}/revoke", tag = "keys",
    params(("id" = String, Path)), responses((status = OK, body = KeyOut)))]
pub(super) async fn revoke(
    caller: Caller<MayKeepKeys>,
    Path(id): Path<String>,
) -> Result<Answer<KeyOut>, Problem> {
    let id = caller.read_id(IdKind::Key, &id)?;
    caller.app.keys.revoke(caller.tenant(), id, &caller.app.env).await?;
    Ok(Answer::read(find(&caller, id)?, caller.desk().position()))
}
