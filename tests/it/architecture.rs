//! The arrows between the crates, and what the rules may not know.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::tree::root;

/// Who may use whom. The event store and the read models do not know each other.
const ARROWS: [(&str, &[&str]); 5] = [
    ("domain", &[]),
    ("eventstore", &["domain"]),
    ("projections", &["domain"]),
    ("gateway", &["domain", "eventstore", "projections"]),
    ("system-tests", &["domain", "eventstore", "gateway", "projections"]),
];

/// All that the rules may use: none of these reads a clock, opens a file or makes chance.
const RULES_USE: [&str; 7] =
    ["cqrs-es", "indexmap", "jiff", "serde", "serde_json", "smallvec", "thiserror"];

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo describes us")
}

fn used_by(package: &Package) -> impl Iterator<Item = &str> {
    package.dependencies.iter().map(|dependency| dependency.name.as_str())
}

#[test]
fn crates_use_each_other_only_along_the_arrows() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let found: BTreeMap<&str, Vec<&str>> = metadata
        .packages
        .iter()
        .map(|package| {
            let used: BTreeSet<&str> =
                used_by(package).filter(|name| ours.contains(name)).collect();
            (package.name.as_str(), used.into_iter().collect())
        })
        .collect();
    for (name, used) in &found {
        let allowed = ARROWS.iter().find(|(from, _)| from == name).map(|(_, to)| *to);
        let allowed = allowed.unwrap_or_else(|| panic!("{name} is a new crate: draw its arrows"));
        assert!(used.iter().all(|to| allowed.contains(to)), "{name} uses {used:?}");
    }
    assert_eq!(found.len(), ARROWS.len(), "every crate of the plan exists");
}

#[test]
fn the_rules_use_nothing_that_reaches_the_world() {
    let metadata = metadata();
    let domain = metadata.packages.iter().find(|p| p.name.as_str() == "domain").unwrap();
    let needed = domain
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != cargo_metadata::DependencyKind::Development);
    let needed: BTreeSet<&str> = needed.map(|dependency| dependency.name.as_str()).collect();
    assert_eq!(needed, BTreeSet::from(RULES_USE));
}
