//! Refwarden's own tokens: short-lived, narrow, revocable at once.
//!
//! An identity provider's token is traded for one (RFC 8693), so that what a git client holds is
//! good for minutes, for some repositories, and for nothing else. Signed with a key of its own,
//! published at `/.well-known/jwks.json`; the rest of the service knows them as those of one
//! more issuer. Signs nobody in, and gives nobody what the traded token did not.

mod exchange;
mod revoke;
mod scope;

pub use exchange::{__path_exchange, exchange, for_session};
pub use revoke::{
    __path_list, __path_revoke, __path_revoke_by_holder, is_push_revoked, is_revoked, list, revoke,
    revoke_by_holder,
};

use std::path::Path;

use actix_web::HttpResponse;
use actix_web::web::Data;
use jsonwebtoken::jwk::JwkSet;
use refwarden_config::{Config, Issuer, IssuerKind};
use serde_json::json;

use crate::error::AppError;
use crate::sign::Signer;
use crate::state::AppState;

/// The claim that holds the actor chain, in tokens of our own.
pub const CHAIN_CLAIM: &str = "refwarden_chain";

/// The claim that holds scopes, in everybody's tokens.
pub const SCOPE_CLAIM: &str = "refwarden";

/// What is needed to make tokens.
pub struct Tokens {
    issuer: String,
    audience: String,
    lifetime: i64,
    signer: Signer,
}

impl Tokens {
    /// Opens the signing key, and makes one where there is none. None where the configuration
    /// has no section `[tokens]`.
    ///
    /// # Errors
    /// One sentence: what is wrong with the key's file or the lifetime.
    pub fn open(config: &Config, directory: &Path) -> Result<Option<Self>, String> {
        let Some(tokens) = &config.tokens else {
            return Ok(None);
        };
        if !(60..=3600).contains(&tokens.lifetime_seconds) {
            return Err("tokens.lifetime_seconds: expected 60 to 3600".to_owned());
        }
        Ok(Some(Self {
            issuer: config.service.public_url.clone(),
            audience: config.service.audience.clone(),
            lifetime: i64::from(tokens.lifetime_seconds),
            signer: Signer::open(&directory.join(&tokens.signing_key))?,
        }))
    }

    /// Itself as an issuer, and its keys.
    ///
    /// # Errors
    /// When the public key cannot be written as a key set.
    pub fn as_issuer(&self) -> Result<(Issuer, JwkSet), String> {
        let keys = serde_json::from_value(self.signer.jwks());
        let issuer = Issuer {
            url: self.issuer.clone(),
            kind: IssuerKind::Human,
            algorithms: vec!["EdDSA".to_owned()],
            jwks_file: None,
            max_lifetime: 3600,
            leeway: 0,
            groups_claim: "groups".to_owned(),
            claims: Vec::new(),
            exchange_audiences: Vec::new(),
            endpoint_hosts: Vec::new(),
        };
        Ok((issuer, keys.map_err(|error| error.to_string())?))
    }
}

fn open(state: &AppState) -> Result<&Tokens, AppError> {
    state.tokens.as_ref().ok_or_else(AppError::not_found)
}

/// The key set (RFC 7517).
pub async fn jwks(state: Data<AppState>) -> Result<HttpResponse, AppError> {
    Ok(HttpResponse::Ok().json(open(&state)?.signer.jwks()))
}

/// What a client has to know to get a token: for credential helpers, and as RFC 8414 has it for
/// others.
pub async fn metadata(state: Data<AppState>) -> Result<HttpResponse, AppError> {
    let tokens = open(&state)?;
    let base = &tokens.issuer;
    let cli = state.config.tokens.as_ref();
    Ok(HttpResponse::Ok().json(json!({
        "issuer": base,
        "token_endpoint": format!("{base}/oauth/token"),
        "revocation_endpoint": format!("{base}/oauth/revoke"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "grant_types_supported": [exchange::GRANT_TYPE],
        "token_endpoint_auth_methods_supported": ["none"],
        "response_types_supported": [],
        "refwarden_audience": tokens.audience,
        "refwarden_sign_in_issuer": cli.and_then(|it| it.device_issuer.clone()),
        "refwarden_sign_in_client": cli.and_then(|it| it.device_client_id.clone()),
    })))
}
