//! The HTTP side as a whole: every route with its limits around it, and the server that runs them.

mod connections;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::app::App;
use crate::problem::{self, Code, Problem};
use crate::{metrics, routes, sent};

/// How long a request may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How many requests are worked on at once; more wait.
const AT_ONCE: usize = 1024;
/// How often measurements are folded together where nobody asks for them, and what is idle closed.
const UPKEEP: Duration = Duration::from_secs(5);
/// How often it is looked whether a tenant was moved.
const MOVES: Duration = Duration::from_secs(1);

const NOTHING_LOADS: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Every route, with all its layers: what tests call and [`serve`] serves.
pub fn router(app: Arc<App>) -> Router {
    layered(routes::table().split_for_parts().0, app)
}

/// Routes with all the layers that ours have.
pub(crate) fn layered(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    metrics::recorder();
    routes
        .layer(DefaultBodyLimit::max(sent::LARGEST_BODY))
        .layer(from_fn(problem_documents))
        .layer(CatchPanicLayer::custom(caught))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, TIME_LIMIT))
        .layer(GlobalConcurrencyLimitLayer::new(AT_ONCE))
        .layer(from_fn_with_state(Arc::clone(&app), observed))
        .with_state(app)
}

/// Serves until `shutdown` comes, and then finishes what is under way.
pub async fn serve(app: Arc<App>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let idle = Arc::clone(&app);
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics::recorder().run_upkeep();
            let app = Arc::clone(&idle);
            drop(tokio::task::spawn_blocking(move || app.rest()).await);
        }
    });
    let moves = Arc::clone(&app);
    let moves = tokio::spawn(async move {
        loop {
            tokio::time::sleep(MOVES).await;
            let app = Arc::clone(&moves);
            drop(tokio::task::spawn_blocking(move || app.follow_moves()).await);
        }
    });
    // Tenants are opened before somebody waits for theirs; what cannot be opened, `/ready` tells.
    let opened = Arc::clone(&app);
    drop(tokio::task::spawn_blocking(move || crate::pages::pulse(&opened)));
    connections::serve(&listener, &router(app), shutdown).await;
    upkeep.abort();
    moves.abort();
}

/// Serves other routes than ours as ours are served.
pub(crate) async fn serve_router(listener: &TcpListener, router: &Router) {
    connections::serve(listener, router, std::future::pending::<()>()).await;
}

/// Gives every request a number, every answer its headers, and the operator a line about both.
///
/// The route is named by its template: a path may hold ids, and nothing of a body is ever logged.
async fn observed(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = app.env.clock.since_boot();
    let id = number(app.env.random());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "unmatched".to_owned());
    let method = called(request.method());
    let mut response = problem::dress(next.run(request).await);
    let took = app.env.clock.since_boot().saturating_sub(began);
    let status = response.status().as_u16();
    metrics::request(&route, method, status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(method, route, status, micros, request = id, "answered");
    guard(&mut response, &id);
    response
}

/// A method by its name. One that nobody knows may be any text of any length, and neither what is counted nor
/// a line of the log is the caller's to choose.
fn called(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

fn number(random: [u8; 8]) -> String {
    domain::ids::hex_digits(&random).collect()
}

/// The headers that every answer carries: nothing is guessed, kept, framed or loaded.
fn guard(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let same = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(same, HeaderValue::from_static("same-origin"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NOTHING_LOADS);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}

async fn problem_documents(request: Request, next: Next) -> Response {
    problem::dress(next.run(request).await)
}

/// A bug: the caller gets a problem document like any other, and the log what it was.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over like this")]
fn caught(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no word");
    tracing::error!(said, "a request ended in a bug");
    Problem::new(Code::Internal).into_response()
}
