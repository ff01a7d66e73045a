//! Pages for people: sign-in, inbox, request. Rendered here, whole without JavaScript.
//!
//! No GET changes anything; every form carries the session's CSRF token and is taken from our
//! own origin only. All text from outside is escaped by the templates, and characters that
//! nobody sees are made visible by `text`.

mod audit;
mod error;
mod exception;
mod exposure;
mod grant;
mod inbox;
mod lasting;
mod patch;
mod push;
mod replay;
mod request;
mod session;
mod sign_in;
mod text;
mod views;

pub use audit::audit;
pub use error::{PageError, refusal};
pub use exposure::exposure;
pub use inbox::inbox;
pub use lasting::revoke;
pub use push::{ask_for_exception, push};
pub use replay::replay;
pub use request::{comment, decide, page as request_page};
pub use sign_in::{callback, sign_in, sign_out};
pub use text::{kind as update_in_words, listed, short, visible_line};

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::Path;

use crate::error::AppError;

/// Headers of every answer. Nothing is framed, nothing inline runs, nothing is kept.
pub fn security_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ))
        .add(("X-Content-Type-Options", "nosniff"))
        .add(("Referrer-Policy", "same-origin"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"))
        .add((CACHE_CONTROL, "no-store"))
}

/// Serves the style sheet and the script.
pub async fn static_file(name: Path<String>) -> Result<HttpResponse, AppError> {
    let (kind, body) = match name.as_str() {
        "style.css" => (
            "text/css; charset=utf-8",
            include_str!("../../static/style.css"),
        ),
        "keys.js" => (
            "text/javascript; charset=utf-8",
            include_str!("../../static/keys.js"),
        ),
        "icon.svg" => ("image/svg+xml", include_str!("../../static/icon.svg")),
        _ => return Err(AppError::not_found()),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .body(body))
}

fn html(page: &impl askama::Template) -> Result<HttpResponse, AppError> {
    Ok(whole(page.render().map_err(AppError::internal)?))
}

/// A page that is rendered already.
fn whole(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(body)
}
