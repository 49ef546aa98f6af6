//! `docs/CONFORMANCE.md` claims no more than the tests it names show: they exist, and run on the
//! engines that it says.

use crate::tree::{files, read};

const PAGE: &str = "docs/CONFORMANCE.md";

/// A test: the module it is in, and its text.
struct Test {
    module: String,
    text: String,
}

fn find(name: &str) -> Option<Test> {
    let head = format!("fn {name}(");
    files("tests/it").into_iter().find_map(|path| {
        let file = read(&path);
        let text = file.split_once(&head)?.1.split("\n}\n").next()?.to_owned();
        let module = path.strip_prefix("tests/it/")?.split(['/', '.']).next()?.to_owned();
        Some(Test { module, text })
    })
}

/// The modules that do not run a second time on PostgreSQL.
fn once() -> Vec<String> {
    let script = read("tests/run");
    let list = script.split_once("of_files=(").unwrap().1.split(')').next().unwrap();
    list.split_whitespace().map(|module| module.trim_end_matches("::").to_owned()).collect()
}

#[test]
fn every_guarantee_is_shown_on_the_engines_it_names() {
    let once = once();
    let page = read(PAGE);
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [guarantee, engines, shown] = cells.as_slice() else {
            panic!("no row of three cells: {row}")
        };
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{guarantee}: no test");
        for name in names {
            let test = find(name).unwrap_or_else(|| panic!("there is no test {name}"));
            let leaves = test.text.contains("if on_postgres()")
                || test.text.contains("if system_tests::on_postgres()");
            let twice = !once.contains(&test.module);
            match *engines {
                "both" => assert!(twice && !leaves, "{name} does not run on PostgreSQL"),
                "PostgreSQL" => assert!(!leaves, "{name} does not run on PostgreSQL"),
                "SQLite" => (),
                other => panic!("{other} is no engine"),
            }
        }
        rows += 1;
    }
    assert!(rows > 20, "the page has lost its table");
}
