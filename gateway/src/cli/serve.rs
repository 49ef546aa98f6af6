//! `serve` and `openapi`: the HTTP interface.

use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use super::console::Console;
use super::{CliError, Outcome, remote};
use crate::app::App;
use crate::config::{Place, Serve, each};
use crate::recipients::outbound::{Outbound, Reach};
use crate::rotation::{self, days};
use crate::witnesses::Witnesses;
use crate::{clock, http, openapi, reactors, retention};

pub(super) fn serve(
    place: &Place,
    command: &Serve,
    console: &mut Console,
    runtime: &tokio::runtime::Handle,
) -> Result<Outcome, CliError> {
    log_to_standard_error(&place.log)?;
    let mut app = App::open_at(place.databases(), &place.data, &place.keys(), clock::system())?;
    app.window = days(command.window);
    if command.private_recipients {
        app.outbound = Outbound::new(Reach::Any);
    }
    let witnesses = each(&command.witness).map(str::parse).collect::<Result<Vec<_>, _>>();
    let witnesses = witnesses.map_err(|why| CliError::Usage(format!("--witness: {why}")))?;
    app.witnesses = Witnesses::new(witnesses, command.witness_quorum)
        .map_err(|error| CliError::Usage(format!("--witness, --witness-quorum: this {error}")))?;
    let app = Arc::new(app);
    let listener = listen(&command.listen, runtime)?;
    let address =
        listener.local_addr().map_err(|error| CliError::Listen(command.listen.clone(), error))?;
    remote::listen(&place.socket(), &app, runtime)
        .map_err(|error| CliError::File(place.socket().display().to_string(), error))?;
    console.answer(
        &json!({ "address": format!("http://{address}/") }),
        format_args!("Tidbok serves http://{address}/ (stop with Ctrl-C)"),
    );
    let (every, window) = (days(command.rotate_every), days(command.window));
    let rotating = (command.rotate_every > 0)
        .then(|| runtime.spawn(rotation::keep_rotating(Arc::clone(&app), every, window)));
    let sweeping = runtime.spawn(retention::keep_sweeping(Arc::clone(&app)));
    let reactors = runtime.spawn(reactors::keep_up(Arc::clone(&app)));
    until_told(app, listener, runtime);
    for task in rotating.into_iter().chain([sweeping, reactors]) {
        // It lets go of the data then; what it was at goes on with the next start.
        task.abort();
        drop(runtime.block_on(task));
    }
    drop(std::fs::remove_file(place.socket()));
    Ok(Outcome::Done)
}

/// Serves until the process is asked to stop, and finishes what it has begun.
pub(super) fn until_told(app: Arc<App>, listener: TcpListener, runtime: &tokio::runtime::Handle) {
    open_many_files();
    app.keep_following(runtime);
    runtime.block_on(http::serve(app, listener, told_to_stop()));
}

/// Asks the system for as many open files as it allows: each open tenant has about ten, and many
/// systems give a program a thousand unless it asks.
fn open_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wished = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, wished) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the limit on open files stays as it is"
        );
    }
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminate.recv() => (),
    }
}

pub(super) fn listen(
    address: &str,
    runtime: &tokio::runtime::Handle,
) -> Result<TcpListener, CliError> {
    runtime
        .block_on(TcpListener::bind(address))
        .map_err(|error| CliError::Listen(address.to_owned(), error))
}

/// Structured logs on standard error.
pub(super) fn log_to_standard_error(filter: &str) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| CliError::Usage(format!("--log {filter}: {error}")))?;
    let logs =
        tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr);
    // A second server in one process (a test) keeps the first one's logs.
    drop(logs.try_init());
    Ok(())
}

pub(super) fn openapi(console: &mut Console) -> Result<Outcome, CliError> {
    let text = openapi::text().map_err(|error| CliError::Usage(error.to_string()))?;
    console.plain(text.trim_end());
    Ok(Outcome::Done)
}
