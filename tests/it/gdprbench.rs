//! `tidbok bench gdpr`: small, every answer held against its model.

use std::fs;

use serde_json::Value;

use crate::program::{LEDGER, run};

fn figure<'a>(measured: &'a Value, name: &str) -> &'a Value {
    let figures = measured.as_array().unwrap();
    figures.iter().find(|figure| figure["name"] == name).unwrap()
}

fn measured(mix: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    if let Some(address) = system_tests::database() {
        fs::write(folder.path().join(LEDGER), address).unwrap();
    }
    let small = ["--runs", "1", "--stored", "600", "--clients", "4", "--mix", mix];
    let bench = [["--json", "bench", "gdpr"].as_slice(), &small].concat();
    run(&folder.path().join("data"), &bench).ended(0).json()
}

#[track_caller]
fn assert_all_right(measured: &Value) {
    let correctness = figure(measured, "gdpr_correctness");
    let parts = &correctness["parts"];
    assert!(parts["answers"].as_u64().unwrap() > 4 * 60, "{parts}");
    assert_eq!(
        (&parts["wrong"], &parts["in_the_clear"]["wrong"]),
        (&0.into(), &0.into()),
        "{parts}"
    );
    for role in ["controller", "customer", "processor", "regulator"] {
        assert!(figure(measured, &format!("gdpr_{role}"))["ratio"].is_number(), "{role}");
    }
}

#[test]
fn every_answer_is_what_the_model_says_with_the_shares_of_the_paper() {
    let measured = measured("paper");
    assert_all_right(&measured);
    if !system_tests::on_postgres() {
        assert!(figure(&measured, "gdpr_space")["ratio"].is_number());
    }
}

#[test]
fn every_answer_is_what_the_model_says_with_the_shares_of_the_repository() {
    assert_all_right(&measured("repo"));
}
