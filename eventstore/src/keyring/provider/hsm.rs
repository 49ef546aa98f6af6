//! Epoch keys in an HSM, through PKCS#11: they are made there, cannot be taken out, and wrap and
//! unwrap tenants' keys where they are (`CKM_AES_KEY_WRAP`, RFC 3394).
//!
//! What is wrapped has the same form as under a key in a file, so a store moves into an HSM with a
//! rotation like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::vault::{Vault, VaultPlace};
use super::{Epoch, ProviderError, files};
use crate::keyring::key::Key;

/// Where an HSM is, and as whom it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HsmPlace {
    /// The PKCS#11 module that its maker gives out.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// A private file with the PIN of the token's user.
    pub pin_file: PathBuf,
    /// What this store's keys are called in the token, which may hold others' too.
    pub name: String,
}

/// A module is initialised once in a process, whoever uses it.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// The keys of one store in a token.
pub(super) struct Hsm {
    place: HsmPlace,
    state: Mutex<State>,
}

enum State {
    New,
    Open(Session),
    /// What the module knows may be old: it is begun anew.
    Stale,
    /// A wrong PIN is tried once: tokens lock themselves.
    Refused,
}

impl Hsm {
    pub(super) fn new(place: HsmPlace) -> Self {
        Self { place, state: Mutex::new(State::New) }
    }

    /// It lacks what it must have. What the module knows may be old: it is begun anew next time.
    fn doubt(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open(_)) {
            *state = State::Stale;
        }
    }

    fn missing(&self, epoch: Epoch) -> ProviderError {
        self.doubt();
        ProviderError::NoEpoch(epoch)
    }

    fn named(&self, epoch: Option<Epoch>) -> Vec<Attribute> {
        let label = format!("tidbok {}", self.place.name);
        let mut named = vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(label.into_bytes()),
        ];
        named.extend(epoch.map(|epoch| Attribute::Id(epoch.0.to_be_bytes().to_vec())));
        named
    }

    fn find(&self, session: &Session, epoch: Epoch) -> Result<Vec<ObjectHandle>, Error> {
        session.find_objects(&self.named(Some(epoch)))
    }

    /// Does something in a session, and once more in a new one where the old one has ended.
    fn with<T>(&self, work: impl Fn(&Session) -> Result<T, Error>) -> Result<T, ProviderError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(session) = &*state
            && let Ok(done) = work(session)
        {
            return Ok(done);
        }
        let anew = match *state {
            State::New => false,
            State::Open(_) | State::Stale => true,
            State::Refused => return Err(ProviderError::Pin(self.place.pin_file.clone())),
        };
        // The old session is closed before a new one signs in.
        *state = State::Stale;
        if anew {
            forget(&self.place.module);
        }
        let session = match self.open() {
            Err(refused @ ProviderError::Pin(_)) => {
                *state = State::Refused;
                return Err(refused);
            }
            opened => opened?,
        };
        let done = work(&session).map_err(|error| unusable(&error));
        if done.is_ok() {
            *state = State::Open(session);
        }
        done
    }

    fn open(&self) -> Result<Session, ProviderError> {
        let pin = self.pin()?;
        let module = module(&self.place.module).map_err(|error| unusable(&error))?;
        let slots = module.get_slots_with_initialized_token().map_err(|error| unusable(&error))?;
        let is_it = |slot: &_| {
            module.get_token_info(*slot).is_ok_and(|info| info.label() == self.place.token)
        };
        let slot = slots.into_iter().find(is_it).ok_or_else(|| {
            ProviderError::Hsm(format!("there is no token {} in it", self.place.token))
        })?;
        let session = module.open_rw_session(slot).map_err(|error| unusable(&error))?;
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinLocked
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired,
                _,
            )) => Err(ProviderError::Pin(self.place.pin_file.clone())),
            Err(error) => Err(unusable(&error)),
        }
    }

    fn pin(&self) -> Result<AuthPin, ProviderError> {
        let path = &self.place.pin_file;
        let missing = |error: std::io::Error| {
            ProviderError::Hsm(format!("its PIN in {} cannot be read: {error}", path.display()))
        };
        let mut file = File::open(path).map_err(missing)?;
        files::private(&file, path)?;
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(missing)?;
        Ok(AuthPin::from(text.trim_end_matches(['\r', '\n'])))
    }
}

