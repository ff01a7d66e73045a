//! Windows of time, for tools. Deciding on one goes the way of all requests.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path, Query};
use chrono::Utc;
use diesel::PgConnection;
use refwarden_model::RequestId;
use refwarden_policy::is_listed;
use refwarden_wire::api::{GrantEndIn, GrantIn, GrantOut};
use serde::Deserialize;

use super::{Caller, may_see};
use crate::approval::{self, Bound};
use crate::db::grants;
use crate::db::pushes;
use crate::db::requests::Request;
use crate::error::AppError;
use crate::state::AppState;

/// Which grants to list.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct GrantsQuery {
    /// `waiting`, `approved` (the window is open), `rejected`, `expired` or `revoked`; all unless
    /// said.
    state: Option<String>,
}

/// Asks for a window of time in which pushes of this very actor to a ref need no further approval.
#[utoipa::path(post, path = "/api/v1/grants", request_body = GrantIn,
    responses((status = 200, body = GrantOut), (status = 403, body = refwarden_wire::Problem)))]
pub async fn ask(
    caller: Caller,
    state: Data<AppState>,
    body: Json<GrantIn>,
) -> Result<HttpResponse, AppError> {
    let shared = state.clone();
    let out = state
        .db(move |conn| {
            let now = Utc::now();
            approval::expire(conn, now)?;
            let policy = &shared.policy;
            let request = approval::grants::ask(conn, policy, &caller.chain, &body, now)?;
            out(conn, &shared, &request)
        })
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Lists the newest grants that the caller may see.
#[utoipa::path(get, path = "/api/v1/grants", params(GrantsQuery),
    responses((status = 200, body = Vec<GrantOut>)))]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    query: Query<GrantsQuery>,
) -> Result<HttpResponse, AppError> {
    let shared = state.clone();
    let found = state
        .db(move |conn| {
            approval::expire(conn, Utc::now())?;
            let mut found = Vec::new();
            for request in grants::list(conn, query.state.as_deref(), 500)? {
                if may_see(&request, &caller.chain, caller.is_auditor)? {
                    found.push(out(conn, &shared, &request)?);
                }
            }
            Ok(found)
        })
        .await?;
    Ok(HttpResponse::Ok().json(found))
}

/// Takes a grant back; the next push is not covered by it any more.
#[utoipa::path(post, path = "/api/v1/grants/{id}/revoke", request_body = GrantEndIn,
    params(("id" = String, Path, description = "The grant's code")),
    responses((status = 200, body = GrantOut), (status = 409, body = refwarden_wire::Problem)))]
pub async fn revoke(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    body: Json<GrantEndIn>,
) -> Result<HttpResponse, AppError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    let shared = state.clone();
    let out = state
        .db(move |conn| {
            let request = take_back(conn, &shared, &caller, &id, grants::KIND, &body.reason)?;
            out(conn, &shared, &request)
        })
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Takes a grant or an exception back for a caller that may know of it.
pub(super) fn take_back(
    conn: &mut PgConnection,
    state: &AppState,
    caller: &Caller,
    id: &RequestId,
    kind: &str,
    why: &str,
) -> Result<Request, AppError> {
    let request = crate::db::requests::find(conn, id.as_str())?;
    let request = request.ok_or_else(AppError::not_found)?;
    let chain = &caller.chain;
    let admins = &state.config.access.admins;
    let is_admin =
        !caller.is_scoped && chain.on_behalf_of.is_empty() && is_listed(admins, &chain.pusher);
    if !is_admin && !may_see(&request, chain, caller.is_auditor)? {
        return Err(AppError::not_found());
    }
    let now = Utc::now();
    approval::lasting::revoke(conn, id.as_str(), kind, chain, is_admin, why, now)
}

fn out(conn: &mut PgConnection, state: &AppState, request: &Request) -> Result<GrantOut, AppError> {
    let grant = grants::find(conn, &request.id)?.ok_or_else(AppError::not_found)?;
    let used = pushes::updates_of_request(conn, &request.id)?;
    Ok(GrantOut {
        id: request.id.clone(),
        state: request.state.clone(),
        repository: approval::repository_name(conn, request)?,
        ref_name: refwarden_model::bytes::escape(&request.ref_name),
        actor: Bound::of(request)?.chain.describe(),
        seconds: u64::try_from(grant.seconds).unwrap_or_default(),
        reason: grant.reason,
        pushes: u64::try_from(used.len()).unwrap_or_default(),
        created_at: request.created_at,
        until: request.expires_at,
        ended_by: grant.ended_by,
        end_reason: grant.end_reason,
        digest: request.digest.clone(),
        url: format!("{}/r/{}", state.config.service.public_url, request.id),
    })
}
