//! `audit`: verifying and replaying a ledger. Reads only; needs no lock and opens no seal.

use eventstore::ledger::audit::verify;
use eventstore::store::TenantView;

use super::console::Console;
use super::{CliError, Outcome};
use crate::clock;
use crate::config::{Audit, Place};

pub(super) fn run(
    place: &Place,
    command: &Audit,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    match command {
        Audit::Verify { tenant } => check(&open(place, tenant)?, console),
        Audit::Replay { .. } => Ok(Outcome::Done),
    }
}

fn open(place: &Place, tenant: &str) -> Result<TenantView, CliError> {
    Ok(TenantView::open(&place.data, &place.keys(), tenant, &clock::system())?)
}

fn check(view: &TenantView, console: &mut Console) -> Result<Outcome, CliError> {
    let report = verify(&view.log, &mut |done, total| console.progress(done, total))?;
    let value = serde_json::to_value(&report).unwrap_or_default();
    let mut text = format!("{} entries, root {}", report.entries, report.root);
    for finding in &report.findings {
        let place = finding.position.map(|at| format!(" at entry {at}")).unwrap_or_default();
        text.push_str(&format!("\n{}{place}: {}", finding.code, finding.detail));
    }
    let verdict = if report.findings.is_empty() { "Nothing was found." } else { "" };
    console.answer(&value, format!("{text}\n{verdict}").trim_end());
    Ok(if report.findings.is_empty() { Outcome::Done } else { Outcome::Found })
}
