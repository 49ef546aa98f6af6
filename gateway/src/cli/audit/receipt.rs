//! `audit receipt`: whether the receipt of an erasure holds, and what it says.

use std::path::Path;

use eventstore::proof::witness::Witness;
use serde_json::json;

use super::folder;
use crate::cli::console::Console;
use crate::cli::{CliError, Outcome};
use crate::receipt;
use crate::receipt::words::{self, Language};

pub(super) fn check(
    file: &Path,
    vkey: Option<&Path>,
    (witnesses, quorum): (&[Witness], usize),
    language: Language,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let known = vkey.map(folder::verifier).transpose()?;
    let text = folder::read(file)?;
    let checked = receipt::check(&text, known.as_ref()).and_then(|checked| {
        receipt::signed_by_witnesses(&text, witnesses, quorum)?;
        Ok(checked)
    });
    match checked {
        Ok((statement, signed_by)) => {
            let page = words::page(&statement, language);
            let signed_by = signed_by.to_string();
            let answer = json!({ "valid": true, "statement": statement, "signed_by": signed_by });
            console.answer(&answer, format!("{page}\n\n{signed_by}"));
            Ok(Outcome::Done)
        }
        Err(error) => {
            let answer = json!({ "valid": false, "reason": error.to_string() });
            console.answer(&answer, format!("Not valid: {error}."));
            Ok(Outcome::Found)
        }
    }
}
