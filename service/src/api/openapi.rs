//! The `OpenAPI` document, generated from the handlers.

use actix_web::HttpResponse;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

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
        crate::tokens::exchange,
        crate::tokens::revoke_by_holder,
        crate::tokens::revoke,
        crate::tokens::list,
        crate::notify::status,
        crate::notify::test,
    ),
    components(schemas(refwarden_wire::Problem)),
    security(("bearer" = [])),
    modifiers(&Finish)
)]
struct Document;

/// What stands at no single handler: how to say who asks, and what goes together.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.bearer_format = Some("JWT".to_owned());
        bearer.description = Some(
            "A token of a configured issuer, or one that `/oauth/token` gave for it.".to_owned(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for (path, item) in &mut document.paths.paths {
            for operation in operations(item) {
                operation.tags = Some(vec![tag(path).to_owned()]);
            }
        }
    }
}

/// The first word that is a path's own.
fn tag(path: &str) -> &str {
    let own = path.strip_prefix("/api/v1/").unwrap_or(path);
    own.split('/').find(|word| !word.is_empty()).unwrap_or(own)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post].into_iter().flatten()
}

/// Serves the document.
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().json(Document::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_says_how_to_ask_and_what_goes_together() {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let scheme = &document["components"]["securitySchemes"]["bearer"];
        assert_eq!(scheme["scheme"], "bearer");
        assert_eq!(document["security"][0]["bearer"], serde_json::json!([]));
        let paths = document["paths"].as_object().unwrap();
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                assert!(
                    ["get", "post"].contains(&method.as_str()),
                    "{method} {path}"
                );
                let tags = operation["tags"].as_array().unwrap();
                let plain = |tag: &serde_json::Value| {
                    let mut letters = tag.as_str().unwrap().bytes();
                    letters.all(|it| it.is_ascii_lowercase())
                };
                assert!(
                    tags.len() == 1 && tags.iter().all(plain),
                    "{path}: {tags:?}"
                );
                // Whoever posts a token there has no other.
                let is_open = operation["security"] == serde_json::json!([{}]);
                assert_eq!(is_open, path.starts_with("/oauth/"), "{method} {path}");
            }
        }
        let form = "application/x-www-form-urlencoded";
        for path in ["/oauth/token", "/oauth/revoke"] {
            let body = &document["paths"][path]["post"]["requestBody"]["content"];
            assert!(body[form]["schema"].is_object(), "{path}: {body}");
        }
        // Every route of the API stands here.
        let routes = include_str!("../routes.rs").split('"').skip(1).step_by(2);
        let api = routes.filter(|it| it.starts_with("/api/v1/") || it.starts_with("/oauth/"));
        for route in api {
            let path = route.replace(":.+", "");
            assert!(paths.contains_key(&path), "{path} is not in the document");
        }
    }
}
