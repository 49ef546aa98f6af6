//! `erase`: ends persons, one after another, each whole before the next.

use std::path::Path;
use std::sync::Arc;

use eventstore::keyring::lease::LEASE;
use eventstore::ledger::appender::AppendError;
use eventstore::{IdKind, PersonId, PersonState};
use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::Erase;
use crate::desk::Desk;
use crate::rotation::days;
use crate::{erasure, receipt};

pub(super) fn run(
    app: &Arc<App>,
    command: &Erase,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    let desk = app.desk(&command.tenant)?;
    let persons = persons(&desk, &command.person)?;
    let total = u64::try_from(persons.len()).unwrap_or(u64::MAX);
    let mut rows = Vec::new();
    let mut refused = false;
    for (done, (id, person)) in (1..).zip(&persons) {
        let row = match desk.tenant.keyring().info(*person)?.map(|info| info.state) {
            Some(PersonState::Erasing | PersonState::Erased) => {
                // A crash may have interrupted it; the ledger goes on with it by itself.
                runtime.block_on(erasure::ended(&desk, *person))?;
                json!({ "id": id, "state": "erased", "already": true })
            }
            Some(PersonState::Live | PersonState::Restricted) | None => {
                let receipt = command.receipt.as_deref().map(|to| match persons.len() {
                    1 => to.to_owned(),
                    _ => to.with_extension(format!("{id}.json")),
                });
                runtime.block_on(erase(app, &desk, (id, *person), receipt.as_deref(), command))?
            }
        };
        refused |= row.get("refused").is_some();
        rows.push(row);
        console.progress(done, total);
    }
    let text: Vec<String> = rows.iter().map(line).collect();
    console.answer(&json!(rows), text.join("\n"));
    Ok(if refused { Outcome::Found } else { Outcome::Done })
}

/// All ids are read before anybody is erased: a mistyped one stops the whole.
fn persons(desk: &Desk, ids: &[String]) -> Result<Vec<(String, PersonId)>, CliError> {
    let mut persons = Vec::with_capacity(ids.len());
    for id in ids {
        let person = desk.tenant.ids().read(IdKind::Client, id).map(PersonId);
        let known = match person {
            Some(person) => desk.tenant.keyring().info(person)?.map(|info| info.id),
            None => None,
        };
        match known {
            Some(person) => persons.push((id.clone(), person)),
            None => return Err(CliError::Usage(format!("{id} is no client; nobody was erased"))),
        }
    }
    Ok(persons)
}

async fn erase(
    app: &App,
    desk: &Desk,
    (id, person): (&str, PersonId),
    receipt: Option<&Path>,
    command: &Erase,
) -> Result<serde_json::Value, CliError> {
    // Afterwards nobody knows what was whose.
    let kept = receipt.map(|_| receipt::kept(&desk.tenant, person)).transpose()?;
    match erasure::erase(desk, person, command.cancel_open).await {
        Ok(erased) => {
            if let (Some(to), Some(kept)) = (receipt, kept) {
                if desk.tenant.log().path().is_none() {
                    // What another node has at hand opens until then.
                    tokio::time::sleep(LEASE).await;
                }
                let signed = receipt::sign(
                    app,
                    &desk.tenant,
                    person,
                    (erased.fence, kept),
                    days(command.window),
                )?;
                let named = |error| CliError::File(to.display().to_string(), error);
                std::fs::write(to, signed).map_err(named)?;
            }
            let mut row = json!({
                "id": id,
                "state": "erased",
                "fence": erased.fence.0,
                "seals_ended": erased.ended,
            });
            if let (Some(row), Some(receipt)) = (row.as_object_mut(), receipt) {
                row.insert("receipt".to_owned(), json!(receipt));
            }
            Ok(row)
        }
        Err(AppendError::OpenBookings(open)) => Ok(json!({
            "id": id,
            "state": "live",
            "refused": "erasure_blocked",
            "open_bookings": open,
        })),
        Err(error) => Err(error.into()),
    }
}

fn line(row: &serde_json::Value) -> String {
    let id = row.get("id").and_then(serde_json::Value::as_str).unwrap_or_default();
    let number = |key| row.get(key).and_then(serde_json::Value::as_u64);
    match (number("fence"), number("open_bookings")) {
        (Some(fence), _) => {
            let ended = number("seals_ended").unwrap_or(0);
            format!("{id}  erased: fence at entry {fence}, {ended} seals ended")
        }
        (None, Some(open)) => format!(
            "{id}  not erased: {open} open bookings; wait until they are over, or add --cancel-open"
        ),
        (None, None) => format!("{id}  erased before"),
    }
}
