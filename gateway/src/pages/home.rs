//! The front page: what is running, how much of it, and where to go. No script, no cookie, nothing
//! from anywhere else; it loads itself again now and then.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

use super::{Pulse, pulse};
use crate::app::App;
use crate::problem::{Code, Problem};

const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("../../templates/style.css");

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    version: &'static str,
    pulse: Pulse,
    now: String,
}

/// `GET /`
pub(crate) async fn home(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let now = app.env.clock.now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let pulse = tokio::task::spawn_blocking(move || pulse(&app)).await?;
    let home = Home { version: env!("CARGO_PKG_VERSION"), pulse, now };
    let html = home.render().map_err(|error| Problem::ours(Code::Internal, &error))?;
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    Ok((policy, Html(html)).into_response())
}

/// `GET /style.css`
pub(crate) async fn style() -> impl IntoResponse {
    let text = HeaderValue::from_static("text/css; charset=utf-8");
    let kept = HeaderValue::from_static("max-age=300");
    let headers: [(HeaderName, HeaderValue); 2] =
        [(header::CONTENT_TYPE, text), (header::CACHE_CONTROL, kept)];
    (headers, STYLE)
}
