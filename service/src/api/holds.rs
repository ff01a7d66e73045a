//! Holds on packs, for auditors and administrators. An agent never places or releases one.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path};
use chrono::Utc;
use diesel::PgConnection;
use refwarden_wire::api::{HoldIn, HoldOut, HoldReleaseIn, HoldReleaseOut};
use uuid::Uuid;

use super::Caller;
use crate::db::holds::{self, Hold, Release};
use crate::db::{events, repositories};
use crate::error::AppError;
use crate::retention;
use crate::state::AppState;

/// Keeps packs from being dropped by retention.
#[utoipa::path(post, path = "/api/v1/holds", request_body = HoldIn,
    responses((status = 200, body = HoldOut), (status = 400, body = refwarden_wire::Problem)))]
pub async fn place(
    caller: Caller,
    state: Data<AppState>,
    body: Json<HoldIn>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let who = caller.chain.describe();
    let out = state
        .db(move |conn| {
            let hold = retention::place(conn, &body, &who, Utc::now())?;
            Ok(out(&names(conn)?, hold, None))
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Lists holds, released ones too, the oldest first.
#[utoipa::path(get, path = "/api/v1/holds", responses((status = 200, body = Vec<HoldOut>)))]
pub async fn list(caller: Caller, state: Data<AppState>) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let reader = caller.chain.describe();
    let out = state
        .db(move |conn| {
            events::record_reading(conn, Utc::now(), &reader, "holds")?;
            let names = names(conn)?;
            let all = holds::list(conn)?.into_iter();
            let out: Vec<HoldOut> = all.map(|(hold, end)| out(&names, hold, end)).collect();
            Ok(out)
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Releases a hold.
#[utoipa::path(post, path = "/api/v1/holds/{id}/release", request_body = HoldReleaseIn,
    params(("id" = Uuid, Path, description = "The hold")),
    responses((status = 200, body = HoldOut), (status = 409, body = refwarden_wire::Problem)))]
pub async fn release(
    caller: Caller,
    state: Data<AppState>,
    id: Path<Uuid>,
    body: Json<HoldReleaseIn>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let who = caller.chain.describe();
    let out = state
        .db(move |conn| {
            let (hold, end) = retention::release(conn, *id, &body, &who, Utc::now())?;
            Ok(out(&names(conn)?, hold, Some(end)))
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

fn names(conn: &mut PgConnection) -> Result<HashMap<Uuid, String>, AppError> {
    let all = repositories::list(conn)?.into_iter();
    Ok(all.map(|known| (known.id, known.name)).collect())
}

fn out(names: &HashMap<Uuid, String>, hold: Hold, end: Option<Release>) -> HoldOut {
    HoldOut {
        id: hold.id,
        repository: hold.repository_id.and_then(|id| names.get(&id).cloned()),
        push: hold.push_id,
        since: hold.since,
        before: hold.before,
        reason: hold.reason,
        placed_by: hold.placed_by,
        placed_at: hold.placed_at,
        released: end.map(|end| HoldReleaseOut {
            reason: end.reason,
            by: end.released_by,
            at: end.released_at,
        }),
    }
}
