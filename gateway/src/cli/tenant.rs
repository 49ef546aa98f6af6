//! `tenant` and `import`: what happens to a tenant as a whole.

use std::sync::Arc;

use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::{Import, Tenant};
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
