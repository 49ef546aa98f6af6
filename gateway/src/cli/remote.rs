//! Commands beside a running server: over a socket in the data directory, which only its owner can
//! open. The command line goes over as it was given; lines of JSON come back until the exit code.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::console::Console;
use super::{Outcome, conclude, execute};
use crate::app::App;
use crate::config::{Command, Config, Keys, Request, Tenant, withheld};

/// What is asked.
#[derive(Serialize, Deserialize)]
struct Ask {
    args: Vec<String>,
    folder: String,
}

/// One line of an answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Frame {
    Out { text: String },
    Error { text: String },
    Progress { done: u64, total: u64 },
    Exit { code: u8 },
}

/// Where frames go.
pub(crate) struct FrameSink(Arc<Mutex<UnixStream>>);

impl FrameSink {
    /// Sends a frame. Who asked may be gone; the command is carried out all the same.
    pub(crate) fn send(&self, frame: &Frame) {
        let mut line = serde_json::to_vec(frame).unwrap_or_default();
        line.push(b'\n');
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(stream.write_all(&line));
    }
}

/// Has the running server carry out this process's command.
pub(super) fn ask(socket: &Path, console: &mut Console) -> Result<Outcome, std::io::Error> {
    let mut stream = UnixStream::connect(socket)?;
    let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let folder = std::env::current_dir()?.to_string_lossy().into_owned();
    let mut line = serde_json::to_vec(&Ask { args, folder })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    for line in BufReader::new(stream).lines() {
        if let Some(code) = console.relay(serde_json::from_str(&line?)?) {
            match code {
                0 => return Ok(Outcome::Done),
                // What went wrong was said over there.
                1 => return Ok(Outcome::Found),
                _ => std::process::exit(i32::from(code)),
            }
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

/// Takes commands until the listener is dropped with the process.
///
/// # Errors
/// Where the socket cannot be made.
pub(super) fn listen(
    socket: &Path,
    app: &Arc<App>,
    runtime: &tokio::runtime::Handle,
) -> Result<(), std::io::Error> {
    // The lock is ours, so a socket that lies there is left over from a crash.
    if socket.exists() {
        std::fs::remove_file(socket)?;
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    // The server closes its files when it stops; this thread does not keep it from doing so.
    let (app, runtime) = (Arc::downgrade(app), runtime.clone());
    std::thread::Builder::new().name("commands".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(app) = app.upgrade() else { return };
            let handle = runtime.clone();
            drop(runtime.spawn_blocking(move || {
                if let Err(error) = answer(&app, stream, &handle) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a command's answer could not be sent"
                    );
                }
            }));
        }
    })?;
    Ok(())
}

fn answer(
    app: &Arc<App>,
    stream: UnixStream,
    runtime: &tokio::runtime::Handle,
) -> Result<(), std::io::Error> {
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    let ask: Ask = serde_json::from_str(&line)?;
    let stream = Arc::new(Mutex::new(stream));
    let last = FrameSink(Arc::clone(&stream));
    let code = match Config::read(&ask.args) {
        Ok(mut config) => {
            settle_paths(&mut config.command, Path::new(&ask.folder));
            let mut console = Console::remote(config.place.json, FrameSink(stream));
            let ended = execute(app, &config.command, &mut console, runtime);
            conclude(ended, &mut console)
        }
        Err(error) => {
            last.send(&Frame::Error { text: withheld(&error.to_string()) });
            2
        }
    };
    last.send(&Frame::Exit { code });
    Ok(())
}

/// Paths are meant from where the command was given.
fn settle_paths(command: &mut Command, folder: &Path) {
    if let Command::Import(import) = command {
        import.file = folder.join(&import.file);
        import.mapping = folder.join(&import.mapping);
    }
    if let Command::Erase(erase) = command {
        erase.receipt = erase.receipt.take().map(|to| folder.join(to));
    }
    if let Command::Keys(Keys::Confirm { receipt, to, .. }) = command {
        *receipt = folder.join(&*receipt);
        *to = folder.join(&*to);
    }
    let settle = |path: &mut Option<PathBuf>| *path = path.take().map(|path| folder.join(path));
    if let Command::Backup(backup) = command {
        settle(&mut backup.to);
        settle(&mut backup.keys_to);
    }
    if let Command::Request(Request::Receipt { to, .. })
    | Command::Tenant(Tenant::Export { to, .. } | Tenant::Import { from: to, .. }) = command
    {
        *to = folder.join(&*to);
    }
    if let Command::Restore(restore) = command {
        settle(&mut restore.from);
        settle(&mut restore.identity);
    }
}
