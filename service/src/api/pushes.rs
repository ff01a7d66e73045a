//! A push as it was judged: who, what was learned, what the policy said.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chrono::{Duration, Utc};
use diesel::PgConnection;
use refwarden_wire::api::{
    PushMaskedOut, PushPackOut, PushRecordOut, PushSessionOut, RecentPushesOut,
};
use uuid::Uuid;

use super::Caller;
use crate::db::pushes::Push;
use crate::db::{events, masked_pushes, packs, push_facts, pushes, repositories};
use crate::error::AppError;
use crate::state::AppState;

/// Shows a push with the facts and the verdict on it. Reading it is recorded.
#[utoipa::path(get, path = "/api/v1/pushes/{id}", params(("id" = Uuid, Path)),
    responses((status = 200, body = PushRecordOut),
        (status = 403, body = refwarden_wire::Problem),
        (status = 404, body = refwarden_wire::Problem)))]
pub async fn show(
    caller: Caller,
    state: Data<AppState>,
    id: Path<Uuid>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let reader = caller.chain.describe();
    let out = state
        .db(move |conn| {
            let out = record(conn, *id)?;
            events::record_reading(conn, Utc::now(), &reader, &format!("push {id}"))?;
            Ok(out)
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// The record of a push, for auditors.
///
/// # Errors
/// [`AppError::NotFound`] where there is none, and what the database says.
pub fn record(conn: &mut PgConnection, id: Uuid) -> Result<PushRecordOut, AppError> {
    let push = pushes::find(conn, id)?.ok_or_else(AppError::not_found)?;
    let repository = repositories::find(conn, push.repository_id)?;
    let session = session(conn, &push)?;
    let recent = recent(conn, &push)?;
    let chain = push.actor_chain.map(serde_json::from_value).transpose();
    Ok(PushRecordOut {
        id: push.id,
        repository: repository.map(|found| found.name).unwrap_or_default(),
        received_at: push.received_at,
        chain: chain.map_err(AppError::internal)?,
        policy_hash: push.policy_hash,
        state: push.state,
        codes: push.codes,
        verdict: push.verdict,
        facts: push_facts::find(conn, id)?,
        recent,
        session: Some(session),
    })
}

/// How often the pusher had pushed before.
fn recent(conn: &mut PgConnection, push: &Push) -> Result<Option<RecentPushesOut>, AppError> {
    let (Some(issuer), Some(subject)) = (&push.pusher_issuer, &push.pusher_subject) else {
        return Ok(None);
    };
    let before = push.received_at;
    let mut within = |span| pushes::count_of(conn, issuer, subject, span, before);
    Ok(Some(RecentPushesOut {
        hour: within(Duration::hours(1))?,
        day: within(Duration::hours(24))?,
    }))
}

fn session(conn: &mut PgConnection, push: &Push) -> Result<PushSessionOut, AppError> {
    let pack = pack(conn, push.pack_digest.as_ref())?;
    let masked = match masked_pushes::find(conn, push.id)? {
        Some(masked) => Some(PushMaskedOut {
            pack: self::pack(conn, masked.pack_digest.as_ref())?,
            view: masked.view_id,
            ruleset: masked.view_ruleset,
            updates: masked.updates,
        }),
        None => None,
    };
    Ok(PushSessionOut {
        transport: push.transport.clone(),
        client_address: push.client_address.clone(),
        client_agent: push.client_agent.clone(),
        host: push.host.clone(),
        hook_version: push.hook_version.clone(),
        token_sha256: push.token_sha256.clone(),
        pack,
        masked,
        timings: serde_json::from_value(push.timings.clone()).map_err(AppError::internal)?,
    })
}

fn pack(conn: &mut PgConnection, digest: Option<&String>) -> Result<Option<PushPackOut>, AppError> {
    let Some(digest) = digest else {
        return Ok(None);
    };
    let found = packs::find(conn, digest)?;
    Ok(Some(PushPackOut {
        digest: digest.clone(),
        bytes: found.and_then(|pack| pack.bytes.try_into().ok()),
    }))
}
