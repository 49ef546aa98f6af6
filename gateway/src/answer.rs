//! What is answered: values with their version and the position they reflect, and pages of them.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Position;
use eventstore::Appended;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::POSITION;
use crate::problem::{Code, Problem};

/// The longest page.
pub const LONGEST_PAGE: u32 = 100;
const USUAL_PAGE: u32 = 50;

/// A value on its way out.
pub struct Answer<T> {
    status: StatusCode,
    headers: HeaderMap,
    value: T,
}

impl<T> Answer<T> {
    fn new(status: StatusCode, value: T) -> Self {
        Self { status, headers: HeaderMap::new(), value }
    }

    /// What was asked for, as of a position.
    pub fn read(value: T, position: Position) -> Self {
        Self::new(StatusCode::OK, value).reflecting(position)
    }

    /// What came to be by an append.
    pub fn created(value: T, appended: &Appended) -> Self {
        Self::new(StatusCode::CREATED, value).after(appended)
    }

    /// What changed by an append.
    pub fn changed(value: T, appended: &Appended) -> Self {
        Self::new(StatusCode::OK, value).after(appended)
    }

    /// What was made beside the ledger.
    pub fn made(value: T) -> Self {
        Self::new(StatusCode::CREATED, value)
    }

    /// What is under way.
    pub fn accepted(value: T) -> Self {
        Self::new(StatusCode::ACCEPTED, value)
    }

    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
            self.headers.insert(header::ETAG, tag);
        }
        self
    }

    #[must_use]
    pub fn located(mut self, path: &str) -> Self {
        if let Ok(path) = HeaderValue::try_from(path) {
            self.headers.insert(header::LOCATION, path);
        }
        self
    }

    #[must_use]
    pub fn reflecting(mut self, position: Position) -> Self {
        let name = HeaderName::from_static(POSITION);
        self.headers.insert(name, HeaderValue::from(position.0));
        self
    }

    fn after(mut self, appended: &Appended) -> Self {
        if appended.repeated {
            let name = HeaderName::from_static("idempotent-replayed");
            self.headers.insert(name, HeaderValue::from_static("true"));
        }
        self.reflecting(Position(appended.first.0 + u64::from(appended.count)))
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        (self.status, self.headers, Json(self.value)).into_response()
    }
}

/// Some of many, and how to ask for the next.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A page's size, within its limits.
///
/// # Errors
/// Where it is none, or more than [`LONGEST_PAGE`].
pub fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(USUAL_PAGE) {
        limit @ 1..=LONGEST_PAGE => Ok(limit),
        _ => Err(Problem::invalid("?limit", "out_of_range")),
    }
}

/// Hides where a page ended. It holds public ids only.
pub fn cursor(end: &str) -> String {
    URL_SAFE_NO_PAD.encode(end)
}

/// Where a page ended.
///
/// # Errors
/// Where it is no cursor of ours.
pub fn read_cursor(cursor: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad_cursor())?;
    String::from_utf8(bytes).map_err(|_| bad_cursor())
}

pub fn bad_cursor() -> Problem {
    Problem::invalid("?cursor", "invalid")
}

/// Takes one row more than asked for off a page, and says whether there was one.
pub fn cut<T>(rows: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    more
}

/// Checks a version that the caller has seen against the one that is.
///
/// # Errors
/// Where they differ.
pub fn matches(seen: Option<u32>, is: u32) -> Result<(), Problem> {
    match seen {
        Some(seen) if seen != is => Err(Code::VersionConflict.into()),
        Some(_) | None => Ok(()),
    }
}

/// The parameters of a page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// How many at most, 1 to 100; 50 where it is not said.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}
