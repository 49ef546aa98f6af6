//! Receipts of erasures: what went, what stays and why, and from when no backup opens it; signed by
//! the tenant's log key, with the proof that the fence stands in the log.
//!
//! A receipt is checked with nothing but itself. It names its client by the opaque id that nobody
//! can link to anything any more, for whoever it was given to knows whose it is.

pub mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::person::Erased;
use domain::{Event, Position, RetentionClass};
use eventstore::engine::{KeyRow, Notices};
use eventstore::keyring::KeyError;
use eventstore::keyring::log_key::verifiers;
use eventstore::ledger::codec;
use eventstore::ledger::log::ReadError;
use eventstore::proof::checkpoint::Origin;
use eventstore::proof::note::{NoteError, Signer, Verifier};
use eventstore::proof::receipt::{ProveError, Receipt as EntryProof, ReceiptError, path};
use eventstore::proof::witness::{Unwitnessed, Witness, signed_by};
use eventstore::tree::Hash;
use eventstore::{PersonId, StoreError, Tenant};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::desk::Desk;
use crate::{recipients, witnesses};

/// The first words of every receipt's text.
const FORMAT: &str = "tidbok erasure receipt 1";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub backups: Backups,
    pub client: String,
    /// The classes of which everything was destroyed.
    pub destroyed: Vec<String>,
    pub erased_at: Timestamp,
    pub fence: u64,
    pub format: String,
    /// What stays, linked to nobody.
    pub kept: Vec<Kept>,
    /// The log in which the fence stands.
    pub log: String,
    /// Who else had been given something of it, and when they have said that they know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<Told>,
    pub seals_ended: u64,
    pub signed_at: Timestamp,
    pub tenant: String,
}

/// How it stands with copies from before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backups {
    pub kept_days: u64,
    /// From when on no copy opens anything of it, at the latest; none before the next rotation has
    /// set it.
    pub out_of_reach_at: Option<Timestamp>,
    /// Whether that is so: the key under which copies from before open is destroyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_reach: bool,
}

/// Something that the law has kept for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub class: String,
    pub fields: u64,
    pub ground: String,
    /// The last day.
    pub until: String,
}

/// Somebody who had been given data, and was told of the erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When they acknowledged it; none while they have not.
    pub acknowledged_at: Option<Timestamp>,
    pub name: String,
}

/// What is left of an erasure elsewhere than in the ledger.
pub struct Left {
    pub kept: Vec<Kept>,
    pub recipients: Vec<Told>,
}