impl Vault for Hsm {
    fn kept(&self) -> Result<BTreeSet<Epoch>, ProviderError> {
        self.with(|session| {
            let mut kept = BTreeSet::new();
            for key in session.find_objects(&self.named(None))? {
                for attribute in session.get_attributes(key, &[AttributeType::Id])? {
                    if let Attribute::Id(id) = attribute
                        && let Ok(number) = id.try_into()
                    {
                        kept.insert(Epoch(u32::from_be_bytes(number)));
                    }
                }
            }
            Ok(kept)
        })
    }

    fn make(&self, epoch: Epoch) -> Result<(), ProviderError> {
        self.with(|session| {
            let mut template = self.named(Some(epoch));
            template.extend([
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Wrap(true),
                Attribute::Unwrap(true),
                Attribute::Encrypt(false),
                Attribute::Decrypt(false),
                Attribute::Sign(false),
                Attribute::Verify(false),
                Attribute::ValueLen(32.into()),
            ]);
            session.generate_key(&Mechanism::AesKeyGen, &template).map(drop)
        })
    }

    fn destroy(&self, epoch: Epoch) -> Result<bool, ProviderError> {
        self.with(|session| {
            let keys = session.find_objects(&self.named(Some(epoch)))?;
            keys.iter().try_for_each(|key| session.destroy_object(*key))?;
            Ok(!keys.is_empty())
        })
    }

    fn wrap(&self, epoch: Epoch, key: &Key) -> Result<Vec<u8>, ProviderError> {
        let wrapped = self.with(|session| {
            let Some(kek) = self.find(session, epoch)?.first().copied() else { return Ok(None) };
            // For as long as it takes, and only in this session.
            let mut template = fleeting();
            template.push(Attribute::Value(key.expose().to_vec()));
            let object = session.create_object(&template);
            for attribute in &mut template {
                if let Attribute::Value(bytes) = attribute {
                    bytes.zeroize();
                }
            }
            let object = object?;
            let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, kek, object);
            session.destroy_object(object)?;
            wrapped.map(Some)
        })?;
        wrapped.ok_or_else(|| self.missing(epoch))
    }

    fn unwrap(&self, epoch: Epoch, wrapped: &[u8]) -> Result<Key, ProviderError> {
        let found = self.with(|session| {
            let keks = self.find(session, epoch)?;
            if keks.is_empty() {
                return Ok(None);
            }
            // One, but for a token that failed after it had made one.
            for kek in keks {
                match session.unwrap_key(&Mechanism::AesKeyWrap, kek, wrapped, &fleeting()) {
                    Ok(object) => return read_out(session, object).map(Some),
                    Err(Error::Pkcs11(error, _)) if is_about_the_key(error) => (),
                    Err(error) => return Err(error),
                }
            }
            Ok(Some(None))
        })?;
        let value = found.ok_or_else(|| self.missing(epoch))?.ok_or(ProviderError::WrongStore)?;
        let mut bytes = Zeroizing::new([0; 32]);
        if value.len() != bytes.len() {
            return Err(ProviderError::WrongStore);
        }
        bytes.copy_from_slice(&value);
        Ok(Key::from_bytes(bytes))
    }

    fn lacks_the_newest(&self) -> ProviderError {
        self.doubt();
        ProviderError::Hsm(format!("the token {} lacks the store's newest key", self.place.token))
    }

    fn place(&self) -> VaultPlace {
        VaultPlace::Hsm(self.place.clone())
    }
}

/// A key that lives in a session and may be read: what is wrapped is no secret of the HSM's.
fn fleeting() -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ]
}

/// The value of a fleeting key, which ends with it.
fn read_out(session: &Session, object: ObjectHandle) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let read = session.get_attributes(object, &[AttributeType::Value]);
    session.destroy_object(object)?;
    let mut value = None;
    for attribute in read? {
        if let Attribute::Value(bytes) = attribute {
            value = Some(Zeroizing::new(bytes));
        }
    }
    Ok(value)
}

/// Whether an error says that what was to be unwrapped does not belong to the key.
fn is_about_the_key(error: RvError) -> bool {
    matches!(
        error,
        RvError::WrappedKeyInvalid
            | RvError::WrappedKeyLenRange
            | RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
    )
}

fn unusable(error: &Error) -> ProviderError {
    ProviderError::Hsm(error.to_string())
}

fn module(path: &Path) -> Result<Pkcs11, Error> {
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = modules.get(path) {
        return Ok(known.clone());
    }
    let module = Pkcs11::new(path)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => (),
        Err(error) => return Err(error),
    }
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// Ends a module, so that it looks anew at what there is. Others in this process who have a session
/// begin again too.
fn forget(path: &Path) {
    let known = MODULES.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    if let Some(Err(error)) = known.map(Pkcs11::finalize) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the HSM's module did not end in good order"
        );
    }
}
