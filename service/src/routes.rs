//! Every route there is, on one page.

use actix_web::web::ServiceConfig;
use refwarden_wire::{fetch, hook, reconcile, ssh};

use crate::methods::{at, get, post};
use crate::{api, hook_api, idp, notify, tokens, web as pages};

/// Adds all routes.
pub fn configure(cfg: &mut ServiceConfig) {
    cfg
        // Git hosts, with the host credential.
        .service(at(hook::PING, [get(hook_api::ping)]))
        .service(at(hook::RULES, [get(hook_api::rules)]))
        .service(at(hook::PUSHES, [post(hook_api::pushes)]))
        .service(at(hook::WAIT, [post(hook_api::wait)]))
        .service(at(hook::CANCEL, [post(hook_api::cancel)]))
        .service(at(hook::REFUSED, [post(hook_api::refused)]))
        .service(at(hook::UNTRANSLATED, [post(hook_api::untranslated)]))
        .service(at(hook::PREPARE, [post(hook_api::prepare)]))
        .service(at(hook::SETTLE, [post(hook_api::settle)]))
        .service(at(hook::COMPLETE, [post(hook_api::complete)]))
        .service(at(hook::ADOPT, [post(hook_api::adopt)]))
        .service(at(hook::AUTHENTICATE, [post(hook_api::authenticate)]))
        .service(at(fetch::FETCH_KNOWN, [post(hook_api::fetches::known)]))
        .service(at(fetch::FETCH_OBJECTS, [post(hook_api::fetches::objects)]))
        .service(at(fetch::FETCHES, [post(hook_api::fetches::record)]))
        .service(at(ssh::SSH_TOKEN, [post(hook_api::ssh_token)]))
        .service(at(reconcile::LEDGER, [post(hook_api::ledger)]))
        .service(at(reconcile::RECONCILE, [post(hook_api::reconcile)]))
        // People's tools, with a bearer token.
        .service(at("/api/v1/requests", [get(api::requests)]))
        .service(at("/api/v1/requests/{id}", [get(api::request)]))
        .service(at("/api/v1/requests/{id}/decisions", [post(api::decide)]))
        .service(at("/api/v1/requests/{id}/comments", [post(api::comment)]))
        .service(at(
            "/api/v1/grants",
            [get(api::grants), post(api::ask_for_grant)],
        ))
        .service(at("/api/v1/grants/{id}/revoke", [post(api::revoke_grant)]))
        .service(at(
            "/api/v1/exceptions",
            [get(api::exceptions::list), post(api::exceptions::ask)],
        ))
        .service(at(
            "/api/v1/exceptions/{id}/revoke",
            [post(api::exceptions::revoke)],
        ))
        .service(at(
            "/api/v1/revocations",
            [get(tokens::list), post(tokens::revoke)],
        ))
        .service(at("/api/v1/events", [get(api::events)]))
        .service(at("/api/v1/events/export", [get(api::export_events)]))
        .service(at(
            "/api/v1/exposure",
            [
                get(api::exposure::of_findings),
                post(api::exposure::of_objects),
            ],
        ))
        .service(at("/api/v1/events/stream", [get(api::stream::events)]))
        .service(at("/api/v1/log/key", [get(api::log::key)]))
        .service(at("/api/v1/log/checkpoint", [get(api::log::checkpoint)]))
        .service(at("/api/v1/log/checkpoints", [get(api::log::checkpoints)]))
        .service(at("/api/v1/log/inclusion", [get(api::log::inclusion)]))
        .service(at("/api/v1/log/consistency", [get(api::log::consistency)]))
        .service(at("/api/v1/log/leaves", [get(api::log::leaves)]))
        .service(at("/api/v1/health", [get(api::health)]))
        .service(at("/api/v1/pushes/{id}", [get(api::push)]))
        .service(at(
            "/api/v1/pushes/{id}/findings",
            [get(api::exceptions::findings)],
        ))
        .service(at("/api/v1/repositories", [get(api::repositories)]))
        .service(at(
            "/api/v1/repositories/{repository:.+}/replay",
            [get(api::replay)],
        ))
        .service(at("/api/v1/packs/{digest}", [get(api::pack)]))
        .service(at("/api/v1/bundle", [get(api::bundle)]))
        .service(at(
            "/api/v1/holds",
            [get(api::holds::list), post(api::holds::place)],
        ))
        .service(at(
            "/api/v1/holds/{id}/release",
            [post(api::holds::release)],
        ))
        .service(at("/api/v1/notifications", [get(notify::status)]))
        .service(at("/api/v1/notifications/test", [post(notify::test)]))
        .service(at("/api/openapi.json", [get(api::openapi)]))
        .service(at("/livez", [get(api::livez)]))
        .service(at("/readyz", [get(api::readyz)]))
        // Whoever has a token of an identity provider, and trades it; 404 without [tokens].
        .service(at("/oauth/token", [post(tokens::exchange)]))
        .service(at("/oauth/revoke", [post(tokens::revoke_by_holder)]))
        .service(at("/.well-known/jwks.json", [get(tokens::jwks)]))
        .service(at(
            "/.well-known/oauth-authorization-server",
            [get(tokens::metadata)],
        ))
        .service(at("/.well-known/refwarden", [get(tokens::metadata)]))
        // People, with a session.
        .service(at("/", [get(pages::inbox)]))
        .service(at("/r/{id}", [get(pages::request_page)]))
        .service(at("/r/{id}/decision", [post(pages::decide)]))
        .service(at("/r/{id}/comment", [post(pages::comment)]))
        .service(at("/r/{id}/revoke", [post(pages::revoke)]))
        .service(at("/p/{id}", [get(pages::push)]))
        .service(at("/p/{id}/replay", [get(pages::replay)]))
        .service(at("/p/{id}/exception", [post(pages::ask_for_exception)]))
        .service(at("/audit", [get(pages::audit)]))
        .service(at("/audit/exposure", [get(pages::exposure)]))
        .service(at("/sign-in", [get(pages::sign_in)]))
        .service(at("/sign-in/callback", [get(pages::callback)]))
        .service(at("/sign-out", [post(pages::sign_out)]))
        .service(at("/static/{name}", [get(pages::static_file)]))
        // The built-in identity provider of the quick start; 404 without it.
        .service(at(
            "/idp/.well-known/openid-configuration",
            [get(idp::discovery)],
        ))
        .service(at("/idp/jwks.json", [get(idp::jwks)]))
        .service(at(
            "/idp/authorize",
            [get(idp::authorize_form), post(idp::authorize_submit)],
        ))
        .service(at("/idp/token", [post(idp::token)]));
}
