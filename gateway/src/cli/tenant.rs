//! `tenant` and `import`: what happens to a tenant as a whole.

use std::path::Path;
use std::sync::Arc;

use eventstore::keyring::provider::TenantId;
use eventstore::store::listing::{Listed, State};
use serde_json::json;

use super::console::Console;
use super::keys::of_others;
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
        Tenant::Create { name, zone, on } => {
            let zone = zone
                .parse()
                .map_err(|error: domain::slot::UnknownZone| CliError::Usage(error.to_string()))?;
            app.create_tenant_on(on.as_deref(), name, zone)?;
            let next = format!("tidbok key create --tenant {name} --role admin");
            console.answer(
                &json!({ "tenant": name }),
                format!("The tenant {name} is ready.\nNext: {next}"),
            );
        }
        Tenant::List => {
            let all = app.store.listed()?;
            let rows: Vec<_> = all
                .iter()
                .map(|Listed { name, server, state }| {
                    let (state, in_use) = (called(*state).0, *state == State::InUse);
                    json!({ "tenant": name, "server": server, "in_use": in_use, "state": state })
                })
                .collect();
            let lines: Vec<String> = all.iter().map(line).collect();
            console.answer(&json!(rows), lines.join("\n"));
        }
        Tenant::Place { tenant, on, forsake } => {
            if *forsake {
                app.store.forsake(tenant)?;
            }
            place(app, tenant, on, console)?;
        }
        Tenant::Export { tenant, to } => export(app, tenant, to, console)?,
        Tenant::Import { from, on, forsake } => {
            bring(app, from, (on.as_deref(), *forsake), console)?;
        }
        Tenant::Remove { tenant } => {
            let left = app.store.remove(tenant)?;
            let mut done = format!("What was here of {tenant} is deleted.");
            if left {
                done.push_str(
                    "\nIts keyring is that of its new place, in the same database, and stays there.",
                );
            }
            let answer = json!({ "tenant": tenant, "removed": true, "keyring_left": left });
            console.answer(&answer, done);
        }
    }
    Ok(Outcome::Done)
}

/// A tenant of the list: with where it is, unless that is where most are.
fn line(Listed { name, server, state }: &Listed) -> String {
    let mut line = name.clone();
    if let Some(server) = server {
        line = format!("{line}  on {server}");
    }
    match called(*state).1 {
        "" => line,
        next => format!("{line}  out of use: {next}"),
    }
}

/// What a state is called, and of one that is out of use what was done to it and what can be done next.
fn called(state: State) -> (&'static str, &'static str) {
    match state {
        State::InUse => ("in_use", ""),
        State::Exporting => ("exporting", "being exported; if that was cut off, export it again"),
        State::Exported => {
            ("exported", "exported; import brings it back, remove deletes what is left here")
        }
        State::Moving => {
            ("moving", "on its way to another server; if that was cut off, place it again")
        }
        State::Arriving => ("arriving", "arriving; if that was cut off, place or import it again"),
    }
}

fn place(app: &Arc<App>, name: &str, on: &str, console: &mut Console) -> Result<(), CliError> {
    let moved = app.hand_over(name, || app.store.move_to(name, on))?;
    let told = if moved { "is now on" } else { "was on it already:" };
    console.answer(
        &json!({ "tenant": name, "server": on, "moved": moved }),
        format!("The tenant {name} {told} {on}."),
    );
    Ok(())
}

fn export(app: &Arc<App>, name: &str, to: &Path, console: &mut Console) -> Result<(), CliError> {
    let export = app.hand_over(name, || app.store.export(name, to))?;
    let folder = to.display().to_string();
    let others = match app.store.tenants()?.is_empty() {
        // Nothing is left here whose keys would have to end.
        true => Vec::new(),
        false => app.store.others()?,
    };
    console.answer(
        &json!({
            "tenant": name,
            "folder": folder,
            "entries": export.ledger.size,
            "tenants_elsewhere": others.len(),
        }),
        format!(
            "{folder}: all of {name}, {} entries. The tenant is out of use here.\n\
             Next: tidbok tenant import --from {folder}, there where it is to be, with the same key \
             store;\nthen tidbok tenant remove --tenant {name}, here, if that is another place.\n\
             Delete the folder then: erasures to come do not reach it until keys are rotated and the \
             old ones have ended.{}",
            export.ledger.size,
            warning(&others)
        ),
    );
    Ok(())
}

fn bring(
    app: &Arc<App>,
    from: &Path,
    (on, forsake): (Option<&str>, bool),
    console: &mut Console,
) -> Result<(), CliError> {
    let export = match forsake {
        true => app.store.import_forsaking(from, on)?,
        false => app.store.import(from, on)?,
    };
    let name = &export.tenant;
    // Read models are made now rather than when somebody waits for them.
    app.desk(name)?.follow()?;
    let others = app.store.others()?;
    console.answer(
        &json!({
            "tenant": name,
            "entries": export.ledger.size,
            "server": on,
            "tenants_elsewhere": others.len(),
        }),
        format!(
            "The tenant {name} is in use, with all {} entries of its export.\n\
             Next: tidbok audit verify --tenant {name}; and delete {}.{}",
            export.ledger.size,
            from.display(),
            warning(&others)
        ),
    );
    Ok(())
}

/// What one key store for two places means.
fn warning(others: &[TenantId]) -> String {
    of_others(others).map_or_else(String::new, |why| format!("\n{why}"))
}

pub(super) fn import(
    app: &Arc<App>,
    command: &Import,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let desk = app.desk(&command.tenant)?;
    let options = import::Options { dry_run: command.dry_run, now: app.env.clock.now() };
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
