//! What is left to be done when nobody waits for it any more: erasures that had to wait, receipts,
//! notices to recipients, witnesses of checkpoints. Looked after by a server as long as it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use eventstore::AppendError;
use jiff::Timestamp;
use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::app::{App, AppError};
use crate::desk::Desk;
use crate::{recipients, requests};

/// How often tenants are looked after that somebody works with.
const TICK: Duration = Duration::from_secs(5);
/// How many tenants are looked after at a time.
const AT_ONCE: usize = 16;
/// After how many tenants those that only this has opened are closed.
const OPEN: u64 = 32;

/// Does what is due for one tenant; answers when to look again, if anything is left.
///
/// # Errors
/// Where the keyring cannot be read. What fails otherwise is tried again.
pub async fn look(app: &App, desk: &Desk) -> Result<Option<Timestamp>, AppError> {
    let asked = requests::look(app, desk).await.map_err(AppendError::from)?;
    let told = recipients::send(app, &desk.tenant).await?;
    Ok(asked.into_iter().chain(told).min())
}

/// Looks after all tenants: at the start after each, then after those that are open, and after the
/// others when something of theirs is due. Many at once, so that a recipient that does not answer
/// holds up nobody else's erasure.
pub(crate) async fn keep_up(app: Arc<App>) {
    let all = app.store.tenants().unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "nobody is looked after");
        Vec::new()
    });
    let mut due: BTreeMap<String, Timestamp> =
        all.into_iter().map(|name| (name, Timestamp::UNIX_EPOCH)).collect();
    let (mut waiting, mut visits, mut done) = (BTreeSet::new(), JoinSet::new(), 0_u64);
    let mut at_work: Vec<(Id, String)> = Vec::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let now = app.env.clock.now();
                waiting.extend(app.open_tenants());
                let late = due.iter().filter(|(_, at)| **at <= now);
                waiting.extend(late.map(|(name, _)| name.clone()));
            }
            Some(ended) = visits.join_next_with_id() => {
                let (id, next) = match ended {
                    Ok((id, next)) => (id, next),
                    Err(error) => (error.id(), Err(AppendError::Stopped.into())),
                };
                if let Some(at) = at_work.iter().position(|(of, _)| *of == id) {
                    let (_, name) = at_work.swap_remove(at);
                    again(&mut due, name, next, app.env.clock.now());
                }
                done += 1;
                if done.is_multiple_of(OPEN) {
                    let on = Arc::clone(&app);
                    // Where that fails, they are closed by whoever closes idle ones.
                    drop(tokio::task::spawn_blocking(move || on.rest()).await);
                }
            }
        }
        waiting.retain(|name| at_work.iter().all(|(_, of)| of != name));
        while at_work.len() < AT_ONCE
            && let Some(name) = waiting.pop_first()
        {
            let visit = visits.spawn(visit(Arc::clone(&app), name.clone()));
            at_work.push((visit.id(), name));
        }
    }
}

/// Notes when to look after a tenant again.
fn again(
    due: &mut BTreeMap<String, Timestamp>,
    name: String,
    next: Result<Option<Timestamp>, AppError>,
    now: Timestamp,
) {
    match next {
        Ok(Some(at)) => due.insert(name, at),
        Ok(None) => due.remove(&name),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(tenant = name, error, "a tenant is looked after again");
            due.insert(name, now.checked_add(TICK * 12).unwrap_or(Timestamp::MAX))
        }
    };
}

async fn visit(app: Arc<App>, name: String) -> Result<Option<Timestamp>, AppError> {
    let on = Arc::clone(&app);
    let desk = tokio::task::spawn_blocking(move || on.visit(&name)).await;
    let desk = desk.map_err(|_| AppendError::Stopped)??;
    let next = look(&app, &desk).await?;
    if app.witnesses.look(&desk).await? {
        return Ok(next);
    }
    // They are asked again soon, whoever comes or goes.
    let soon = app.env.clock.now().checked_add(TICK * 12).unwrap_or(Timestamp::MAX);
    Ok(Some(next.map_or(soon, |next| next.min(soon))))
}
