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
    for item in document.paths.paths.values_mut() {
        operations(item).for_each(may_fail);
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

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
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
