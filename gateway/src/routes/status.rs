//! What machines ask: the description, liveness, readiness, metrics. None of it needs a key, and
//! none of it is about anybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::app::App;
use crate::problem::{Code, Problem};

/// `GET /openapi.json`
pub(super) async fn openapi() -> Result<Response, Problem> {
    let text = crate::openapi::text().map_err(|error| Problem::ours(Code::Internal, &error))?;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((json, text).into_response())
}

/// `GET /health`: the process answers.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "alive", "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /ready`: every tenant can be opened, its read models run, and the key store can be used.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let pulse = tokio::task::spawn_blocking(move || crate::pages::pulse(&app)).await?;
    let ready = pulse.stopped == 0 && pulse.closed == 0 && pulse.keys.is_none();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !ready {
        let reasons = [("read_models_stopped", pulse.stopped), ("tenants_closed", pulse.closed)];
        let mut problem = Problem::new(Code::Unavailable);
        for (reason, count) in reasons.into_iter().filter(|(_, count)| *count > 0) {
            problem = problem.because(format!("{reason}: {count}"));
        }
        if let Some(why) = pulse.keys {
            problem = problem.because(format!("key_store: {why}"));
        }
        return Err(problem);
    }
    let mut body = json!({ "status": "ready", "tenants": pulse.tenants, "lag": pulse.lag });
    if let (Some(why), Some(body)) = (pulse.backups, body.as_object_mut()) {
        body.insert("warnings".to_owned(), json!([why]));
    }
    Ok((status, Json(body)).into_response())
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let text = tokio::task::spawn_blocking(move || crate::metrics::render(&app)).await?;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, plain)], text).into_response())
}
