//! Errors of the token endpoint (RFC 6749, section 5.2).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::json;

/// Why no token is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OauthError {
    /// A parameter is missing or wrong.
    InvalidRequest(&'static str),
    /// The client is unknown or its secret wrong.
    InvalidClient,
    /// The code is unknown, used, expired, or another's.
    InvalidGrant,
    /// The client may not ask for this.
    UnauthorizedClient,
    /// The grant type is not one that is known.
    UnsupportedGrantType,
}

impl OauthError {
    /// The answer. A client that came with HTTP Basic is told of that scheme.
    pub fn response(self, was_basic: bool) -> HttpResponse {
        let (status, error, text) = match self {
            Self::InvalidRequest(text) => (StatusCode::BAD_REQUEST, "invalid_request", text),
            Self::InvalidClient => (
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "unknown client or wrong secret",
            ),
            Self::InvalidGrant => (
                StatusCode::BAD_REQUEST,
                "invalid_grant",
                "the code is not good, or not any more",
            ),
            Self::UnauthorizedClient => (
                StatusCode::BAD_REQUEST,
                "unauthorized_client",
                "not for this client",
            ),
            Self::UnsupportedGrantType => (
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "expected authorization_code or client_credentials",
            ),
        };
        let mut answer = HttpResponse::build(status);
        if was_basic && status == StatusCode::UNAUTHORIZED {
            answer.insert_header(("WWW-Authenticate", "Basic realm=\"refwarden\""));
        }
        answer
            .insert_header(("Cache-Control", "no-store"))
            .json(json!({"error": error, "error_description": text}))
    }
}
