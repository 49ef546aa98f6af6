//! Rotating keys: when it is asked for, and by the clock while a server runs.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use eventstore::Tenant;
use eventstore::store::rotation::Rotation;

use crate::app::{App, AppError};

/// How often a server looks whether it is time.
const LOOK: Duration = Duration::from_secs(600);
/// After how many tenants those that only the rotation has opened are closed.
const OPEN: u64 = 32;

/// So many days.
pub(crate) fn days(number: u32) -> Duration {
    Duration::from_secs(u64::from(number) * 24 * 3600)
}

/// Rotates the keys of all tenants, and ends epochs that are older than backups are kept.
///
/// # Errors
/// Where a tenant or the key store cannot be read or written. It goes on when called again.
pub(crate) fn rotate(
    app: &App,
    window: Duration,
    progress: &dyn Fn(u64, u64),
) -> Result<Rotation, AppError> {
    app.store.rotate(window, &|name| tenant(app, name), &|done, total| {
        if done.is_multiple_of(OPEN) {
            app.rest();
        }
        progress(done, total);
    })
}

fn tenant(app: &App, name: &str) -> Result<Arc<Tenant>, AppError> {
    Ok(Arc::clone(&app.visit(name)?.tenant))
}

/// Rotates whenever it is time, and ends epochs when theirs has come, as long as the server runs.
pub(crate) async fn keep_rotating(app: Arc<App>, every: Duration, window: Duration) {
    loop {
        let on = Arc::clone(&app);
        let look = tokio::task::spawn_blocking(move || look(&on, every, window)).await;
        match look.map_err(|error| error.to_string()) {
            Ok(Ok(())) => (),
            Ok(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "keys are not rotated; it is tried again"
            ),
            Err(error) => tracing::error!(error, "keys are not rotated; it is tried again"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Rotates if it is time, and ends epochs whose time has come.
///
/// # Errors
/// Where a tenant or the key store cannot be read or written.
pub fn look(app: &App, every: Duration, window: Duration) -> Result<(), AppError> {
    let find = |name: &str| tenant(app, name);
    let ended = if app.store.is_rotation_due(every)? {
        let rotation = rotate(app, window, &|_, _| ())?;
        tracing::info!(epoch = rotation.epoch.0, "keys were rotated");
        let others = rotation.others.len();
        if others > 0 {
            tracing::warn!(others, "no epoch key ends: the key store has tenants of another place");
        }
        rotation.ended
    } else {
        // Another place may have begun the epoch, which has rotated what is there.
        let visited = Cell::new(0_u64);
        let tenants = app.store.catch_up(&|name: &str| {
            visited.set(visited.get() + 1);
            if visited.get().is_multiple_of(OPEN) {
                app.rest();
            }
            find(name)
        })?;
        if tenants > 0 {
            tracing::info!(tenants, "keys were rotated into an epoch that was begun elsewhere");
        }
        // What a rotation has prepared is done on its day, not with the next one.
        match app.store.others()?.is_empty() {
            true => app.store.end_epochs(window, &find)?,
            false => Vec::new(),
        }
    };
    for epoch in ended {
        tracing::info!(epoch = epoch.0, "an epoch key was destroyed");
    }
    Ok(())
}
