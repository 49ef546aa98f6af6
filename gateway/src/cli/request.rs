//! `request`: what is asked for and waits, is approved or taken back, and the receipts of what is done.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use eventstore::IdKind;
use eventstore::engine::Seen;
use eventstore::store::requests::Stage;
use jiff::Timestamp;
use serde_json::json;

use super::console::Console;
use super::erase::failed;
use super::{CliError, Outcome};
use crate::app::App;
use crate::config::{Request, RequestId};
use crate::desk::Desk;
use crate::requests::{self, By, Course};
use crate::rotation::days;

/// How many are listed.
const MOST: u32 = 100;

pub(super) fn run(
    app: &Arc<App>,
    command: &Request,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    match command {
        Request::List { tenant } => list(&*app.desk(tenant)?, console)?,
        Request::Approve(which) => {
            let (desk, id) = find(app, which)?;
            let approve = requests::approve(app, &desk.tenant, id, By::Operator);
            let done = if runtime.block_on(approve).map_err(failed)? {
                let carry_out = requests::carry_out(app, &desk, id, false);
                runtime.block_on(carry_out).map_err(failed)?;
                "carried out"
            } else {
                "approved; it is carried out when its time to be withdrawn is over"
            };
            console
                .answer(&json!({ "id": which.id, "done": done }), format!("{}  {done}", which.id));
        }
        Request::Withdraw(which) => {
            let (desk, id) = find(app, which)?;
            runtime
                .block_on(requests::withdraw(app, &desk.tenant, id, By::Operator))
                .map_err(failed)?;
            let done = "withdrawn";
            console
                .answer(&json!({ "id": which.id, "done": done }), format!("{}  {done}", which.id));
        }
        Request::Receipt { which, to, window } => {
            let (desk, id) = find(app, which)?;
            let receipt = requests::receipt(app, &desk, id, days(*window));
            let receipt = runtime.block_on(receipt).map_err(failed)?;
            let written =
                File::create_new(to).and_then(|mut file| file.write_all(receipt.as_bytes()));
            written.map_err(|error| CliError::File(to.display().to_string(), error))?;
            let shown = json!({ "id": which.id, "receipt": to });
            console.answer(&shown, format!("The receipt is in {}.", to.display()));
        }
    }
    Ok(Outcome::Done)
}

fn find(app: &Arc<App>, which: &RequestId) -> Result<(Arc<Desk>, u64), CliError> {
    let desk = app.desk(&which.tenant)?;
    let number = desk.tenant.ids().read(IdKind::PrivacyRequest, &which.id);
    let unknown = || {
        CliError::Usage(format!("{} is no request of {}; nothing was done", which.id, which.tenant))
    };
    let number = number.ok_or_else(unknown)?;
    Ok((desk, number))
}

fn list(desk: &Desk, console: &mut Console) -> Result<(), CliError> {
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for request in desk.tenant.privacy_requests(Seen::NOTHING, MOST)? {
        let id = desk.tenant.ids().show(IdKind::PrivacyRequest, request.id);
        let course = Course::of(&request);
        let course = course.filter(|_| request.stage == Stage::Waiting);
        let approval = course.as_ref().filter(|of| of.approval && of.approved_by.is_none());
        let approve_until = approval.and_then(|course| course.approve_until);
        let not_before = course.as_ref().and_then(|course| course.not_before);
        let state = request.state();
        let asked = Timestamp::from_second(request.requested_at).unwrap_or_default();
        let mut line = format!("{id}  {:<9} {state:<9} asked {asked}", request.kind);
        if let Some(until) = approve_until {
            line.push_str(&format!(", to be approved until {until}"));
        }
        if let Some(from) = not_before {
            line.push_str(&format!(", not before {from}"));
        }
        lines.push(line);
        rows.push(json!({
            "id": id,
            "kind": request.kind,
            "state": state,
            "requested_at": asked,
            "waits_for_approval": approval.is_some(),
            "approve_until": approve_until,
            "not_before": not_before,
            "fence": request.fence_at.map(|fence| fence.0),
            "receipt": request.receipt.is_some(),
        }));
    }
    console.answer(&json!(rows), lines.join("\n"));
    Ok(())
}
