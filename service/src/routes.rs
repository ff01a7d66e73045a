//! Every route there is, on one page.

use actix_web::web::{ServiceConfig, get, post};
use refwarden_wire::{fetch, hook, reconcile, ssh};

use crate::{api, hook_api, idp, notify, tokens, web as pages};

/// Adds all routes.
pub fn configure(cfg: &mut ServiceConfig) {
    cfg
        // Git hosts, with the host credential.
        .route(hook::PING, get().to(hook_api::ping))
        .route(hook::RULES, get().to(hook_api::rules))
        .route(hook::PUSHES, post().to(hook_api::pushes))
        .route(hook::WAIT, post().to(hook_api::wait))
        .route(hook::CANCEL, post().to(hook_api::cancel))
        .route(hook::REFUSED, post().to(hook_api::refused))
        .route(hook::PREPARE, post().to(hook_api::prepare))
        .route(hook::SETTLE, post().to(hook_api::settle))
        .route(hook::COMPLETE, post().to(hook_api::complete))
        .route(hook::ADOPT, post().to(hook_api::adopt))
        .route(hook::AUTHENTICATE, post().to(hook_api::authenticate))
        .route(fetch::FETCH_KNOWN, post().to(hook_api::fetches::known))
        .route(fetch::FETCH_OBJECTS, post().to(hook_api::fetches::objects))
        .route(fetch::FETCHES, post().to(hook_api::fetches::record))
        .route(ssh::SSH_TOKEN, post().to(hook_api::ssh_token))
        .route(reconcile::LEDGER, post().to(hook_api::ledger))
        .route(reconcile::RECONCILE, post().to(hook_api::reconcile))
        // People's tools, with a bearer token.
        .route("/api/v1/requests", get().to(api::requests))
        .route("/api/v1/requests/{id}", get().to(api::request))
        .route("/api/v1/requests/{id}/decisions", post().to(api::decide))
        .route("/api/v1/requests/{id}/comments", post().to(api::comment))
        .route("/api/v1/grants", get().to(api::grants))
        .route("/api/v1/grants", post().to(api::ask_for_grant))
        .route("/api/v1/grants/{id}/revoke", post().to(api::revoke_grant))
        .route("/api/v1/exceptions", get().to(api::exceptions::list))
        .route("/api/v1/exceptions", post().to(api::exceptions::ask))
        .route(
            "/api/v1/exceptions/{id}/revoke",
            post().to(api::exceptions::revoke),
        )
        .route("/api/v1/revocations", get().to(tokens::list))
        .route("/api/v1/revocations", post().to(tokens::revoke))
        .route("/api/v1/events", get().to(api::events))
        .route("/api/v1/events/export", get().to(api::export_events))
        .route("/api/v1/exposure", get().to(api::exposure::of_findings))
        .route("/api/v1/exposure", post().to(api::exposure::of_objects))
        .route("/api/v1/events/stream", get().to(api::stream::events))
        .route("/api/v1/log/key", get().to(api::log::key))
        .route("/api/v1/log/checkpoint", get().to(api::log::checkpoint))
        .route("/api/v1/log/checkpoints", get().to(api::log::checkpoints))
        .route("/api/v1/log/inclusion", get().to(api::log::inclusion))
        .route("/api/v1/log/consistency", get().to(api::log::consistency))
        .route("/api/v1/log/leaves", get().to(api::log::leaves))
        .route("/api/v1/health", get().to(api::health))
        .route("/api/v1/pushes/{id}", get().to(api::push))
        .route(
            "/api/v1/pushes/{id}/findings",
            get().to(api::exceptions::findings),
        )
        .route("/api/v1/repositories", get().to(api::repositories))
        .route(
            "/api/v1/repositories/{repository:.+}/replay",
            get().to(api::replay),
        )
        .route("/api/v1/packs/{digest}", get().to(api::pack))
        .route("/api/v1/bundle", get().to(api::bundle))
        .route("/api/v1/holds", get().to(api::holds::list))
        .route("/api/v1/holds", post().to(api::holds::place))
        .route("/api/v1/holds/{id}/release", post().to(api::holds::release))
        .route("/api/v1/notifications", get().to(notify::status))
        .route("/api/v1/notifications/test", post().to(notify::test))
        .route("/api/openapi.json", get().to(api::openapi))
        .route("/livez", get().to(api::livez))
        .route("/readyz", get().to(api::readyz))
        // Whoever has a token of an identity provider, and trades it; 404 without [tokens].
        .route("/oauth/token", post().to(tokens::exchange))
        .route("/oauth/revoke", post().to(tokens::revoke_by_holder))
        .route("/.well-known/jwks.json", get().to(tokens::jwks))
        .route(
            "/.well-known/oauth-authorization-server",
            get().to(tokens::metadata),
        )
        .route("/.well-known/refwarden", get().to(tokens::metadata))
        // People, with a session.
        .route("/", get().to(pages::inbox))
        .route("/r/{id}", get().to(pages::request_page))
        .route("/r/{id}/decision", post().to(pages::decide))
        .route("/r/{id}/comment", post().to(pages::comment))
        .route("/r/{id}/revoke", post().to(pages::revoke))
        .route("/p/{id}", get().to(pages::push))
        .route("/p/{id}/exception", post().to(pages::ask_for_exception))
        .route("/audit", get().to(pages::audit))
        .route("/audit/exposure", get().to(pages::exposure))
        .route("/sign-in", get().to(pages::sign_in))
        .route("/sign-in/callback", get().to(pages::callback))
        .route("/sign-out", post().to(pages::sign_out))
        .route("/static/{name}", get().to(pages::static_file))
        // The built-in identity provider of the quick start; 404 without it.
        .route(
            "/idp/.well-known/openid-configuration",
            get().to(idp::discovery),
        )
        .route("/idp/jwks.json", get().to(idp::jwks))
        .route("/idp/authorize", get().to(idp::authorize_form))
        .route("/idp/authorize", post().to(idp::authorize_submit))
        .route("/idp/token", post().to(idp::token));
}
