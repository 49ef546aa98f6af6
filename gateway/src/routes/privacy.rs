//! `/v1/privacy-requests`: rights that somebody exercises. Erasure, for now.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use domain::Position;
use eventstore::{AppendError, IdKind, PersonId, PersonState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Answer, Page};
use crate::app::App;
use crate::caller::{Caller, MayAskPrivacy, MaySeePrivacy};
use crate::desk::Desk;
use crate::erasure::{self, Erased};
use crate::problem::{Code, Problem};
use crate::sent::Sent;

/// How long an answer waits for an erasure to be through. It goes on without the caller.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST: u32 = 100;

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
    /// received, done, refused or failed.
    state: String,
    /// Where the fence stands in the ledger. Nothing of the person opens from there on.
    #[serde(skip_serializing_if = "Option::is_none")]
    fence_position: Option<u64>,
    #[schema(value_type = String)]
    requested_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    decided_at: Option<Timestamp>,
}

fn find<P>(caller: &Caller<P>, id: u64) -> Result<Request, Problem> {
    let request = caller.tenant().privacy_request(id)?.ok_or(Code::NotFound)?;
    Ok(shown(caller, request))
}

fn shown<P>(
    caller: &Caller<P>,
    request: eventstore::store::credentials::PrivacyRequest,
) -> Request {
    let at = |second| Timestamp::from_second(second).unwrap_or_default();
    Request {
        id: caller.show(IdKind::PrivacyRequest, request.id),
        kind: request.kind,
        state: request.status,
        fence_position: request.fence_at.map(|position| position.0),
        requested_at: at(request.requested_at),
        decided_at: request.decided_at.map(at),
    }
}

/// Asks for an erasure, which begins at once: open bookings stand in its way unless they are to be
/// cancelled. For clients (themselves), staff and administrators.
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
    let now = caller.app.env.clock.now();
    let id = caller.tenant().add_privacy_request("erasure", person, now).await?;
    let (app, desk) = (Arc::clone(&caller.app), Arc::clone(caller.desk()));
    // On its own: a caller who hangs up does not stop it.
    let erasing = tokio::spawn(erase(app, desk, id, person, asked.cancel_open_bookings));
    if let Ok(erased) = tokio::time::timeout(PATIENCE, erasing).await {
        erased??;
    }
    let request = find(&caller, id)?;
    let path = format!("/v1/privacy-requests/{}", request.id);
    let fence = request.fence_position;
    let answer = Answer::accepted(request).located(&path);
    Ok(match fence {
        Some(fence) => answer.reflecting(Position(fence).next()),
        None => answer,
    })
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
    };
    Ok(Answer::read(shown, caller.desk().position()))
}

async fn erase(
    app: Arc<App>,
    desk: Arc<Desk>,
    id: u64,
    person: PersonId,
    cancel_open: bool,
) -> Result<(), AppendError> {
    let erased = erasure::erase(&desk, person, cancel_open).await;
    let (status, fence) = match &erased {
        Ok(Erased { fence, .. }) => ("done", Some(*fence)),
        Err(AppendError::OpenBookings(_) | AppendError::Refused(_)) => ("refused", None),
        Err(_) => ("failed", None),
    };
    let now = app.env.clock.now();
    desk.tenant.decide_privacy_request(id, status, fence, now).await?;
    erased.map(drop)
}

/// Reads what became of a request. For staff and administrators.
#[utoipa::path(get, path = "/v1/privacy-requests/{id}", tag = "privacy",
    params(("id" = String, Path)), responses((status = OK, body = Request)))]
pub(super) async fn read(
    caller: Caller<MaySeePrivacy>,
    Path(id): Path<String>,
) -> Result<Answer<Request>, Problem> {
    let id = caller.read_id(IdKind::PrivacyRequest, &id)?;
    Ok(Answer::read(find(&caller, id)?, caller.desk().position()))
}

/// Lists the newest requests. For staff and administrators.
#[utoipa::path(get, path = "/v1/privacy-requests", tag = "privacy",
    responses((status = OK, body = Page<Request>)))]
pub(super) async fn list(caller: Caller<MaySeePrivacy>) -> Result<Answer<Page<Request>>, Problem> {
    let requests = caller.tenant().privacy_requests(MOST)?;
    let data = requests.into_iter().map(|request| shown(&caller, request)).collect();
    Ok(Answer::read(Page { data, next_cursor: None }, caller.desk().position()))
}
