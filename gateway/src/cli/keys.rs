//! `keys`: rotating what everything is sealed under, and how far erasures have come in backups.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::ledger::LogKeyRotated;
use eventstore::keyring::provider::hsm::HsmPlace;
use eventstore::keyring::provider::kms::KmsPlace;
use eventstore::keyring::provider::{Epoch, EpochInfo, KeyStore, Provider, TenantId, VaultPlace};
use eventstore::store::rotation::Reach;
use eventstore::{StoreError, Tenant};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::console::Console;
use super::{CliError, Outcome};
use crate::app::{App, AppError};
use crate::clock;
use crate::config::{Keys, Place};
use crate::receipt::{self, NotConfirmed};
use crate::rotation::{self, days};

pub(super) fn run(
    app: &Arc<App>,
    command: &Keys,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    match command {
        Keys::Rotate { window } => rotate(app, days(*window), console),
        Keys::RotateLog { tenant: name, forget_former } => {
            rotate_log(&*tenant(app, name)?, *forget_former, console)
        }
        Keys::Status { window } => status(app, days(*window), console),
        Keys::Confirm { tenant, receipt, to, window } => {
            confirm(app, tenant, (receipt, to), days(*window), console)
        }
        // Done before anything is opened.
        Keys::Restore { .. } | Keys::Hsm { .. } | Keys::Kms { .. } => {
            Err(CliError::Usage("there is a key store".to_owned()))
        }
    }
}

/// Exchanges the key that a log is signed with, or ends that of the one before.
fn rotate_log(tenant: &Tenant, forget: bool, console: &mut Console) -> Result<Outcome, CliError> {
    if forget {
        tenant.ledger.forget_log_key().map_err(AppError::from)?;
        let text = "The log is signed by its present key alone.";
        console.answer(&json!({ "tenant": tenant.name(), "former": null }), text);
        return Ok(Outcome::Done);
    }
    let rotated = tenant.ledger.rotate_log_key().map_err(AppError::from)?;
    let LogKeyRotated { former, vkey } = &rotated;
    let text = format!(
        "The log is signed by {vkey}\nand until `keys rotate-log --forget-former` also by {former}"
    );
    let answer = json!({ "tenant": tenant.name(), "vkey": vkey, "former": former });
    console.answer(&answer, text);
    Ok(Outcome::Done)
}

/// Signs a second receipt; answers like a check, where it is too early.
fn confirm(
    app: &App,
    name: &str,
    (first, to): (&Path, &Path),
    window: Duration,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let file = |path: &Path, error| CliError::File(path.display().to_string(), error);
    let text = std::fs::read_to_string(first).map_err(|error| file(first, error))?;
    let tenant = tenant(app, name)?;
    let signed = match receipt::confirm(app, &tenant, &text, window) {
        Ok(signed) => signed,
        Err(NotConfirmed::Store(error)) => return Err(error.into()),
        Err(
            error @ (NotConfirmed::Invalid(_) | NotConfirmed::Foreign | NotConfirmed::NotYet(_)),
        ) => {
            let answer = json!({ "confirmed": false, "reason": error.to_string() });
            console.answer(&answer, format!("Not confirmed: {error}."));
            return Ok(Outcome::Found);
        }
    };
    let mut made = File::create_new(to).map_err(|error| file(to, error))?;
    made.write_all(signed.as_bytes()).map_err(|error| file(to, error))?;
    let answer = json!({ "confirmed": true, "receipt": to.display().to_string() });
    console.answer(&answer, format!("{}: no backup can be opened for it.", to.display()));
    Ok(Outcome::Done)
}

/// Names an HSM in the key store, which a running server sees too.
pub(super) fn entrust_hsm(
    place: &Place,
    (module, token, pin_file): (&Path, &str, &Path),
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| CliError::File(path.display().to_string(), error))
    };
    let hsm = HsmPlace {
        module: absolute(module)?,
        token: token.to_owned(),
        pin_file: absolute(pin_file)?,
        name: new_name(),
    };
    entrust(place, VaultPlace::Hsm(hsm), &format!("in the token {token}"), console)
}

