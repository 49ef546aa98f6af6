//! The same bookings as `POST /v1/bookings` over loopback HTTP, the load generator on the same
//! cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use eventstore::IdKind;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Span;
use tokio::net::{TcpListener, TcpStream};

use super::follow::Lag;
use super::rig::{DAYS, PERSONS, RESOURCES, Rig, Wish};
use super::{Extent, Figure};
use crate::cli::CliError;
use crate::cli::console::Console;
use crate::desk::Desk;
use crate::dice::Dice;
use crate::http;
use crate::keys::{self, Role};

const CLIENTS: u64 = 64;

pub(super) fn measure(
    rig: &mut Rig,
    extent: Extent,
    console: &mut Console,
) -> Result<Vec<Figure>, CliError> {
    rig.fill(extent.stored, &|done, total| console.progress(done, total))?;
    let desk = rig.app.desk(rig.bench.tenant.name())?;
    desk.follow_with(&|done, total| console.progress(done, total))?;
    let key = keys::issue(&rig.bench.tenant, Role::Staff, "bench", (None, None), &rig.app.env);
    let (_, key) = rig.runtime.block_on(key).map_err(failed)?;
    let listener = rig.runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let server = rig.runtime.spawn(http::serve(
        Arc::clone(&rig.app),
        listener,
        std::future::pending::<()>(),
    ));
    // As a server has it.
    let following = rig.runtime.spawn(Desk::keep_following(Arc::downgrade(&desk)));
    let target = Arc::new(Target { address, key, names: Names::of(rig), calls: AtomicU64::new(0) });
    let (mut over_http, mut inside, mut late) = (vec![], vec![], vec![]);
    load(rig, &target, extent)?;
    for _ in 0..extent.runs {
        inside.push(rig.rate(CLIENTS, extent.run, Wish::Anywhere)?);
        desk.follow()?;
        let lag = Lag::watch(&rig.runtime, &desk);
        over_http.push(load(rig, &target, extent)?);
        late.push(lag.p99()?);
    }
    server.abort();
    following.abort();
    let (base, wanted) = ("in the process", "at least 0.2");
    let most = vec![250.0; late.len()];
    Ok(vec![
        Figure::new("http_64", "bookings/s", &over_http, base, &inside, wanted),
        Figure::new("http_lag_p99", "ms", &late, "what it may be", &most, "under 250 ms"),
    ])
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Bench("http", error.to_string())
}

struct Target {
    address: std::net::SocketAddr,
    key: String,
    names: Names,
    calls: AtomicU64,
}

/// The ids that go into requests.
struct Names {
    service: String,
    resources: Vec<String>,
    persons: Vec<String>,
    first_day: jiff::Timestamp,
}

impl Names {
    fn of(rig: &Rig) -> Self {
        let ids = rig.bench.tenant.ids();
        let resources = rig.bench.resources.iter().map(|id| ids.show(IdKind::Resource, id.0));
        let persons = rig.bench.persons.iter().map(|id| ids.show(IdKind::Client, id.0));
        Self {
            service: ids.show(IdKind::Service, rig.bench.service.0),
            resources: resources.collect(),
            persons: persons.collect(),
            first_day: rig.bench.first_day,
        }
    }
}

/// Accepted bookings per second.
fn load(rig: &Rig, target: &Arc<Target>, extent: Extent) -> Result<f64, CliError> {
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let until = start + extent.run;
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (target, done) = (Arc::clone(target), Arc::clone(&done));
            rig.runtime.spawn(async move {
                let stream = TcpStream::connect(target.address).await.map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                let (mut sender, connection) =
                    handshake(TokioIo::new(stream)).await.map_err(failed)?;
                tokio::spawn(connection);
                while Instant::now() < until {
                    done.fetch_add(u64::from(book(&mut sender, &target).await?), Ordering::Relaxed);
                }
                Ok::<_, CliError>(())
            })
        })
        .collect();
    for task in tasks {
        rig.runtime.block_on(task).map_err(failed)??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

async fn book(sender: &mut SendRequest<Full<Bytes>>, target: &Target) -> Result<bool, CliError> {
    let call = target.calls.fetch_add(1, Ordering::Relaxed);
    let mut dice = Dice::new(call);
    let Names { service, resources, persons, first_day } = &target.names;
    let pick = |list: &[String], at: u64| {
        usize::try_from(at).ok().and_then(|at| list.get(at)).cloned().unwrap_or_default()
    };
    let minutes = dice.roll(DAYS) * 1440 + dice.roll(144) * 10;
    let minutes = i64::try_from(minutes).unwrap_or(0);
    let start = first_day.checked_add(Span::new().minutes(minutes)).map_err(failed)?;
    let body = format!(
        r#"{{"service_id":"{service}","resource_ids":["{}"],"client_id":"{}","start":"{start}","fields":{{"note":"would like the place by the window, and comes by bus"}}}}"#,
        pick(resources, dice.roll(RESOURCES)),
        pick(persons, dice.roll(PERSONS)),
    );
    let request = Request::post("/v1/bookings")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", target.key))
        .header("idempotency-key", format!("\"bench-{call}\""))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(failed)?;
    let answer = sender.send_request(request).await.map_err(failed)?;
    let status = answer.status();
    answer.into_body().collect().await.map_err(failed)?;
    match status {
        StatusCode::CREATED => Ok(true),
        StatusCode::CONFLICT => Ok(false),
        other => Err(failed(format!("the server answered {other}"))),
    }
}
