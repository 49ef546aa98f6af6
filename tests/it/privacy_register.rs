//! The register of personal fields in `docs/PRIVACY.md` is what the code says.

use std::fmt::Write;

use domain::Field;

use crate::tree::read;

const HEADING: &str = "## The register";

fn from_the_code() -> String {
    let mut table = "\
| field | class | for what | basis | kept at least | kept at most | how it ends |
| --- | --- | --- | --- | --- | --- | --- |
"
    .to_owned();
    for field in Field::ALL {
        let (class, purpose) = (field.class(), field.purpose());
        let (basis, floor) = (class.basis(), class.floor());
        let (ceiling, erasure) = (class.ceiling(), class.erasure());
        writeln!(
            table,
            "| `{field}` | `{class}` | {purpose} | {basis} | {floor} | {ceiling} | {erasure} |"
        )
        .expect("text is always written");
    }
    table
}

fn from_the_document() -> String {
    let document = read("docs/PRIVACY.md");
    let rows = document.lines().skip_while(|line| *line != HEADING);
    let rows = rows.skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_register_says_what_the_code_says() {
    let expected = from_the_code();
    assert!(from_the_document() == expected, "below {HEADING:?} must stand:\n\n{expected}");
}