/// A receipt as a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct File {
    /// The statement as it was signed: a C2SP signed note over its JSON.
    signed: String,
    /// The same, to be read.
    statement: Statement,
    /// That the fence stands in the log: a C2SP tlog-proof.
    proof: String,
    /// The key it is signed with. Compare it with one from a source of your own.
    vkey: String,
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    #[error("this is no receipt of an erasure")]
    Malformed(#[from] serde_json::Error),
    #[error("its signature is not good: {0}")]
    Note(#[from] NoteError),
    #[error("what is to be read in it is not what was signed")]
    Differs,
    #[error("it is of another kind or version")]
    Format,
    #[error("its proof is not good: {0}")]
    Proof(#[from] ReceiptError),
    #[error("the entry that it proves is not the erasure that it speaks of")]
    Entry,
    #[error(transparent)]
    Unwitnessed(#[from] Unwitnessed),
}

/// Why a second receipt is not signed.
#[derive(Debug, thiserror::Error)]
pub enum NotConfirmed {
    #[error("{0}")]
    Invalid(#[from] Invalid),
    #[error("it is the receipt of another tenant, or of an erasure that this ledger does not have")]
    Foreign,
    #[error(
        "copies from before the erasure can still be opened{}; ask again after the next rotation's \
         window", .0.map(|at| format!(", until {at}")).unwrap_or_default()
    )]
    NotYet(Option<Timestamp>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a person's erasure will leave for the law, to be asked before it.
///
/// # Errors
/// Where the keyring cannot be read.
pub fn kept(tenant: &Tenant, person: PersonId) -> Result<Vec<Kept>, StoreError> {
    let mut years: BTreeMap<i16, u64> = BTreeMap::new();
    let reader = tenant.log().reader();
    for handle in tenant.keyring().handles_of(person)? {
        let row = reader.data_key_row(handle, RetentionClass::Accounting)?;
        let kept = row.filter(|row| row.wrapped.is_some()).and_then(|row| row.year);
        if let Some(year) = kept {
            *years.entry(year).or_default() += 1;
        }
    }
    let class = RetentionClass::Accounting;
    let mut kept = Vec::new();
    for (year, fields) in years {
        // What hangs on a year that has ended opens no more.
        if reader.wrapped(KeyRow::Period(class, year))?.is_some() {
            kept.push(Kept {
                class: class.name().to_owned(),
                fields,
                ground: "bookkeeping".to_owned(),
                until: format!("{}-12-31", class.kept_through(year).unwrap_or(year)),
            });
        }
    }
    Ok(kept)
}

/// Who is told of the erasure whose fence stands at a position, and who knows by now.
///
/// # Errors
/// Where the ledger or its keyring cannot be read.
pub fn told(tenant: &Tenant, fence: Position) -> Result<Vec<Told>, StoreError> {
    let notices = tenant.notices(Notices::Of(fence))?;
    let recipients = if notices.is_empty() {
        BTreeMap::new()
    } else {
        recipients::of(tenant).map_err(KeyError::from)?
    };
    let told = notices.into_iter().map(|notice| {
        let known = recipients.get(&notice.recipient);
        Told {
            acknowledged_at: notice.acknowledged_at.and_then(|at| Timestamp::from_second(at).ok()),
            name: known.map_or(notice.recipient, |recipient| recipient.name.clone()),
        }
    });
    Ok(told.collect())
}

/// Signs the receipt of an erasure that is through.
///
/// # Errors
/// Where the ledger or its keys cannot be read.
pub fn sign(
    app: &App,
    desk: &Desk,
    client: String,
    (fence, left): (Position, Left),
    window: Duration,
) -> Result<String, StoreError> {
    let tenant = &desk.tenant;
    let erased = erasure_at(tenant, fence)?.ok_or_else(broken)?;
    let (erased_at, erased) = erased;
    let reach = app.store.reach(tenant, window)?;
    let reach = reach.into_iter().find(|reach| reach.fence == fence);
    // A server looks now and then whether an epoch is over: the promise has a day to spare.
    let due = reach.and_then(|reach| reach.out_of_reach_at?.checked_add(DAY).ok());
    let statement = Statement {
        backups: Backups {
            kept_days: window.as_secs() / (24 * 3600),
            out_of_reach_at: due,
            out_of_reach: false,
        },
        client,
        destroyed: erased.classes.iter().map(|class| class.name().to_owned()).collect(),
        erased_at,
        fence: fence.0,
        format: FORMAT.to_owned(),
        kept: left.kept,
        log: signer(tenant)?.verifier().name().to_owned(),
        recipients: left.recipients,
        seals_ended: erased.ended,
        signed_at: app.env.clock.now(),
        tenant: tenant.name().to_owned(),
    };
    // From the tree that is at hand: else each receipt would read the whole log.
    write(tenant, statement, |fence, size| desk.inclusion(fence, size))
}

/// Signs that an erasure is out of reach of every copy, by its first receipt: the epoch in which it
/// happened is over, and its key destroyed.
///
/// # Errors
/// Where the first receipt does not hold or is not of this ledger, the key is still there, or the
/// ledger or its keys cannot be read.
pub fn confirm(
    app: &App,
    tenant: &Tenant,
    first: &str,
    window: Duration,
) -> Result<String, NotConfirmed> {
    let keys = verifiers(tenant.log(), signer(tenant)?.verifier()).map_err(StoreError::from)?;
    // It may be older than the key that signs now.
    let by_former = || keys.iter().skip(1).find_map(|key| check(first, Some(key)).ok());
    let present = keys.first();
    let (statement, _) = check(first, present).or_else(|error| by_former().ok_or(error))?;
    let fence = Position(statement.fence);
    let stands = erasure_at(tenant, fence)?.is_some_and(|(at, _)| at == statement.erased_at);
    if !stands || statement.tenant != tenant.name() {
        return Err(NotConfirmed::Foreign);
    }
    let reach = app.store.reach(tenant, window)?;
    let reach = reach.into_iter().find(|reach| reach.fence == fence);
    let reach = reach.ok_or(NotConfirmed::Foreign)?;
    if !reach.out_of_reach {
        return Err(NotConfirmed::NotYet(reach.out_of_reach_at));
    }
    let recipients = told(tenant, fence)?;
    let out_of_reach_at = reach.out_of_reach_at;
    let backups = Backups { out_of_reach_at, out_of_reach: true, ..statement.backups };
    let signed_at = app.env.clock.now();
    let statement = Statement { backups, recipients, signed_at, ..statement };
    Ok(write(tenant, statement, |fence, size| path(tenant.log(), fence, size))?)
}

fn broken() -> StoreError {
    StoreError::Io(std::io::ErrorKind::InvalidData.into())
}

fn signer(tenant: &Tenant) -> Result<Signer, StoreError> {
    Ok(tenant.keyring().signer(&Origin::of(&tenant.log().head()?))?)
}

/// The erasure whose fence stands at a position, and when it was.
fn erasure_at(tenant: &Tenant, fence: Position) -> Result<Option<(Timestamp, Erased)>, StoreError> {
    let Some(entry) = tenant.log().entry(fence)? else { return Ok(None) };
    let recorded = codec::decode(&entry.bytes).map_err(|_| broken())?.recorded;
    let Event::PersonErased(erased) = recorded.event else { return Ok(None) };
    Ok(Some((recorded.recorded_at, erased)))
}

/// A statement as a file: signed, with the proof that its fence stands in the log as it is now.
fn write(
    tenant: &Tenant,
    statement: Statement,
    path: impl Fn(u64, u64) -> Result<Vec<Hash>, ReadError>,
) -> Result<String, StoreError> {
    let signer = signer(tenant)?;
    let witnessed = witnesses::kept(tenant.folder());
    let prove =
        |witnessed| EntryProof::of(tenant.log(), statement.fence, &signer, witnessed, &path);
    let proof = match prove(witnessed.as_deref()) {
        // Who was erased is to have a receipt all the same: what the log itself says.
        Err(error @ ProveError::Contradicted(_)) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a receipt is without the signatures of witnesses"
            );
            prove(None)
        }
        proof => proof,
    };
    let proof = proof.map_err(|error| match error {
        ProveError::Read(error) => StoreError::from(error),
        ProveError::Contradicted(_) | ProveError::Altered(_) => broken(),
    })?;
    let proof = proof.ok_or_else(broken)?.write();
    let text = serde_json::to_string(&statement).map_err(std::io::Error::from)?;
    let signed = signer.sign(&format!("{text}\n"));
    let file = File { signed, statement, proof, vkey: signer.verifier().to_string() };
    Ok(serde_json::to_string_pretty(&file).map_err(std::io::Error::from)?)
}

/// Checks a receipt with nothing but itself, or against a key from elsewhere; answers what it says
/// and the key that signed it.
///
/// # Errors
/// Where it does not hold.
pub fn check(text: &str, vkey: Option<&Verifier>) -> Result<(Statement, Verifier), Invalid> {
    let file: File = serde_json::from_str(text)?;
    let verifier = match vkey {
        Some(known) => known.clone(),
        None => file.vkey.parse()?,
    };
    let signed = verifier.open(&file.signed)?;
    let statement: Statement = serde_json::from_str(signed)?;
    if statement != file.statement {
        return Err(Invalid::Differs);
    }
    if statement.format != FORMAT {
        return Err(Invalid::Format);
    }
    let proof = EntryProof::read(&file.proof)?;
    proof.check(&verifier)?;
    let recorded = codec::decode(&proof.entry).map_err(|_| Invalid::Entry)?.recorded;
    let Event::PersonErased(erased) = recorded.event else { return Err(Invalid::Entry) };
    let classes = erased.classes.iter().map(|class| class.name().to_owned());
    let same = proof.index == statement.fence
        && recorded.recorded_at == statement.erased_at
        && erased.ended == statement.seals_ended
        && classes.eq(statement.destroyed.iter().cloned());
    if same { Ok((statement, verifier)) } else { Err(Invalid::Entry) }
}

/// Whether so many of these witnesses have signed the checkpoint under which a receipt's fence is proved.
///
/// # Errors
/// Where fewer have, or it is no receipt.
pub fn signed_by_witnesses(text: &str, all: &[Witness], need: usize) -> Result<(), Invalid> {
    let file: File = serde_json::from_str(text)?;
    Ok(signed_by(&EntryProof::read(&file.proof)?.checkpoint, all, need)?)
}
