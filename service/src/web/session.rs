//! Who is signed in: a cookie with an unguessable id, of which only the hash is stored.

use std::future::Future;
use std::pin::Pin;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, ORIGIN};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use chrono::Utc;
use refwarden_model::{Actor, ActorChain};
use subtle::ConstantTimeEq as _;

use super::error::PageError;
use crate::db::sessions;
use crate::error::AppError;
use crate::random;
use crate::state::AppState;

/// The `__Host-` prefix binds the cookie to this host, to `/` and to secure connections;
/// browsers count loopback as one.
const COOKIE: &str = "__Host-refwarden";

/// A signed-in person. Having one is the permission to see pages.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who it is.
    pub actor: Actor,
    /// The token that the session's forms carry.
    pub csrf: String,
    /// Hash of the session's id.
    pub id_sha256: String,
    origin: Option<String>,
    fetch_site: Option<String>,
    public_origin: String,
}

impl SignedIn {
    /// The person as an actor chain of one.
    pub fn chain(&self) -> ActorChain {
        ActorChain {
            pusher: self.actor.clone(),
            on_behalf_of: Vec::new(),
        }
    }

    /// Passes a form that our own page has sent. A browser says where a form comes from, by
    /// `Origin` or `Sec-Fetch-Site`; what says nothing is no browser, and is not let through.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] for a wrong CSRF token, or a form from elsewhere or from nowhere.
    pub fn check_form(&self, csrf: &str) -> Result<(), AppError> {
        let origin = self.origin.as_ref().map(|it| *it == self.public_origin);
        let site = self.fetch_site.as_deref().map(|it| it == "same-origin");
        let from_elsewhere = match (origin, site) {
            (None, None) => true,
            (origin, site) => origin == Some(false) || site == Some(false),
        };
        let same: bool = self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into();
        if from_elsewhere || !same {
            return Err(AppError::forbidden(
                "The form did not come from this session's page. Open the page again.",
            ));
        }
        Ok(())
    }
}

impl FromRequest for SignedIn {
    type Error = PageError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, PageError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let nobody = || {
                let path = request.uri().path_and_query().map(ToString::to_string);
                match path {
                    _ if request.method() != actix_web::http::Method::GET => PageError::Ended,
                    Some(path) if path != "/" => PageError::SignIn(path),
                    _ => PageError::Landing,
                }
            };
            let state = request.app_data::<Data<AppState>>();
            let state = state.ok_or_else(|| AppError::internal("no application state"))?;
            let id_sha256 = id_sha256(&request).ok_or_else(nobody)?;
            let id = id_sha256.clone();
            let found = state
                .db(move |conn| Ok(sessions::find(conn, &id, Utc::now())?))
                .await?;
            let session = found.ok_or_else(nobody)?;
            let header = |name: &str| text(request.headers(), name);
            Ok(Self {
                actor: session.actor,
                csrf: session.csrf,
                id_sha256,
                origin: header(ORIGIN.as_str()),
                fetch_site: header("sec-fetch-site"),
                public_origin: origin_of(&state.config.service.public_url),
            })
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn origin_of(url: &str) -> String {
    url::Url::parse(url)
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default()
}

/// The cookie of a new session.
pub fn cookie(id: String) -> Cookie<'static> {
    host_cookie(COOKIE, id)
}

/// A cookie for this host alone, that no script reads and no other site's form sends.
pub fn host_cookie(name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish()
}

/// Hash of the id of the session that a request carries, be it good or not.
pub fn id_sha256(request: &HttpRequest) -> Option<String> {
    let cookie = request.cookie(COOKIE)?;
    Some(random::sha256(cookie.value()))
}

/// The cookie that takes a session's away.
pub fn removal() -> Cookie<'static> {
    let mut cookie = cookie(String::new());
    cookie.make_removal();
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forms_of_our_own_pages_pass() {
        let signed_in = |origin: Option<&str>, site: Option<&str>| SignedIn {
            actor: Actor {
                issuer: String::new(),
                subject: String::new(),
                kind: refwarden_model::ActorKind::Human,
                name: None,
                email: None,
                groups: vec![],
                claims: std::collections::BTreeMap::new(),
            },
            csrf: "c".into(),
            id_sha256: String::new(),
            origin: origin.map(Into::into),
            fetch_site: site.map(Into::into),
            public_origin: origin_of("http://127.0.0.1:8420/x"),
        };
        let ours = Some("http://127.0.0.1:8420");
        for (origin, site, csrf, good) in [
            (ours, Some("same-origin"), "c", true),
            (ours, None, "c", true),
            (None, Some("same-origin"), "c", true),
            (None, None, "c", false),
            (ours, None, "", false),
            (ours, None, "d", false),
            (Some("null"), None, "c", false),
            (Some("http://127.0.0.1:8421"), None, "c", false),
            (Some("https://127.0.0.1:8420"), None, "c", false),
            (None, Some("cross-site"), "c", false),
            (ours, Some("same-site"), "c", false),
        ] {
            let passed = signed_in(origin, site).check_form(csrf).is_ok();
            assert_eq!(passed, good, "{origin:?} {site:?} {csrf:?}");
        }
    }
}
