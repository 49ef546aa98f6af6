//! Programs of others: what they say, and a Python with packages of theirs.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn target() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(3).unwrap().to_owned()
}

/// What a command of others says on standard output; it must succeed.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A Python that has these packages, made once below `target`.
pub(crate) fn with(name: &str, packages: &[&str]) -> PathBuf {
    with_python(Path::new("python3"), name, packages)
}

/// As [`with`], of this Python.
pub(crate) fn with_python(of: &Path, name: &str, packages: &[&str]) -> PathBuf {
    let folder = target().join(name);
    let python = folder.join("bin/python");
    if !python.exists() {
        said(Command::new(of).args(["-m", "venv"]).arg(&folder));
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    said(Command::new(&python).args(pip).args(packages));
    python
}
