//! Proofs of single entries: written for whom they are about, checked by whoever has the key.

use std::error::Error;
use std::path::Path;

use eventstore::ledger::codec;
use eventstore::proof::checkpoint::Checkpoint;
use eventstore::proof::receipt::{Receipt, path};
use eventstore::proof::witness::{Witness, signed_by};
use eventstore::store::TenantView;
use serde_json::json;

use super::folder;
use crate::cli::console::Console;
use crate::cli::{CliError, Outcome};
use crate::witnesses::kept;

/// Proves the entry at a position, which is the number behind an id.
pub(super) fn write(
    view: &TenantView,
    position: Option<u64>,
    to: &Path,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let unknown = || CliError::Usage("this is no id of this tenant".to_owned());
    let index = position.ok_or_else(unknown)?;
    let (signer, witnessed) = (folder::signer(view)?, kept(&view.folder));
    let path = |index, size| path(&view.log, index, size);
    let receipt = Receipt::of(&view.log, index, &signer, witnessed.as_deref(), path)?;
    let receipt = receipt.ok_or_else(unknown)?;
    let size = Checkpoint::unchecked(&receipt.checkpoint).map_or(0, |checkpoint| checkpoint.size);
    let is_witnessed = witnessed.as_ref() == Some(&receipt.checkpoint);
    let named = |error| CliError::File(to.display().to_string(), error);
    std::fs::write(to, receipt.write()).map_err(named)?;
    let answer = json!({ "index": index, "size": size, "witnessed": is_witnessed });
    let mut text = format!("Entry {index} of {size} is proved by {}.", to.display());
    if is_witnessed {
        text += " Witnesses have signed the checkpoint too.";
    } else if witnessed.is_some() {
        text += " The witnesses have not signed as far as that; they are asked every minute.";
    }
    console.answer(&answer, text);
    Ok(Outcome::Done)
}

pub(super) fn check(
    file: &Path,
    vkey: &Path,
    (witnesses, quorum): (&[Witness], usize),
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let verifier = folder::verifier(vkey)?;
    let text = folder::read(file)?;
    let proved = || -> Result<(Receipt, Checkpoint), Box<dyn Error>> {
        let receipt = Receipt::read(&text)?;
        let checkpoint = receipt.check(&verifier)?;
        signed_by(&receipt.checkpoint, witnesses, quorum)?;
        Ok((receipt, checkpoint))
    };
    let (receipt, checkpoint) = match proved() {
        Ok(proved) => proved,
        Err(error) => {
            let answer = json!({ "proved": false, "reason": error.to_string() });
            console.answer(&answer, format!("Not proved: {error}."));
            return Ok(Outcome::Found);
        }
    };
    let recorded = codec::decode(&receipt.entry).ok().map(|entry| entry.recorded);
    let kind = recorded.as_ref().map(|recorded| recorded.event.kind().name());
    let at = recorded.as_ref().map(|recorded| recorded.recorded_at.to_string());
    let (index, size) = (receipt.index, checkpoint.size);
    let answer = json!({
        "proved": true, "origin": checkpoint.origin, "index": index, "size": size,
        "kind": kind, "recorded_at": at,
    });
    let what = format!("{} of {}", kind.unwrap_or("an entry"), at.unwrap_or_default());
    let text = format!("Proved: entry {index} of {size} in {} is {what}.", checkpoint.origin);
    console.answer(&answer, text);
    Ok(Outcome::Done)
}
