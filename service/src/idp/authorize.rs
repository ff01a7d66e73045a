//! The sign-in page of the identity provider: checks who asks, then who the person is, and
//! sends the browser back with a code.

use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Query};
use askama::Template;
use serde::Deserialize;
use url::Url;

use super::identities::ClientKind;
use super::{Grant, Idp, open};
use crate::error::AppError;
use crate::state::AppState;
use crate::web::PageError;

/// An authorization request (RFC 6749, section 4.1.1; RFC 7636, section 4.3).
#[derive(Clone, Debug, Deserialize)]
pub struct AuthorizeIn {
    pub(super) response_type: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) state: String,
    pub(super) code_challenge: String,
    pub(super) code_challenge_method: String,
    pub(super) nonce: Option<String>,
}

/// The same, with what the person typed.
#[derive(Clone, Deserialize)]
pub struct SubmitIn {
    username: String,
    password: String,
    #[serde(flatten)]
    asked: AuthorizeIn,
}

#[derive(Template)]
#[template(path = "idp.html")]
struct Page<'a> {
    asked: &'a AuthorizeIn,
    username: &'a str,
    problem: Option<&'a str>,
}

/// Shows the form.
pub async fn form(
    state: Data<AppState>,
    asked: Query<AuthorizeIn>,
) -> Result<HttpResponse, PageError> {
    open(&state)?.check(&asked)?;
    let shown = Page {
        asked: &asked,
        username: "",
        problem: None,
    };
    Ok(page(&shown, StatusCode::OK)?)
}

/// Takes the form.
pub async fn submit(
    state: Data<AppState>,
    form: Form<SubmitIn>,
) -> Result<HttpResponse, PageError> {
    let idp = open(&state)?;
    let SubmitIn {
        username,
        password,
        asked,
    } = form.into_inner();
    idp.check(&asked)?;
    let problem = if idp.may_try(&username) {
        let user = idp.identities.user(&username);
        match user.filter(|user| user.has_password(&password)) {
            Some(_) => {
                idp.forget_tries(&username);
                return Ok(back(idp, asked, username)?);
            }
            None => "Name or password is wrong.",
        }
    } else {
        "Too many tries. Wait a minute, then try again."
    };
    let shown = Page {
        asked: &asked,
        username: &username,
        problem: Some(problem),
    };
    Ok(page(&shown, StatusCode::UNAUTHORIZED)?)
}

fn page(page: &Page<'_>, status: StatusCode) -> Result<HttpResponse, AppError> {
    let body = page.render().map_err(AppError::internal)?;
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .body(body))
}

fn back(idp: &Idp, asked: AuthorizeIn, user: String) -> Result<HttpResponse, AppError> {
    let mut url = Url::parse(&asked.redirect_uri).map_err(AppError::internal)?;
    let code = idp.issue_code(Grant {
        client_id: asked.client_id,
        redirect_uri: asked.redirect_uri,
        challenge: asked.code_challenge,
        nonce: asked.nonce,
        user,
        made: Instant::now(),
    })?;
    url.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &asked.state);
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, url.as_str()))
        .finish())
}

impl Idp {
    /// Refuses a request whose client or return address is not registered: nobody is redirected
    /// to an address that is not on file, exactly.
    pub(super) fn check(&self, asked: &AuthorizeIn) -> Result<(), AppError> {
        let client = self.identities.client(&asked.client_id);
        let client = client.filter(|client| {
            client.kind == ClientKind::Web && client.redirect_uris.contains(&asked.redirect_uri)
        });
        if client.is_none() {
            return Err(AppError::bad_request(
                "The client or its return address is not known.",
            ));
        }
        if asked.response_type != "code" || asked.code_challenge_method != "S256" {
            return Err(AppError::bad_request(
                "Only the code flow with PKCE (S256) is supported.",
            ));
        }
        if asked.code_challenge.len() != 43 || asked.state.is_empty() {
            return Err(AppError::bad_request(
                "code_challenge and state are needed.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_address_says_is_text() {
        let asked = AuthorizeIn {
            response_type: "code".into(),
            client_id: "\"><script>1</script>".into(),
            redirect_uri: "<img src=x>".into(),
            state: "\"><script>2</script>".into(),
            code_challenge: "'><script>".into(),
            code_challenge_method: "S256".into(),
            nonce: Some("<script>3</script>".into()),
        };
        let page = Page {
            asked: &asked,
            username: "<script>4</script>",
            problem: None,
        };
        let html = page.render().unwrap();
        assert!(
            !html.contains("<script>") && !html.contains("<img"),
            "{html}"
        );
    }
}
