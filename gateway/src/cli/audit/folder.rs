//! Logs in folders: writing one, and checking one from nothing but its files.

use std::path::{Path, PathBuf};

use eventstore::keyring::KeyError;
use eventstore::keyring::log_key::verifiers;
use eventstore::ledger::audit::Finding;
use eventstore::proof::checkpoint::{KEY_FILE, Origin};
use eventstore::proof::folder::{self, Check, LogFault};
use eventstore::proof::nodes::{self, Nodes, Tree};
use eventstore::proof::note::{Signer, Verifier};
use eventstore::proof::witness::Witness;
use eventstore::store::TenantView;
use serde_json::json;

use crate::cli::console::Console;
use crate::cli::{CliError, Outcome};
use crate::witnesses::kept;

pub(super) fn export(
    view: &TenantView,
    to: &Path,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let signer = signer(view)?;
    let note = kept(&view.folder);
    let progress = &mut |done, total| console.progress(done, total);
    let done = folder::export(&view.log, &signer, note.as_deref(), to, progress)?;
    let root = domain::ids::Hash(done.checkpoint.root).to_string();
    let (entries, origin) = (done.checkpoint.size, &done.checkpoint.origin);
    let key = signer.verifier().to_string();
    let answer = json!({
        "origin": origin, "entries": entries, "root": root, "written": done.written, "vkey": key,
    });
    let text = format!("{entries} entries, root {root}\n{} files written, key {key}", done.written);
    console.answer(&answer, text);
    Ok(Outcome::Done)
}

/// Who signs for the tenant's log.
pub(super) fn signer(view: &TenantView) -> Result<Signer, CliError> {
    match view.keyring.signer(&Origin::of(&view.log.head()?)) {
        Err(KeyError::Missing) => Err(CliError::NoLogKey),
        signer => Ok(signer?),
    }
}

pub(super) fn check(
    from: &Path,
    since: Option<&Path>,
    vkey: Option<&Path>,
    (witnesses, quorum): (&[Witness], usize),
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let verifier = verifier(&vkey.map_or_else(|| from.join(KEY_FILE), PathBuf::from))?;
    let older = since.map(read).transpose()?;
    let progress = &mut |done, total| console.progress(done, total);
    let mut checked = Check::run(from, &verifier, older.as_deref(), progress);
    checked.hold_to(from, witnesses, quorum);
    let value = serde_json::to_value(&checked).unwrap_or_default();
    let mut text = format!("{} entries, root {}", checked.entries, checked.root);
    for finding in &checked.findings {
        let place = finding.position.map(|at| format!(" at entry {at}")).unwrap_or_default();
        text.push_str(&format!("\n{}{place}: {}", finding.code, finding.detail));
    }
    let clean = checked.found == 0;
    let verdict = match clean {
        true => "Nothing was found: signature, entries, tiles, root and rules agree.".to_owned(),
        false => format!("{} findings.", checked.found),
    };
    console.answer(&value, format!("{text}\n{verdict}"));
    Ok(if clean { Outcome::Done } else { Outcome::Found })
}

/// Holds the live ledger against an older checkpoint.
pub(super) fn since(view: &TenantView, since: &Path) -> Result<Option<Finding>, CliError> {
    let note = read(since)?;
    let head = view.log.head()?;
    let size = head.frontier.size();
    let keys = verifiers(&view.log, signer(view)?.verifier())?;
    let old = match folder::since(&note, &keys, size) {
        Ok(old) => old,
        Err(finding) => return Ok(Some(finding.into())),
    };
    let mut nodes = Nodes::default();
    nodes.follow(&view.log, old.size)?;
    let leaves = |from, count| nodes::leaves(&view.log, from, count);
    let root = Tree { nodes: &nodes, leaves: &leaves }.range(0, old.size)?;
    Ok((root != old.root).then(|| (None, LogFault::Fork(old.size)).into()))
}

/// A verifier key in a file.
pub(super) fn verifier(path: &Path) -> Result<Verifier, CliError> {
    let text = read(path)?;
    text.parse().map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

pub(super) fn read(path: &Path) -> Result<String, CliError> {
    let named = |error| CliError::File(path.display().to_string(), error);
    std::fs::read_to_string(path).map_err(named)
}
