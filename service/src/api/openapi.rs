//! The `OpenAPI` document, generated from the handlers.

use actix_web::HttpResponse;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Refwarden",
        description = "Approval requests, records and replay."
    ),
    paths(
        super::requests::list,
        super::requests::show,
        super::requests::decide,
        super::requests::comment,
        super::grants::ask,
        super::grants::list,
        super::grants::revoke,
        super::exceptions::findings,
        super::exceptions::ask,
        super::exceptions::list,
        super::exceptions::revoke,
        super::events::list,
        super::export::export,
        super::exposure::of_findings,
        super::exposure::of_objects,
        super::stream::events,
        super::log::key,
        super::log::checkpoint,
        super::log::checkpoints,
        super::log::inclusion,
        super::log::consistency,
        super::log::leaves,
        super::pushes::show,
        super::health::show,
        super::replay::repositories,
        super::replay::replay,
        super::replay::pack,
        super::bundle::bundle,
        super::holds::list,
        super::holds::place,
        super::holds::release,
        crate::tokens::revoke,
        crate::tokens::list,
        crate::notify::status,
        crate::notify::test,
    ),
    components(schemas(refwarden_wire::Problem))
)]
struct Document;

/// Serves the document.
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().json(Document::openapi())
}
