//! `key`: what callers of the HTTP interface sign in with.

use std::sync::Arc;

use eventstore::{IdKind, PersonId};
use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::Key;
use crate::keys::{self, IssueError};
use crate::recipients;

pub(super) fn run(
    app: &Arc<App>,
    command: &Key,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    match command {
        Key::Create { tenant, role, label, person, recipient } => {
            let desk = app.desk(tenant)?;
            let role = role
                .parse()
                .map_err(|error: keys::UnknownRole| CliError::Usage(error.to_string()))?;
            let person = match person {
                None => None,
                Some(id) => {
                    let number = desk.tenant.ids().read(IdKind::Client, id);
                    let number = number
                        .ok_or_else(|| CliError::Usage(format!("{id} is no client of {tenant}")))?;
                    Some(PersonId(number))
                }
            };
            if let Some(recipient) = recipient
                && recipients::given(&desk.tenant, recipient)?.is_none()
            {
                let unknown = format!("{recipient} is no recipient of {tenant} by its policy");
                return Err(CliError::Usage(unknown));
            }
            let issued =
                keys::issue(&desk.tenant, role, label, (person, recipient.clone()), &app.env);
            let (id, secret) = runtime.block_on(issued).map_err(|error| match error {
                IssueError::Append(error) => CliError::Append(error),
                IssueError::PersonMismatch | IssueError::BadLabel => {
                    CliError::Usage(error.to_string())
                }
            })?;
            let id = desk.tenant.ids().show(IdKind::Key, id);
            let text = format!("{secret}\nThis is shown once. Revoke it by its id, {id}.");
            console.answer(&json!({ "id": id, "role": role.name(), "key": secret }), text);
        }
        Key::List { tenant } => list(app, tenant, console)?,
        Key::Revoke { id, tenant } => {
            let desk = app.desk(tenant)?;
            let unknown = || CliError::Usage(format!("{id} is no key of {tenant}"));
            let number = desk.tenant.ids().read(IdKind::Key, id).ok_or_else(unknown)?;
            let revoke = app.keys.revoke(&desk.tenant, number, &app.env);
            if !runtime.block_on(revoke)? {
                return Err(unknown());
            }
            console.answer(&json!({ "id": id, "revoked": true }), format!("{id} is revoked."));
        }
    }
    Ok(Outcome::Done)
}

fn list(app: &Arc<App>, tenant: &str, console: &mut Console) -> Result<(), CliError> {
    let desk = app.desk(tenant)?;
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for key in desk.tenant.api_keys()? {
        let id = desk.tenant.ids().show(IdKind::Key, key.id);
        let state = if key.revoked_at.is_some() { "revoked" } else { "live" };
        lines.push(format!("{id}  {:<8} {state:<8} {}", key.role, key.label));
        rows.push(json!({ "id": id, "role": key.role, "label": key.label, "state": state }));
    }
    console.answer(&json!(rows), lines.join("\n"));
    Ok(())
}
