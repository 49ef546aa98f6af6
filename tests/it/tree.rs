//! The project's own files, as other tests read them.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder that holds every crate and document.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies inside the project")
}

/// A file of the project, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("the project holds this file, in UTF-8")
}

/// Every file below a folder of the project, by path from the root and in order, but for what
/// version control does not hold.
pub(crate) fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.extend(Some(path).filter(|path| is_ours(path)));
            } else {
                found.push(from_root(&path));
            }
        }
    }
    found.sort();
    found
}

fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name == ".ci" || name == ".cargo" || !(name.starts_with('.') || name == "target")
}

fn from_root(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root()).expect("it was found there").to_owned();
    path.to_string_lossy().replace('\\', "/")
}
