//! `erase`: ends persons, one after another, each whole before the next.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::person::PersonRefusal;
use domain::{BookingId, Refusal};
use eventstore::ledger::appender::AppendError;
use eventstore::{IdKind, PersonId, PersonState};
use serde_json::{Value, json};

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::{App, AppError};
use crate::config::Erase;
use crate::desk::Desk;
use crate::erasure::{self, Erased};
use crate::requests::{self, By, RequestError};
use crate::rotation::days;

pub(super) fn run(
    app: &Arc<App>,
    command: &Erase,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    let desk = app.desk(&command.tenant)?;
    let persons = persons(&desk, &command.person)?;
    if command.dry_run {
        return preview(&desk, &persons, console, runtime);
    }
    let receipts = receipts(&desk, command, &persons)?;
    let total = u64::try_from(persons.len()).unwrap_or(u64::MAX);
    let (mut rows, mut erased, mut failed) = (Vec::new(), Vec::new(), None);
    for (done, (id, person)) in (1..).zip(&persons) {
        let by = (By::Operator, command.cancel_open);
        match one(app, &desk, (id, *person), by, receipts.get(person), runtime) {
            Ok((row, request)) => {
                rows.push(row);
                erased.extend(request.zip(receipts.get(person)));
            }
            // Those who are erased have their receipts all the same.
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        console.progress(done, total);
    }
    persons.iter().skip(rows.len()).for_each(|(_, person)| give_up(receipts.get(person)));
    if !erased.is_empty() {
        // What another node has at hand opens until then.
        let wait = requests::until_closed(&desk.tenant);
        runtime.block_on(async { tokio::time::sleep(wait).await });
    }
    for (request, to) in erased {
        let signed = requests::receipt(app, &desk, request, days(command.window));
        let written = runtime
            .block_on(signed)
            .map_err(self::failed)
            .and_then(|signed| std::fs::write(to, signed).map_err(|error| unwritten(to, error)));
        failed = failed.or(written.err());
    }
    let open = |row: &Value| row.get("refused").is_some() || row.get("request").is_some();
    let found = rows.iter().any(open);
    let text: Vec<String> = rows.iter().map(line).collect();
    console.answer(&json!(rows), text.join("\n"));
    match failed {
        Some(error) => Err(error),
        None => Ok(if found { Outcome::Found } else { Outcome::Done }),
    }
}

/// Erases one; their row, and the request that is to have a receipt.
fn one(
    app: &Arc<App>,
    desk: &Arc<Desk>,
    (id, person): (&str, PersonId),
    by: (By, bool),
    receipt: Option<&PathBuf>,
    runtime: &tokio::runtime::Handle,
) -> Result<(Value, Option<u64>), CliError> {
    if is_over(desk, person)? {
        // A crash may have interrupted it; the ledger goes on with it by itself.
        runtime.block_on(erasure::ended(desk, person))?;
        return Ok((json!({ "id": id, "state": "erased", "already": true }), None));
    }
    let (request, free) = runtime.block_on(requests::ask(app, &desk.tenant, person, by))?;
    if !free {
        give_up(receipt);
        let shown = desk.tenant.ids().show(IdKind::PrivacyRequest, request);
        return Ok((json!({ "id": id, "state": "waiting", "request": shown }), None));
    }
    let ended = runtime.block_on(requests::carry_out(app, desk, request, false));
    let is_erased = matches!(ended, Ok(Some(_)));
    Ok((row(id, state(desk, person)?, ended, receipt)?, is_erased.then_some(request)))
}

/// A request that does not go on, as a command tells it.
pub(super) fn failed(error: RequestError) -> CliError {
    match error {
        RequestError::App(error) => error.into(),
        RequestError::Unknown
        | RequestError::NotWaiting(_)
        | RequestError::NoApproval
        | RequestError::Own
        | RequestError::Expired
        | RequestError::NoReceipt => CliError::Request(error),
    }
}

/// Shows what erasing would do; answers like a check, where it would be refused.
fn preview(
    desk: &Desk,
    persons: &[(String, PersonId)],
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    // What holds somebody is read from the read models.
    desk.follow()?;
    let (mut rows, mut lines, mut outcome) = (Vec::new(), Vec::new(), Outcome::Done);
    for (id, person) in persons {
        if is_over(desk, *person)? {
            lines.push(format!("{id}  erased before"));
            rows.push(json!({ "id": id, "state": "erased" }));
            continue;
        }
        let preview = runtime.block_on(erasure::preview(desk, *person))?;
        let show = |id: &BookingId| desk.tenant.ids().show(IdKind::Booking, id.0);
        let open: Vec<String> = preview.open.iter().map(show).collect();
        let holds: Vec<&str> = preview.holds.iter().map(|ground| ground.name()).collect();
        if !open.is_empty() || !holds.is_empty() {
            outcome = Outcome::Found;
        }
        let classes: Vec<&str> = preview.classes.iter().map(|class| class.name()).collect();
        lines.push(format!("{id}  {} seals would end: {}", preview.seals, classes.join(", ")));
        lines.extend(holds.iter().map(|ground| format!("  in the way: a legal hold ({ground})")));
        lines.extend(open.iter().map(|id| format!("  in the way: {id} is open")));
        lines.extend(preview.kept.iter().map(|kept| {
            format!(
                "  stays: {} of {}, linked to nobody, for {} until {}",
                kept.fields, kept.class, kept.ground, kept.until
            )
        }));
        lines.extend(preview.recipients.iter().map(|name| format!("  to be told: {name}")));
        rows.push(json!({
            "id": id,
            "state": state(desk, *person)?.name(),
            "open_bookings": open,
            "legal_holds": holds,
            "seals": preview.seals,
            "classes": classes,
            "kept": preview.kept,
            "recipients": preview.recipients,
        }));
    }
    console.answer(&json!(rows), lines.join("\n"));
    Ok(outcome)
}

fn state(desk: &Desk, person: PersonId) -> Result<PersonState, CliError> {
    let info = desk.tenant.keyring().info(person)?;
    Ok(info.map_or(PersonState::Erased, |info| info.state))
}

fn is_over(desk: &Desk, person: PersonId) -> Result<bool, CliError> {
    Ok(matches!(state(desk, person)?, PersonState::Erasing | PersonState::Erased))
}

fn unwritten(to: &Path, error: std::io::Error) -> CliError {
    CliError::File(to.display().to_string(), error)
}

/// The files of the receipts, made before anybody is erased: a receipt that cannot be written then
/// can never be signed again. One that is there already is not written over.
fn receipts(
    desk: &Desk,
    command: &Erase,
    persons: &[(String, PersonId)],
) -> Result<BTreeMap<PersonId, PathBuf>, CliError> {
    let mut receipts = BTreeMap::new();
    let Some(to) = &command.receipt else { return Ok(receipts) };
    for (id, person) in persons {
        if is_over(desk, *person)? {
            continue;
        }
        let to = match persons.len() {
            1 => to.clone(),
            _ => to.with_extension(format!("{id}.json")),
        };
        if let Err(error) = File::create_new(&to) {
            receipts.values().for_each(|made| drop(std::fs::remove_file(made)));
            return Err(unwritten(&to, error));
        }
        receipts.insert(*person, to);
    }
    Ok(receipts)
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

/// There will be no receipt now. Who removed its file themselves is not told.
fn give_up(receipt: Option<&PathBuf>) {
    if let Some(to) = receipt {
        drop(std::fs::remove_file(to));
    }
}

fn row(
    id: &str,
    stands: PersonState,
    ended: Result<Option<Erased>, RequestError>,
    receipt: Option<&PathBuf>,
) -> Result<Value, CliError> {
    if !matches!(ended, Ok(Some(_))) {
        give_up(receipt);
    }
    let error = match ended {
        Ok(Some(erased)) => {
            let mut row = json!({
                "id": id,
                "state": "erased",
                "fence": erased.fence.0,
                "seals_ended": erased.ended,
            });
            if let (Some(row), Some(receipt)) = (row.as_object_mut(), receipt) {
                row.insert("receipt".to_owned(), json!(receipt));
            }
            return Ok(row);
        }
        // Somebody else was faster.
        Ok(None) => return Ok(json!({ "id": id, "state": stands.name(), "already": true })),
        Err(error) => failed(error),
    };
    let CliError::App(AppError::Append(append)) = &error else { return Err(error) };
    if let AppendError::OpenBookings(open) = append {
        return Ok(json!({
            "id": id,
            "state": stands.name(),
            "refused": "erasure_blocked",
            "open_bookings": open,
        }));
    }
    if let AppendError::Refused(Refusal::Person(PersonRefusal::Held)) = append {
        return Ok(json!({ "id": id, "state": stands.name(), "refused": "legal_hold" }));
    }
    Err(error)
}

fn line(row: &Value) -> String {
    let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
    if row.get("refused").is_some_and(|refused| refused == "legal_hold") {
        return format!("{id}  not erased: a legal hold is in place; see `hold lift`");
    }
    if let Some(request) = row.get("request").and_then(Value::as_str) {
        return format!(
            "{id}  not erased yet: the tenant's policy has it wait, as request {request}; see \
             `request list`"
        );
    }
    let number = |key| row.get(key).and_then(Value::as_u64);
    match (number("fence"), number("open_bookings")) {
        (Some(fence), _) => {
            let ended = number("seals_ended").unwrap_or(0);
            format!("{id}  erased: fence at entry {fence}, {ended} seals ended")
        }
        (None, Some(open)) => format!(
            "{id}  not erased: {open} open bookings; wait until they are over, or add --cancel-open"
        ),
        (None, None) => {
            format!("{id}  erased before; its receipt is kept with the request (`request list`)")
        }
    }
}
