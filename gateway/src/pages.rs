//! Pages for people: one for now, which says what is running and where to go.

mod home;

use crate::app::App;

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
}

/// Looks at every tenant. Opens those that are not open yet; blocks for as long.
pub fn pulse(app: &App) -> Pulse {
    let mut pulse = Pulse::default();
    let Ok(names) = app.store.tenants() else { return Pulse { closed: 1, ..pulse } };
    for name in names {
        pulse.tenants += 1;
        let Ok(desk) = app.desk(&name) else {
            pulse.closed += 1;
            continue;
        };
        let size = desk.tenant.log().size();
        pulse.entries += size;
        pulse.lag = pulse.lag.max(size.saturating_sub(desk.position().0));
        let stopped = desk.read(|reader| reader.status()).unwrap_or_default();
        let stopped = stopped.iter().filter(|status| status.error.is_some()).count();
        pulse.stopped += u64::try_from(stopped).unwrap_or(u64::MAX);
        let counts = desk.read(|reader| reader.statistics().counts(&[], None)).unwrap_or_default();
        pulse.bookings += counts.first().map_or(0, |(_, count)| *count);
    }
    pulse
}
