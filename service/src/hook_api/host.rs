//! The host credential: proves which Git host is speaking.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use refwarden_model::Code;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::AppError;
use crate::state::AppState;

/// A request that carries a configured host's credential. Having one is the permission.
#[derive(Clone, Debug)]
pub struct HostCredential {
    /// The host's name.
    pub name: String,
}

impl FromRequest for HostCredential {
    type Error = AppError;
    type Future = Ready<Result<Self, AppError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(find(request).ok_or_else(|| {
            AppError::unauthorized(
                Some(Code::HostRefused),
                "The host credential is missing or not known to the service.",
            )
        }))
    }
}

fn find(request: &HttpRequest) -> Option<HostCredential> {
    let state = request.app_data::<Data<AppState>>()?;
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let credential = value.strip_prefix("Bearer ")?;
    let hash = hex::encode(Sha256::digest(credential.as_bytes()));
    // All hosts are compared, so that timing does not tell which exist.
    let mut found = None;
    for host in &state.config.hosts {
        if bool::from(host.credential_sha256.as_bytes().ct_eq(hash.as_bytes())) {
            found = Some(HostCredential {
                name: host.name.clone(),
            });
        }
    }
    found
}
