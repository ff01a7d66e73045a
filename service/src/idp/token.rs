//! The token endpoint: a code becomes an ID token and an access token; client credentials
//! become an access token.

use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::error::OauthError;
use super::identities::{Client, ClientKind, User};
use super::{Idp, open};
use crate::error::AppError;
use crate::random;
use crate::state::AppState;

/// The longest token, in seconds.
const MAX_LIFETIME: i64 = 3600;
/// A token's lifetime when none is asked for, in seconds.
const LIFETIME: i64 = 600;

/// What a client posts.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct TokenIn {
    pub(super) grant_type: String,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) code: Option<String>,
    pub(super) redirect_uri: Option<String>,
    pub(super) code_verifier: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) expires_in: Option<String>,
    /// The human that an agent acts for.
    #[serde(rename = "for")]
    pub(super) acts_for: Option<String>,
    /// The user that the operator wants to be.
    pub(super) subject: Option<String>,
}

/// Answers the token endpoint.
pub async fn token(
    state: Data<AppState>,
    request: HttpRequest,
    form: Result<Form<TokenIn>, actix_web::Error>,
) -> Result<HttpResponse, AppError> {
    let idp = open(&state)?;
    let Ok(form) = form else {
        return Ok(OauthError::InvalidRequest("expected a form, each field once").response(false));
    };
    let mut asked = form.into_inner();
    let header = basic(&request);
    let was_basic = header.is_some();
    let granted = asked.authenticate(header).and_then(|()| idp.grant(&asked));
    match granted {
        Ok(claims) => {
            let mut answer = json!({
                "token_type": "Bearer",
                "expires_in": claims.expires_in,
                "access_token": idp.signer.sign(&claims.access)?,
            });
            if let (Some(id_token), Some(object)) = (&claims.id_token, answer.as_object_mut()) {
                object.insert(
                    "id_token".to_owned(),
                    Value::String(idp.signer.sign(id_token)?),
                );
            }
            Ok(HttpResponse::Ok()
                .insert_header(("Cache-Control", "no-store"))
                .json(answer))
        }
        Err(error) => {
            tracing::info!(client = asked.client_id, ?error, "no token is given");
            Ok(error.response(was_basic))
        }
    }
}

impl TokenIn {
    /// Takes client id and secret from the header, where they stand there and nowhere else
    /// (RFC 6749, section 2.3).
    pub(super) fn authenticate(
        &mut self,
        header: Option<(String, String)>,
    ) -> Result<(), OauthError> {
        if let Some((id, secret)) = header {
            if self.client_secret.is_some() || self.client_id.as_ref().is_some_and(|it| *it != id) {
                return Err(OauthError::InvalidRequest(
                    "a client authenticates in one way only",
                ));
            }
            self.client_id = Some(id);
            self.client_secret = Some(secret);
        }
        Ok(())
    }
}

/// Client id and secret as HTTP Basic (RFC 6749, section 2.3.1).
fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |text: &str| {
        url::form_urlencoded::parse(format!("v={text}").as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}

/// Claims to sign.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) access: Value,
    pub(super) id_token: Option<Value>,
    expires_in: i64,
}

impl Idp {
    /// Decides what a client gets.
    pub(super) fn grant(&self, asked: &TokenIn) -> Result<Claims, OauthError> {
        let id = asked
            .client_id
            .as_deref()
            .ok_or(OauthError::InvalidClient)?;
        let secret = asked
            .client_secret
            .as_deref()
            .ok_or(OauthError::InvalidClient)?;
        let client = self
            .identities
            .client(id)
            .filter(|client| client.has_secret(secret));
        let client = client.ok_or(OauthError::InvalidClient)?;
        match asked.grant_type.as_str() {
            "authorization_code" => self.by_code(client, asked),
            "client_credentials" => self.by_credentials(client, asked),
            _ => Err(OauthError::UnsupportedGrantType),
        }
    }

    fn by_code(&self, client: &Client, asked: &TokenIn) -> Result<Claims, OauthError> {
        if client.kind != ClientKind::Web {
            return Err(OauthError::UnauthorizedClient);
        }
        let missing = OauthError::InvalidRequest("code, redirect_uri, code_verifier are needed");
        let code = asked.code.as_deref().ok_or(missing)?;
        let verifier = asked.code_verifier.as_deref().ok_or(missing)?;
        let grant = self.redeem(code).ok_or(OauthError::InvalidGrant)?;
        let challenge = random::pkce_challenge(verifier);
        let good = grant.client_id == client.id
            && asked.redirect_uri.as_deref() == Some(grant.redirect_uri.as_str())
            && bool::from(challenge.as_bytes().ct_eq(grant.challenge.as_bytes()));
        let user = self.identities.user(&grant.user).filter(|_| good);
        let user = user.ok_or(OauthError::InvalidGrant)?;
        let mut access = self.claims(&user.name, &self.audience, LIFETIME);
        describe(&mut access, user);
        let mut id_token = self.claims(&user.name, &client.id, LIFETIME);
        describe(&mut id_token, user);
        if let Some(nonce) = grant.nonce {
            set(&mut id_token, "nonce", json!(nonce));
        }
        Ok(Claims {
            access,
            id_token: Some(id_token),
            expires_in: LIFETIME,
        })
    }

    fn by_credentials(&self, client: &Client, asked: &TokenIn) -> Result<Claims, OauthError> {
        let wrong = OauthError::InvalidRequest("expires_in: expected 1 to 3600 seconds");
        let expires_in = match &asked.expires_in {
            None => LIFETIME,
            Some(text) => text.parse().map_err(|_| wrong)?,
        };
        if !(1..=MAX_LIFETIME).contains(&expires_in) {
            return Err(wrong);
        }
        let audience = asked.audience.as_deref().unwrap_or(&self.audience);
        let known = |name: &str| {
            self.identities
                .user(name)
                .ok_or(OauthError::InvalidRequest("there is no such user"))
        };
        let mut access = match (client.kind, &asked.acts_for, &asked.subject) {
            (ClientKind::Agent, Some(human), None) => {
                let mut claims = self.claims(human, audience, expires_in);
                describe(&mut claims, known(human)?);
                set(&mut claims, "act", json!({"sub": client.id}));
                claims
            }
            (ClientKind::Agent, None, None) => self.claims(&client.id, audience, expires_in),
            (ClientKind::Operator, None, Some(user)) => {
                let mut claims = self.claims(user, audience, expires_in);
                describe(&mut claims, known(user)?);
                claims
            }
            _ => return Err(OauthError::UnauthorizedClient),
        };
        set(&mut access, "client_id", json!(client.id));
        Ok(Claims {
            access,
            id_token: None,
            expires_in,
        })
    }

    fn claims(&self, subject: &str, audience: &str, expires_in: i64) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": self.issuer, "sub": subject, "aud": audience,
            "iat": now, "nbf": now, "exp": now + expires_in,
            "jti": Uuid::new_v4(),
        })
    }
}

fn describe(claims: &mut Value, user: &User) {
    set(claims, "email", json!(user.email));
    set(claims, "email_verified", json!(true));
    set(claims, "groups", json!(user.groups));
}

fn set(claims: &mut Value, name: &str, value: Value) {
    if let Some(claims) = claims.as_object_mut() {
        claims.insert(name.to_owned(), value);
    }
}
