//! Receipts of erasures: what went, what stays and why, and from when no backup opens it; signed by
//! the tenant's log key, with the proof that the fence stands in the log.
//!
//! A receipt is checked with nothing but itself. It names its client by the opaque id that nobody
//! can link to anything any more, for whoever it was given to knows whose it is.

pub mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Event, Position, RetentionClass};
use eventstore::ledger::codec;
use eventstore::proof::checkpoint::{Checkpoint, Origin};
use eventstore::proof::inclusion;
use eventstore::proof::nodes::{self, Nodes, Tree};
use eventstore::proof::note::{NoteError, Verifier};
use eventstore::proof::receipt::{Receipt as EntryProof, ReceiptError};
use eventstore::{IdKind, PersonId, StoreError, Tenant};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::App;

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
    let kept = years.into_iter().map(|(year, fields)| Kept {
        class: class.name().to_owned(),
        fields,
        ground: "bookkeeping".to_owned(),
        until: format!("{}-12-31", class.kept_through(year).unwrap_or(year)),
    });
    Ok(kept.collect())
}

/// Signs the receipt of an erasure that is through.
///
/// # Errors
/// Where the ledger or its keys cannot be read.
pub fn sign(
    app: &App,
    tenant: &Tenant,
    person: PersonId,
    (fence, kept): (Position, Vec<Kept>),
    window: Duration,
) -> Result<String, StoreError> {
    let log = tenant.log();
    let head = log.head()?;
    let signer = tenant.keyring().signer(&Origin::of(&head))?;
    let broken = || StoreError::Io(std::io::ErrorKind::InvalidData.into());
    let entry = log.entry(fence)?.ok_or_else(broken)?;
    let decoded = codec::decode(&entry.bytes).map_err(|_| broken())?.recorded;
    let Event::PersonErased(erased) = decoded.event else { return Err(broken()) };
    let reach = app.store.reach(tenant, window)?;
    let reach = reach.into_iter().find(|reach| reach.fence == fence);
    // A server looks now and then whether an epoch is over: the promise has a day to spare.
    let due = reach.and_then(|reach| reach.out_of_reach_at?.checked_add(DAY).ok());
    let statement = Statement {
        backups: Backups { kept_days: window.as_secs() / (24 * 3600), out_of_reach_at: due },
        client: tenant.ids().show(IdKind::Client, person.0),
        destroyed: erased.classes.iter().map(|class| class.name().to_owned()).collect(),
        erased_at: decoded.recorded_at,
        fence: fence.0,
        format: FORMAT.to_owned(),
        kept,
        log: signer.verifier().name().to_owned(),
        seals_ended: erased.ended,
        signed_at: app.env.clock.now(),
        tenant: tenant.name().to_owned(),
    };
    let size = head.frontier.size();
    let mut nodes = Nodes::default();
    nodes.follow(log, size)?;
    let leaves = |from, count| nodes::leaves(log, from, count);
    let path = inclusion::prove(&Tree { nodes: &nodes, leaves: &leaves }, fence.0, size)?;
    let checkpoint = Checkpoint::of(&head).signed(&signer);
    let proof = EntryProof { index: fence.0, entry: entry.bytes, path, checkpoint }.write();
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
