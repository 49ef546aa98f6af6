//! What `docs/PROMISES.md` says is shown by a test, and what a test claims stands there; the
//! invariants of `docs/ARCHITECTURE.md` name tests that exist.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{files, read};

const PROMISES: &str = "docs/PROMISES.md";
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const HIGHEST: u8 = 88;

/// The names of all tests in the tree.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in rust_files() {
        let mut is_test = false;
        for line in read(&path).lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            if is_test && let Some((_, rest)) = line.split_once("fn ") {
                names.extend(rest.split('(').next().map(str::to_owned));
                is_test = false;
            }
        }
    }
    names
}

fn rust_files() -> impl Iterator<Item = String> {
    files(".").into_iter().filter(|path| path.ends_with(".rs"))
}

/// The cells of every row of every table in a document.
fn rows(document: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.map(cells).collect()
}

/// What stands between backticks in a cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The rows of the page by their number: the state and the tests named.
fn promised() -> BTreeMap<u8, (String, Vec<String>)> {
    let mut promised = BTreeMap::new();
    for cells in rows(PROMISES) {
        let [row, _, state, _, shown] = cells.as_slice() else { continue };
        if let Some(number) = row.strip_prefix('F').and_then(|number| number.parse().ok()) {
            let shown = quoted(shown).map(str::to_owned).collect();
            let before = promised.insert(number, (state.clone(), shown));
            assert!(before.is_none(), "{row} stands there twice");
        }
    }
    promised
}

/// The rows that comments of the code claim, each with the first file that does.
fn claimed() -> BTreeMap<u8, String> {
    let mut claimed = BTreeMap::new();
    for path in rust_files() {
        for comment in read(&path).lines().filter_map(|line| line.split_once("//")) {
            let words = comment.1.split(|letter: char| !letter.is_ascii_alphanumeric());
            for number in words.filter_map(row_number) {
                claimed.entry(number).or_insert_with(|| path.clone());
            }
        }
    }
    claimed
}

fn row_number(word: &str) -> Option<u8> {
    let digits = word.strip_prefix('F').filter(|digits| digits.len() == 2)?;
    digits.parse().ok()
}

#[test]
fn every_promise_stands_in_the_page_once() {
    let found: Vec<u8> = promised().into_keys().collect();
    assert_eq!(found, (1..=HIGHEST).collect::<Vec<_>>());
}

#[test]
fn a_promise_that_is_kept_names_a_test_and_one_that_is_not_names_none() {
    for (number, (state, shown)) in promised() {
        let names_one = !shown.is_empty();
        match state.as_str() {
            "works" | "partly" => assert!(names_one, "F{number:02} claims more than it shows"),
            "open" | "record" => assert!(!names_one, "F{number:02} shows more than it claims"),
            other => panic!("F{number:02} is {other}, which is no state"),
        }
    }
}

#[test]
fn every_test_that_a_page_names_exists() {
    let tests = tests();
    let promises = rows(PROMISES).into_iter().filter(|cells| cells.len() >= 4);
    let invariants = rows(ARCHITECTURE).into_iter().filter(|cells| cells.len() == 2);
    for cells in promises.chain(invariants) {
        for name in cells.last().into_iter().flat_map(|cell| quoted(cell)) {
            assert!(tests.contains(name), "there is no test {name}");
        }
    }
}

#[test]
fn no_test_claims_a_promise_that_the_page_calls_open() {
    let promised = promised();
    for (number, path) in claimed() {
        let state = promised.get(&number).map(|(state, _)| state.as_str());
        let kept = matches!(state, Some("works" | "partly"));
        assert!(kept, "{path} claims F{number:02}: name its test in {PROMISES}");
    }
}
