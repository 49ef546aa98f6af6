//! Requests for erasure, from the asking to the receipt: what a tenant's policy has one wait for, who
//! may let it go on, and what is left to be done when nobody waits for it any more.
//!
//! How far one has come is a row beside the keyring. That it is done is said by the commit that
//! destroys the keys, so no crash leaves somebody erased with a request that says otherwise.

use std::time::Duration;

use domain::Refusal;
use eventstore::keyring::KeyError;
use eventstore::keyring::lease::LEASE;
use eventstore::store::requests::{PrivacyRequest, Stage};
use eventstore::{AppendError, IdKind, PersonId, StoreError, Tenant};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::{App, AppError};
use crate::desk::Desk;
use crate::erasure::{self, Erased};
use crate::policy;
use crate::receipt::{self, Kept};

/// What is asked for.
const ERASURE: &str = "erasure";
/// How long an approval can be given: with the longest time to think again still within the month
/// of GDPR Art. 12(3).
const APPROVE_WITHIN: SignedDuration = SignedDuration::from_hours(14 * 24);
/// After so long whoever carried a request out is gone: it is taken up by another.
const ABANDONED: SignedDuration = SignedDuration::from_mins(5);

/// Who asks or approves: a key, or somebody at the program itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Key(u64),
    Operator,
}

/// What whoever carries a request out has to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Course {
    /// Whether somebody else than who asked has to approve.
    pub approval: bool,
    /// Until when that can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<By>,
    pub asked_by: By,
    /// Whether open bookings are cancelled first.
    pub cancel_open: bool,
    /// The client, as the receipt calls them.
    pub client: String,
    /// What stays for the law; found out before, for nobody knows afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// Until when it can be withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What stood in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// When it was last begun to be carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<By>,
}

/// Why a request does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("there is no such request")]
    Unknown,
    #[error("the request waits for nothing any more: it is {}", .0.name())]
    NotWaiting(Stage),
    #[error("the request waits for no approval")]
    NoApproval,
    #[error("somebody else than who asked has to approve")]
    Own,
    #[error("the request was not approved in time; ask again")]
    Expired,
    #[error("the erasure is not done, or another node may still open something: try again soon")]
    NoReceipt,
    #[error(transparent)]
    App(#[from] AppError),
}

impl From<AppendError> for RequestError {
    fn from(error: AppendError) -> Self {
        Self::App(error.into())
    }
}

