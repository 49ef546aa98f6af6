//! Proofs of single entries: written for whom they are about, checked by whoever has the key.

use std::path::Path;

use domain::Position;
use eventstore::ledger::codec;
use eventstore::proof::checkpoint::Checkpoint;
use eventstore::proof::inclusion;
use eventstore::proof::nodes::{self, Nodes, Tree};
use eventstore::proof::receipt::Receipt;
use eventstore::store::TenantView;
use serde_json::json;

use super::folder;
use crate::cli::console::Console;
use crate::cli::{CliError, Outcome};

/// Proves the entry at a position, which is the number behind an id.
pub(super) fn write(
    view: &TenantView,
    position: Option<u64>,
    to: &Path,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let unknown = || CliError::Usage("this is no id of this tenant".to_owned());
    let index = position.ok_or_else(unknown)?;
    let entry = view.log.entry(Position(index))?.ok_or_else(unknown)?;
    let head = view.log.head()?;
    let size = head.frontier.size();
    let mut nodes = Nodes::default();
    nodes.follow(&view.log, size)?;
    let leaves = |from, count| nodes::leaves(&view.log, from, count);
    let path = inclusion::prove(&Tree { nodes: &nodes, leaves: &leaves }, index, size)?;
    let checkpoint = Checkpoint::of(&head).signed(&folder::signer(view)?);
    let receipt = Receipt { index, entry: entry.bytes, path, checkpoint };
    let named = |error| CliError::File(to.display().to_string(), error);
    std::fs::write(to, receipt.write()).map_err(named)?;
    let answer = json!({ "index": index, "size": size });
    console.answer(&answer, format!("Entry {index} of {size} is proved by {}.", to.display()));
    Ok(Outcome::Done)
}

pub(super) fn check(file: &Path, vkey: &Path, console: &mut Console) -> Result<Outcome, CliError> {
    let verifier = folder::verifier(vkey)?;
    let text = folder::read(file)?;
    let receipt = Receipt::read(&text).and_then(|receipt| {
        let checkpoint = receipt.check(&verifier)?;
        Ok((receipt, checkpoint))
    });
    let (receipt, checkpoint) = match receipt {
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
