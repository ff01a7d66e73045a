//! `POST /oauth/token`: token exchange (RFC 8693).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Form};
use chrono::{DateTime, Utc};
use refwarden_model::{Actor, ActorChain, ActorKind};
use refwarden_policy::Scopes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CHAIN_CLAIM, SCOPE_CLAIM, Tokens, is_revoked, open, scope};
use crate::error::AppError;
use crate::identity::{Certified, TokenError, VerifiedToken};
use crate::state::AppState;

/// The grant type (RFC 8693, section 2.1).
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Token types that are taken; all of them have to be signed JWTs (RFC 8693, section 3).
const TYPES: [&str; 3] = [
    ACCESS_TOKEN,
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:jwt",
];

/// The shortest time that is worth giving a token for, in seconds.
const SHORTEST: i64 = 1;

/// What a client posts.
#[derive(Deserialize, Default, utoipa::ToSchema)]
#[serde(default)]
pub struct ExchangeIn {
    /// `urn:ietf:params:oauth:grant-type:token-exchange`.
    #[schema(required)]
    grant_type: String,
    /// The token that is traded: an identity provider's, or one of this service.
    #[schema(required)]
    subject_token: String,
    /// What it is, for example `urn:ietf:params:oauth:token-type:id_token`.
    #[schema(required)]
    subject_token_type: String,
    /// The token of the agent that acts for the holder of the other.
    actor_token: Option<String>,
    actor_token_type: Option<String>,
    requested_token_type: Option<String>,
    /// The service's audience, if any.
    audience: Option<String>,
    /// What the new token is narrowed to (docs/identity.md).
    scope: Option<String>,
    /// Seconds; an extension of ours. The configured lifetime unless said, and at most that.
    expires_in: Option<String>,
}

/// A token (RFC 8693, section 2.2.1).
#[derive(Serialize, utoipa::ToSchema)]
pub struct TokenOut {
    access_token: String,
    issued_token_type: &'static str,
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    scope: String,
}

/// Why no token is given (RFC 6749, section 5.2).
enum Refused {
    Request(&'static str, String),
    Failed(AppError),
}

impl From<AppError> for Refused {
    fn from(error: AppError) -> Self {
        Self::Failed(error)
    }
}

fn invalid(text: impl Into<String>) -> Refused {
    Refused::Request("invalid_request", text.into())
}

/// Trades a token for one of the service's own. The tokens that are posted say who asks.
///
/// # Errors
/// [`AppError::NotFound`] where no tokens are made, and what the database says.
#[utoipa::path(post, path = "/oauth/token", security(()),
    request_body(content = ExchangeIn, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = TokenOut),
        (status = 400, description = "`error` and `error_description` (RFC 6749, section 5.2)"),
        (status = 404, body = refwarden_wire::Problem)))]
pub async fn exchange(
    state: Data<AppState>,
    form: Result<Form<ExchangeIn>, actix_web::Error>,
) -> Result<HttpResponse, AppError> {
    let tokens = open(&state)?;
    let asked = form.map(Form::into_inner).unwrap_or_default();
    match give(&state, tokens, &asked).await {
        Ok(answer) => Ok(HttpResponse::Ok()
            .insert_header(("Cache-Control", "no-store"))
            .json(answer)),
        Err(Refused::Failed(error)) => Err(error),
        Err(Refused::Request(error, text)) => {
            tracing::info!(error, text, "no token is given");
            Ok(HttpResponse::build(StatusCode::BAD_REQUEST)
                .insert_header(("Cache-Control", "no-store"))
                .json(json!({"error": error, "error_description": text})))
        }
    }
}

async fn give(
    state: &Data<AppState>,
    tokens: &Tokens,
    asked: &ExchangeIn,
) -> Result<TokenOut, Refused> {
    if asked.grant_type != GRANT_TYPE {
        let text = format!("expected {GRANT_TYPE}");
        return Err(Refused::Request("unsupported_grant_type", text));
    }
    if asked
        .audience
        .as_ref()
        .is_some_and(|it| *it != tokens.audience)
    {
        let text = "tokens are made for this service only".to_owned();
        return Err(Refused::Request("invalid_target", text));
    }
    if asked
        .requested_token_type
        .as_deref()
        .is_some_and(|it| !TYPES.contains(&it))
    {
        return Err(invalid("requested_token_type: expected an access token"));
    }
    let requested = scope::parse(asked.scope.as_deref().unwrap_or_default())
        .map_err(|text| Refused::Request("invalid_scope", text))?;
    let subject_type = Some(asked.subject_token_type.as_str());
    let subject = traded(state, "subject_token", &asked.subject_token, subject_type).await?;
    let actor = match &asked.actor_token {
        None => None,
        Some(token) => {
            let kind = asked.actor_token_type.as_deref();
            Some(traded(state, "actor_token", token, kind).await?)
        }
    };
    let now = Utc::now();
    let mut lifetime = tokens.lifetime;
    if let Some(seconds) = &asked.expires_in {
        let seconds: Option<i64> = seconds.parse().ok().filter(|it| *it >= SHORTEST);
        lifetime = lifetime.min(seconds.ok_or_else(|| invalid("expires_in: expected seconds"))?);
    }
    // A token of our own is not made to last longer by trading it.
    if subject.issuer == tokens.issuer {
        lifetime = lifetime.min((subject.expires_at - now).num_seconds());
    }
    if lifetime < SHORTEST {
        return Err(invalid("subject_token: it is about to expire"));
    }
    let scopes = [Some(&subject), actor.as_ref()]
        .into_iter()
        .flatten()
        .fold(requested, |scopes, token| scopes.and(token.scopes.clone()));
    let chain = chain(subject, actor).map_err(invalid)?;
    let access_token = tokens.sign(&chain, &scopes, now.timestamp(), lifetime)?;
    tracing::info!(actor = chain.describe(), lifetime, "a token is given");
    Ok(TokenOut {
        access_token,
        issued_token_type: ACCESS_TOKEN,
        token_type: "Bearer",
        expires_in: lifetime,
        scope: scope::write(&scopes),
    })
}

