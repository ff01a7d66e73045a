//! Exceptions from the scanner's rules, for tools. Deciding on one goes the way of all requests.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path, Query};
use chrono::Utc;
use diesel::PgConnection;
use refwarden_model::RequestId;
use refwarden_model::bytes::escape;
use refwarden_wire::api::{ExceptionEndIn, ExceptionIn, ExceptionOut, FindingOut};
use serde::Deserialize;
use uuid::Uuid;

use super::grants::take_back;
use super::{Caller, may_see, reads_whole};
use crate::approval::exceptions::{covers, look, may_be_asked_for};
use crate::approval::{self, Bound};
use crate::db::exceptions::{self, Exception};
use crate::db::requests::Request;
use crate::error::AppError;
use crate::state::AppState;

/// Which exceptions to list.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ExceptionsQuery {
    /// `waiting`, `approved` (it holds), `rejected`, `expired` or `revoked`; all unless said.
    state: Option<String>,
}

/// Lists what was found in a push, for who pushed or owns a rule that found something.
#[utoipa::path(get, path = "/api/v1/pushes/{id}/findings", params(("id" = Uuid, Path)),
    responses((status = 200, body = Vec<FindingOut>),
        (status = 404, body = refwarden_wire::Problem)))]
pub async fn findings(
    caller: Caller,
    state: Data<AppState>,
    id: Path<Uuid>,
) -> Result<HttpResponse, AppError> {
    let shared = state.clone();
    let found = state
        .db(move |conn| {
            let policy = &shared.policy;
            let looked = look(conn, policy, *id, &caller.chain, caller.is_auditor)?;
            let asked = exceptions::of_push(conn, *id)?;
            let findings = looked.facts.findings.iter().zip(0_u32..);
            let out = findings.map(|(finding, number)| FindingOut {
                finding: number,
                rule: finding.rule_id.clone(),
                place: finding.place.name().to_owned(),
                path: finding.path.as_ref().map(|path| escape(path.as_bytes())),
                line: finding.line,
                redacted: finding.redacted.clone(),
                may_be_asked: may_be_asked_for(policy, &looked.repository.name, finding),
                exception: asked
                    .iter()
                    .find(|(_, exception)| covers(exception, finding))
                    .map(|(request, _)| request.id.clone()),
            });
            Ok(out.collect::<Vec<_>>())
        })
        .await?;
    Ok(HttpResponse::Ok().json(found))
}

/// Asks that a finding may pass, in this file of this repository, for some time.
#[utoipa::path(post, path = "/api/v1/exceptions", request_body = ExceptionIn,
    responses((status = 200, body = ExceptionOut), (status = 403, body = refwarden_wire::Problem),
        (status = 409, body = refwarden_wire::Problem)))]
pub async fn ask(
    caller: Caller,
    state: Data<AppState>,
    body: Json<ExceptionIn>,
) -> Result<HttpResponse, AppError> {
    let shared = state.clone();
    let out = state
        .db(move |conn| {
            let now = Utc::now();
            approval::expire(conn, now)?;
            let (policy, days) = (&shared.policy, shared.config.service.request_days);
            let asked = approval::exceptions::ask(conn, policy, &caller.chain, &body, days, now)?;
            let exception = exceptions::find(conn, &asked.id)?.ok_or_else(AppError::not_found)?;
            out(conn, &shared, &asked, exception)
        })
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Lists the newest exceptions that the caller may see.
#[utoipa::path(get, path = "/api/v1/exceptions", params(ExceptionsQuery),
    responses((status = 200, body = Vec<ExceptionOut>)))]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    query: Query<ExceptionsQuery>,
) -> Result<HttpResponse, AppError> {
    let shared = state.clone();
    let found = state
        .db(move |conn| {
            approval::expire(conn, Utc::now())?;
            let mut found = Vec::new();
            for (request, exception) in exceptions::list(conn, query.state.as_deref(), 500)? {
                let shown = caller.is_auditor
                    || may_see(&request, &caller.chain, false)?
                        && reads_whole(conn, &shared, &request, &caller.chain).is_ok();
                if shown {
                    found.push(out(conn, &shared, &request, exception)?);
                }
            }
            Ok(found)
        })
        .await?;
    Ok(HttpResponse::Ok().json(found))
}

/// Takes an exception back, or the request for one; the next push is not covered by it any more.
#[utoipa::path(post, path = "/api/v1/exceptions/{id}/revoke", request_body = ExceptionEndIn,
    params(("id" = String, Path, description = "The exception's code")),
    responses((status = 200, body = ExceptionOut), (status = 409, body = refwarden_wire::Problem)))]
pub async fn revoke(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    body: Json<ExceptionEndIn>,
) -> Result<HttpResponse, AppError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    let shared = state.clone();
    let out = state
        .db(move |conn| {
            let why = &body.reason;
            let ended = take_back(conn, &shared, &caller, &id, exceptions::KIND, why)?;
            let exception = exceptions::find(conn, &ended.id)?.ok_or_else(AppError::not_found)?;
            out(conn, &shared, &ended, exception)
        })
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

fn out(
    conn: &mut PgConnection,
    state: &AppState,
    request: &Request,
    exception: Exception,
) -> Result<ExceptionOut, AppError> {
    let used = exceptions::pushes_of(conn, &request.id)?;
    Ok(ExceptionOut {
        id: request.id.clone(),
        state: request.state.clone(),
        repository: approval::repository_name(conn, request)?,
        rule: exception.rule_id,
        fingerprint: exception.fingerprint,
        place: exception.place,
        path: exception.path.as_deref().map(escape),
        paths: exception.paths.map(|paths| escape(paths.as_bytes())),
        kind: exception.sort,
        reason: exception.reason,
        seconds: u64::try_from(exception.seconds).unwrap_or_default(),
        actor: Bound::of(request)?.chain.describe(),
        pushes: u64::try_from(used.len()).unwrap_or_default(),
        created_at: request.created_at,
        until: request.expires_at,
        ended_by: exception.ended_by,
        end_reason: exception.end_reason,
        digest: request.digest.clone(),
        url: format!("{}/r/{}", state.config.service.public_url, request.id),
    })
}