impl From<KeyError> for RequestError {
    fn from(error: KeyError) -> Self {
        Self::App(AppendError::from(error).into())
    }
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

impl Course {
    /// What a request's row has of it; none of a request that is older than courses.
    pub fn of(request: &PrivacyRequest) -> Option<Self> {
        serde_json::from_str(&request.course).ok()
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether nothing is left to wait for.
    fn is_free(&self, now: Timestamp) -> bool {
        (!self.approval || self.approved_by.is_some())
            && self.not_before.is_none_or(|from| from <= now)
    }

    fn is_late(&self, now: Timestamp) -> bool {
        self.approved_by.is_none() && self.approve_until.is_some_and(|until| until < now)
    }

    /// When it is to be looked at again, as long as nobody does anything.
    fn next(&self) -> Option<Timestamp> {
        match self.approval && self.approved_by.is_none() {
            true => self.approve_until,
            false => self.not_before,
        }
    }
}

/// Takes down that an erasure is asked for; answers its number, and whether it waits for nothing. Where
/// one waits for the same person already, that is it.
///
/// # Errors
/// Where the policy cannot be read, or the keyring not be written.
pub async fn ask(
    app: &App,
    tenant: &Tenant,
    person: PersonId,
    (by, cancel_open): (By, bool),
) -> Result<(u64, bool), AppendError> {
    let rule = policy::of(tenant)?.erasure;
    let now = app.env.clock.now();
    if rule.waits() {
        let open = tenant.open_requests()?;
        let waits = |request: &&PrivacyRequest| {
            request.stage == Stage::Waiting && request.person == Some(person)
        };
        let late = |request: &&PrivacyRequest| Course::of(request).is_none_or(|of| of.is_late(now));
        if let Some(known) = open.iter().find(|request| waits(request) && !late(request)) {
            if cancel_open {
                have_cancelled(tenant, known, now).await?;
            }
            return Ok((known.id, false));
        }
    }
    let after = |time: SignedDuration| now.checked_add(time).ok();
    let hours = SignedDuration::from_hours(i64::from(rule.cooling_off_hours));
    let course = Course {
        approval: rule.approval,
        approve_until: rule.approval.then(|| after(APPROVE_WITHIN)).flatten(),
        approved_by: None,
        asked_by: by,
        cancel_open,
        client: tenant.ids().show(IdKind::Client, person.0),
        kept: Vec::new(),
        not_before: (rule.cooling_off_hours > 0).then(|| after(hours)).flatten(),
        refused: None,
        started_at: None,
        withdrawn_by: None,
    };
    let stage = if rule.waits() { Stage::Waiting } else { Stage::Received };
    let id = tenant.add_privacy_request(ERASURE, person, (stage, course.text()), now).await?;
    Ok((id, !rule.waits()))
}

/// Has a request that waits cancel open bookings too, if it did not. That is more than was asked for before: an
/// approval of the former is none of this.
async fn have_cancelled(
    tenant: &Tenant,
    known: &PrivacyRequest,
    now: Timestamp,
) -> Result<(), AppendError> {
    let Some(course) = Course::of(known).filter(|course| !course.cancel_open) else {
        return Ok(());
    };
    let course = Course { cancel_open: true, approved_by: None, ..course };
    let stays = (Stage::Waiting, Stage::Waiting);
    tenant.move_privacy_request(known.id, stays, course.text(), now).await.map(drop)
}

fn find(tenant: &Tenant, id: u64) -> Result<(PrivacyRequest, Course), RequestError> {
    let request = tenant.privacy_request(id)?.ok_or(RequestError::Unknown)?;
    let course = Course::of(&request).ok_or(RequestError::NotWaiting(request.stage))?;
    Ok((request, course))
}

/// Approves a request, in the place of whoever asked; whether it waits for nothing more.
///
/// # Errors
/// Where it waits for no approval, or for that of somebody else, or no longer.
pub async fn approve(app: &App, tenant: &Tenant, id: u64, by: By) -> Result<bool, RequestError> {
    let (request, mut course) = find(tenant, id)?;
    let now = app.env.clock.now();
    if request.stage == Stage::Expired || (request.stage == Stage::Waiting && course.is_late(now)) {
        return Err(RequestError::Expired);
    }
    if request.stage != Stage::Waiting {
        return Err(RequestError::NotWaiting(request.stage));
    }
    if !course.approval || course.approved_by.is_some() {
        return Err(RequestError::NoApproval);
    }
    if course.asked_by == by {
        return Err(RequestError::Own);
    }
    course.approved_by = Some(by);
    let stays = (Stage::Waiting, Stage::Waiting);
    match tenant.move_privacy_request(id, stays, course.text(), now).await? {
        true => Ok(course.is_free(now)),
        false => Err(RequestError::NotWaiting(find(tenant, id)?.0.stage)),
    }
}

/// Takes a request back that still waits.
///
/// # Errors
/// Where it waits for nothing any more.
pub async fn withdraw(app: &App, tenant: &Tenant, id: u64, by: By) -> Result<(), RequestError> {
    let (request, mut course) = find(tenant, id)?;
    course.withdrawn_by = Some(by);
    let moved = (Stage::Waiting, Stage::Withdrawn);
    let now = app.env.clock.now();
    if request.stage == Stage::Waiting
        && tenant.move_privacy_request(id, moved, course.text(), now).await?
    {
        return Ok(());
    }
    Err(RequestError::NotWaiting(find(tenant, id)?.0.stage))
}

/// Carries a request out that waits for nothing any more. Of two who try, one does; who does not is
/// told nothing. What fails for want of storage or keys is `failed`, or with `again` tried again.
///
/// # Errors
/// What stood in the way.
pub async fn carry_out(
    app: &App,
    desk: &Desk,
    id: u64,
    again: bool,
) -> Result<Option<Erased>, RequestError> {
    let tenant = &desk.tenant;
    let (request, mut course) = find(tenant, id)?;
    let Some(person) = request.person.filter(|_| !request.stage.is_decided()) else {
        return Ok(None);
    };
    course.kept = receipt::kept(tenant, person)?;
    let now = app.env.clock.now();
    course.started_at = Some(now);
    let taken = (request.stage, Stage::Received);
    if !tenant.move_privacy_request(id, taken, course.text(), now).await? {
        return Ok(None);
    }
    let error = match erasure::erase(desk, person, course.cancel_open).await {
        Ok(erased) => return Ok(Some(erased)),
        Err(error) => error,
    };
    let to = match &error {
        AppendError::OpenBookings(_) => Some(("open_bookings", Stage::Refused)),
        AppendError::Refused(refusal) => Some((reason(refusal), Stage::Refused)),
        AppendError::Key(KeyError::Erased) => Some(("erased", Stage::Refused)),
        AppendError::Key(_)
        | AppendError::KeyReused
        | AppendError::Codec(_)
        | AppendError::Busy
        | AppendError::SealsDiffer
        | AppendError::Read(_)
        | AppendError::Commit(_)
        | AppendError::Stopped => (!again).then_some(("storage", Stage::Failed)),
    };
    if let Some((why, to)) = to {
        course.refused = Some(why.to_owned());
        // Not where it was done all the same, before what failed.
        tenant.move_privacy_request(id, (Stage::Received, to), course.text(), now).await?;
    }
    Err(error.into())
}

fn reason(refusal: &Refusal) -> &'static str {
    use domain::person::PersonRefusal;
    match refusal {
        Refusal::Person(PersonRefusal::Held) => "legal_hold",
        Refusal::Person(PersonRefusal::Erased) => "erased",
        Refusal::Person(_)
        | Refusal::Booking(_)
        | Refusal::Consent(_)
        | Refusal::Catalogue(_)
        | Refusal::Policy(_) => "refused",
    }
}

/// When no node can open anything of it any more, whatever it had at hand.
fn closed_at(tenant: &Tenant, request: &PrivacyRequest) -> Option<Timestamp> {
    if !tenant.is_shared() {
        return Some(Timestamp::UNIX_EPOCH);
    }
    let lease = SignedDuration::try_from(LEASE).unwrap_or_default() + SignedDuration::from_secs(1);
    Timestamp::from_second(request.decided_at?).ok()?.checked_add(lease).ok()
}

/// The receipt of a request that is done; signed, if it was not before.
///
/// # Errors
/// Where it is not done, or another node may still have something at hand.
pub async fn receipt(
    app: &App,
    desk: &Desk,
    id: u64,
    window: Duration,
) -> Result<String, RequestError> {
    let tenant = &desk.tenant;
    let request = tenant.privacy_request(id)?.ok_or(RequestError::Unknown)?;
    if let Some(receipt) = request.receipt {
        return Ok(receipt);
    }
    let fence = request.fence_at.filter(|_| request.is_through());
    let (Some(fence), Some(course)) = (fence, Course::of(&request)) else {
        return Err(RequestError::NoReceipt);
    };
    if closed_at(tenant, &request).is_none_or(|at| app.env.clock.now() < at) {
        return Err(RequestError::NoReceipt);
    }
    let recipients = receipt::told(tenant, fence)?;
    let known = recipients.iter().filter(|told| told.acknowledged_at.is_some()).count();
    let left = receipt::Left { kept: course.kept, recipients };
    let signed = receipt::sign(app, desk, course.client, (fence, left), window)?;
    // Not where somebody has acknowledged it meanwhile: then one that says so is signed when it is next asked for.
    tenant.keep_receipt(id, signed.clone(), u64::try_from(known).unwrap_or(u64::MAX)).await?;
    Ok(signed)
}

/// How long to wait for the receipt of what was erased just now.
pub fn until_closed(tenant: &Tenant) -> Duration {
    if tenant.is_shared() { LEASE + Duration::from_secs(1) } else { Duration::ZERO }
}

/// Those whose waiting is over at `now`.
///
/// # Errors
/// Where the keyring cannot be read.
pub fn due(tenant: &Tenant, now: Timestamp) -> Result<Vec<u64>, KeyError> {
    let mut open = tenant.open_requests()?;
    open.retain(|request| {
        let course = Course::of(request).filter(|_| request.stage == Stage::Waiting);
        course.is_some_and(|course| course.is_free(now))
    });
    Ok(open.into_iter().map(|request| request.id).collect())
}

/// Carries out what waits for nothing any more, ends what nobody has approved in time, and signs
/// what is through; answers when to look again, if anything is left.
///
/// # Errors
/// Where the keyring cannot be read. What fails otherwise is tried again.
pub async fn look(app: &App, desk: &Desk) -> Result<Option<Timestamp>, KeyError> {
    let tenant = &desk.tenant;
    let mut next: Option<Timestamp> = None;
    for request in tenant.open_requests()? {
        let Some(course) = Course::of(&request) else { continue };
        let now = app.env.clock.now();
        let begun = Timestamp::from_second(request.requested_at).unwrap_or_default();
        let started = course.started_at.unwrap_or(begun);
        let abandoned = started.checked_add(ABANDONED).unwrap_or(Timestamp::MAX);
        let at = match request.stage {
            Stage::Waiting if course.is_late(now) => {
                expire(app, desk, &request, &course).await;
                None
            }
            Stage::Waiting if course.is_free(now) => go_on(app, desk, request.id).await,
            Stage::Waiting => course.next(),
            Stage::Received if abandoned <= now => go_on(app, desk, request.id).await,
            Stage::Received => Some(abandoned),
            // The fence was lost with newer entries than there are: nothing proves it any more.
            Stage::Done if request.fence_at.is_none() => None,
            Stage::Done => match receipt(app, desk, request.id, app.window).await {
                Ok(_) => None,
                Err(RequestError::NoReceipt) => closed_at(tenant, &request).map(|at| at.max(now)),
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        tenant = tenant.name(),
                        "a receipt is tried again"
                    );
                    Some(now)
                }
            },
            Stage::Refused | Stage::Failed | Stage::Withdrawn | Stage::Expired => None,
        };
        next = next.into_iter().chain(at).min();
    }
    Ok(next)
}

/// Carries one out for nobody who waits; when to look again.
async fn go_on(app: &App, desk: &Desk, id: u64) -> Option<Timestamp> {
    let name = desk.tenant.name();
    match carry_out(app, desk, id, true).await {
        Ok(None) => None,
        Ok(Some(_)) => {
            tracing::info!(tenant = name, "an erasure was carried out that had waited");
            Some(app.env.clock.now())
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                tenant = name,
                "an erasure that had waited is not carried out"
            );
            Some(app.env.clock.now())
        }
    }
}

async fn expire(app: &App, desk: &Desk, request: &PrivacyRequest, course: &Course) {
    let (to, now) = ((Stage::Waiting, Stage::Expired), app.env.clock.now());
    let moved = desk.tenant.move_privacy_request(request.id, to, course.text(), now).await;
    if let Err(error) = moved {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            tenant = desk.tenant.name(),
            "a request is tried again"
        );
    }
}
