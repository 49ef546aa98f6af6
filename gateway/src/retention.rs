//! What a tenant keeps no longer by its own policy: found, and ended.
//!
//! The read models say what may be due, the ledger decides: what has moved since is left alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::booking::aggregate::Content;
use domain::booking::{BookingCommand, Change};
use domain::ledger::PeriodEnded;
use domain::slot::Zone;
use domain::{Actor, BookingId, Command, Handle, RegistrationId, RetentionClass};
use eventstore::engine::HangingOf;
use eventstore::ledger::appender::AppendError;
use eventstore::{Append, Appended, StoreError};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use crate::app::{App, AppError};
use crate::desk::{Desk, DeskError};

/// How often a server looks whether a day has passed.
const LOOK: Duration = Duration::from_secs(600);
/// After how many tenants those that only this has opened are closed.
const OPEN: usize = 32;
/// How many bookings are looked up at once.
const PAGE: u32 = 500;
/// How many are on their way to the ledger at once: others have bookings to make.
const UNDER_WAY: usize = 16;

/// Something that is kept no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub booking: BookingId,
    pub class: RetentionClass,
    /// When the booking's time was over.
    pub over: Timestamp,
    /// For how many days the policy keeps the class after that.
    pub days: u32,
    /// Until when it was to be kept.
    pub until: Timestamp,
    /// Whether a legal hold keeps it all the same.
    pub held: bool,
}

/// What the tenant's policy keeps no longer at an instant, the longest over first.
///
/// # Errors
/// Where ledger or read models cannot be read.
pub fn due(
    desk: &Desk,
    now: Timestamp,
    found: &mut dyn FnMut(Due) -> Result<(), AppError>,
) -> Result<(), AppError> {
    desk.follow()?;
    let policy = desk.read(|reader| reader.catalogue().policy()).map_err(DeskError::from)?;
    let Some((policy, _)) = policy else { return Ok(()) };
    for class in Content::CLASSES {
        let held = desk.read(|reader| reader.clients().held(class)).map_err(DeskError::from)?;
        let Some(days) = policy.retention_days.get(&class).copied() else { continue };
        let back = SignedDuration::from_hours(i64::from(days).saturating_mul(24));
        let Ok(before) = now.checked_sub(back) else { continue };
        let mut after = None;
        loop {
            let page = desk
                .read(|reader| reader.bookings().kept(class, before, after, PAGE))
                .map_err(DeskError::from)?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            for (over, booking) in page {
                let until = policy.kept_until(class, over).unwrap_or(over);
                let held = !held.is_empty() && is_held(desk, booking, &held)?;
                found(Due { booking, class, over, days, until, held })?;
            }
        }
    }
    Ok(())
}

/// Whether somebody who has a part in a booking is among those who are held.
fn is_held(desk: &Desk, booking: BookingId, held: &[RegistrationId]) -> Result<bool, AppError> {
    let row = desk.read(|reader| reader.bookings().get(booking)).map_err(DeskError::from)?;
    let handles: Vec<Handle> =
        row.iter().flat_map(|row| &row.parts).map(|part| part.handle).collect();
    let keyring = desk.tenant.keyring();
    let persons = keyring.persons_of(&handles).map_err(AppendError::from)?;
    let infos = keyring.infos(persons.into_values()).map_err(AppendError::from)?;
    Ok(infos.values().any(|info| info.registration.is_some_and(|id| held.contains(&id))))
}

/// The years of classes that no law keeps any longer, and whose keys are still there.
///
/// # Errors
/// Where ledger or read models cannot be read.
pub fn years_over(desk: &Desk, now: Timestamp) -> Result<Vec<PeriodEnded>, AppError> {
    desk.follow()?;
    let policy = desk.read(|reader| reader.catalogue().policy()).map_err(DeskError::from)?;
    let zone = policy.map_or_else(Zone::utc, |(policy, _)| policy.zone);
    let today = zone.local(now).date().year();
    let keys = desk.tenant.log().reader().hanging().map_err(StoreError::from)?;
    let years = keys.into_iter().filter_map(|row| {
        let HangingOf::Period(class, year) = row.of else { return None };
        let class = RetentionClass::from_code(u8::try_from(class).ok()?)?;
        (class.kept_through(year)? < today).then_some(PeriodEnded { class, year })
    });
    Ok(years.collect())
}

/// What a sweep has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Of how many bookings what was said around them.
    pub bookings: u64,
    /// How many years of what the law had kept.
    pub years: u64,
}

/// Ends what the tenant's policy keeps no longer, and years that no law does.
///
/// # Errors
/// Where the ledger cannot be read or written. It goes on when called again.
pub fn sweep(desk: &Desk, now: Timestamp) -> Result<Swept, AppError> {
    let mut years = 0;
    for year in years_over(desk, now)? {
        let append = Append::new(Command::Period(year), Actor::System);
        years += u64::from(desk.tenant.ledger.append_blocking(append)?.count);
    }
    desk.tenant.end_repeats(now)?;
    Ok(Swept { bookings: sweep_bookings(desk, now)?, years })
}

fn sweep_bookings(desk: &Desk, now: Timestamp) -> Result<u64, AppError> {
    let mut waiting = VecDeque::new();
    let mut ended = 0;
    due(desk, now, &mut |due| {
        if due.held {
            return Ok(());
        }
        let change = Change::Expire;
        let command = BookingCommand::Change { booking: due.booking, expected: None, change };
        let append = Append::new(Command::Booking(command), Actor::System);
        waiting.push_back(desk.tenant.ledger.hand_in(append)?);
        if waiting.len() >= UNDER_WAY {
            ended += waiting.pop_front().map_or(Ok(0), answer)?;
        }
        Ok(())
    })?;
    for answered in waiting {
        ended += answer(answered)?;
    }
    Ok(ended)
}

fn answer(answer: oneshot::Receiver<Result<Appended, AppendError>>) -> Result<u64, AppError> {
    let appended = answer.blocking_recv().map_err(|_| AppendError::Stopped)??;
    Ok(u64::from(appended.count))
}

/// Sweeps all tenants once a day as long as the server runs, and when it starts.
pub(crate) async fn keep_sweeping(app: Arc<App>) {
    let mut swept = None;
    loop {
        let today = app.env.clock.now().as_second().div_euclid(24 * 3600);
        if swept != Some(today) {
            let on = Arc::clone(&app);
            match tokio::task::spawn_blocking(move || sweep_all(&on)).await {
                Ok(true) => swept = Some(today),
                Ok(false) => (),
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "retention is tried again"
                ),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Sweeps all tenants; whether each could be.
fn sweep_all(app: &App) -> bool {
    let names = match app.store.tenants() {
        Ok(names) => names,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "retention is tried again");
            return false;
        }
    };
    let mut all = true;
    for (done, name) in (1..).zip(names) {
        match app.visit(&name).and_then(|desk| sweep(&desk, app.env.clock.now())) {
            Ok(swept) if swept == Swept::default() => (),
            Ok(Swept { bookings, years }) => {
                tracing::info!(tenant = name, bookings, years, "retention ended content");
            }
            Err(error) => {
                all = false;
                tracing::error!(
                    tenant = name,
                    error = &error as &dyn std::error::Error,
                    "retention is tried again"
                );
            }
        }
        if done % OPEN == 0 {
            app.rest();
        }
    }
    all
}
