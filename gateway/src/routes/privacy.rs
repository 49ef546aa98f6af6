//! `/v1/privacy-requests`: rights that somebody exercises. Erasure, for now.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use domain::Position;
use eventstore::engine::Seen;
use eventstore::store::requests::{PrivacyRequest, Stage};
use eventstore::{IdKind, PersonState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::shown::open_first;
use crate::answer::{Answer, Page, PageQuery};
use crate::caller::{Caller, MayApproveErasure, MayAskPrivacy, MaySeePrivacy};
use crate::erasure;
use crate::policy;
use crate::problem::{Code, Problem};
use crate::requests::{self, By, Course};
use crate::sent::{Asked, Sent};

/// How long an answer waits for an erasure to be through. It goes on without the caller.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which right.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Right {
    Erasure,
}

/// What somebody asks for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskIn {
    kind: Right,
    /// For whom. A client asks for themselves and may leave it out.
    #[serde(default)]
    client_id: Option<String>,
    /// Cancel open bookings first; without it they stand in the way.
    #[serde(default)]
    cancel_open_bookings: bool,
}

/// Of what a preview is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewIn {
    kind: Right,
    /// For whom. A client asks for themselves and may leave it out.
    #[serde(default)]
    client_id: Option<String>,
}

/// What was asked for, and what became of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Request {
    #[schema(example = "prq_00112233445566778899aabbccddeeff")]
    id: String,
    kind: String,
    /// waiting, received, done, refused, failed, withdrawn or expired.
    state: &'static str,
    /// By which key; `operator` for somebody at the program itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn_by: Option<String>,
    /// Whether it waits for the approval of another administrator than who asked.
    waits_for_approval: bool,
    /// Until when that can be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    approve_until: Option<Timestamp>,
    /// Until when it can be withdrawn: it is not carried out before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    not_before: Option<Timestamp>,
    /// What stood in its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// Where the fence stands in the ledger. Nothing of the person opens from there on.
    #[serde(skip_serializing_if = "Option::is_none")]
    fence_position: Option<u64>,
    #[schema(value_type = String)]
    requested_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    decided_at: Option<Timestamp>,
}

fn by<P>(caller: &Caller<P>, who: By) -> String {
    match who {
        By::Key(key) => caller.show(IdKind::Key, key),
        By::Operator => "operator".to_owned(),
    }
}

fn find<P>(caller: &Caller<P>, id: u64) -> Result<Request, Problem> {
    let request = caller.tenant().privacy_request(id)?.ok_or(Code::NotFound)?;
    Ok(shown(caller, request))
}

/// A request that the caller may know of: a client, of their own.
fn own(caller: &Caller<MayAskPrivacy>, id: &str) -> Result<PrivacyRequest, Problem> {
    let id = caller.read_id(IdKind::PrivacyRequest, id)?;
    let request = caller.tenant().privacy_request(id)?;
    let request = request.filter(|it| !caller.is_client() || it.person == caller.person());
    request.ok_or_else(|| Code::NotFound.into())
}

fn shown<P>(caller: &Caller<P>, request: PrivacyRequest) -> Request {
    let at = |second| Timestamp::from_second(second).unwrap_or_default();
    let course = Course::of(&request);
    let waiting = course.as_ref().filter(|_| request.stage == Stage::Waiting);
    let approval = waiting.is_some_and(|course| course.approval && course.approved_by.is_none());
    Request {
        id: caller.show(IdKind::PrivacyRequest, request.id),
        state: request.state(),
        kind: request.kind,
        asked_by: course.as_ref().map(|course| by(caller, course.asked_by)),
        approved_by: course.as_ref().and_then(|course| Some(by(caller, course.approved_by?))),
        withdrawn_by: course.as_ref().and_then(|course| Some(by(caller, course.withdrawn_by?))),
        waits_for_approval: approval,
        approve_until: waiting.filter(|_| approval).and_then(|course| course.approve_until),
        not_before: waiting.and_then(|course| course.not_before),
        refused: course.and_then(|course| course.refused),
        fence_position: request.fence_at.map(|position| position.0),
        requested_at: at(request.requested_at),
        decided_at: request.decided_at.map(at),
    }
}

