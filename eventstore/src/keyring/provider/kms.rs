//! Epoch keys in a key service over the network, AWS KMS or one that speaks its protocol: made there,
//! never given out, and tenants' keys are encrypted and decrypted by it.
//!
//! Each epoch has a key of the service's own, whose id is noted in the key store. What the service
//! encrypts is bound to the store and the epoch, so that it decrypts nothing in another's place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::Tag;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use zeroize::{Zeroize, Zeroizing};

use super::store::{append_lines, read_lines};
use super::vault::{Vault, VaultPlace};
use super::{Epoch, ProviderError};
use crate::keyring::key::Key;
use crate::wait::wait;

/// The least that the service lets pass before a key that is to be deleted is gone.
const LINGERING_DAYS: i32 = 7;
/// How long the service has to answer, with what is tried again in between.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long one attempt has.
const ATTEMPT: Duration = Duration::from_secs(3);
const KEYS: &str = "kms-keys.jsonl";

/// Where the service is, and what this store's keys are called there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmsPlace {
    pub region: String,
    /// Where it is not AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Random: part of what binds a wrapped key to this store.
    pub name: String,
}

/// A line of the record of keys.
#[derive(Clone, Serialize, Deserialize)]
struct KeyLine {
    epoch: u32,
    id: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

/// The keys of one store in a service.
pub(super) struct Kms {
    place: KmsPlace,
    record: PathBuf,
    open: Mutex<Option<Open>>,
}

/// A client with the threads that it works on.
struct Open {
    runtime: Option<Runtime>,
    client: Client,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Kms {
    pub(super) fn new(place: KmsPlace, folder: &Path) -> Self {
        Self { place, record: folder.join(KEYS), open: Mutex::new(None) }
    }

    /// The service's own ids of the keys that are there.
    fn ids(&self) -> Result<BTreeMap<Epoch, String>, ProviderError> {
        let mut ids = BTreeMap::new();
        for line in read_lines::<KeyLine>(&self.record)? {
            match line.deleted {
                true => ids.remove(&Epoch(line.epoch)),
                false => ids.insert(Epoch(line.epoch), line.id),
            };
        }
        Ok(ids)
    }

    fn id(&self, epoch: Epoch) -> Result<String, ProviderError> {
        self.ids()?.remove(&epoch).ok_or(ProviderError::NoEpoch(epoch))
    }

    /// Asks the service something, on threads of its own.
    fn ask<T, E, F>(&self, question: impl FnOnce(Client) -> F) -> Result<T, Asked>
    where
        T: Send + 'static,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E>>> + Send + 'static,
    {
        let answer = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let open = match &mut *open {
                Some(open) => open,
                none => none.insert(Open::to(&self.place)?),
            };
            let runtime = open.runtime.as_ref().ok_or(Asked::Stopped)?;
            runtime.spawn(question(open.client.clone()))
        };
        wait(answer).map_err(|_| Asked::Stopped)?.map_err(|error| {
            let code = error.code().unwrap_or_default().to_owned();
            Asked::Answer(code, told(&error))
        })
    }

    /// What a wrapped key is bound to.
    fn context(&self, epoch: Epoch) -> [(String, String); 2] {
        [("tidbok".to_owned(), self.place.name.clone()), ("epoch".to_owned(), epoch.0.to_string())]
    }
}

/// What an error says, and what lies under it, without the bodies of requests.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut told: Vec<String> = causes.map(ToString::to_string).collect();
    told.dedup();
    told.join(": ")
}

/// Why the service did not do something.
enum Asked {
    Threads(std::io::Error),
    Stopped,
    /// By its code, with all that is known.
    Answer(String, String),
}

impl Asked {
    fn unusable(self) -> ProviderError {
        ProviderError::Kms(match self {
            Self::Threads(error) => error.to_string(),
            Self::Stopped => "the program is being stopped".to_owned(),
            Self::Answer(_, told) => told,
        })
    }

    /// What it means of one key.
    fn of(self, epoch: Epoch) -> ProviderError {
        match &self {
            Self::Answer(code, _) => match code.as_str() {
                "NotFoundException" | "KMSInvalidStateException" => ProviderError::NoEpoch(epoch),
                "InvalidCiphertextException" | "IncorrectKeyException" => ProviderError::WrongStore,
                _ => self.unusable(),
            },
            Self::Threads(_) | Self::Stopped => self.unusable(),
        }
    }
}

impl Open {
    fn to(place: &KmsPlace) -> Result<Self, Asked> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tidbok-kms")
            .enable_all()
            .build()
            .map_err(Asked::Threads)?;
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(PATIENCE)
            .operation_attempt_timeout(ATTEMPT)
            .connect_timeout(ATTEMPT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(place.region.clone()))
            .timeout_config(timeouts);
        if let Some(endpoint) = &place.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = wait(runtime.spawn(loader.load())).map_err(|_| Asked::Stopped)?;
        Ok(Self { runtime: Some(runtime), client: Client::new(&config) })
    }
}

