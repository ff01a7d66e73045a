//! Errors as pages, and the way to the sign-in for whoever is not signed in.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, ResponseError};
use askama::Template;

use crate::error::AppError;

/// What a page fails with.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Any error of the service.
    #[error(transparent)]
    App(#[from] AppError),
    /// Nobody is signed in; where to return to afterwards.
    #[error("not signed in")]
    SignIn(String),
}

#[derive(Template)]
#[template(path = "error.html")]
struct Page<'a> {
    who: Option<&'a str>,
    csrf: &'a str,
    status: u16,
    title: &'a str,
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::App(error) => error.status_code(),
            Self::SignIn(_) => StatusCode::SEE_OTHER,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::SignIn(path) => {
                let query: String = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("return_to", path)
                    .finish();
                HttpResponse::SeeOther()
                    .insert_header((LOCATION, format!("/sign-in?{query}")))
                    .finish()
            }
            Self::App(error) => {
                // Logs the cause, once.
                let problem = error.error_response();
                let status = problem.status();
                let page = Page {
                    who: None,
                    csrf: "",
                    status: status.as_u16(),
                    title: error.title(),
                };
                let body = page.render().unwrap_or_default();
                HttpResponse::build(status)
                    .content_type("text/html; charset=utf-8")
                    .body(body)
            }
        }
    }
}
