//! Asking witnesses to sign the logs' checkpoints (C2SP tlog-witness), and what they have signed.
//!
//! Where witnesses are named, a checkpoint is published only once enough of them have signed it: what
//! was published cannot be taken back then, not by the operator either. What they signed lies in a
//! file beside the tenant's read models. Losing it costs nothing: they are asked again.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use eventstore::ledger::log::ReadError;
use eventstore::proof::checkpoint::{Checkpoint, Origin};
use eventstore::proof::witness::{Witness, request};
use eventstore::tree::Hash;
use eventstore::{AppendError, StoreError};
use reqwest::{Client, StatusCode, Url, redirect};

use crate::app::AppError;
use crate::desk::Desk;

/// How long a witness has to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// More is no answer of a witness's.
const LARGEST: usize = 64 * 1024;
/// How often a witness is asked that answers where it is, and the log is looked at again that others
/// have had signed meanwhile.
const TRIES: usize = 4;
/// The file with the newest checkpoint that enough have signed.
pub const FILE: &str = "witnessed";

/// A witness and where it is asked, as `VKEY=URL`; the URL is the one that ends before
/// `/add-checkpoint`.
#[derive(Debug, Clone)]
pub struct NamedWitness {
    pub witness: Witness,
    url: Url,
}

impl FromStr for NamedWitness {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a witness is named as VKEY=https://..., with its key as it gives it out";
        // A key may hold any other letter than those of an address.
        let at = text.find("=http").ok_or(wrong)?;
        let (vkey, url) = (text.get(..at).ok_or(wrong)?, text.get(at + 1..).ok_or(wrong)?);
        let url: Url = format!("{}/add-checkpoint", url.trim_end_matches('/'))
            .parse()
            .map_err(|_| "the witness's address cannot be understood")?;
        let witness = vkey.parse().map_err(|_| "this is no key that a witness signs with")?;
        Ok(Self { witness, url })
    }
}

/// Why a witness has not signed.
#[derive(Debug, thiserror::Error)]
enum WitnessError {
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("it does not know this log: tell it of the log's key, which `/v1/log/vkey` gives out")]
    UnknownLog,
    #[error(
        "it has signed {theirs} entries of this log, and the ledger has {ours}: an older copy was put \
         back, and entries that were published are lost"
    )]
    Ahead { theirs: u64, ours: u64 },
    #[error("it says that this log does not continue what it signed before: history was changed")]
    Fork,
    /// Nothing that it has said.
    #[error("the proof cannot be made that the ledger continues what it signed before")]
    Proof(#[source] Box<dyn Error + Send + Sync>),
    #[error("others have it sign faster than it can be asked here")]
    Overtaken,
    #[error("it answered {0}")]
    Answer(u16),
    #[error("its answer is no signature of its own")]
    Signature,
}

/// How many of these witnesses have to sign: all where it is not said, none where there are none,
/// and otherwise at least one. What is wrong, where it is not possible.
pub(crate) fn quorum(all: &[&Witness], asked: Option<usize>) -> Result<usize, &'static str> {
    let before = |at: usize, one: &Witness| all.iter().take(at).any(|other| other.is(one));
    if all.iter().enumerate().any(|(at, one)| before(at, one)) {
        return Err("names one witness twice, who would count as two");
    }
    let quorum = asked.unwrap_or(all.len());
    match (all.len().min(1)..=all.len()).contains(&quorum) {
        true => Ok(quorum),
        false => Err("asks for a number from 1 to as many as --witness names"),
    }
}

/// All witnesses of a deployment.
#[derive(Default)]
pub struct Witnesses {
    all: Vec<NamedWitness>,
    quorum: usize,
    client: OnceLock<Client>,
}

