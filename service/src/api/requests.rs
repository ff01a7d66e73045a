//! Approval requests and decisions, for tools. An agent waits here for its answer.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Path, Query};
use chrono::Utc;
use diesel::PgConnection;
use refwarden_model::{Actor, ActorChain, RequestId};
use refwarden_policy::{Reading, is_listed};
use refwarden_wire::api::{CommentIn, CommentOut, DecisionIn, DecisionOut, MoveOut, RequestOut};
use serde::Deserialize;

use super::Caller;
use crate::approval::{self, Bound};
use crate::db::comments;
use crate::db::requests::{self, Request};
use crate::error::AppError;
use crate::state::AppState;

/// The longest that a caller may wait, in seconds.
const MAX_WAIT: u64 = 60;

/// Which requests to list.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct RequestsQuery {
    /// `waiting`, `approved`, `rejected`, `expired`, `stale`, `used`, `revoked`, `review` or
    /// `reviewed`; all unless said.
    state: Option<String>,
}

/// How to ask for one request.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct RequestQuery {
    /// Seconds to wait for the state to change from `waiting`, at most 60.
    wait: Option<u64>,
}

/// Lists the newest requests that the caller may see.
#[utoipa::path(get, path = "/api/v1/requests", params(RequestsQuery),
    responses((status = 200, body = Vec<RequestOut>),
        (status = 400, body = refwarden_wire::Problem)))]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    query: Query<RequestsQuery>,
) -> Result<HttpResponse, AppError> {
    if let Some(asked) = &query.state
        && !requests::state::ALL.contains(&asked.as_str())
    {
        let expected = requests::state::ALL.join(", ");
        let text = format!("state: expected one of {expected}.");
        return Err(AppError::bad_request(text));
    }
    let shared = state.clone();
    let out = state
        .db(move |conn| {
            approval::expire(conn, Utc::now())?;
            let found = requests::list(conn, query.state.as_deref(), 500)?;
            let mut out = Vec::new();
            for request in found {
                if may_see(&request, &caller.chain, caller.is_auditor)? {
                    out.push(request_out(conn, &shared, &request, &caller.chain)?);
                }
            }
            Ok(out)
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Shows one request, waiting for a decision where asked to.
#[utoipa::path(get, path = "/api/v1/requests/{id}",
    params(("id" = String, Path, description = "The request's code"), RequestQuery),
    responses((status = 200, body = RequestOut), (status = 404, body = refwarden_wire::Problem)))]
pub async fn show(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    query: Query<RequestQuery>,
) -> Result<HttpResponse, AppError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0).min(MAX_WAIT));
    let deadline = tokio::time::Instant::now() + wait;
    let mut changed = state.changed.subscribe();
    loop {
        changed.mark_unchanged();
        let out = look(&state, &id, &caller).await?;
        let waiting = out.state == requests::state::WAITING;
        let again = waiting && tokio::time::Instant::now() < deadline;
        if !again
            || tokio::time::timeout_at(deadline, changed.changed())
                .await
                .is_err()
        {
            return Ok(HttpResponse::Ok().json(out));
        }
    }
}

async fn look(
    state: &Data<AppState>,
    id: &RequestId,
    caller: &Caller,
) -> Result<RequestOut, AppError> {
    let shared = state.clone();
    let (id, caller) = (id.clone(), caller.clone());
    state
        .db(move |conn| {
            approval::expire(conn, Utc::now())?;
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &caller.chain, caller.is_auditor)? {
                return Err(AppError::not_found());
            }
            request_out(conn, &shared, &request, &caller.chain)
        })
        .await
}

/// Approves or rejects.
#[utoipa::path(post, path = "/api/v1/requests/{id}/decisions", request_body = DecisionIn,
    params(("id" = String, Path, description = "The request's code")),
    responses((status = 200, body = RequestOut), (status = 409, body = refwarden_wire::Problem)))]
pub async fn decide(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    body: Json<DecisionIn>,
) -> Result<HttpResponse, AppError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    if caller.is_scoped {
        return Err(AppError::forbidden("A token with a scope decides nothing."));
    }
    let shared = state.clone();
    let out = state
        .db(move |conn| {
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &caller.chain, caller.is_auditor)? {
                return Err(AppError::not_found());
            }
            let actor: &Actor = caller.actor();
            let request = approval::decide(conn, id.as_str(), actor, &body, Utc::now())?;
            request_out(conn, &shared, &request, &caller.chain)
        })
        .await?;
    state.announce();
    Ok(HttpResponse::Ok().json(out))
}

/// Says something about a request: anybody who may see it, agents too.
#[utoipa::path(post, path = "/api/v1/requests/{id}/comments", request_body = CommentIn,
    params(("id" = String, Path, description = "The request's code")),
    responses((status = 200, body = RequestOut), (status = 404, body = refwarden_wire::Problem)))]
