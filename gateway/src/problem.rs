//! Where errors become HTTP, and nowhere else: problem documents after RFC 9457.
//!
//! A caller gets a stable code, a sentence about what they asked for, and where in it the trouble
//! lies; never a word of what somebody else did, and never a value back. The operator gets the
//! chain of causes, once, in the log.

mod code;
mod of_domain;
mod of_store;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub use code::Code;

/// The media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What is wrong with one place of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Invalid {
    /// A JSON pointer into the body, or the name of a query parameter behind a question mark.
    #[schema(example = "/start")]
    pub pointer: String,
    #[schema(example = "invalid")]
    pub code: &'static str,
}

/// A request that was not carried out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    pub errors: Vec<Invalid>,
    pub reasons: Vec<String>,
    pub retry_after: Option<u32>,
}

/// A problem document, as it is sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// A stable name of this kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:tidbok:problem:slot_unavailable")]
    kind: String,
    title: &'static str,
    status: u16,
    /// What can be done about it.
    detail: &'static str,
    #[schema(example = "slot_unavailable")]
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Invalid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
}

impl Problem {
    pub fn new(code: Code) -> Self {
        let retry_after = code.retry_after();
        Self { code, errors: Vec::new(), reasons: Vec::new(), retry_after }
    }

    /// A place of the request that cannot be taken as it is.
    pub fn invalid(pointer: impl Into<String>, what: &'static str) -> Self {
        Self::new(Code::Validation).at(pointer, what)
    }

    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, what: &'static str) -> Self {
        self.errors.push(Invalid { pointer: pointer.into(), code: what });
        self
    }

    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reasons.push(reason.into());
        self
    }

    /// Trouble of our own: told whole to the operator, and to the caller only that it is ours.
    pub fn ours(code: Code, error: &dyn std::error::Error) -> Self {
        let mut causes = Vec::new();
        let mut cause = Some(error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        causes.dedup();
        tracing::error!(code = code.name(), causes = causes.join(": "), "a request failed");
        Self::new(code)
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let document = Document {
            kind: format!("urn:tidbok:problem:{}", self.code.name()),
            title: self.code.title(),
            status: status.as_u16(),
            detail: self.code.advice(),
            code: self.code.name(),
            errors: self.errors,
            reasons: self.reasons,
            retry_after,
        };
        let mut response = (status, Json(document)).into_response();
        let media_type = HeaderValue::from_static(MEDIA_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Gives answers of the framework's own (no such route, wrong method, too late) our form.
pub fn dress(response: Response) -> Response {
    let (status, headers) = (response.status(), response.headers());
    let dressed = headers.get(header::CONTENT_TYPE).is_some_and(|is| is == MEDIA_TYPE);
    if dressed || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let kept = [header::ALLOW, HeaderName::from_static("x-request-id")];
    let kept = kept.map(|name| headers.get(&name).cloned().map(|value| (name, value)));
    let mut dressed = Problem::new(Code::of_status(status)).into_response();
    dressed.headers_mut().extend(kept.into_iter().flatten());
    dressed
}
