//! Sign-in by `OpenID` Connect: code flow with PKCE, state and nonce.

use actix_web::cookie::Cookie;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Query};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{Duration, Utc};
use refwarden_config::SignIn;
use refwarden_model::ActorKind;
use serde::Deserialize;
use url::Url;

use super::error::PageError;
use super::session::{SignedIn, cookie, host_cookie, id_sha256, removal};
use crate::db::sessions::{self, PendingSignIn, Session};
use crate::error::AppError;
use crate::identity::{self, TokenError};
use crate::random;
use crate::state::AppState;

/// Minutes that a person may take at the identity provider.
const PENDING_MINUTES: i64 = 10;

/// Binds sign-ins under way to the browser that began them (RFC 9700, section 4.7): whoever is
/// sent the end of somebody else's sign-in is not signed in as that person.
const BINDING: &str = "__Host-refwarden-sign-in";

/// Where to go afterwards.
#[derive(Deserialize)]
pub struct SignInIn {
    return_to: Option<String>,
}

/// What the identity provider sends the browser back with.
#[derive(Deserialize)]
pub struct CallbackIn {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// A form with nothing but the CSRF token.
#[derive(Deserialize)]
pub struct SignOutIn {
    csrf: String,
}

#[derive(Deserialize)]
struct TokenOut {
    id_token: String,
}

/// Sends the browser to the identity provider.
pub async fn sign_in(
    state: Data<AppState>,
    request: HttpRequest,
    query: Query<SignInIn>,
) -> Result<HttpResponse, PageError> {
    let config = configured(&state)?;
    let discovery = state
        .issuers
        .discovery(&config.issuer)
        .await
        .map_err(|_| unavailable())?;
    let (verifier, nonce, key) = (random::token()?, random::token()?, random::token()?);
    let mut url = Url::parse(&discovery.authorization_endpoint).map_err(AppError::internal)?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &config.client_id)
        .append_pair("redirect_uri", &callback_url(&state))
        .append_pair("scope", "openid profile email")
        .append_pair("state", &key)
        .append_pair("nonce", &nonce)
        .append_pair("code_challenge", &random::pkce_challenge(&verifier))
        .append_pair("code_challenge_method", "S256");
    let return_to = local(query.return_to.as_deref());
    // The same for all tabs of the browser, so that one sign-in does not undo another.
    let binding = match binding(&request) {
        Some(binding) => binding,
        None => random::token()?,
    };
    let hash = bound(&key, &binding);
    state
        .db(move |conn| {
            let now = Utc::now();
            let pending = PendingSignIn {
                verifier,
                nonce,
                return_to,
            };
            let until = now + Duration::minutes(PENDING_MINUTES);
            Ok(sessions::insert_pending(conn, &hash, &pending, until, now)?)
        })
        .await?;
    let mut cookie = host_cookie(BINDING, binding);
    cookie.set_max_age(actix_web::cookie::time::Duration::minutes(PENDING_MINUTES));
    Ok(HttpResponse::SeeOther()
        .cookie(cookie)
        .insert_header((LOCATION, url.as_str()))
        .finish())
}

/// The browser's binding, where it is one that we may have given.
fn binding(request: &HttpRequest) -> Option<String> {
    let cookie = request.cookie(BINDING);
    let value = cookie.as_ref().map(Cookie::value);
    value.filter(|it| it.len() == 43).map(ToOwned::to_owned)
}

/// What a sign-in under way is found by: its state and the browser together.
fn bound(state: &str, binding: &str) -> String {
    random::sha256(&format!("{binding}.{state}"))
}

/// Takes the browser back, and begins a session with a new id.
pub async fn callback(
    state: Data<AppState>,
    request: HttpRequest,
    query: Query<CallbackIn>,
) -> Result<HttpResponse, PageError> {
    let config = configured(&state)?;
    let again = || AppError::bad_request("The sign-in was not finished. Start again at the inbox.");
    if let Some(error) = &query.error {
        tracing::info!(error, "the identity provider refused a sign-in");
        return Err(again().into());
    }
    let (Some(code), Some(key)) = (query.code.clone(), query.state.clone()) else {
        return Err(again().into());
    };
    let hash = bound(&key, &binding(&request).ok_or_else(again)?);
    let pending = state
        .db(move |conn| Ok(sessions::take_pending(conn, &hash, Utc::now())?))
        .await?;
    let pending = pending.ok_or_else(again)?;
    let id_token = exchange(&state, config, &code, &pending.verifier).await?;
    let verified = state
        .issuers
        .verify_id_token(
            &config.issuer,
            &id_token,
            &config.client_id,
            &pending.nonce,
            Utc::now(),
        )
        .await;
    let actor = verified.map_err(|error| match error {
        TokenError::IssuerUnavailable => unavailable(),
        other => {
            tracing::warn!(cause = %other, "the identity provider's token is not accepted");
            AppError::forbidden("The identity provider's answer was not accepted.")
        }
    })?;
    if actor.kind != ActorKind::Human {
        return Err(AppError::forbidden("Only people sign in to the pages.").into());
    }
    let (id, csrf) = (random::token()?, random::token()?);
    let minutes = i64::from(state.config.service.session_minutes);
    let hash = random::sha256(&id);
    let before = id_sha256(&request);
    tracing::info!(subject = actor.subject, "signed in");
    state
        .db(move |conn| {
            let now = Utc::now();
            if let Some(before) = before {
                sessions::delete(conn, &before)?;
            }
            let session = Session {
                actor,
                csrf,
                expires_at: now + Duration::minutes(minutes),
            };
            Ok(sessions::insert(conn, &hash, &session, now)?)
        })
        .await?;
    Ok(HttpResponse::SeeOther()
        .cookie(cookie(id))
        .insert_header((LOCATION, pending.return_to))
        .finish())
}