pub async fn comment(
    caller: Caller,
    state: Data<AppState>,
    id: Path<String>,
    body: Json<CommentIn>,
) -> Result<HttpResponse, AppError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    let shared = state.clone();
    let out = state
        .db(move |conn| {
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &caller.chain, caller.is_auditor)? {
                return Err(AppError::not_found());
            }
            approval::comment(conn, id.as_str(), &caller.chain, &body.text, Utc::now())?;
            request_out(conn, &shared, &request, &caller.chain)
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Whether somebody may know of a request: whoever pushed or is acted for, whoever the rules
/// name as approvers, and auditors. For everyone else it does not exist.
///
/// # Errors
/// [`AppError::Internal`] when the request cannot be read back.
pub fn may_see(request: &Request, chain: &ActorChain, is_auditor: bool) -> Result<bool, AppError> {
    let bound = Bound::of(request)?;
    // One agent acts for many people, each of whom has requests of their own.
    let mine = if chain.on_behalf_of.is_empty() {
        bound
            .chain
            .everyone()
            .any(|actor| actor.is_same_person(&chain.pusher))
    } else {
        approval::lasting::is_same_chain(&bound.chain, chain)
    };
    let asked = bound
        .requirements
        .iter()
        .any(|requirement| is_listed(&requirement.approvers, &chain.pusher));
    Ok(is_auditor || mine || asked)
}

/// A request as `caller` may have it.
///
/// # Errors
/// What the database says, and [`AppError::Internal`] when the request cannot be read back.
pub fn request_out(
    conn: &mut PgConnection,
    state: &AppState,
    request: &Request,
    caller: &ActorChain,
) -> Result<RequestOut, AppError> {
    let bound = Bound::of(request)?;
    let repository = approval::repository_name(conn, request)?;
    // Names of the original are not for those who read a masked view: with everything else
    // known, they let a short secret be guessed. So is the digest, which is made from them.
    let is_whole = state.policy.reading(&repository, Some(caller)) == Reading::Whole;
    let shown = |oid: &str| {
        if is_whole {
            oid.to_owned()
        } else {
            String::new()
        }
    };
    let decisions = requests::decisions(conn, &request.id)?;
    let quorum = bound
        .requirements
        .iter()
        .map(|needed| needed.quorum)
        .max()
        .unwrap_or(0);
    let questions = approval::questions(&bound.requirements);
    let mut approvers: Vec<String> = bound
        .requirements
        .into_iter()
        .flat_map(|needed| needed.approvers)
        .collect();
    approvers.sort();
    approvers.dedup();
    Ok(RequestOut {
        id: request.id.clone(),
        state: request.state.clone(),
        repository,
        ref_name: refwarden_model::bytes::escape(&request.ref_name),
        old: shown(&request.old_oid),
        new: shown(&request.new_oid),
        kind: request.kind.clone(),
        actor: bound.chain.describe(),
        quorum,
        approvers,
        decisions: decisions
            .into_iter()
            .map(|made| DecisionOut {
                approver: made.approver_subject,
                decision: made.decision,
                reason: made.reason,
                answers: serde_json::from_value(made.answers).unwrap_or_default(),
                decided_at: made.decided_at,
            })
            .collect(),
        questions,
        comments: comments::of(conn, &request.id)?
            .into_iter()
            .map(|said| CommentOut {
                author: describe(&said.author),
                text: said.text,
                created_at: said.created_at,
            })
            .collect(),
        created_at: request.created_at,
        expires_at: request.expires_at,
        survives_rebase: request.patch_series.is_some(),
        kept: approval::kept(conn, request)?
            .into_iter()
            .filter(|_| is_whole)
            .map(|(old, new)| MoveOut { old, new })
            .collect(),
        masked: if is_whole {
            approval::through(conn, request)?
        } else {
            None
        },
        digest: shown(&request.digest),
        url: format!("{}/r/{}", state.config.service.public_url, request.id),
    })
}

/// Passes those who read the request's repository as it is: its page shows commits, patches and
/// names of the original.
///
/// # Errors
/// [`AppError::Forbidden`] for those who read a masked view, or nothing.
pub fn reads_whole(
    conn: &mut PgConnection,
    state: &AppState,
    request: &Request,
    chain: &ActorChain,
) -> Result<(), AppError> {
    let repository = approval::repository_name(conn, request)?;
    if state.policy.reading(&repository, Some(chain)) == Reading::Whole {
        return Ok(());
    }
    Err(AppError::forbidden(
        "You read a masked view of this repository, so what is asked here is not shown to you. \
         The API says what became of it.",
    ))
}

/// Names a recorded actor chain.
fn describe(chain: &serde_json::Value) -> String {
    let chain: Option<ActorChain> = serde_json::from_value(chain.clone()).ok();
    chain.map(|chain| chain.describe()).unwrap_or_default()
}
