//! `audit`: verifying and replaying a ledger. Reads only; needs no lock and opens no seal.

use std::path::Path;

use eventstore::ledger::audit::{Report, verify};
use eventstore::store::TenantView;
use eventstore::{IdKind, PublicIds};
use serde_json::{Value, json};

mod folder;
mod proofs;
mod receipt;
mod tail;

use super::console::Console;
use super::{CliError, Outcome};
use crate::audit::{Replay, Scope, Told};
use crate::clock;
use crate::config::{Asked, Audit, Place};
use crate::witnesses;

pub(super) fn run(
    place: &Place,
    command: &Audit,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    match command {
        Audit::Verify { from: Some(from), since, vkey, asked, .. } => {
            let asked = (asked.witness.as_slice(), quorum(asked)?);
            folder::check(from, since.as_deref(), vkey.as_deref(), asked, console)
        }
        Audit::Verify { from: None, asked, .. } if !asked.witness.is_empty() => {
            Err(CliError::Usage("--witness is for a log in a folder, with --from".to_owned()))
        }
        Audit::Verify { from: None, tenant, since, .. } => {
            let tenant = tenant.as_deref().unwrap_or_default();
            check(&open(place, tenant)?, since.as_deref(), console)
        }
        Audit::Export { tenant, to } => folder::export(&open(place, tenant)?, to, console),
        Audit::Tail { tenant, count } => tail::follow(&open(place, tenant)?, *count, console),
        Audit::Proof { tenant, booking, consent, to } => {
            let view = open(place, tenant)?;
            let id = match (booking, consent) {
                (Some(id), _) => view.ids.read(IdKind::Booking, id),
                (None, id) => id.as_ref().and_then(|id| view.ids.read(IdKind::Consent, id)),
            };
            proofs::write(&view, id, to, console)
        }
        Audit::Receipt { file, vkey, asked, language } => {
            let asked = (asked.witness.as_slice(), quorum(asked)?);
            receipt::check(file, vkey.as_deref(), asked, *language, console)
        }
        Audit::CheckProof { file, vkey, asked } => {
            proofs::check(file, vkey, (asked.witness.as_slice(), quorum(asked)?), console)
        }
        Audit::Replay { tenant, resource, booking, as_of } => {
            let view = open(place, tenant)?;
            let scope = scope(&view.ids, resource.as_deref(), booking.as_deref())?;
            let as_of = match as_of {
                Some(text) => Some(
                    text.parse()
                        .map_err(|error| CliError::Usage(format!("--as-of {text}: {error}")))?,
                ),
                None => None,
            };
            replay(&Replay { log: &view.log, ids: &view.ids, scope, as_of }, console)
        }
    }
}

/// How many of the witnesses that are asked for have to have signed.
fn quorum(asked: &Asked) -> Result<usize, CliError> {
    witnesses::quorum(&asked.witness.iter().collect::<Vec<_>>(), asked.quorum)
        .map_err(|error| CliError::Usage(format!("--witness, --quorum: this {error}")))
}

fn open(place: &Place, tenant: &str) -> Result<TenantView, CliError> {
    Ok(TenantView::open(place.databases(), &place.data, &place.keys(), tenant, &clock::system())?)
}

fn check(
    view: &TenantView,
    since: Option<&Path>,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let mut report = verify(&view.log, &mut |done, total| console.progress(done, total))?;
    if let Some(since) = since
        && let Some(finding) = folder::since(view, since)?
    {
        report.findings.push(finding);
        report.found += 1;
    }
    let access_log = view.access_log()?;
    let access = verify(&access_log, &mut |done, total| console.progress(done, total))?;
    let found = report.found.saturating_add(access.found);
    let mut value = serde_json::to_value(&report).unwrap_or_default();
    if let Some(value) = value.as_object_mut() {
        value.insert("access".to_owned(), serde_json::to_value(&access).unwrap_or_default());
    }
    let verdict = match found {
        0 => "Nothing was found: every leaf, seal, tag and rule agrees.".to_owned(),
        found => format!("{found} findings."),
    };
    let (text, read) = (told(&report), told(&access));
    console.answer(&value, format!("{text}\nWho read what: {read}\n{verdict}"));
    Ok(if found == 0 { Outcome::Done } else { Outcome::Found })
}

/// What a check of one ledger says.
fn told(report: &Report) -> String {
    let mut text = format!("{} entries, root {}", report.entries, report.root);
    for finding in &report.findings {
        let place = finding.position.map(|at| format!(" at entry {at}")).unwrap_or_default();
        text.push_str(&format!("\n{}{place}: {}", finding.code, finding.detail));
    }
    text
}

fn scope(
    ids: &PublicIds,
    resource: Option<&str>,
    booking: Option<&str>,
) -> Result<Scope, CliError> {
    let read = |kind, id: &str| {
        ids.read(kind, id).ok_or_else(|| CliError::Usage(format!("{id} is no id of this tenant")))
    };
    match (resource, booking) {
        (None, None) => Ok(Scope::Whole),
        (Some(id), None) => Ok(Scope::Resource(domain::ResourceId(read(IdKind::Resource, id)?))),
        (None, Some(id)) => Ok(Scope::Booking(domain::BookingId(read(IdKind::Booking, id)?))),
        (Some(_), Some(_)) => {
            Err(CliError::Usage("ask for a resource or for a booking, not both".to_owned()))
        }
    }
}

fn replay(replay: &Replay<'_>, console: &mut Console) -> Result<Outcome, CliError> {
    let mut told: Vec<Value> = Vec::new();
    let json = console.is_json();
    // A replay's own lines show how far it is.
    let summary = replay.run(
        &mut |entry: &Told| {
            if json {
                told.push(serde_json::to_value(entry).unwrap_or_default());
            } else {
                console.say(entry);
            }
        },
        &mut |_, _| (),
    )?;
    console.answer(&json!({ "entries": told, "summary": summary }), summary);
    let agrees = summary.missing == 0 && summary.blanks_agree != Some(false);
    Ok(if agrees { Outcome::Done } else { Outcome::Found })
}