/// A token for a session that came over SSH with a certificate: to fetch with, or to push with,
/// and no longer good than the certificate.
///
/// # Errors
/// [`AppError::NotFound`] where no tokens are made.
pub fn for_session(
    state: &AppState,
    certified: &Certified,
    reads: bool,
    now: DateTime<Utc>,
) -> Result<String, AppError> {
    let tokens = open(state)?;
    let left = (certified.expires_at - now).num_seconds();
    let verbs: &[&str] = if reads {
        &["fetch"]
    } else {
        &["create", "update", "force", "delete"]
    };
    let scopes = Scopes::from_claim(&json!({ "verbs": verbs })).map_err(AppError::internal)?;
    let lifetime = tokens.lifetime.min(left).max(SHORTEST);
    tokens.sign(&certified.chain, &scopes, now.timestamp(), lifetime)
}

/// Verifies a token that is handed in.
async fn traded(
    state: &Data<AppState>,
    name: &str,
    token: &str,
    kind: Option<&str>,
) -> Result<VerifiedToken, Refused> {
    if token.is_empty() {
        return Err(invalid(format!("{name} is missing")));
    }
    if !kind.is_some_and(|kind| TYPES.contains(&kind)) {
        let text = format!("{name}_type: expected a type of RFC 8693 for a signed token");
        return Err(invalid(text));
    }
    let audience = &state.config.service.audience;
    let verified = state
        .issuers
        .verify_traded(token, audience, Utc::now())
        .await;
    let refused = |error: TokenError| match error {
        TokenError::IssuerUnavailable => {
            Refused::Failed(AppError::internal("the issuer's keys cannot be fetched"))
        }
        error => invalid(format!("{name}: {error}")),
    };
    let verified = verified.map_err(refused)?;
    let asked = verified.clone();
    if state.db(move |conn| Ok(is_revoked(conn, &asked)?)).await? {
        return Err(refused(TokenError::Revoked));
    }
    Ok(verified)
}

/// Who the new token names. With an actor's token, the actor acts for the subject's people.
fn chain(subject: VerifiedToken, actor: Option<VerifiedToken>) -> Result<ActorChain, &'static str> {
    let subject = subject.actor_chain;
    let Some(actor) = actor else {
        return Ok(subject);
    };
    let actor = actor.actor_chain;
    if !actor.on_behalf_of.is_empty() || actor.pusher.kind != ActorKind::Agent {
        return Err("actor_token: expected the token of an agent that acts for nobody yet");
    }
    if subject.pusher.kind != ActorKind::Human || !subject.on_behalf_of.is_empty() {
        return Err("subject_token: an agent acts for a person");
    }
    Ok(ActorChain {
        pusher: actor.pusher,
        on_behalf_of: vec![subject.pusher],
    })
}

impl Tokens {
    fn sign(
        &self,
        chain: &ActorChain,
        scopes: &Scopes,
        now: i64,
        lifetime: i64,
    ) -> Result<String, AppError> {
        let root: &Actor = chain.on_behalf_of.last().unwrap_or(&chain.pusher);
        let mut claims = json!({
            "iss": self.issuer,
            "sub": root.subject,
            "aud": self.audience,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "jti": Uuid::now_v7(),
            CHAIN_CLAIM: chain,
        });
        if let Value::Object(claims) = &mut claims {
            if !chain.on_behalf_of.is_empty() {
                let act = json!({"iss": chain.pusher.issuer, "sub": chain.pusher.subject});
                claims.insert("act".to_owned(), act);
            }
            if !scopes.is_empty() {
                claims.insert(SCOPE_CLAIM.to_owned(), json!(scopes));
            }
        }
        self.signer.sign(&claims)
    }
}
