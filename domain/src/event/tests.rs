//! What is written is canonical, and can be read again.

use std::collections::BTreeMap;

use super::{DecodeError, Kind, decode};
use crate::testing::one_of_each_kind;

#[test]
fn there_is_a_sample_of_every_kind() {
    let sampled: Vec<(Kind, u16)> =
        one_of_each_kind().iter().map(|event| (event.kind(), event.version())).collect();
    assert_eq!(sampled, Kind::ALL);
}

/// A body is stored as it was hashed; RFC 8785 lets anybody else write the same bytes.
#[test]
fn every_body_is_canonical_json() {
    for event in one_of_each_kind() {
        let body = event.body().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let canonical = serde_jcs::to_vec(&value).unwrap();
        assert_eq!(String::from_utf8(body), String::from_utf8(canonical), "{}", event.kind());
    }
}

#[test]
fn every_body_is_read_as_it_was_written() {
    for event in one_of_each_kind() {
        let read = decode(event.kind(), event.version(), &event.body().unwrap());
        assert_eq!(read.unwrap(), event);
    }
}

#[test]
fn a_kind_or_version_from_the_future_is_not_guessed_at() {
    for (kind, version) in [(Kind(999), 1), (Kind(1), 99), (Kind(1), 0)] {
        let read = decode(kind, version, b"{}");
        assert!(matches!(read, Err(DecodeError::Unknown { .. })), "{read:?}");
    }
}

#[test]
fn a_body_of_another_shape_is_not_guessed_at() {
    let event = &one_of_each_kind()[0];
    let read = decode(event.kind(), event.version(), b"{}");
    assert!(matches!(read, Err(DecodeError::Malformed(_))), "{read:?}");
    let read = decode(event.kind(), event.version(), b"{\"zone\":\"\xff\"}");
    assert!(matches!(read, Err(DecodeError::NotText(_))), "{read:?}");
}

#[test]
fn numbers_and_names_are_used_once() {
    let names: BTreeMap<&str, u16> =
        Kind::ALL.iter().map(|(kind, _)| (kind.name(), kind.0)).collect();
    let numbers: BTreeMap<u16, &str> =
        Kind::ALL.iter().map(|(kind, _)| (kind.0, kind.name())).collect();
    assert_eq!((names.len(), numbers.len()), (Kind::ALL.len(), Kind::ALL.len()));
}

/// Seals are numbered through the whole entry, so that (position, index) finds one.
#[test]
fn seals_of_an_entry_are_numbered_from_zero() {
    for event in one_of_each_kind() {
        let seals: Vec<u16> = event.seals().iter().map(|seal| seal.seal).collect();
        let count = u16::try_from(seals.len()).unwrap();
        assert_eq!(seals, (0..count).collect::<Vec<u16>>(), "{}", event.kind());
    }
}
