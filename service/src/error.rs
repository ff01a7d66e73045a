//! One error for every handler, mapped exhaustively to a status. Outsiders read one fixed
//! sentence; the cause goes to the log once, under the same event id.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderName, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use refwarden_model::Code;
use refwarden_wire::Problem;
use uuid::Uuid;

/// What a handler fails with.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The caller's input is bad; the sentence says how.
    #[error("bad request: {0}")]
    BadRequest(String),
    /// No or no good credential.
    #[error("unauthorized: {1}")]
    Unauthorized(Option<Code>, String),
    /// A known caller that may not do this.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// Policy says no.
    #[error("refused: {0} {1}")]
    Refused(Code, String),
    /// The path is served with these methods only.
    #[error("wrong method: {0} would do")]
    WrongMethod(String),
    /// There is no such thing, or the caller may not know of it.
    #[error("not found")]
    NotFound,
    /// There is no such thing, for those who may know all that there are; the sentence names it.
    #[error("not found: {0}")]
    NoSuch(String),
    /// It was there once.
    #[error("gone: {0}")]
    Gone(String),
    /// The state has changed under the caller.
    #[error("conflict: {0}")]
    Conflict(String),
    /// As many streams of events are open as may be.
    #[error("too many streams: {0}")]
    TooMany(String),
    /// A push was scanned with other rules than the policy names.
    #[error("scanned with other rules")]
    OtherRules,
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] diesel::result::Error),
    /// No database connection could be had.
    #[error("database connection: {0}")]
    Pool(#[from] diesel::r2d2::PoolError),
    /// What every push needs is not there; the sentence says what, and the cause is only logged.
    #[error("not ready: {0} {1}")]
    NotReady(&'static str, String),
    /// Something else of ours failed.
    #[error("internal: {0}")]
    Internal(String),
}

impl AppError {
    /// 404.
    pub const fn not_found() -> Self {
        Self::NotFound
    }

    /// 404 that names what there is not. Only for who may know all that there are.
    pub fn no_such(text: impl Into<String>) -> Self {
        Self::NoSuch(text.into())
    }

    /// 403 with a reason for the caller.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::Forbidden(text.into())
    }

    /// 403 with a code and a reason for the caller.
    pub fn refused(code: Code, text: impl Into<String>) -> Self {
        Self::Refused(code, text.into())
    }

    /// 400 with a reason for the caller.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::BadRequest(text.into())
    }

    /// 410 with a reason for the caller.
    pub fn gone(text: impl Into<String>) -> Self {
        Self::Gone(text.into())
    }

    /// 409 with a reason for the caller.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self::Conflict(text.into())
    }

    /// 429 with a reason for the caller, who may come again in half a minute.
    pub fn too_many(text: impl Into<String>) -> Self {
        Self::TooMany(text.into())
    }

    /// 401 with a reason for the caller.
    pub fn unauthorized(code: Option<Code>, text: impl Into<String>) -> Self {
        Self::Unauthorized(code, text.into())
    }

    /// 500; the cause is only logged.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal(cause.to_string())
    }

    /// What the caller is told.
    pub fn title(&self) -> &str {
        match self {
            Self::BadRequest(text)
            | Self::Unauthorized(_, text)
            | Self::Refused(_, text)
            | Self::Forbidden(text)
            | Self::NoSuch(text)
            | Self::Gone(text)
            | Self::TooMany(text)
            | Self::Conflict(text) => text,
            Self::NotReady(text, _) => text,
            Self::WrongMethod(_) => {
                "This address is served with other methods: the header Allow names them."
            }
            Self::NotFound => "There is nothing here, or nothing that you may see.",
            Self::OtherRules => "The push was scanned with other rules than the policy names.",
            Self::Database(_) | Self::Pool(_) => {
                "The database does not answer. Nothing was changed; try again later."
            }
            Self::Internal(_) => "The service failed. Nothing was changed; the log tells why.",
        }
    }

    const fn code(&self) -> Option<Code> {
        match self {
            Self::Unauthorized(code, _) => *code,
            Self::Refused(code, _) => Some(*code),
            Self::OtherRules => Some(Code::ScanFailed),
            Self::WrongMethod(_) => Some(Code::WrongMethod),
            Self::TooMany(_) => Some(Code::TooManyStreams),
            Self::Database(_) | Self::Pool(_) | Self::NotReady(..) | Self::Internal(_) => {
                Some(Code::ServiceFault)
            }
            _ => None,
        }
    }

    /// What a client's program goes by.
    fn header(&self) -> Option<(HeaderName, &str)> {
        match self {
            Self::WrongMethod(allow) => Some((ALLOW, allow)),
            Self::TooMany(_) => Some((RETRY_AFTER, "30")),
            _ => None,
        }
    }
}

impl From<actix_web::error::BlockingError> for AppError {
    fn from(error: actix_web::error::BlockingError) -> Self {
        Self::internal(error)
    }
}

impl ResponseError for AppError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(..) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::Refused(..) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoSuch(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::OtherRules => StatusCode::PRECONDITION_FAILED,
            Self::Gone(_) => StatusCode::GONE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Database(_) | Self::Pool(_) | Self::NotReady(..) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let event = Uuid::now_v7().to_string();
        let status = self.status_code();
        if status.is_server_error() {
            tracing::error!(%event, cause = %self, "request failed");
        } else {
            tracing::info!(%event, cause = %self, "request refused");
        }
        let problem = Problem {
            status: status.as_u16(),
            title: self.title().to_owned(),
            code: self.code(),
            event,
        };
        let mut answer = HttpResponse::build(status);
        if let Some(header) = self.header() {
            answer.insert_header(header);
        }
        answer
            .content_type("application/problem+json")
            .body(serde_json::to_string(&problem).unwrap_or_default())
    }
}
