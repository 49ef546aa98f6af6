//! The command line: what each command does, and how it answers.
//!
//! A command takes the data directory's lock and works on its files; where a server has the lock,
//! it works through that server's socket. Commands that only read the ledger need no lock.
//! Exit codes: 0 done, 1 a check found something or something failed, 2 wrong use.

mod audit;
mod backup;
mod clients;
pub mod console;
mod demo;
mod erase;
mod key;
mod keys;
mod person;
mod projections;
pub mod remote;
mod request;
mod retention;
mod serve;
mod stats;
mod tenant;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use ::projections::ProjectionError;
use eventstore::StoreError;
use eventstore::ledger::appender::AppendError;

use crate::app::{App, AppError};
use crate::clock;
use crate::config::{Command, Config, Keys, Place, Tenant, withheld};
use crate::desk::DeskError;
use console::Console;

/// How a command ended, if it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A check found something.
    Found,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Import(#[from] crate::import::ImportError),
    #[error(transparent)]
    Backup(#[from] crate::backup::BackupError),
    #[error(transparent)]
    Replay(#[from] crate::audit::ReplayError),
    #[error(transparent)]
    Export(#[from] eventstore::proof::folder::ExportError),
    #[error(transparent)]
    Prove(#[from] eventstore::proof::receipt::ProveError),
    #[error(
        "the tenant is from before logs were signed: it gets its key when a server next opens it"
    )]
    NoLogKey,
    #[error("{0} cannot be read or written")]
    File(String, #[source] std::io::Error),
    #[error("a server has the data directory, but does not answer on its socket")]
    NoAnswer(#[source] std::io::Error),
    #[error("the address {0} cannot be listened on")]
    Listen(String, #[source] std::io::Error),
    #[error(transparent)]
    Request(crate::requests::RequestError),
    #[error("the measurement {0} could not be made: {1}")]
    Bench(&'static str, String),
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

impl From<DeskError> for CliError {
    fn from(error: DeskError) -> Self {
        Self::App(error.into())
    }
}

impl From<ProjectionError> for CliError {
    fn from(error: ProjectionError) -> Self {
        DeskError::from(error).into()
    }
}

impl From<eventstore::keyring::KeyError> for CliError {
    fn from(error: eventstore::keyring::KeyError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<eventstore::ledger::log::ReadError> for CliError {
    fn from(error: eventstore::ledger::log::ReadError) -> Self {
        StoreError::from(error).into()
    }
}

impl CliError {
    /// Whether the command was used wrongly, so that trying again as it is makes no sense.
    fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::App(AppError::Store(error)) => matches!(
                error,
                StoreError::BadName
                    | StoreError::UnknownTenant
                    | StoreError::TenantExists
                    | StoreError::UnknownServer(_)
                    | StoreError::KeyringNotApart(_)
                    | StoreError::ServersAlone
                    | StoreError::SamePlace(..)
                    | StoreError::OlderExport { .. }
                    | StoreError::NotClosed(_)
                    | StoreError::NotWhole(_)
                    | StoreError::Overtaken(_)
                    | StoreError::NoExport(_)
                    | StoreError::NotEmpty
            ),
            Self::Import(error) => error.is_usage(),
            Self::Replay(error) => matches!(error, crate::audit::ReplayError::Unknown(_)),
            Self::App(_)
            | Self::Append(_)
            | Self::Backup(_)
            | Self::Export(_)
            | Self::Prove(_)
            | Self::NoLogKey
            | Self::Request(_)
            | Self::File(..)
            | Self::NoAnswer(_)
            | Self::Listen(..)
            | Self::Bench(..) => false,
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(error) if error.use_stderr() => {
            drop(std::io::stderr().write_all(withheld(&error.to_string()).as_bytes()));
            return ExitCode::from(2);
        }
        // Help and version go to standard output and are no error.
        Err(error) => {
            drop(error.print());
            return ExitCode::SUCCESS;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("the system gives a program threads");
    let mut console = Console::terminal(config.place.json);
    let ended = run(&config, &mut console, runtime.handle());
    // Pending work of the runtime is nobody's any more.
    runtime.shutdown_background();
    ExitCode::from(ended)
}

fn run(config: &Config, console: &mut Console, runtime: &tokio::runtime::Handle) -> u8 {
    let ended = match &config.command {
        Command::Serve(serve) => serve::serve(&config.place, serve, console, runtime),
        Command::Demo(demo) => demo::demo(&config.place, demo, console, runtime),
        Command::Openapi => serve::openapi(console),
        Command::Keys(Keys::Restore { from, identity }) => {
            backup::restore_keys(&config.place, from, identity, console)
        }
        Command::Keys(Keys::Hsm { module, token, pin_file }) => {
            keys::entrust_hsm(&config.place, (module, token, pin_file), console)
        }
        Command::Keys(Keys::Kms { region, endpoint }) => {
            keys::entrust_kms(&config.place, region, endpoint.as_deref(), console)
        }
        Command::Bench(bench) => {
            crate::bench::run(bench, config.place.databases(), console, runtime)
        }
        Command::Clients(clients) => clients::list(&config.place, clients, console),
        Command::Audit(audit) => audit::run(&config.place, audit, console),
        Command::Tenant(_)
        | Command::Key(_)
        | Command::Keys(_)
        | Command::Retention(_)
        | Command::Import(_)
        | Command::Person(_)
        | Command::Hold(_)
        | Command::Erase(_)
        | Command::Request(_)
        | Command::Projections(_)
        | Command::Stats(_)
        | Command::Backup(_)
        | Command::Restore(_) => here_or_there(config, console, runtime),
    };
    conclude(ended, console)
}

/// Turns how a command ended into its exit code, and says what failed.
pub(crate) fn conclude(ended: Result<Outcome, CliError>, console: &mut Console) -> u8 {
    match ended {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::Found) => 1,
        Err(error) => {
            console.fail(&error);
            if error.is_usage() { 2 } else { 1 }
        }
    }
}

/// Runs a command on the files, or through the server that has them.
fn here_or_there(
    config: &Config,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    let Place { data, .. } = &config.place;
    let brings = matches!(&config.command, Command::Restore(restore) if restore.from.is_some());
    if brings && !config.place.keys().exists() {
        // A new one would open nothing of what is brought.
        return Err(CliError::Usage(format!(
            "there is no key store in {}; put it back first, or name where it is with --keys",
            config.place.keys().display()
        )));
    }
    if !data.exists() && !brings && !may_make_data(config) {
        return Err(CliError::Usage(format!("there is no data directory {}", data.display())));
    }
    match App::open_at(config.place.databases(), data, &config.place.keys(), clock::system()) {
        Ok(app) => execute(&Arc::new(app), &config.command, console, runtime),
        Err(StoreError::Locked) => {
            remote::ask(&config.place.socket(), console).map_err(CliError::NoAnswer)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a command may be the first on a data directory. Where there are keys already it is that of
/// another node; keys are made for a tenant only.
fn may_make_data(config: &Config) -> bool {
    let Command::Tenant(command) = &config.command else { return false };
    matches!(command, Tenant::Create { .. } | Tenant::Import { .. }) || config.place.keys().exists()
}

/// Runs a command on files that this process has.
pub(crate) fn execute(
    app: &Arc<App>,
    command: &Command,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    match command {
        Command::Tenant(command) => tenant::run(app, command, console),
        Command::Key(command) => key::run(app, command, console, runtime),
        Command::Keys(command) => keys::run(app, command, console),
        Command::Retention(command) => retention::run(app, command, console, runtime),
        Command::Import(command) => tenant::import(app, command, console),
        Command::Person(command) => person::run(app, command, console),
        Command::Hold(command) => person::hold(app, command, console),
        Command::Erase(command) => erase::run(app, command, console, runtime),
        Command::Request(command) => request::run(app, command, console, runtime),
        Command::Projections(command) => projections::run(app, command, console),
        Command::Stats(command) => stats::run(app, command, console),
        Command::Backup(command) => backup::make(app, command, console),
        Command::Restore(command) => backup::restore(app, command, console),
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Openapi
        | Command::Bench(_)
        | Command::Clients(_)
        | Command::Audit(_) => Err(CliError::Usage("a running server does not do this".to_owned())),
    }
}
