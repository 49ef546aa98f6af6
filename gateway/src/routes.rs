//! Every route in one table. Who may call it stands in the signature of its handler.

mod audit;
mod availability;
mod bookings;
mod catalogue;
mod clients;
mod consents;
mod keys;
mod log;
mod me;
mod policy;
mod privacy;
mod recipients;
mod resources;
mod services;
mod shown;
mod statistics;
mod status;
mod time;

use std::sync::Arc;

use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::openapi::Frame;
use crate::pages;

/// The table.
pub fn table() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Frame::openapi())
        .merge(what_can_be_booked())
        .merge(bookings_and_people())
        .merge(rights_and_history())
        .route("/", get(pages::home))
        .route("/style.css", get(pages::style))
        .route("/openapi.json", get(status::openapi))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/metrics", get(status::metrics))
}

fn what_can_be_booked() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(services::list, services::create))
        .routes(routes!(services::read, services::revise, services::retire))
        .routes(routes!(resources::list, resources::create))
        .routes(routes!(resources::read, resources::revise, resources::retire))
        .routes(routes!(availability::read))
        .routes(routes!(policy::read, policy::set))
}

fn bookings_and_people() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(bookings::list, bookings::create))
        .routes(routes!(bookings::read))
        .routes(routes!(bookings::changes::confirm))
        .routes(routes!(bookings::changes::decline))
        .routes(routes!(bookings::changes::reschedule))
        .routes(routes!(bookings::changes::cancel))
        .routes(routes!(bookings::changes::check_in))
        .routes(routes!(bookings::changes::complete))
        .routes(routes!(bookings::changes::no_show))
        .routes(routes!(bookings::changes::erase_content))
        .routes(routes!(clients::list, clients::register))
        .routes(routes!(clients::search::search))
        .routes(routes!(clients::read, clients::rectify))
        .routes(routes!(clients::bookings))
        .routes(routes!(clients::consents))
        .routes(routes!(clients::issue_key))
        .routes(routes!(clients::standing::restrict))
        .routes(routes!(clients::standing::unrestrict))
        .routes(routes!(clients::standing::hold))
        .routes(routes!(clients::standing::release))
        .routes(routes!(me::read))
        .routes(routes!(me::bookings))
        .routes(routes!(me::consents))
}

fn rights_and_history() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(consents::give))
        .routes(routes!(consents::withdraw))
        .routes(routes!(consents::accept))
        .routes(routes!(privacy::list, privacy::ask))
        .routes(routes!(privacy::preview))
        .routes(routes!(privacy::read))
        .routes(routes!(privacy::approve))
        .routes(routes!(privacy::withdraw))
        .routes(routes!(privacy::receipt))
        .routes(routes!(recipients::list))
        .routes(routes!(recipients::secret))
        .routes(routes!(recipients::disclose))
        .routes(routes!(recipients::notices))
        .routes(routes!(recipients::acknowledge))
        .routes(routes!(statistics::read))
        .routes(routes!(audit::events))
        .routes(routes!(log::checkpoint))
        .routes(routes!(log::verifier_key))
        .routes(routes!(log::tile))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
}