/// Asks for an erasure. Unless the policy has it wait it begins at once: open bookings stand in its
/// way where they are not to be cancelled. For clients (themselves), staff and administrators.
#[utoipa::path(post, path = "/v1/privacy-requests", tag = "privacy",
    request_body = AskIn, responses((status = ACCEPTED, body = Request)))]
pub(super) async fn ask(
    caller: Caller<MayAskPrivacy>,
    Sent(asked): Sent<AskIn>,
) -> Result<Answer<Request>, Problem> {
    let Right::Erasure = asked.kind;
    let person = caller.subject(asked.client_id.as_deref(), "/client_id")?;
    let info = caller.tenant().keyring().info(person)?.ok_or(Code::NotFound)?;
    if matches!(info.state, PersonState::Erasing | PersonState::Erased) {
        return Err(Code::Erased.into());
    }
    let by = (By::Key(caller.holder.key), asked.cancel_open_bookings);
    let (id, free) = requests::ask(&caller.app, caller.tenant(), person, by).await?;
    if free {
        carry_out(&caller, id).await?;
    }
    answer(&caller, id)
}

/// Carries a request out, and waits for it as long as an answer can wait.
async fn carry_out<P>(caller: &Caller<P>, id: u64) -> Result<(), Problem> {
    let (app, desk) = (Arc::clone(&caller.app), Arc::clone(caller.desk()));
    // On its own: a caller who hangs up does not stop it.
    let erasing =
        tokio::spawn(async move { requests::carry_out(&app, &desk, id, false).await.map(drop) });
    match tokio::time::timeout(PATIENCE, erasing).await {
        Ok(erased) => Ok(erased??),
        Err(_) => Ok(()),
    }
}

fn answer<P>(caller: &Caller<P>, id: u64) -> Result<Answer<Request>, Problem> {
    let request = find(caller, id)?;
    let path = format!("/v1/privacy-requests/{}", request.id);
    let fence = request.fence_position;
    let answer = Answer::accepted(request).located(&path);
    Ok(match fence {
        Some(fence) => answer.reflecting(Position(fence).next()),
        None => answer,
    })
}

/// Approves a request of somebody else's. It is carried out at once, or when its time to think again
/// is over. For administrators.
#[utoipa::path(post, path = "/v1/privacy-requests/{id}/approve", tag = "privacy",
    params(("id" = String, Path)), responses((status = ACCEPTED, body = Request)))]
pub(super) async fn approve(
    caller: Caller<MayApproveErasure>,
    Path(id): Path<String>,
) -> Result<Answer<Request>, Problem> {
    let id = caller.read_id(IdKind::PrivacyRequest, &id)?;
    let by = By::Key(caller.holder.key);
    if requests::approve(&caller.app, caller.tenant(), id, by).await? {
        carry_out(&caller, id).await?;
    }
    answer(&caller, id)
}

/// Takes a request back that still waits. For clients (their own), staff and administrators.
#[utoipa::path(post, path = "/v1/privacy-requests/{id}/withdraw", tag = "privacy",
    params(("id" = String, Path)), responses((status = ACCEPTED, body = Request)))]
pub(super) async fn withdraw(
    caller: Caller<MayAskPrivacy>,
    Path(id): Path<String>,
) -> Result<Answer<Request>, Problem> {
    let PrivacyRequest { id, .. } = own(&caller, &id)?;
    let by = By::Key(caller.holder.key);
    requests::withdraw(&caller.app, caller.tenant(), id, by).await?;
    answer(&caller, id)
}

/// Gives out the signed receipt of an erasure, as soon as no node can open anything any more. Check
/// it with `tidbok audit receipt`. For staff and administrators.
#[utoipa::path(get, path = "/v1/privacy-requests/{id}/receipt", tag = "privacy",
    params(("id" = String, Path)), responses((status = OK, body = Value)))]
pub(super) async fn receipt(
    caller: Caller<MaySeePrivacy>,
    Path(id): Path<String>,
) -> Result<Answer<Value>, Problem> {
    let id = caller.read_id(IdKind::PrivacyRequest, &id)?;
    let app = &caller.app;
    let text = requests::receipt(app, caller.desk(), id, app.window).await?;
    let file = serde_json::from_str(&text).map_err(|_| Code::Internal)?;
    Ok(Answer::read(file, caller.desk().position()))
}

