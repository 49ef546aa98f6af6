//! `retention`: ends what tenants keep no longer, or lists it.

use std::sync::Arc;

use eventstore::IdKind;
use serde_json::{Value, json};

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::{App, AppError};
use crate::config::Retention;
use crate::desk::Desk;
use crate::retention;

pub(super) fn run(
    app: &Arc<App>,
    command: &Retention,
    console: &mut Console,
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
            rows.push(json!({ "tenant": name, "due": due }));
        } else {
            let swept = retention::sweep(&desk, app.env.clock.now())?;
            lines.push(format!(
                "{name}: ended what was said around {} bookings, and {} years of bookkeeping",
                swept.bookings, swept.years
            ));
            rows.push(json!({
                "tenant": name,
                "bookings": swept.bookings,
                "years": swept.years,
            }));
        }
    }
    console.answer(&json!({ "dry_run": dry_run, "tenants": rows }), lines.join("\n"));
    Ok(Outcome::Done)
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