impl Witnesses {
    /// These witnesses, of whom so many have to sign; all where it is not said.
    ///
    /// # Errors
    /// Where more are to sign than there are, none, or one of them twice.
    pub fn new(all: Vec<NamedWitness>, asked: Option<usize>) -> Result<Self, &'static str> {
        let quorum = quorum(&all.iter().map(|named| &named.witness).collect::<Vec<_>>(), asked)?;
        Ok(Self { all, quorum, client: OnceLock::new() })
    }

    /// Whether checkpoints are published without any.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Has the log's present checkpoint signed, unless it is; whether it is now.
    ///
    /// # Errors
    /// Where the ledger cannot be read. Witnesses that do not sign are logged.
    pub async fn look(&self, desk: &Arc<Desk>) -> Result<bool, AppError> {
        if self.is_empty() {
            return Ok(true);
        }
        for _ in 0..TRIES {
            let here = Arc::clone(desk);
            let present = tokio::task::spawn_blocking(move || present(&here)).await;
            let present = present.map_err(|_| AppendError::Stopped)??;
            if let Some(signed) = self.have_signed(desk, present).await? {
                return Ok(signed);
            }
        }
        // It grows and is signed faster than one can look: soon again.
        Ok(false)
    }

    /// As [`Self::look`], for the log as it was just now; none where it has grown since, and a witness
    /// has signed that for another node: then nothing is known of this one.
    async fn have_signed(
        &self,
        desk: &Arc<Desk>,
        present: Present,
    ) -> Result<Option<bool>, AppError> {
        let Present { note, size, root, before } = present;
        let told = before.as_deref().and_then(Checkpoint::unchecked);
        let have = |note: &str| self.signers(note).len();
        if told.as_ref().is_some_and(|told| told.size == size && told.root == root)
            && before.as_deref().is_some_and(|note| have(note) >= self.quorum)
        {
            return Ok(Some(true));
        }
        let mut lines = String::new();
        for named in &self.all {
            let signed = before.as_deref().is_some_and(|note| named.witness.has_signed(note));
            let old = told.as_ref().filter(|_| signed).map_or(0, |told| told.size);
            match self.ask(named, desk, (old, size), &note).await {
                Ok(line) => lines.push_str(&(line + "\n")),
                Err(WitnessError::Ahead { theirs, .. }) if has_grown(desk, theirs).await? => {
                    return Ok(None);
                }
                Err(error) => {
                    let error = &error as &dyn Error;
                    let (tenant, witness) = (desk.tenant.name(), named.witness.name());
                    tracing::error!(tenant, witness, error, "a witness has not signed");
                }
            }
        }
        let note = note + &lines;
        let enough = have(&note) >= self.quorum;
        if enough {
            keep(desk.tenant.folder(), &note).map_err(StoreError::from)?;
        }
        Ok(Some(enough))
    }

    /// The witnesses that have signed a note.
    fn signers(&self, note: &str) -> Vec<&str> {
        let all = self.all.iter().map(|named| &named.witness);
        all.filter(|witness| witness.has_signed(note)).map(Witness::name).collect()
    }

    /// The checkpoint to be published: the newest that enough have signed; none where there is none
    /// of this log yet.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub fn published(&self, desk: &Desk) -> Result<Option<String>, ReadError> {
        let head = desk.tenant.log().head()?;
        let Some(note) = kept(desk.tenant.folder()) else { return Ok(None) };
        let of_it = Checkpoint::unchecked(&note).is_some_and(|told| {
            told.origin == Origin::of(&head).as_str() && told.size <= head.frontier.size()
        });
        Ok((of_it && self.signers(&note).len() >= self.quorum).then_some(note))
    }

    /// Asks one witness, and again from where it says that it is.
    async fn ask(
        &self,
        named: &NamedWitness,
        desk: &Arc<Desk>,
        (old, size): (u64, u64),
        note: &str,
    ) -> Result<String, WitnessError> {
        let mut from = old;
        for _ in 0..TRIES {
            if from > size {
                return Err(WitnessError::Ahead { theirs: from, ours: size });
            }
            let here = Arc::clone(desk);
            let proof = tokio::task::spawn_blocking(move || here.continuation(from, size)).await;
            let proof = proof.map_err(|error| WitnessError::Proof(error.into()))?;
            let proof = proof.map_err(|error| WitnessError::Proof(error.into()))?;
            let (status, body) = self.send(named, request(from, &proof, note)).await?;
            match status {
                StatusCode::OK => {
                    let text = note.split_once("\n\n").map_or("", |(text, _)| text);
                    let line = named.witness.cosignature(&format!("{text}\n"), &body);
                    return line.map(|(line, _)| line.to_owned()).ok_or(WitnessError::Signature);
                }
                StatusCode::CONFLICT => {
                    let theirs = body.trim().parse().map_err(|_| WitnessError::Answer(409))?;
                    if theirs == from {
                        // It has signed as many entries, and others.
                        let fork = from == size;
                        return Err(if fork {
                            WitnessError::Fork
                        } else {
                            WitnessError::Answer(409)
                        });
                    }
                    from = theirs;
                }
                StatusCode::NOT_FOUND => return Err(WitnessError::UnknownLog),
                StatusCode::UNPROCESSABLE_ENTITY => return Err(WitnessError::Fork),
                other => return Err(WitnessError::Answer(other.as_u16())),
            }
        }
        Err(WitnessError::Overtaken)
    }

    async fn send(
        &self,
        named: &NamedWitness,
        body: String,
    ) -> Result<(StatusCode, String), WitnessError> {
        let failed = |error: reqwest::Error| WitnessError::Unreachable(error.without_url());
        let mut answer = self
            .client()
            .map_err(failed)?
            .post(named.url.clone())
            .header("content-type", "text/plain; charset=utf-8")
            .body(body)
            .send()
            .await
            .map_err(failed)?;
        let (status, mut bytes) = (answer.status(), Vec::new());
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > LARGEST {
                return Err(WitnessError::Signature);
            }
        }
        Ok((status, String::from_utf8(bytes).map_err(|_| WitnessError::Signature)?))
    }

    fn client(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client =
            Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none()).build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// A log as it is, and what was witnessed of it.
struct Present {
    note: String,
    size: u64,
    root: Hash,
    before: Option<String>,
}

/// Whether the log has so many entries by now.
async fn has_grown(desk: &Arc<Desk>, size: u64) -> Result<bool, AppError> {
    let here = Arc::clone(desk);
    let head = tokio::task::spawn_blocking(move || here.tenant.log().head()).await;
    let head = head.map_err(|_| AppendError::Stopped)?.map_err(StoreError::from)?;
    Ok(head.frontier.size() >= size)
}

fn present(desk: &Desk) -> Result<Present, AppError> {
    let tenant = &desk.tenant;
    let head = tenant.log().head().map_err(StoreError::from)?;
    let origin = Origin::of(&head);
    let signer = tenant.keyring().signer(&origin).map_err(StoreError::from)?;
    let of_it = |note: &String| {
        Checkpoint::unchecked(note).is_some_and(|told| told.origin == origin.as_str())
    };
    Ok(Present {
        note: Checkpoint::of(&head).signed(&signer),
        size: head.frontier.size(),
        root: head.frontier.root(),
        before: kept(tenant.folder()).filter(of_it),
    })
}

/// The newest checkpoint that enough have signed, with their signatures.
pub fn kept(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(FILE)).ok()
}

fn keep(folder: &Path, note: &str) -> std::io::Result<()> {
    let beside = folder.join(format!("{FILE}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, folder.join(FILE))
}
