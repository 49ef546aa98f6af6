//! `retention`: ends what tenants keep no longer, or lists it.

use std::sync::Arc;

use eventstore::store::requests::Stage;
use eventstore::{AppendError, IdKind};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::{App, AppError};
use crate::config::Retention;
use crate::desk::Desk;
use crate::{reactors, requests, retention};

pub(super) fn run(
    app: &Arc<App>,
    command: &Retention,
    console: &mut Console,
    runtime: &Handle,
) -> Result<Outcome, CliError> {
    let Retention::Run { tenant, dry_run } = command;
    let names = match tenant {
        Some(name) => vec![name.clone()],
        None => app.store.tenants()?,
    };
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for name in names {
        let desk = app.visit(&name)?;
        if *dry_run {
            let due = list(app, &desk, &mut lines)?;
            lines.push(format!("{name}: {} to be ended", due.len()));
            let erasures = erasures(app, &desk, &mut lines)?;
            rows.push(json!({ "tenant": name, "due": due, "erasures": erasures }));
        } else {
            let swept = retention::sweep(&desk, app.env.clock.now())?;
            lines.push(format!(
                "{name}: ended what was said around {} bookings, and {} years of bookkeeping",
                swept.bookings, swept.years
            ));
            let due = requests::due(&desk.tenant, app.env.clock.now())?;
            // Where no server runs, nothing else comes to what has waited.
            runtime.block_on(reactors::look(app, &desk))?;
            let erased = carried_out(&desk, &due)?;
            if !due.is_empty() {
                let due = due.len();
                lines.push(format!("{name}: carried out {erased} of {due} erasures due"));
            }
            rows.push(json!({
                "tenant": name,
                "bookings": swept.bookings,
                "years": swept.years,
                "erasures": erased,
            }));
        }
    }
    console.answer(&json!({ "dry_run": dry_run, "tenants": rows }), lines.join("\n"));
    Ok(Outcome::Done)
}

/// How many of these requests have led to an erasure: others were refused meanwhile.
fn carried_out(desk: &Desk, due: &[u64]) -> Result<usize, CliError> {
    let mut done = 0;
    for id in due {
        let request = desk.tenant.privacy_request(*id)?;
        done += usize::from(request.is_some_and(|request| request.stage == Stage::Done));
    }
    Ok(done)
}

/// The requests whose waiting is over.
fn erasures(app: &App, desk: &Desk, lines: &mut Vec<String>) -> Result<Vec<String>, AppError> {
    let due = requests::due(&desk.tenant, app.env.clock.now()).map_err(AppendError::from)?;
    let due: Vec<_> =
        due.into_iter().map(|id| desk.tenant.ids().show(IdKind::PrivacyRequest, id)).collect();
    lines.extend(due.iter().map(|id| format!("{id}  erasure: what it waited for is over")));
    Ok(due)
}

fn list(app: &App, desk: &Desk, lines: &mut Vec<String>) -> Result<Vec<Value>, AppError> {
    let mut rows = Vec::new();
    retention::due(desk, app.env.clock.now(), &mut |due| {
        let id = desk.tenant.ids().show(IdKind::Booking, due.booking.0);
        let class = due.class.name();
        let held = if due.held { "; kept on by a legal hold" } else { "" };
        lines.push(format!(
            "{id}  {class}: kept for {} days after {}, until {}{held}",
            due.days, due.over, due.until
        ));
        rows.push(json!({
            "booking": id,
            "class": class,
            "over_at": due.over,
            "days": due.days,
            "kept_until": due.until,
            "held": due.held,
        }));
        Ok(())
    })?;
    for over in retention::years_over(desk, app.env.clock.now())? {
        let (class, year) = (over.class.name(), over.year);
        let through = over.class.kept_through(year).unwrap_or(year);
        lines.push(format!("{class} of {year}: kept through {through}"));
        rows.push(json!({ "class": class, "year": year, "kept_through": through }));
    }
    Ok(rows)
}
