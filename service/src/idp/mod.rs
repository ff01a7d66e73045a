//! The built-in identity provider of the quick start: `OpenID` Connect discovery, key set, code
//! flow with PKCE, client credentials.
//!
//! For trying Refwarden on one machine: it refuses to start unless the service listens on
//! loopback, its pages say what it is, and it holds passwords in a file. It is no part of a
//! production installation, and the rest of the service knows it only as an issuer over HTTP.

mod authorize;
mod error;
mod identities;
mod token;

pub use authorize::{form as authorize_form, submit as authorize_submit};
pub use token::token;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::Data;
use refwarden_config::{Config, QuickStart};
use serde_json::json;

use crate::error::AppError;
use crate::sign::Signer;
use crate::state::AppState;
use identities::Identities;

/// A code is good for this long (RFC 6749, section 4.1.2, asks for at most ten minutes).
const CODE_LIFETIME: Duration = Duration::from_mins(1);
/// Failed password tries for one user in a minute.
const MAX_TRIES: u32 = 10;

/// The identity provider's state.
pub struct Idp {
    issuer: String,
    audience: String,
    identities: Identities,
    signer: Signer,
    codes: Mutex<HashMap<String, Grant>>,
    tries: Mutex<HashMap<String, (Instant, u32)>>,
}

/// What a code stands for, until it is exchanged.
#[derive(Clone, Debug)]
struct Grant {
    client_id: String,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    user: String,
    made: Instant,
}

impl Idp {
    /// Opens it; its signing key is made when there is none beside the identities.
    ///
    /// # Errors
    /// One sentence: the service does not listen on loopback, or a file is not in order.
    pub fn open(config: &Config, quick: &QuickStart, directory: &Path) -> Result<Self, String> {
        is_local(&config.service.listen, &config.service.public_url)?;
        tracing::warn!("the built-in identity provider is on: for trying on one machine only");
        let file = directory.join(&quick.identities);
        let key = file.with_file_name("idp-signing.key");
        Ok(Self {
            issuer: format!("{}/idp", config.service.public_url),
            audience: config.service.audience.clone(),
            identities: Identities::read(&file)?,
            signer: Signer::open(&key)?,
            codes: Mutex::default(),
            tries: Mutex::default(),
        })
    }

    /// Stores what a code will stand for and returns the code.
    fn issue_code(&self, grant: Grant) -> Result<String, AppError> {
        let code = crate::random::token()?;
        let mut codes = self
            .codes
            .lock()
            .map_err(|_| AppError::internal("poisoned lock"))?;
        codes.retain(|_, grant| grant.made.elapsed() < CODE_LIFETIME);
        codes.insert(code.clone(), grant);
        Ok(code)
    }

    /// Takes a code's grant out: a code is good once.
    fn redeem(&self, code: &str) -> Option<Grant> {
        let grant = self.codes.lock().ok()?.remove(code)?;
        (grant.made.elapsed() < CODE_LIFETIME).then_some(grant)
    }

    /// Counts a password try that is about to be made; false when too many have failed.
    fn may_try(&self, user: &str) -> bool {
        let Ok(mut tries) = self.tries.lock() else {
            return false;
        };
        tries.retain(|_, (since, _)| since.elapsed() < Duration::from_mins(1));
        let (_, count) = tries.entry(user.to_owned()).or_insert((Instant::now(), 0));
        *count += 1;
        *count <= MAX_TRIES
    }

    /// A right password makes the tries before it forgotten.
    fn forget_tries(&self, user: &str) {
        if let Ok(mut tries) = self.tries.lock() {
            tries.remove(user);
        }
    }
}

/// Passes where people reach the provider from this machine only: it listens on loopback, and
/// its address is loopback too, so that no reverse proxy is meant to stand before it.
fn is_local(listen: &str, public_url: &str) -> Result<(), String> {
    let address: SocketAddr = listen
        .parse()
        .map_err(|_| "service.listen: expected an address and a port".to_owned())?;
    let url =
        url::Url::parse(public_url).map_err(|_| "service.public_url: expected a URL".to_owned())?;
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let elsewhere = if !address.ip().is_loopback() {
        listen
    } else if !is_loopback {
        public_url
    } else {
        return Ok(());
    };
    Err(format!(
        "quick_start: the built-in identity provider runs on loopback only, \
         not on {elsewhere}; configure an identity provider of your own"
    ))
}

fn open(state: &AppState) -> Result<&Idp, AppError> {
    state.idp.as_ref().ok_or_else(AppError::not_found)
}

/// The discovery document (`OpenID` Connect Discovery 1.0, section 3).
pub async fn discovery(state: Data<AppState>) -> Result<HttpResponse, AppError> {
    let issuer = &open(&state)?.issuer;
    Ok(HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    })))
}

/// The key set (RFC 7517).
pub async fn jwks(state: Data<AppState>) -> Result<HttpResponse, AppError> {
    Ok(HttpResponse::Ok().json(open(&state)?.signer.jwks()))
}

#[cfg(test)]
mod tests;
