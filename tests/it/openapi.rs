//! What others rely on: the description of the HTTP interface, and the codes of its problems.

use gateway::problem::Code;

use crate::tree::{read, root};

/// `UPDATE=1 cargo test -p system-tests openapi` writes it anew; look at what changed.
#[test]
fn the_description_is_the_one_that_is_kept() {
    let text = gateway::openapi::text().unwrap();
    let path = "docs/openapi.json";
    if std::env::vars().any(|(name, _)| name == "UPDATE") {
        std::fs::write(root().join(path), &text).unwrap();
    }
    let kept = read(path);
    assert!(kept == text, "{path} differs: run `UPDATE=1 cargo test -p system-tests openapi`");
}

#[test]
fn every_code_stands_in_the_book_with_what_to_do() {
    let book = read("docs/API.md");
    let row = |code: &Code| {
        format!("| {} | `{}` | {} | {} |", code.status(), code.name(), code.title(), code.advice())
    };
    let rows: Vec<String> = Code::ALL.iter().map(row).collect();
    let missing: Vec<&String> = rows.iter().filter(|row| !book.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "docs/API.md lacks:\n{}", rows.join("\n"));
}
