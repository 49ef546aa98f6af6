//! `tenant`, `import` and `restore`: what happens to a tenant as a whole.

use std::sync::Arc;

use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::{Import, Restore, Tenant};
use crate::import;

pub(super) fn run(
    app: &Arc<App>,
    command: &Tenant,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    match command {
        Tenant::Create { name, zone } => {
            let zone = zone
                .parse()
                .map_err(|error: domain::slot::UnknownZone| CliError::Usage(error.to_string()))?;
            app.create_tenant(name, zone)?;
            let next = format!("tidbok key create --tenant {name} --role admin");
            console.answer(
                &json!({ "tenant": name }),
                format!("The tenant {name} is ready.\nNext: {next}"),
            );
        }
        Tenant::List => {
            let names = app.store.tenants()?;
            let rows: Vec<_> = names.iter().map(|name| json!({ "tenant": name })).collect();
            console.answer(&json!(rows), names.join("\n"));
        }
    }
    Ok(Outcome::Done)
}

pub(super) fn import(
    app: &Arc<App>,
    command: &Import,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let desk = app.desk(&command.tenant)?;
    let options = import::Options { dry_run: command.dry_run };
    let report = {
        let progress = |done, total| console.progress(done, total);
        import::run(&desk, &command.file, &command.mapping, options, &progress)?
    };
    let value = serde_json::to_value(&report).unwrap_or_default();
    console.answer(&value, &report);
    // A dry run is a check; an import has done what could be done, and its report says the rest.
    let found = command.dry_run && report.refused_rows() > 0;
    Ok(if found { Outcome::Found } else { Outcome::Done })
}

pub(super) fn restore(
    app: &Arc<App>,
    command: &Restore,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let loss = app.store.accept_loss(&command.tenant)?;
    let value = json!({
        "tenant": command.tenant,
        "entries": loss.size,
        "lost_size": loss.lost_size,
        "fences_set_again": loss.fences,
        "origin": loss.origin,
    });
    let text = format!(
        "The older copy of {} with {} entries is taken up as origin {}.\n\
         The ledger had {} entries when the key store was last told; what came after the copy is \
         lost, and entry {} says so.\n{} fences were set again: the erased stay erased.",
        command.tenant, loss.size, loss.origin, loss.lost_size, loss.size, loss.fences,
    );
    console.answer(&value, text);
    Ok(Outcome::Done)
}
