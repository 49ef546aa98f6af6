//! What is left to be done when nobody waits for it any more: erasures that had to wait, receipts,
//! notices to recipients. Looked after by a server as long as it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eventstore::AppendError;
use jiff::Timestamp;

use crate::app::{App, AppError};
use crate::desk::Desk;
use crate::{recipients, requests};

/// How often tenants are looked after that somebody works with.
const TICK: Duration = Duration::from_secs(5);
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
/// others when something of theirs is due.
pub(crate) async fn keep_up(app: Arc<App>) {
    let all = app.store.tenants().unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "nobody is looked after");
        Vec::new()
    });
    let mut due: BTreeMap<String, Timestamp> =
        all.into_iter().map(|name| (name, Timestamp::UNIX_EPOCH)).collect();
    loop {
        let now = app.env.clock.now();
        let mut names = app.open_tenants();
        names.extend(due.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()));
        names.sort_unstable();
        names.dedup();
        for (done, name) in (1_u64..).zip(names) {
            match visit(&app, &name).await {
                Ok(Some(at)) => due.insert(name, at),
                Ok(None) => due.remove(&name),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(tenant = name, error, "a tenant is looked after again");
                    let later = now.checked_add(TICK * 12).unwrap_or(Timestamp::MAX);
                    due.insert(name, later)
                }
            };
            if done.is_multiple_of(OPEN) {
                let on = Arc::clone(&app);
                // Where that fails, they are closed by whoever closes idle ones.
                drop(tokio::task::spawn_blocking(move || on.rest()).await);
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn visit(app: &Arc<App>, name: &str) -> Result<Option<Timestamp>, AppError> {
    let (on, of) = (Arc::clone(app), name.to_owned());
    let desk = tokio::task::spawn_blocking(move || on.visit(&of)).await;
    let desk = desk.map_err(|_| AppendError::Stopped)??;
    look(app, &desk).await
}
