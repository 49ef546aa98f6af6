//! The key store on files: what it keeps, and each way in which it does not fit.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use domain::FenceId;
use domain::ids::Hash;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::{Epoch, KeyStore, Mark, Provider, ProviderError, TenantId};
use crate::environment::{Clock, Entropy, Environment};
use crate::keyring::key::Key;

const SALON: TenantId = TenantId([3; 16]);

struct Sevens;

impl Clock for Sevens {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn since_boot(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

impl Entropy for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn store() -> (TempDir, KeyStore) {
    let folder = tempfile::tempdir().unwrap();
    let env = Environment { clock: Arc::new(Sevens), entropy: Arc::new(Sevens) };
    let provider = KeyStore::create(&folder.path().join("keys"), &env).unwrap();
    (folder, provider)
}

fn epoch_file(folder: &TempDir) -> PathBuf {
    folder.path().join("keys/epoch-1.key")
}

fn key(byte: u8) -> Key {
    Key::from_bytes(Zeroizing::new([byte; 32]))
}

fn mark(size: u64) -> Mark {
    let hash = Hash([9; 32]);
    Mark { fence: Some(FenceId([1; 16])), size, root: hash, last_leaf: hash, origin: 1 }
}

#[test]
fn a_key_comes_out_as_it_went_in() {
    let (folder, provider) = store();
    let wrapped = provider.wrap(Epoch(1), &key(5)).unwrap();
    let again = KeyStore::open(&folder.path().join("keys")).unwrap();
    assert_eq!(again.current().unwrap(), Epoch(1));
    assert_eq!(again.unwrap(Epoch(1), &wrapped).unwrap().expose(), &[5; 32]);
    assert!(!wrapped.windows(32).any(|bytes| bytes == [5; 32]));
}

#[test]
fn only_its_owner_can_read_it() {
    let (folder, _) = store();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path().join("keys")), 0o700);
    assert_eq!(mode(epoch_file(&folder)), 0o600);
}

#[test]
fn a_key_store_that_does_not_fit_is_told_apart_from_one_that_is_missing() {
    let (folder, provider) = store();
    let wrapped = provider.wrap(Epoch(1), &key(5)).unwrap();
    let why = |provider: &KeyStore| provider.unwrap(Epoch(1), &wrapped).err().unwrap();
    let file = epoch_file(&folder);
    fs::write(&file, [8; 32]).unwrap();
    assert!(matches!(why(&provider), ProviderError::WrongStore));
    for length in [0, 31, 33] {
        fs::write(&file, vec![7; length]).unwrap();
        assert!(matches!(why(&provider), ProviderError::Damaged(_)), "{length}");
    }
    fs::write(&file, [7; 32]).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(why(&provider), ProviderError::Exposed(_)));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert!(provider.unwrap(Epoch(1), &wrapped).is_ok());
    assert!(matches!(provider.wrap(Epoch(2), &key(5)), Err(ProviderError::NoEpoch(Epoch(2)))));
    fs::remove_file(&file).unwrap();
    assert!(matches!(why(&provider), ProviderError::NoEpoch(Epoch(1))));
    for folder in ["keys", "nowhere"].map(|name| folder.path().join(name)) {
        assert!(matches!(KeyStore::open(&folder), Err(ProviderError::Missing(_))));
    }
}

/// The newest key is lost: an older one does not stand in for it.
#[test]
fn an_older_key_is_not_taken_for_the_newest() {
    let (folder, provider) = store();
    let env = Environment { clock: Arc::new(Sevens), entropy: Arc::new(Sevens) };
    assert_eq!(provider.begin_epoch(&env).unwrap(), Epoch(2));
    assert_eq!(provider.current().unwrap(), Epoch(2));
    fs::remove_file(folder.path().join("keys/epoch-2.key")).unwrap();
    for lost in [provider.current().map(drop), provider.begin_epoch(&env).map(drop)] {
        assert!(matches!(lost, Err(ProviderError::NoEpoch(Epoch(2)))));
    }
}

#[test]
fn an_epoch_key_is_never_overwritten() {
    let (folder, _) = store();
    fs::write(epoch_file(&folder), [8; 32]).unwrap();
    let env = Environment { clock: Arc::new(Sevens), entropy: Arc::new(Sevens) };
    assert!(KeyStore::create(&folder.path().join("keys"), &env).is_err());
    assert_eq!(fs::read(epoch_file(&folder)).unwrap(), [8; 32]);
}

#[test]
fn marks_are_kept_in_order_and_by_tenant() {
    let (_folder, provider) = store();
    assert_eq!(provider.marks(SALON).unwrap(), []);
    provider.add_marks(SALON, &[mark(1)]).unwrap();
    provider.add_marks(SALON, &[mark(5), mark(9)]).unwrap();
    assert_eq!(provider.marks(SALON).unwrap(), [1, 5, 9].map(mark));
    assert_eq!(provider.marks(TenantId([4; 16])).unwrap(), []);
}

/// A crash cut the last line off before anybody was told of it.
#[test]
fn a_mark_that_was_cut_off_is_none_and_in_nobody_s_way() {
    let (_folder, provider) = store();
    provider.add_marks(SALON, &[mark(1)]).unwrap();
    let mut file = OpenOptions::new().append(true).open(provider.marks_path(SALON)).unwrap();
    file.write_all(b"{\"fence\":[1,1").unwrap();
    assert_eq!(provider.marks(SALON).unwrap(), [mark(1)]);
    provider.add_marks(SALON, &[mark(2)]).unwrap();
    assert_eq!(provider.marks(SALON).unwrap(), [1, 2].map(mark));
}

#[test]
fn a_mark_that_cannot_be_read_is_not_passed_over() {
    let (_folder, provider) = store();
    provider.add_marks(SALON, &[mark(1)]).unwrap();
    let mut file = OpenOptions::new().append(true).open(provider.marks_path(SALON)).unwrap();
    file.write_all(b"no mark\n").unwrap();
    assert!(matches!(provider.marks(SALON), Err(ProviderError::Damaged(_))));
}
