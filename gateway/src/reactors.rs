//! What is left to be done when nobody waits for it any more: erasures that had to wait, receipts,
//! notices to recipients, witnesses of checkpoints. Looked after by a server as long as it runs.

use std::sync::Arc;

use eventstore::{AppendError, StoreError};
use jiff::Timestamp;

use crate::app::{App, AppError};
use crate::desk::Desk;
use crate::rounds::{self, Next, soon};
use crate::{recipients, requests};

/// Does what is due for one tenant; answers when to look again, if anything is left.
///
/// # Errors
/// Where the keyring cannot be read. What fails otherwise is tried again.
pub async fn look(app: &App, desk: &Desk) -> Result<Option<Timestamp>, AppError> {
    let asked = requests::look(app, desk).await.map_err(AppendError::from)?;
    let told = recipients::send(app, &desk.tenant).await?;
    Ok(asked.into_iter().chain(told).min())
}

/// Looks after all tenants. Witnesses are asked on a round of their own: one that does not answer
/// holds up nobody's erasure.
pub async fn keep_up(app: Arc<App>) {
    let due = rounds::go(Arc::clone(&app), |app, name| async move {
        let next = match open(&app, &name).await {
            Ok(desk) => look(&app, &desk).await,
            Err(error) => Err(error),
        };
        let next = next.map(|next| next.map_or(Next::Open, Next::Due));
        again(&name, next, app.env.clock.now())
    });
    let witnessed = async {
        if !app.witnesses.is_empty() {
            rounds::go(Arc::clone(&app), witness).await;
        }
    };
    tokio::join!(due, witnessed);
}

/// Has witnesses sign a tenant's checkpoint. While one does not, they are left alone for a while: each
/// time somebody is waited for who does not answer.
async fn witness(app: Arc<App>, name: String) -> Next {
    let signed = match open(&app, &name).await {
        Ok(desk) => app.witnesses.look(&desk).await,
        Err(error) => Err(error),
    };
    let now = app.env.clock.now();
    let next = signed.map(|signed| if signed { Next::Open } else { Next::NotBefore(soon(now)) });
    match again(&name, next, now) {
        Next::Due(at) => Next::NotBefore(at),
        next @ (Next::Open | Next::NotBefore(_)) => next,
    }
}

async fn open(app: &Arc<App>, name: &str) -> Result<Arc<Desk>, AppError> {
    let (on, name) = (Arc::clone(app), name.to_owned());
    let desk = tokio::task::spawn_blocking(move || on.visit(&name)).await;
    desk.map_err(|_| AppendError::Stopped)?
}

/// When to look after a tenant again of whom this has come.
fn again(name: &str, next: Result<Next, AppError>, now: Timestamp) -> Next {
    match next {
        Ok(next) => next,
        // It was removed, or another node knows it by this name no more.
        Err(AppError::Store(StoreError::UnknownTenant)) => Next::Open,
        // Whoever takes it out of use may bring it back, and then what is due is due.
        Err(AppError::Store(StoreError::Closed(_))) => Next::Due(soon(now)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(tenant = name, error, "a tenant is looked after again");
            Next::Due(soon(now))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_looks_for_a_tenant_that_is_gone() {
        let again = |error| again("salon", Err(AppError::Store(error)), Timestamp::UNIX_EPOCH);
        let soon = soon(Timestamp::UNIX_EPOCH);
        assert_eq!(again(StoreError::UnknownTenant), Next::Open);
        assert_eq!(again(StoreError::Closed("salon".to_owned())), Next::Due(soon));
        assert_eq!(again(StoreError::AtWork), Next::Due(soon));
    }
}