/// What an erasure would do.
#[derive(Serialize, ToSchema)]
pub(crate) struct Preview {
    /// Bookings that stand in its way unless they are cancelled.
    open_bookings: Vec<String>,
    /// The grounds of legal holds, which stand in its way until they are lifted.
    legal_holds: Vec<String>,
    /// How many seals would end.
    seals: u64,
    /// The classes of which everything would be destroyed.
    classes: Vec<String>,
    /// What would stay, linked to nobody.
    kept: Vec<Kept>,
    /// Who was given something of it, and would be told.
    recipients: Vec<String>,
    /// Whether somebody else than who asks has to approve.
    needs_approval: bool,
    /// For how many hours it could be withdrawn.
    cooling_off_hours: u32,
}

/// Something that the law keeps for a while.
#[derive(Serialize, ToSchema)]
pub(crate) struct Kept {
    class: String,
    /// How many fields.
    fields: u64,
    ground: String,
    /// The last day.
    until: String,
}

/// Shows what an erasure would end and what would stay, on what ground and until when. Nothing is
/// changed. For clients (themselves), staff and administrators.
#[utoipa::path(post, path = "/v1/privacy-requests/preview", tag = "privacy",
    request_body = PreviewIn, responses((status = OK, body = Preview)))]
pub(super) async fn preview(
    caller: Caller<MayAskPrivacy>,
    Sent(asked): Sent<PreviewIn>,
) -> Result<Answer<Preview>, Problem> {
    let Right::Erasure = asked.kind;
    let person = caller.subject(asked.client_id.as_deref(), "/client_id")?;
    caller.caught_up_now().await?;
    let rule = policy::of(caller.tenant())?.erasure;
    let preview = erasure::preview(caller.desk(), person).await?;
    let open = preview.open.iter().map(|id| caller.show(IdKind::Booking, id.0));
    let kept = preview.kept.into_iter().map(|kept| Kept {
        class: kept.class,
        fields: kept.fields,
        ground: kept.ground,
        until: kept.until,
    });
    let shown = Preview {
        open_bookings: open.collect(),
        legal_holds: preview.holds.iter().map(|ground| ground.name().to_owned()).collect(),
        seals: preview.seals,
        classes: preview.classes.iter().map(|class| class.name().to_owned()).collect(),
        kept: kept.collect(),
        recipients: preview.recipients,
        needs_approval: rule.approval,
        cooling_off_hours: rule.cooling_off_hours,
    };
    Ok(Answer::read(shown, caller.desk().position()))
}

/// Reads what became of a request. For clients (their own), staff and administrators.
#[utoipa::path(get, path = "/v1/privacy-requests/{id}", tag = "privacy",
    params(("id" = String, Path)), responses((status = OK, body = Request)))]
pub(super) async fn read(
    caller: Caller<MayAskPrivacy>,
    Path(id): Path<String>,
) -> Result<Answer<Request>, Problem> {
    let request = own(&caller, &id)?;
    Ok(Answer::read(shown(&caller, request), caller.desk().position()))
}

/// Lists requests: those first that nobody has decided, and of each the newest first. For staff and
/// administrators.
#[utoipa::path(get, path = "/v1/privacy-requests", tag = "privacy", params(PageQuery),
    responses((status = OK, body = Page<Request>)))]
pub(super) async fn list(
    caller: Caller<MaySeePrivacy>,
    Asked(query): Asked<PageQuery>,
) -> Result<Answer<Page<Request>>, Problem> {
    let position = caller.desk().position();
    let (requests, next_cursor) = open_first(
        (&caller, IdKind::PrivacyRequest, &query),
        |after, most| Ok(caller.tenant().privacy_requests(after, most)?),
        |last| Seen { settled: last.decided_at.is_some(), id: last.id },
    )?;
    let data = requests.into_iter().map(|request| shown(&caller, request)).collect();
    Ok(Answer::read(Page { data, next_cursor }, position))
}