impl Vault for Kms {
    fn kept(&self) -> Result<BTreeSet<Epoch>, ProviderError> {
        let ids = self.ids()?;
        let newest = ids.last_key_value().map(|(_, id)| id.clone());
        // Without a key of its own it is asked all the same, whether it can be used.
        let asked = match newest {
            Some(id) => self.ask(|of| async move { of.describe_key().key_id(id).send().await }),
            None => {
                let asked = self.ask(|of| async move { of.list_keys().limit(1).send().await });
                asked.map(|_| ()).map_err(Asked::unusable)?;
                return Ok(BTreeSet::new());
            }
        };
        let described = asked.map_err(Asked::unusable)?;
        if described.key_metadata().is_none_or(|key| !key.enabled()) {
            return Err(ProviderError::Kms("the newest key is disabled there".to_owned()));
        }
        Ok(ids.into_keys().collect())
    }

    fn make(&self, epoch: Epoch) -> Result<(), ProviderError> {
        let told = format!("Tidbok key store {}, epoch {}", self.place.name, epoch.0);
        let mut tags = Vec::new();
        for (key, value) in self.context(epoch) {
            let tag = Tag::builder().tag_key(key).tag_value(value).build();
            tags.push(tag.map_err(|error| ProviderError::Kms(error.to_string()))?);
        }
        let made = self.ask(|of| async move {
            of.create_key().description(told).set_tags(Some(tags)).send().await
        });
        let made = made.map_err(Asked::unusable)?;
        let id = made.key_metadata().map(|key| key.key_id().to_owned());
        let none = || ProviderError::Kms("it made a key without an id".to_owned());
        let line = KeyLine { epoch: epoch.0, id: id.ok_or_else(none)?, deleted: false };
        Ok(append_lines(&self.record, &[line])?)
    }

    fn destroy(&self, epoch: Epoch) -> Result<bool, ProviderError> {
        let Some(id) = self.ids()?.remove(&epoch) else { return Ok(false) };
        let of_it = id.clone();
        let asked = self.ask(|of| async move {
            let deletion = of.schedule_key_deletion().key_id(of_it);
            deletion.pending_window_in_days(LINGERING_DAYS).send().await
        });
        match asked.map(drop).map_err(|asked| asked.of(epoch)) {
            // It was before: the answer, or the note of it, was lost.
            Ok(()) | Err(ProviderError::NoEpoch(_)) => (),
            Err(error) => return Err(error),
        }
        append_lines(&self.record, &[KeyLine { epoch: epoch.0, id, deleted: true }])?;
        Ok(true)
    }

    fn wrap(&self, epoch: Epoch, key: &Key) -> Result<Vec<u8>, ProviderError> {
        let (id, context) = (self.id(epoch)?, self.context(epoch).into());
        let plain = Blob::new(key.expose().to_vec());
        let asked = self.ask(|of| async move {
            let encrypt = of.encrypt().key_id(id).plaintext(plain);
            encrypt.set_encryption_context(Some(context)).send().await
        });
        let wrapped = asked.map_err(|asked| asked.of(epoch))?.ciphertext_blob;
        let none = || ProviderError::Kms("it answered without what it encrypted".to_owned());
        Ok(wrapped.ok_or_else(none)?.into_inner())
    }

    fn unwrap(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, ProviderError> {
        let (id, context) = (self.id(epoch)?, self.context(epoch).into());
        let wrapped = Blob::new(wrapped);
        let asked = self.ask(|of| async move {
            let decrypt = of.decrypt().key_id(id).ciphertext_blob(wrapped);
            decrypt.set_encryption_context(Some(context)).send().await
        });
        let plain = asked.map_err(|asked| asked.of(epoch))?.plaintext;
        let mut plain = plain.map(Blob::into_inner).unwrap_or_default();
        let mut bytes = Zeroizing::new([0; 32]);
        let fits = plain.len() == bytes.len();
        if fits {
            bytes.copy_from_slice(&plain);
        }
        plain.zeroize();
        if fits { Ok(Key::from_bytes(bytes)) } else { Err(ProviderError::WrongStore) }
    }

    fn lacks_the_newest(&self) -> ProviderError {
        ProviderError::Kms("the key store has no note of the newest key there".to_owned())
    }

    fn lingering_days(&self) -> u32 {
        LINGERING_DAYS.unsigned_abs()
    }

    fn place(&self) -> VaultPlace {
        VaultPlace::Kms(self.place.clone())
    }
}
