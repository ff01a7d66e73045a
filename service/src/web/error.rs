//! Errors as pages, and the way to the sign-in for whoever is not signed in.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, ALLOW, LOCATION};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;

use crate::error::AppError;

/// What a page fails with.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Any error of the service.
    #[error(transparent)]
    App(#[from] AppError),
    /// A decision that was not taken, and the page to go back to.
    #[error("{0}")]
    Decision(AppError, String),
    /// Nobody is signed in and opens a page; where to return to afterwards.
    #[error("not signed in")]
    SignIn(String),
    /// Nobody is signed in and opens the front page.
    #[error("not signed in")]
    Landing,
    /// Nobody is signed in, or not any more, and submits a form.
    #[error("the session has ended")]
    Ended,
}

/// The front page for whoever is not signed in.
#[derive(Template)]
#[template(path = "landing.html")]
struct Landing<'a> {
    who: Option<&'a str>,
    csrf: &'a str,
    ended: bool,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Page<'a> {
    who: Option<&'a str>,
    csrf: &'a str,
    status: u16,
    title: &'a str,
    back: Option<&'a str>,
}

/// An error as a page where a browser asks for one, else as the API gives it.
pub fn refusal(error: AppError, request: &HttpRequest) -> actix_web::Error {
    let accept = request.headers().get(ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        PageError::App(error).into()
    } else {
        error.into()
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::App(error) | Self::Decision(error, _) => error.status_code(),
            Self::SignIn(_) => StatusCode::SEE_OTHER,
            Self::Landing => StatusCode::OK,
            Self::Ended => StatusCode::FORBIDDEN,
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
            // No redirect: a form's answer must not lead to another origin, by our own policy.
            Self::Landing | Self::Ended => html(
                self.status_code(),
                &Landing {
                    who: None,
                    csrf: "",
                    ended: matches!(self, Self::Ended),
                },
            ),
            Self::App(error) => explain(error, None),
            Self::Decision(error, back) => explain(error, Some(back)),
        }
    }
}

fn explain(error: &AppError, back: Option<&str>) -> HttpResponse {
    // Logs the cause, once.
    let plain = error.error_response();
    let status = plain.status();
    let page = Page {
        who: None,
        csrf: "",
        status: status.as_u16(),
        title: error.title(),
        back,
    };
    let mut answer = html(status, &page);
    if let Some(allow) = plain.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow.clone());
    }
    answer
}

fn html(status: StatusCode, page: &impl Template) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .body(page.render().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::CONTENT_TYPE;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn browsers_get_pages_and_programs_get_problems() {
        for (accept, kind) in [
            ("text/html,*/*;q=0.8", "text/html; charset=utf-8"),
            ("application/json", "application/problem+json"),
        ] {
            let request = TestRequest::default().insert_header((ACCEPT, accept));
            let request = request.to_http_request();
            let error = refusal(AppError::not_found(), &request);
            let answer = error.as_response_error().error_response();
            assert_eq!(answer.status(), 404);
            assert_eq!(answer.headers().get(CONTENT_TYPE).unwrap(), kind);
            let error = refusal(AppError::WrongMethod("GET, POST".to_owned()), &request);
            let answer = error.as_response_error().error_response();
            assert_eq!(answer.status(), 405);
            assert_eq!(answer.headers().get(ALLOW).unwrap(), "GET, POST");
        }
    }

    #[test]
    fn whoever_is_not_signed_in_is_led_to_the_sign_in() {
        let answer = PageError::SignIn("/r/8FZK2M0T?a=b&c".into()).error_response();
        assert_eq!(
            answer.headers().get(LOCATION).unwrap(),
            "/sign-in?return_to=%2Fr%2F8FZK2M0T%3Fa%3Db%26c"
        );
        assert_eq!(PageError::Landing.error_response().status(), 200);
        assert_eq!(PageError::Ended.error_response().status(), 403);
    }
}
