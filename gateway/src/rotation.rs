//! Rotating keys: when it is asked for, and by the clock while a server runs.

use std::sync::Arc;
use std::time::Duration;

use eventstore::store::rotation::Rotation;

use crate::app::{App, AppError};

/// How often a server looks whether it is time.
const LOOK: Duration = Duration::from_secs(3600);

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
    let find = |name: &str| -> Result<_, AppError> { Ok(Arc::clone(&app.desk(name)?.tenant)) };
    app.store.rotate(window, &find, progress)
}

/// Rotates whenever it is time, for as long as the server runs.
pub(crate) async fn keep_rotating(app: Arc<App>, every: Duration, window: Duration) {
    loop {
        let on = Arc::clone(&app);
        let look = tokio::task::spawn_blocking(move || match on.store.is_rotation_due(every) {
            Ok(true) => rotate(&on, window, &|_, _| ()).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error.into()),
        });
        match look.await {
            Ok(Ok(Some(rotation))) => {
                let (epoch, ended) = (rotation.epoch.0, rotation.ended.len());
                tracing::info!(epoch, ended, "keys were rotated");
            }
            Ok(Ok(None)) => (),
            Ok(Err(error)) => tracing::error!(%error, "keys are not rotated; it is tried again"),
            Err(error) => tracing::error!(%error, "keys are not rotated; it is tried again"),
        }
        tokio::time::sleep(LOOK).await;
    }
}
