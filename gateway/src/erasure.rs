//! Erasing a person, whole: open bookings cancelled if asked for, then fence, keys, links, seals.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::booking::{BookingRefusal, Reason, Side};
use domain::person::HoldGround;
use domain::{Actor, BookingId, Refusal, RetentionClass};
use eventstore::keyring::KeyError;
use eventstore::ledger::appender::{AppendError, Erasure};
use eventstore::{Append, Appended, PersonId, PersonState, Tenant};
use tokio::sync::oneshot::Receiver;

use crate::app::AppError;
use crate::desk::{Desk, DeskError};
use crate::intake::{self, CancelIn, IntakeError, Sender};
use crate::receipt::{self, Kept};
use crate::recipients;

/// How often, and how many times, it is looked whether an erasure has ended.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 1500;
/// How many cancellations are on their way to the ledger at once.
const UNDER_WAY: usize = 64;

/// What an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Where the fence stands.
    pub fence: domain::Position,
    pub ended: u64,
}

/// What an erasure would do, to be looked at before what cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Bookings that stand in its way unless they are cancelled.
    pub open: Vec<BookingId>,
    /// Legal holds, which stand in its way until they are lifted.
    pub holds: BTreeSet<HoldGround>,
    /// How many seals end.
    pub seals: u64,
    /// The classes that end with the person.
    pub classes: Vec<RetentionClass>,
    /// What stays, linked to nobody, on what ground and until when.
    pub kept: Vec<Kept>,
    /// Who was given something of it.
    pub recipients: Vec<String>,
}

/// What an erasure of a person would do now. Changes nothing.
///
/// # Errors
/// Where the person is unknown or erased, or the ledger cannot be read.
pub async fn preview(desk: &Desk, person: PersonId) -> Result<Preview, AppError> {
    let known = desk.tenant.keyring().info(person).map_err(AppendError::from)?;
    let info = known.ok_or(AppendError::Key(KeyError::Unknown))?;
    if matches!(info.state, PersonState::Erasing | PersonState::Erased) {
        return Err(AppendError::from(KeyError::Erased).into());
    }
    let holds = match info.registration {
        Some(id) => {
            desk.read(|reader| reader.clients().legal_holds(id)).map_err(DeskError::from)?
        }
        None => Vec::new(),
    };
    let classes = RetentionClass::ALL.into_iter().filter(|class| class.ends_with_person());
    Ok(Preview {
        open: desk.tenant.ledger.open_bookings(person).await?,
        holds: holds.into_iter().map(|row| row.hold.ground).collect(),
        seals: desk.tenant.ledger.seals_of(person).map_err(AppendError::from)?,
        classes: classes.collect(),
        kept: receipt::kept(&desk.tenant, person)?,
        recipients: given_to(&desk.tenant, person)?,
    })
}

/// Who was given something of a person's, by what they are called.
fn given_to(tenant: &Tenant, person: PersonId) -> Result<Vec<String>, AppendError> {
    let given = tenant.given_to(person)?;
    let known = if given.is_empty() { Default::default() } else { recipients::of(tenant)? };
    let name = |slug: String| known.get(&slug).map_or(slug, |recipient| recipient.name.clone());
    Ok(given.into_iter().map(name).collect())
}

/// Erases a person and waits until links and seals are gone too.
///
/// # Errors
/// Where the person is unknown, erased, or has open bookings that are not to be cancelled.
pub async fn erase(
    desk: &Desk,
    person: PersonId,
    cancel_open: bool,
) -> Result<Erased, AppendError> {
    let ledger = &desk.tenant.ledger;
    let erasure = match ledger.erase(person).await {
        // Only where nothing else stands in the way.
        Err(AppendError::OpenBookings(_)) if cancel_open => {
            cancel_open_bookings(desk, person).await?;
            ledger.erase(person).await?
        }
        erasure => erasure?,
    };
    let Erasure { fence, ended, cleared } = erasure;
    cleared.await.map_err(|_| AppendError::Stopped)??;
    Ok(Erased { fence, ended })
}

/// Waits until nothing is left of somebody whose erasure has begun.
///
/// # Errors
/// Where that takes longer than anybody waits, or the keyring cannot be read.
pub async fn ended(desk: &Desk, person: PersonId) -> Result<(), AppendError> {
    for _ in 0..LOOKS {
        let state = desk.tenant.keyring().info(person)?.map(|info| info.state);
        if state != Some(PersonState::Erasing) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(AppendError::Busy)
}

async fn cancel_open_bookings(desk: &Desk, person: PersonId) -> Result<(), AppendError> {
    let bookings = desk.tenant.ledger.open_bookings(person).await?;
    let tenant = Arc::clone(&desk.tenant);
    let cancelling = tokio::task::spawn_blocking(move || cancel_all(&tenant, &bookings));
    cancelling.await.map_err(|_| AppendError::Stopped)?
}

/// Cancels bookings in order, many with one commit.
fn cancel_all(tenant: &Tenant, bookings: &[BookingId]) -> Result<(), AppendError> {
    let mut waiting = VecDeque::new();
    for booking in bookings {
        waiting.push_back(tenant.ledger.hand_in(cancel(tenant, *booking)?)?);
        if waiting.len() >= UNDER_WAY
            && let Some(first) = waiting.pop_front()
        {
            cancelled(first)?;
        }
    }
    waiting.into_iter().try_for_each(cancelled)
}

/// Waits for a cancellation. Whose booking has ended otherwise meanwhile needs none.
fn cancelled(answer: Receiver<Result<Appended, AppendError>>) -> Result<(), AppendError> {
    match answer.blocking_recv().map_err(|_| AppendError::Stopped)? {
        Err(AppendError::Refused(Refusal::Booking(BookingRefusal::WrongStatus(_)))) => Ok(()),
        answer => answer.map(drop),
    }
}

fn cancel(tenant: &Tenant, booking: BookingId) -> Result<Append, AppendError> {
    let cancel = CancelIn { booking, expected: None, by: Side::System, reason: Reason::Erasure };
    let append = intake::cancel(tenant, cancel, None, Sender::new(Actor::System));
    append.map_err(|error| match error {
        IntakeError::Key(error) => AppendError::Key(error),
        // A cancellation without a note brings no field.
        IntakeError::FieldOutOfPlace(_)
        | IntakeError::FieldMalformed(_)
        | IntakeError::ContentEnded => AppendError::SealsDiffer,
    })
}
