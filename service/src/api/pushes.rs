//! A push as it was judged: who, what was learned, what the policy said.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use chrono::Utc;
use diesel::PgConnection;
use refwarden_wire::api::PushRecordOut;
use uuid::Uuid;

use super::Caller;
use crate::db::{events, push_facts, pushes, repositories};
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

fn record(conn: &mut PgConnection, id: Uuid) -> Result<PushRecordOut, AppError> {
    let push = pushes::find(conn, id)?.ok_or_else(AppError::not_found)?;
    let repository = repositories::find(conn, push.repository_id)?;
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
    })
}
