//! What a reader may count on in every file, and no tool checks.

use std::collections::BTreeMap;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tree::{files, read};

const LONGEST_FUNCTION: usize = 70;
const LONGEST_FILE: usize = 450;

/// Files that are longer, how long they may be at most, and why. Entries shrink and go; a new one
/// needs a better reason than haste.
const LONGER: &[(&str, usize, &str)] = &[];

const CRATES: [&str; 5] = ["domain", "eventstore", "projections", "gateway", "tests"];

/// Paths of one machine, which mean nothing to a reader.
const MACHINE_PATHS: [&str; 4] = ["/work/", "/tmp/", "/root/", "/home/"];

/// Roots of paths into our own code.
const OURS: [&str; 6] = ["crate", "self", "domain", "eventstore", "projections", "gateway"];

fn rust_files() -> Vec<String> {
    let all = CRATES.iter().flat_map(|name| files(name));
    all.filter(|path| path.ends_with(".rs")).collect()
}

fn is_text(path: &str) -> bool {
    let endings = [".rs", ".md", ".toml", ".sql", ".html", ".css", ".yml", "/run"];
    endings.iter().any(|ending| path.ends_with(ending))
}

/// Whether a whole file is test code.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.contains("/testing")
        || path.ends_with("/tests.rs")
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let silent = rust_files().into_iter().filter(|path| !read(path).starts_with("//! "));
    assert_none(&silent.collect::<Vec<_>>());
}

#[test]
fn no_line_ends_in_spaces_and_every_file_in_a_line() {
    let mut findings = Vec::new();
    for path in files(".").into_iter().filter(|path| is_text(path)) {
        let text = read(&path);
        for (number, line) in (1..).zip(text.lines()) {
            if line.ends_with([' ', '\t', '\r']) {
                findings.push(format!("{path}:{number}: spaces at the end"));
            }
        }
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            findings.push(format!("{path}: ends in exactly one line break"));
        }
    }
    assert_none(&findings);
}

#[test]
fn documents_name_no_machine() {
    let mut findings = Vec::new();
    for path in files(".").into_iter().filter(|path| path.ends_with(".md")) {
        for (number, line) in (1..).zip(read(&path).lines()) {
            if MACHINE_PATHS.iter().any(|machine| line.contains(machine)) {
                findings.push(format!("{path}:{number}: {line}"));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn code_is_short_finished_and_explicit() {
    let mut findings = Vec::new();
    for path in rust_files() {
        let text = read(&path);
        match syn::parse_file(&text) {
            Ok(file) => {
                let mut reader = Reader { path: &path, findings: Vec::new() };
                reader.visit_file(&file);
                findings.append(&mut reader.findings);
            }
            Err(error) => findings.push(format!("{path}: {error}")),
        }
    }
    assert_none(&findings);
}

#[test]
fn files_are_short() {
    let longer: BTreeMap<&str, usize> =
        LONGER.iter().map(|(path, most, _)| (*path, *most)).collect();
    let mut findings = Vec::new();
    for path in rust_files().into_iter().filter(|path| !is_test(path)) {
        let text = read(&path);
        let tests = syn::parse_file(&text).map_or(0, |file| lines_of_tests(&file));
        let lines = text.lines().count() - tests;
        let most = longer.get(path.as_str()).copied().unwrap_or(LONGEST_FILE);
        if lines > most {
            findings.push(format!("{path}: {lines} lines, at most {most}"));
        }
        if lines <= LONGEST_FILE && longer.contains_key(path.as_str()) {
            findings.push(format!("{path}: short again; take it from the list"));
        }
    }
    assert_none(&findings);
}

fn lines_of(span: Span) -> usize {
    span.end().line + 1 - span.start().line
}

/// How many lines lie in modules that only tests compile.
fn lines_of_tests(file: &syn::File) -> usize {
    let modules = file
        .items
        .iter()
        .filter_map(|item| if let syn::Item::Mod(module) = item { Some(module) } else { None });
    modules
        .filter(|module| only_in_tests(&module.attrs))
        .map(|module| lines_of(module.span()))
        .sum()
}

fn only_in_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// Walks one file and notes what must not be.
struct Reader<'a> {
    path: &'a str,
    findings: Vec<String>,
}

impl Reader<'_> {
    fn note(&mut self, at: Span, what: &str) {
        self.findings.push(format!("{}:{}: {what}", self.path, at.start().line));
    }

    fn function(&mut self, name: &syn::Ident, span: Span) {
        let lines = lines_of(span);
        if lines > LONGEST_FUNCTION {
            self.note(span, &format!("{name} has {lines} lines, at most {LONGEST_FUNCTION}"));
        }
    }

    fn uses(&mut self, tree: &syn::UseTree, root: Option<&syn::Ident>, public: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                self.uses(&path.tree, root.or(Some(&path.ident)), public);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.uses(tree, root, public));
            }
            syn::UseTree::Glob(glob) => {
                let ours = root.is_some_and(|root| OURS.iter().any(|name| root == name));
                if ours || public {
                    self.note(glob.span(), "a wildcard hides where names come from");
                }
            }
            syn::UseTree::Name(_) | syn::UseTree::Rename(_) => (),
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, item.block.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        let documented = item.attrs.iter().any(|attribute| attribute.path().is_ident("doc"));
        if matches!(item.vis, syn::Visibility::Public(_)) && !documented {
            self.note(item.ident.span(), "a public trait says what it promises");
        }
        visit::visit_item_trait(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.uses(&item.tree, None, public);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("ignore") {
            self.note(attribute.span(), "a test that is not run proves nothing");
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if ["todo", "unimplemented"].iter().any(|name| call.path.is_ident(name)) {
            self.note(call.span(), "unfinished code is not kept");
        }
        visit::visit_macro(self, call);
    }
}
