//! What was ever written can be read: a frozen fixture of every kind and version of event.
//!
//! A fixture is the body of an entry, byte for byte as it was hashed. It is never edited; a new
//! version of an event gets a fixture of its own beside the old ones.

use std::collections::BTreeSet;

use domain::Kind;
use domain::event::decode;

use crate::tree::{files, read};

const FOLDER: &str = "tests/fixtures/events";

/// Every kind in every version there ever was.
fn kinds_and_versions() -> impl Iterator<Item = (Kind, u16, bool)> {
    Kind::ALL.iter().flat_map(|(kind, newest)| {
        (1..=*newest).map(move |version| (*kind, version, version == *newest))
    })
}

fn path(kind: Kind, version: u16) -> String {
    format!("{FOLDER}/{kind}.v{version}.json")
}

#[test]
fn every_kind_and_version_has_its_fixture_and_no_other_lies_there() {
    let expected: BTreeSet<String> =
        kinds_and_versions().map(|(kind, version, _)| path(kind, version)).collect();
    let found: BTreeSet<String> =
        files(FOLDER).into_iter().filter(|name| name.ends_with(".json")).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_fixture_is_read_and_the_newest_are_written_the_same() {
    for (kind, version, newest) in kinds_and_versions() {
        let bytes = read(&path(kind, version));
        let event = decode(kind, version, bytes.as_bytes());
        let event = event.unwrap_or_else(|error| panic!("{kind} v{version}: {error}"));
        assert_eq!(event.kind(), kind, "an upcaster keeps the kind");
        if newest {
            let written = String::from_utf8(event.body().unwrap()).unwrap();
            assert_eq!(written, bytes, "{kind} v{version}");
        }
    }
}

#[test]
fn every_fixture_is_canonical_json() {
    for (kind, version, _) in kinds_and_versions() {
        let bytes = read(&path(kind, version));
        let value: serde_json::Value = serde_json::from_str(&bytes).unwrap();
        assert_eq!(serde_jcs::to_string(&value).unwrap(), bytes, "{kind} v{version}");
    }
}
