//! The description of the HTTP interface, made from the code that serves it.

use utoipa::Modify;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use crate::problem::{Document, MEDIA_TYPE};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tidbok",
        description = "Bookings and consents as immutable history, with persons who can be erased. \
            See docs/API.md for what holds everywhere.",
    ),
    components(schemas(Document)),
    security(("key" = [])),
    modifiers(&Everywhere),
)]
pub(crate) struct Frame;

struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

/// The whole document.
pub fn document() -> OpenApi {
    let (_, mut document) = crate::routes::table().split_for_parts();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(method, path));
            operation.responses.responses.values_mut().for_each(describe);
            may_fail(operation);
        }
    }
    document
}

/// The document as it is served and kept.
///
/// # Errors
/// None that it can cause; writing JSON is fallible by its type.
pub fn text() -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&document())?;
    text.push('\n');
    Ok(text)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// `post_bookings_id_check_in`: what generated clients call the operation.
fn name(method: &str, path: &str) -> String {
    let words = path.split(['/', '-', '{', '}']).filter(|word| !word.is_empty() && *word != "v1");
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

/// A response must say something, if only that it is the one hoped for.
fn describe(response: &mut RefOr<Response>) {
    if let RefOr::T(response) = response
        && response.description.is_empty()
    {
        "As asked".clone_into(&mut response.description);
    }
}

/// Whatever is asked, the answer may be a problem document.
fn may_fail(operation: &mut Operation) {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let problem: Response = ResponseBuilder::new()
        .description("A problem document (RFC 9457)")
        .content(MEDIA_TYPE, content)
        .build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(problem));
}