/// Names a key service in the key store.
pub(super) fn entrust_kms(
    place: &Place,
    region: &str,
    endpoint: Option<&str>,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let (region, endpoint) = (region.to_owned(), endpoint.map(str::to_owned));
    let told = format!("by the key service in {region}");
    let kms = KmsPlace { region, endpoint, name: new_name() };
    entrust(place, VaultPlace::Kms(kms), &told, console)
}

/// What this store's keys are to be called there.
fn new_name() -> String {
    domain::ids::hex_digits(&clock::system().random::<8>()).collect()
}

fn entrust(
    place: &Place,
    vault: VaultPlace,
    told: &str,
    console: &mut Console,
) -> Result<Outcome, CliError> {
    let keys = place.keys();
    if !keys.exists() && place.data.exists() {
        // A new store would open nothing of what is there.
        return Err(CliError::Usage(format!(
            "there is data in {} and no key store in {}; put it back first, or name where it is \
             with --keys",
            place.data.display(),
            keys.display()
        )));
    }
    let store = KeyStore::entrust(&keys, vault, &clock::system()).map_err(StoreError::from)?;
    let epoch = store.current().map_err(StoreError::from)?;
    let text = format!(
        "{}: epoch keys are made {told} from now on; the key of epoch {} is where it was made.\n\
         Run `tidbok keys rotate` to have one made there now. Where those keys are lost, everybody \
         is: keep them as their keeper says.",
        keys.display(),
        epoch.0
    );
    let shown = json!({ "keys": keys.display().to_string(), "made": told, "epoch": epoch.0 });
    console.answer(&shown, text);
    Ok(Outcome::Done)
}

fn tenant(app: &App, name: &str) -> Result<Arc<Tenant>, CliError> {
    Ok(Arc::clone(&app.visit(name)?.tenant))
}

fn rotate(app: &App, window: Duration, console: &mut Console) -> Result<Outcome, CliError> {
    let progress = |done, total| console.progress(done, total);
    let rotation = rotation::rotate(app, window, &progress)?;
    let ended: Vec<u32> = rotation.ended.iter().map(|epoch| epoch.0).collect();
    let mut lines = vec![format!("Everything hangs on the key of epoch {}.", rotation.epoch.0)];
    let tenants = rotation.tenants.iter().map(|(name, done)| {
        lines.push(format!(
            "{name}: {} keys of {} persons, {} replaced, {} lookups",
            done.keys, done.persons, done.replaced, done.lookups
        ));
        json!({
            "tenant": name,
            "persons": done.persons,
            "keys": done.keys,
            "replaced": done.replaced,
            "lookups": done.lookups,
        })
    });
    let tenants: Vec<Value> = tenants.collect();
    lines.extend(ended.iter().map(|epoch| {
        format!("The key of epoch {epoch} is destroyed: no backup from then can be opened.")
    }));
    lines.extend(of_others(&rotation.others));
    let answer = json!({
        "epoch": rotation.epoch.0,
        "tenants": tenants,
        "destroyed": ended,
        "tenants_elsewhere": rotation.others.len(),
    });
    console.answer(&answer, lines.join("\n"));
    Ok(Outcome::Done)
}

