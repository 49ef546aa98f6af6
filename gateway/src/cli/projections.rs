//! `projections`: how far the read models are, and building them again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::Projections;

pub(super) fn run(
    app: &Arc<App>,
    command: &Projections,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    match command {
        Projections::Status { tenant } => status(app, tenant, console),
        Projections::Rebuild { tenant, verify } => rebuild(app, tenant, *verify, console),
    }
}

fn status(app: &Arc<App>, tenant: &str, console: &mut Console) -> Result<Outcome, CliError> {
    let desk = app.desk(tenant)?;
    let size = desk.tenant.log().size();
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    let mut stopped = false;
    for model in desk.status() {
        let lag = size.saturating_sub(model.next.0);
        stopped |= model.error.is_some();
        rows.push(json!({
            "name": model.name,
            "next": model.next.0,
            "lag": lag,
            "error": model.error,
        }));
        let state = model.error.as_deref().unwrap_or("follows");
        lines.push(format!("{:<16} next {:>9}  lag {lag:>9}  {state}", model.name, model.next.0));
    }
    console.answer(&json!(rows), lines.join("\n"));
    Ok(if stopped { Outcome::Found } else { Outcome::Done })
}

fn rebuild(
    app: &Arc<App>,
    tenant: &str,
    verify: bool,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let desk = app.desk(tenant)?;
    let (before, after) = desk.rebuild(&|done, total| console.progress(done, total))?;
    let mut value = Map::new();
    let mut lines = Vec::new();
    let mut same = true;
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (was, is) = (before.get(name), after.get(name));
        same &= was == is;
        value.insert(name.to_string(), json!({ "before": was, "after": is }));
        let verdict = if was == is { "the same" } else { "DIFFERENT" };
        lines.push(format!("{name:<12} {verdict}  {}", is.cloned().unwrap_or_default()));
    }
    console.answer(&Value::Object(value), lines.join("\n"));
    Ok(if verify && !same { Outcome::Found } else { Outcome::Done })
}
