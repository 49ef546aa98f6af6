//! What is sent: bodies, query parameters, preconditions, and what a repeat is known by.

use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use eventstore::Idempotency;
use eventstore::tree::hash;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::caller::Signed;
use crate::problem::{Code, Problem};

/// The largest body, in bytes.
pub const LARGEST_BODY: usize = 64 * 1024;

/// A JSON body. Nothing unknown is in it.
pub struct Sent<T>(pub T);

/// A JSON body that is carried out once, however often it is sent with the same Idempotency-Key.
pub struct Once<T> {
    pub value: T,
    pub idempotency: Idempotency,
}

/// Query parameters. Nothing unknown is among them.
pub struct Asked<T>(pub T);

/// The version that the caller has seen last, from If-Match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    Absent,
    /// `*`: whatever is there.
    Any,
    Version(u32),
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let has_type = is_json(request.headers());
        let bytes = body(request).await?;
        parse(&bytes, has_type).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Once<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let key = idempotency_key(request.headers())?;
        let has_type = is_json(request.headers());
        // Every handler that takes a body has a caller before it.
        let signed = request.extensions().get::<Signed>().cloned();
        let Signed(signed) = signed.ok_or(Code::Unauthenticated)?;
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let bytes = body(request).await?;
        let idempotency = Idempotency {
            key: hash(&[signed.as_bytes(), b"\0", key.as_bytes()]),
            body: hash(&[method.as_str().as_bytes(), b"\0", path.as_bytes(), b"\0", &bytes]),
        };
        Ok(Self { value: parse(&bytes, has_type)?, idempotency })
    }
}

async fn body(request: Request) -> Result<Bytes, Problem> {
    request.extract::<Bytes, _>().await.map_err(|rejection: BytesRejection| {
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge.into(),
            _ => Code::Malformed.into(),
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|media_type| media_type.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads JSON; an empty body is an empty object.
fn parse<T: DeserializeOwned>(bytes: &[u8], has_type: bool) -> Result<T, Problem> {
    let bytes = match bytes {
        [] => b"{}",
        _ if !has_type => return Err(Code::UnsupportedMediaType.into()),
        _ => bytes,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| Code::Malformed)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| Code::Malformed)?;
    // Else a list would be taken for an object with its members in order.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::invalid("", "invalid"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| wrong(&error))
}

/// Says where a body is wrong, without saying what stands there: that may be personal.
fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    if !error.inner().is_data() {
        return Code::Malformed.into();
    }
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            serde_path_to_error::Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            serde_path_to_error::Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => (),
        }
    }
    let message = error.inner().to_string();
    let named = |start: &str| message.strip_prefix(start)?.split('`').next().map(str::to_owned);
    if let Some(field) = named("missing field `") {
        return Problem::invalid(format!("{pointer}/{field}"), "missing");
    }
    if let Some(field) = named("unknown field `") {
        let there = pointer.ends_with(&format!("/{field}"));
        let pointer = if there { pointer } else { format!("{pointer}/{field}") };
        return Problem::invalid(pointer, "unknown_field");
    }
    Problem::invalid(pointer, "invalid")
}

/// The key, bare or as the quoted string of the header's draft standard.
fn idempotency_key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    let key = key.unwrap_or_default().trim();
    let bare = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    let sound = (1..=255).contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_graphic());
    if sound { Ok(bare.to_owned()) } else { Err(Code::IdempotencyKeyMissing.into()) }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        let reader = serde_urlencoded::Deserializer::new(pairs);
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            let message = error.inner().to_string();
            let named = |start: &str| message.strip_prefix(start)?.split('`').next();
            if let Some(name) = named("missing field `") {
                return Problem::invalid(format!("?{name}"), "missing");
            }
            if let Some(name) = named("unknown field `") {
                return Problem::invalid(format!("?{name}"), "unknown_parameter");
            }
            Problem::invalid(format!("?{}", error.path()), "invalid")
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    /// A strong tag of ours, or `*` for whatever is there. Another tag matches nothing.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self::Absent) };
        let tag = value.to_str().map_err(|_| Code::Malformed)?.trim();
        if tag == "*" {
            return Ok(Self::Any);
        }
        let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let version = version.and_then(|version| version.parse().ok());
        version.map(Self::Version).ok_or_else(|| Code::VersionConflict.into())
    }
}

impl IfMatch {
    /// The version that must be there, if one was named.
    pub fn expected(self) -> Option<u32> {
        match self {
            Self::Absent | Self::Any => None,
            Self::Version(version) => Some(version),
        }
    }

    /// As [`Self::expected`], for what is not changed blindly.
    ///
    /// # Errors
    /// Where there is no If-Match.
    pub fn required(self) -> Result<Option<u32>, Problem> {
        match self {
            Self::Absent => Err(Code::PreconditionRequired.into()),
            Self::Any | Self::Version(_) => Ok(self.expected()),
        }
    }
}
