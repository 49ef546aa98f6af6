//! Pages for people: one for now, which says what is running and where to go.

mod home;

use crate::app::App;
use crate::backup;

pub(crate) use home::{home, style};

/// The present state of everything, in counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    pub tenants: u64,
    pub entries: u64,
    pub bookings: u64,
    /// Entries that the slowest read models do not reflect yet.
    pub lag: u64,
    /// Read models that stopped.
    pub stopped: u64,
    /// Tenants that cannot be opened.
    pub closed: u64,
    /// Why the key store cannot be used, if it cannot.
    pub keys: Option<&'static str>,
    /// What is to be said of backups, if anything.
    pub backups: Option<&'static str>,
}

/// Looks at every tenant. Opens those of which nothing is known yet; blocks for as long.
pub fn pulse(app: &App) -> Pulse {
    let keys = app.store.key_store().err();
    if let Some(error) = &keys {
        tracing::error!(error = error as &dyn std::error::Error, "the key store cannot be used");
    }
    let keys = keys.map(|error| error.code());
    // That the key store cannot be read is said already.
    let backups = backup::warning(app, app.window).unwrap_or_default();
    let mut pulse = Pulse { keys, backups, ..Pulse::default() };
    let names = app.store.reach_keyrings().and_then(|()| app.store.tenants());
    let Ok(names) = names else { return Pulse { closed: 1, ..pulse } };
    for name in names {
        pulse.tenants += 1;
        let Ok(seen) = app.seen(&name) else {
            pulse.closed += 1;
            continue;
        };
        pulse.entries += seen.entries;
        pulse.lag = pulse.lag.max(seen.lag);
        pulse.stopped += seen.stopped;
        pulse.bookings += seen.bookings;
    }
    pulse
}