fn status(app: &App, window: Duration, console: &mut Console) -> Result<Outcome, CliError> {
    let (epochs, others) = (app.store.epochs(window)?, app.store.others()?);
    let mut lines = Vec::new();
    let mut shown = Vec::new();
    let current = epochs.last().map(|(info, _)| info.epoch);
    for (info, ends_at) in &epochs {
        let state = state(info, *ends_at, (current, others.is_empty()));
        let made = info.made_at.map_or_else(|| "at first".to_owned(), |at| at.to_string());
        lines.push(format!("epoch {}: made {made}, {state}", info.epoch.0));
        shown.push(json!({
            "epoch": info.epoch.0,
            "made_at": info.made_at,
            "ends_at": ends_at,
            "destroyed_at": info.destroyed_at,
            "lingering_days": info.lingering_days,
        }));
    }
    let oldest = epochs.iter().find(|(info, _)| info.destroyed_at.is_none());
    let oldest = oldest.and_then(|(info, _)| info.made_at);
    if let Some(at) = oldest {
        lines.push(format!("Backups made since {at} can be opened, none older."));
    }
    lines.extend(of_others(&others));
    let newest = app.store.newest_backup();
    let verified = app.store.newest_verified();
    lines.push(backups(newest, verified, app.env.clock.now(), window));
    let mut tenants = Vec::new();
    for name in app.store.tenants()? {
        let reach = app.store.reach(tenant(app, &name)?.as_ref(), window)?;
        lines.push(erasures(&name, &reach, others.is_empty()));
        let erasures = reach.iter().map(|reach| {
            json!({
                "fence": reach.fence.0,
                "erased_at": reach.erased_at,
                "out_of_reach_at": reach.out_of_reach_at,
                "out_of_reach": reach.out_of_reach,
            })
        });
        tenants.push(json!({ "tenant": name, "erasures": erasures.collect::<Vec<_>>() }));
    }
    let answer = json!({
        "epochs": shown,
        "oldest_backup": oldest,
        "newest_backup": newest,
        "newest_verified_backup": verified,
        "tenants_elsewhere": others.len(),
        "tenants": tenants,
    });
    console.answer(&answer, lines.join("\n"));
    Ok(Outcome::Done)
}

/// Why no epoch key ends, where it is so.
pub(super) fn of_others(others: &[TenantId]) -> Option<String> {
    let first = others.first()?;
    Some(format!(
        "No epoch key ends: the key store also has tenants that are not in use here ({}, the first is \
         {first}). Backups go on opening who was erased, until all are in one place.",
        others.len()
    ))
}

/// How far the erasures of a tenant have come in backups.
fn erasures(name: &str, reach: &[Reach], ends: bool) -> String {
    let waiting = || reach.iter().filter(|reach| !reach.out_of_reach);
    let unset = waiting().any(|reach| reach.out_of_reach_at.is_none());
    let within = format!("{name}: {} erasures, {} within reach", reach.len(), waiting().count());
    match waiting().filter_map(|reach| reach.out_of_reach_at).max() {
        _ if waiting().next().is_none() => {
            format!("{name}: {} erasures, all out of reach of backups", reach.len())
        }
        _ if !ends => format!("{within} of backups, and no day on which this ends"),
        Some(last) if !unset => format!("{within} of backups until {last}"),
        Some(_) | None => format!("{within} of backups; rotate, so that this ends"),
    }
}

/// How it stands with an epoch's key.
fn state(
    info: &EpochInfo,
    ends_at: Option<Timestamp>,
    (current, ends): (Option<Epoch>, bool),
) -> String {
    match (info.destroyed_at, ends_at) {
        (Some(at), _) if info.lingering_days > 0 => {
            let gone = at.checked_add(info.lingers()).unwrap_or(at);
            format!("destroyed {at}; its keeper can call it back until {gone}")
        }
        (Some(at), _) => format!("destroyed {at}"),
        (None, Some(at)) => format!("kept for backups until {at}"),
        (None, None) if current == Some(info.epoch) && info.is_finished() => "current".to_owned(),
        (None, None) if !ends => "kept, for tenants elsewhere may need it".to_owned(),
        (None, None) => "in use; a rotation is to be gone on with".to_owned(),
    }
}

/// How old the newest backup is, and the newest that was seen to be whole: by half the window there
/// should be another, so that there is one when the oldest ends.
fn backups(
    newest: Option<Timestamp>,
    verified: Option<Timestamp>,
    now: Timestamp,
    window: Duration,
) -> String {
    let Some(at) = newest else {
        return "No backup was made with `tidbok backup` yet.".to_owned();
    };
    let is_old = |at| Duration::try_from(now.duration_since(at)).is_ok_and(|age| age > window / 2);
    let late = if is_old(at) { ", which is long ago: make another" } else { "" };
    let seen = match verified {
        Some(at) if is_old(at) => format!("the newest that was checked is of {at}: check one"),
        Some(at) => format!("the newest that was checked is of {at}"),
        None => "none was checked yet (`tidbok restore --check`)".to_owned(),
    };
    format!("The newest backup was made {at}{late}; {seen}.")
}
