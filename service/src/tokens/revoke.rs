//! Taking tokens back: by whoever holds one (RFC 7009), and by administrators.

use actix_web::HttpResponse;
use actix_web::web::{Data, Form, Json};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use diesel::result::QueryResult;
use refwarden_model::ActorChain;
use refwarden_policy::is_listed;
use refwarden_wire::api::{RevocationIn, RevocationOut};
use serde::Deserialize;
use uuid::Uuid;

use crate::api::Caller;
use crate::db::pushes::Push;
use crate::db::revocations::{self, Revocation};
use crate::error::AppError;
use crate::identity::{TokenError, VerifiedToken};
use crate::state::AppState;

/// The longest reason, in bytes.
const REASON_MAX: usize = 1000;

/// Whether a token, or anybody whom it names, is revoked.
///
/// # Errors
/// What diesel says.
pub fn is_revoked(conn: &mut PgConnection, token: &VerifiedToken) -> QueryResult<bool> {
    look(
        conn,
        &token.issuer,
        &token.token_id,
        &token.actor_chain,
        token.made_at,
    )
}

/// Whether the token of a push, or anybody in its chain, was revoked since the push came in.
///
/// # Errors
/// What diesel says.
pub fn is_push_revoked(conn: &mut PgConnection, push: &Push) -> QueryResult<bool> {
    let chain = push.actor_chain.clone().map(serde_json::from_value);
    let (Some(issuer), Some(token_id), Some(Ok(chain))) =
        (&push.token_issuer, &push.token_id, chain)
    else {
        return Ok(true);
    };
    look(conn, issuer, token_id, &chain, push.received_at)
}

fn look(
    conn: &mut PgConnection,
    issuer: &str,
    token_id: &str,
    chain: &ActorChain,
    made_at: DateTime<Utc>,
) -> QueryResult<bool> {
    let people = chain.everyone();
    let people = people.map(|actor| (actor.issuer.as_str(), actor.subject.as_str()));
    revocations::is_revoked(conn, issuer, token_id, people, made_at)
}

/// What a holder posts (RFC 7009, section 2.1).
#[derive(Deserialize, utoipa::ToSchema)]
pub struct HolderIn {
    /// The token to revoke.
    token: String,
}

/// Revokes the token that is posted. Whoever holds a token may give it back; one that is not
/// good anyway is answered like one that was (RFC 7009, section 2.2).
///
/// # Errors
/// What the database says.
#[utoipa::path(post, path = "/oauth/revoke", security(()),
    request_body(content = HolderIn, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It is not good any more, or never was")))]
pub async fn revoke_by_holder(
    state: Data<AppState>,
    form: Form<HolderIn>,
) -> Result<HttpResponse, AppError> {
    let audience = state.config.service.audience.clone();
    let verified = state
        .issuers
        .verify(&form.token, &audience, Utc::now())
        .await;
    match verified {
        Ok(token) => {
            let by = token.actor_chain.describe();
            let row = row(
                token.issuer,
                Some(token.token_id),
                None,
                by,
                "given back".into(),
            );
            store(&state, row).await?;
        }
        Err(TokenError::IssuerUnavailable) => {
            return Err(AppError::internal("the issuer's keys cannot be fetched"));
        }
        Err(_) => {}
    }
    Ok(HttpResponse::Ok().finish())
}

/// Revokes a token, or all tokens that a person has, for administrators.
///
/// # Errors
/// [`AppError::Forbidden`] for everyone else, [`AppError::BadRequest`] where it does not name
/// one thing, and what the database says.
#[utoipa::path(post, path = "/api/v1/revocations", request_body = RevocationIn,
    responses((status = 200, body = RevocationOut), (status = 403, body = refwarden_wire::Problem)))]
pub async fn revoke(
    caller: Caller,
    state: Data<AppState>,
    body: Json<RevocationIn>,
) -> Result<HttpResponse, AppError> {
    let admins = &state.config.access.admins;
    if !caller.is_auditor || !is_listed(admins, caller.actor()) {
        return Err(AppError::forbidden(
            "Only administrators revoke; see [access].",
        ));
    }
    let asked = body.into_inner();
    if asked.reason.trim().is_empty() || asked.reason.len() > REASON_MAX {
        return Err(AppError::bad_request("Say why, in at most 1000 bytes."));
    }
    let (token_id, subject) = match (asked.token_id, asked.subject) {
        (Some(id), None) => (Some(id), None),
        (None, Some(subject)) => (None, Some(subject)),
        _ => {
            let text = "Name token_id or subject, and not both.";
            return Err(AppError::bad_request(text));
        }
    };
    let by = caller.chain.describe();
    let row = row(
        asked.issuer,
        token_id,
        subject,
        by,
        asked.reason.trim().to_owned(),
    );
    let out = shown(&row);
    store(&state, row).await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Lists the newest revocations, for auditors.
///
/// # Errors
/// [`AppError::Forbidden`] for everyone else, and what the database says.
#[utoipa::path(get, path = "/api/v1/revocations",
    responses((status = 200, body = Vec<RevocationOut>)))]
pub async fn list(caller: Caller, state: Data<AppState>) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let rows = state.db(|conn| Ok(revocations::list(conn, 500)?)).await?;
    let out: Vec<RevocationOut> = rows.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(out))
}

fn row(
    issuer: String,
    token_id: Option<String>,
    subject: Option<String>,
    revoked_by: String,
    reason: String,
) -> Revocation {
    Revocation {
        id: Uuid::now_v7(),
        issuer,
        token_id,
        subject,
        revoked_at: Utc::now(),
        revoked_by,
        reason,
    }
}

fn shown(row: &Revocation) -> RevocationOut {
    RevocationOut {
        issuer: row.issuer.clone(),
        token_id: row.token_id.clone(),
        subject: row.subject.clone(),
        revoked_at: row.revoked_at,
        revoked_by: row.revoked_by.clone(),
        reason: row.reason.clone(),
    }
}

/// Stores it and wakes pushes that are held.
async fn store(state: &Data<AppState>, row: Revocation) -> Result<(), AppError> {
    tracing::info!(
        issuer = row.issuer,
        token = row.token_id,
        subject = row.subject,
        by = row.revoked_by,
        "revoked"
    );
    state
        .db(move |conn| Ok(revocations::insert(conn, &row)?))
        .await?;
    state.announce();
    Ok(())
}
