//! Who asks: a verified bearer token.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use chrono::Utc;
use refwarden_model::{Actor, ActorChain};
use refwarden_policy::is_listed;

use crate::error::AppError;
use crate::identity::{TokenError, VerifiedToken};
use crate::state::AppState;
use crate::tokens::is_revoked;

/// A caller with a verified token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The pusher-to-be and those it acts for.
    pub chain: ActorChain,
    /// Whether the records are open to the caller.
    pub is_auditor: bool,
    /// The token.
    pub token: VerifiedToken,
    /// Whether the token is for some repositories, refs, verbs or paths only.
    pub is_scoped: bool,
}

impl Caller {
    /// The actor that holds the token.
    pub const fn actor(&self) -> &Actor {
        &self.chain.pusher
    }

    /// Passes auditors and administrators only.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] for everyone else.
    pub fn auditor(&self) -> Result<(), AppError> {
        if self.is_auditor {
            Ok(())
        } else {
            Err(AppError::forbidden(
                "Only auditors read the records; see [access].",
            ))
        }
    }
}

/// Whether the records are open to an actor. An agent never inherits it from its human.
pub fn is_auditor(state: &AppState, chain: &ActorChain) -> bool {
    let access = &state.config.access;
    chain.on_behalf_of.is_empty()
        && (is_listed(&access.auditors, &chain.pusher) || is_listed(&access.admins, &chain.pusher))
}

impl FromRequest for Caller {
    type Error = AppError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, AppError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let refused =
                |error: TokenError| AppError::unauthorized(Some(error.code()), error.to_string());
            let state = request
                .app_data::<Data<AppState>>()
                .ok_or_else(|| AppError::internal("no application state"))?;
            let header = request
                .headers()
                .get(AUTHORIZATION)
                .and_then(|v| v.to_str().ok());
            let token = header.and_then(|value| value.strip_prefix("Bearer "));
            let token = token.ok_or_else(|| refused(TokenError::Missing))?;
            let audience = &state.config.service.audience;
            let verified = state.issuers.verify(token, audience, Utc::now()).await;
            let token = verified.map_err(refused)?;
            let (asked, is_scoped) = (token.clone(), !token.scopes.is_empty());
            if state.db(move |conn| Ok(is_revoked(conn, &asked)?)).await? {
                return Err(refused(TokenError::Revoked));
            }
            let chain = token.actor_chain.clone();
            Ok(Self {
                // A token that was narrowed for git opens no records and decides nothing.
                is_auditor: !is_scoped && is_auditor(state, &chain),
                is_scoped,
                token,
                chain,
            })
        })
    }
}