/// Ends the session.
pub async fn sign_out(
    signed_in: SignedIn,
    state: Data<AppState>,
    form: Form<SignOutIn>,
) -> Result<HttpResponse, PageError> {
    signed_in.check_form(&form.csrf)?;
    state
        .db(move |conn| Ok(sessions::delete(conn, &signed_in.id_sha256)?))
        .await?;
    Ok(HttpResponse::SeeOther()
        .cookie(removal())
        .insert_header((LOCATION, "/"))
        .finish())
}

async fn exchange(
    state: &AppState,
    config: &SignIn,
    code: &str,
    verifier: &str,
) -> Result<String, AppError> {
    let discovery = state
        .issuers
        .discovery(&config.issuer)
        .await
        .map_err(|_| unavailable())?;
    let redirect_uri = callback_url(state);
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", verifier),
        ("client_id", &config.client_id),
    ];
    let secret = match &config.client_secret_file {
        None => None,
        Some(file) => {
            let path = state.config_dir.join(file);
            Some(
                tokio::fs::read_to_string(path)
                    .await
                    .map_err(AppError::internal)?,
            )
        }
    };
    if let Some(secret) = &secret {
        form.push(("client_secret", secret.trim()));
    }
    let sent = state
        .http
        .post(&discovery.token_endpoint)
        .form(&form)
        .send()
        .await;
    let answer = match sent {
        Ok(response) => identity::read_json::<TokenOut>(response).await,
        Err(error) => Err(error.without_url().to_string()),
    };
    answer.map(|token| token.id_token).map_err(|cause| {
        tracing::warn!(cause, "the identity provider gives no token");
        unavailable()
    })
}

fn configured(state: &AppState) -> Result<&SignIn, AppError> {
    state
        .config
        .sign_in
        .as_ref()
        .ok_or_else(AppError::not_found)
}

fn unavailable() -> AppError {
    AppError::internal("the identity provider does not answer as it should")
}

fn callback_url(state: &AppState) -> String {
    format!("{}/sign-in/callback", state.config.service.public_url)
}

/// A path on this host, or the inbox: a return address never leads away. Browsers take a
/// backslash for a slash; a header holds no more than visible ASCII.
fn local(path: Option<&str>) -> String {
    let is_local = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains('\\')
            && path.bytes().all(|byte| byte.is_ascii_graphic())
    };
    path.filter(is_local).unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_sign_in_ends_in_the_browser_that_began_it() {
        let theirs = "t".repeat(43);
        let mine = TestRequest::default().cookie(host_cookie(BINDING, theirs.clone()));
        let mine = binding(&mine.to_http_request()).unwrap();
        assert_eq!(bound("state", &mine), bound("state", &theirs));
        assert_ne!(bound("state", &mine), bound("state", &"m".repeat(43)));
        assert_ne!(bound("state", &mine), bound("other", &mine));
        let short = TestRequest::default().cookie(host_cookie(BINDING, String::new()));
        assert_eq!(binding(&short.to_http_request()), None);
        assert_eq!(binding(&TestRequest::default().to_http_request()), None);
    }

    #[test]
    fn a_return_address_stays_on_this_host() {
        assert_eq!(local(Some("/r/8FZK2M0T?x=1")), "/r/8FZK2M0T?x=1");
        for away in [
            "//evil",
            "https://evil",
            "/\\evil",
            "\\\\evil",
            "",
            "r",
            "/a\r\nX: y",
            "/a b",
            "/\u{e9}",
        ] {
            assert_eq!(local(Some(away)), "/", "{away:?}");
        }
        assert_eq!(local(None), "/");
    }
}
