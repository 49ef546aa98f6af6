//! `backup`, `restore` and `keys restore`: copies that end when they should, and the way back.

use std::path::Path;
use std::sync::Arc;

use eventstore::keyring::provider::KeyStore;
use eventstore::{StoreError, store};
use serde_json::json;

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::{App, AppError};
use crate::backup::{self, BackupError, Identities, Recipients};
use crate::config::{Backup, Place, Restore};
use crate::rotation::days;

pub(super) fn make(
    app: &Arc<App>,
    command: &Backup,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let recipients = Recipients::parse(&command.recipient)?;
    let mut lines = Vec::new();
    let mut answer = json!({});
    if let Some(to) = &command.to {
        let progress = |done, total| console.progress(done, total);
        let made = backup::make(app, to, &recipients, days(command.window), &progress)?;
        lines.push(format!(
            "{}: {} tenants in {} archives.\nDelete those of seals and keyrings by {}; the keyrings' \
             open for nobody once their epoch has ended. Histories may be kept.",
            made.folder.display(),
            made.tenants.len(),
            made.archives,
            made.delete_by
        ));
        answer = json!({
            "folder": made.folder.display().to_string(),
            "tenants": made.tenants,
            "archives": made.archives,
            "bytes": made.bytes,
            "delete_by": made.delete_by,
        });
    }
    if let Some(to) = &command.keys_to {
        let file = backup::make_of_keys(app, to, &recipients)?.display().to_string();
        lines.push(format!(
            "{file}: the key store. It opens every backup of its time: keep it elsewhere, and no \
             longer than {} days.",
            command.window
        ));
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("keys".to_owned(), json!(file));
        }
    }
    console.answer(&answer, lines.join("\n"));
    Ok(Outcome::Done)
}

/// Brings tenants back from a backup, and takes up a copy that is older than what was promised if
/// its loss is accepted.
pub(super) fn restore(
    app: &Arc<App>,
    command: &Restore,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let Some((from, identity)) = command.from.as_ref().zip(command.identity.as_ref()) else {
        let name = command.tenant.as_deref().unwrap_or_default();
        let (row, text) = take_up(app, name)?;
        console.answer(&row, text);
        return Ok(Outcome::Done);
    };
    let identities = Identities::read(identity)?;
    if command.check {
        return check(app, from, &identities, console);
    }
    let progress = |done, total| console.progress(done, total);
    let tenant = command.tenant.as_deref();
    let names = backup::restore(app, from, &identities, tenant, &progress)?;
    let (mut rows, mut lines, mut outcome) = (Vec::new(), Vec::new(), Outcome::Done);
    for name in names {
        match app.visit(&name) {
            Ok(desk) => {
                let entries = desk.tenant.log().size();
                lines.push(format!("{name}: {entries} entries, in step with the key store"));
                rows.push(json!({ "tenant": name, "entries": entries, "opens": true }));
            }
            Err(AppError::Store(error)) if is_older(&error) && command.accept_loss => {
                let (row, text) = accept(app, &name)?;
                lines.push(text);
                rows.push(row);
            }
            Err(error) => {
                outcome = Outcome::Found;
                lines.push(format!("{name}: its files are back, and it does not open: {error}"));
                rows.push(json!({ "tenant": name, "opens": false, "why": error.to_string() }));
            }
        }
    }
    console.answer(&json!({ "tenants": rows }), lines.join("\n"));
    Ok(outcome)
}

fn check(
    app: &App,
    from: &Path,
    identities: &Identities,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let progress = |done, total| console.progress(done, total);
    let (made_at, tenants) = backup::check(app, from, identities, &progress)?;
    let text = format!(
        "{}: {} tenants, made {made_at}; every archive opens, and each ledger can be read.",
        from.display(),
        tenants.len()
    );
    let rows = tenants.iter().map(|(name, entries)| json!({ "tenant": name, "entries": entries }));
    let rows: Vec<_> = rows.collect();
    console.answer(&json!({ "made_at": made_at, "verified": true, "tenants": rows }), text);
    Ok(Outcome::Done)
}

fn is_older(error: &StoreError) -> bool {
    if let StoreError::Tenant(_, error) = error {
        return is_older(error);
    }
    matches!(error, StoreError::Behind { .. } | StoreError::Forked(_))
}

/// Takes up what is older than what was promised, and nothing else: a new origin makes every checkpoint and
/// receipt of before one of another log.
fn take_up(app: &App, name: &str) -> Result<(serde_json::Value, String), CliError> {
    match app.visit(name) {
        Err(AppError::Store(error)) if is_older(&error) => accept(app, name),
        Err(error) => Err(error.into()),
        Ok(desk) => match desk.tenant.access() {
            Err(error) if is_older(&error) => {
                let (entries, reached) = desk.tenant.accept_access_loss()?;
                let text = format!(
                    "{name}: of the ledger of who read what {entries} entries are left of {reached}; all else is \
                     as it was"
                );
                Ok((
                    json!({ "tenant": name, "access_entries": entries, "lost_size": reached }),
                    text,
                ))
            }
            Err(error) => Err(error.into()),
            Ok(_) => Err(CliError::Usage(format!(
                "the ledger of {name} is the one that was promised: there is no loss to accept, and nothing \
                 was changed. To bring it back from a backup, move what is there away and name --from FOLDER \
                 and --identity FILE"
            ))),
        },
    }
}

fn accept(app: &App, name: &str) -> Result<(serde_json::Value, String), CliError> {
    let loss: store::Loss = app.store.accept_loss(name)?;
    let row = json!({
        "tenant": name,
        "entries": loss.size,
        "lost_size": loss.lost_size,
        "fences_set_again": loss.fences,
        "origin": loss.origin,
    });
    let text = format!(
        "The older copy of {name} with {} entries is taken up as origin {}.\n\
         The ledger had {} entries when the key store was last told; what came after the copy is \
         lost, and entry {} says so.\n{} fences were set again: the erased stay erased.",
        loss.size, loss.origin, loss.lost_size, loss.size, loss.fences,
    );
    Ok((row, text))
}

/// Makes a key store of its archive, where there is none: before anything can be opened.
pub(super) fn restore_keys(
    place: &Place,
    from: &Path,
    identity: &Path,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let keys = place.keys();
    if keys.exists() {
        return Err(CliError::Usage(format!(
            "there is a key store in {}; none is written over",
            keys.display()
        )));
    }
    let packed = backup::keys_in(from, &Identities::read(identity)?)?;
    KeyStore::unpack(&keys, &packed).map_err(StoreError::from).map_err(BackupError::from)?;
    console.answer(
        &json!({ "keys": keys.display().to_string() }),
        format_args!(
            "{}: the key store is back as it was then. Who was erased since is not known to it: put \
             the newest copies of the ledgers beside it.",
            keys.display()
        ),
    );
    Ok(Outcome::Done)
}
