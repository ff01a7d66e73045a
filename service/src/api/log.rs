//! The tamper-evident log: its key, checkpoints and proofs, and its leaves as a stream.

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Query};
use chrono::Utc;
use futures_util::stream;
use refwarden_merkle::{Hash, Line, READINGS, consistency_proof, inclusion_proof};
use refwarden_wire::log::{CheckpointsOut, ConsistencyOut, InclusionOut};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Caller;
use super::events::find_repository;
use crate::db::log::{LoggedEntry, Stored};
use crate::db::pool::DbPool;
use crate::db::{events, log};
use crate::error::AppError;
use crate::state::AppState;

/// Leaves that are read at once; fewer when the records of each are hashed again.
const PAGE: i64 = 2000;
const FRESH_PAGE: i64 = 200;
/// Checkpoints on a page.
const CHECKPOINTS: i64 = 1000;

/// The public key, as C2SP signed-note writes verifier keys.
#[utoipa::path(get, path = "/api/v1/log/key", responses((status = 200, body = String)))]
pub async fn key(caller: Caller, state: Data<AppState>) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    Ok(text(format!("{}\n", state.ledger.public_key())))
}

/// The last checkpoint.
#[utoipa::path(get, path = "/api/v1/log/checkpoint", responses((status = 200, body = String)))]
pub async fn checkpoint(caller: Caller, state: Data<AppState>) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let last = state.db(|conn| Ok(log::last_checkpoint(conn)?)).await?;
    let (_, _, note) = last.ok_or_else(AppError::not_found)?;
    Ok(text(note))
}

/// Which checkpoints.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct CheckpointsQuery {
    /// Those larger than this.
    #[serde(default)]
    after: u64,
}

/// Checkpoints, the smallest first.
#[utoipa::path(get, path = "/api/v1/log/checkpoints", params(CheckpointsQuery),
    responses((status = 200, body = CheckpointsOut)))]
pub async fn checkpoints(
    caller: Caller,
    state: Data<AppState>,
    query: Query<CheckpointsQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let after = query.after;
    let found = state
        .db(move |conn| Ok(log::checkpoints(conn, after, CHECKPOINTS)?))
        .await?;
    let is_full = i64::try_from(found.len()).unwrap_or_default() == CHECKPOINTS;
    let last = found.last().and_then(|(size, _)| u64::try_from(*size).ok());
    Ok(HttpResponse::Ok().json(CheckpointsOut {
        next: last.filter(|_| is_full),
        checkpoints: found.into_iter().map(|(_, note)| note).collect(),
    }))
}

/// Which event, and in which tree.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct InclusionQuery {
    /// A repository's name or id; readings of the records if not given.
    repository: Option<String>,
    /// The event's number there.
    seq: i64,
}

/// Proves that an event is in the log, as far as the last checkpoint attests it.
#[utoipa::path(get, path = "/api/v1/log/inclusion", params(InclusionQuery),
    responses((status = 200, body = InclusionOut), (status = 404, body = refwarden_wire::Problem)))]
pub async fn inclusion(
    caller: Caller,
    state: Data<AppState>,
    query: Query<InclusionQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let out = state
        .db(move |conn| {
            let stream = match &query.repository {
                None => READINGS,
                Some(name) => find_repository(conn, name)?.id,
            };
            let missing = AppError::not_found;
            let index = log::index_of(conn, stream, query.seq)?.ok_or_else(missing)?;
            let (size, _, checkpoint) = log::last_checkpoint(conn)?.ok_or_else(missing)?;
            let size = u64::try_from(size).unwrap_or_default();
            let found = log::entries(conn, index, 1, false)?;
            let leaf = found.first().ok_or_else(missing)?.entry.leaf();
            let proof = inclusion_proof(&mut Stored(conn), index, size)?.ok_or_else(missing)?;
            Ok(InclusionOut {
                index,
                leaf,
                checkpoint,
                proof: proof.iter().map(ToString::to_string).collect(),
            })
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Which two trees.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyQuery {
    /// The size of the smaller.
    old: u64,
    /// The size of the larger.
    new: u64,
}

/// Proves that one tree is the beginning of another.
#[utoipa::path(get, path = "/api/v1/log/consistency", params(ConsistencyQuery),
    responses((status = 200, body = ConsistencyOut), (status = 400, body = refwarden_wire::Problem)))]
pub async fn consistency(
    caller: Caller,
    state: Data<AppState>,
    query: Query<ConsistencyQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let (old, new) = (query.old, query.new);
    let proof = state
        .db(move |conn| {
            if new > log::size(conn)? {
                return Err(AppError::bad_request("new: the log is not that large."));
            }
            let proof = consistency_proof(&mut Stored(conn), old, new)?;
            proof.ok_or_else(|| AppError::bad_request("old: expected no more than new."))
        })
        .await?;
    let proof = proof.iter().map(ToString::to_string).collect();
    Ok(HttpResponse::Ok().json(ConsistencyOut { old, new, proof }))
}

/// Which leaves.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct LeavesQuery {
    /// The first leaf's number.
    #[serde(default)]
    from: u64,
    /// The number behind the last leaf; all that there are if not given.
    to: Option<u64>,
    /// Hash what belongs to each event (commits, files, findings, decisions) again, and show
    /// that hash instead of the one that was recorded.
    #[serde(default)]
    fresh: bool,
}

/// Streams leaves as JSON lines: number, recorded hash, and the bytes that are hashed.
#[utoipa::path(get, path = "/api/v1/log/leaves", params(LeavesQuery),
    responses((status = 200, content_type = "application/jsonl", body = String)))]
pub async fn leaves(
    caller: Caller,
    state: Data<AppState>,
    query: Query<LeavesQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let reader = caller.chain.describe();
    let asked = query.into_inner();
    let what = format!("log leaves from {} to {:?}", asked.from, asked.to);
    let size = state
        .db(move |conn| {
            let size = log::size(conn)?;
            events::record_reading(conn, Utc::now(), &reader, &what)?;
            Ok(size)
        })
        .await?;
    let to = asked.to.unwrap_or(size).min(size);
    let (sender, receiver) = mpsc::channel(2);
    let pool = state.pool.clone();
    // Ends with its channel: when everything was sent, or when the client has gone.
    actix_web::rt::task::spawn_blocking(move || {
        if let Err(error) = send_leaves(&pool, asked.from, to, asked.fresh, &sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    let pages = stream::unfold(receiver, |mut receiver| async move {
        let page: Result<Bytes, AppError> = receiver.recv().await?;
        Some((page, receiver))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/jsonl")
        .streaming(pages))
}

/// Page by page, each with a connection of its own, so that a slow reader holds none.
fn send_leaves(
    pool: &DbPool,
    from: u64,
    to: u64,
    fresh: bool,
    sender: &mpsc::Sender<Result<Bytes, AppError>>,
) -> Result<(), AppError> {
    let page = if fresh { FRESH_PAGE } else { PAGE };
    let mut next = from;
    while next < to {
        let limit = i64::try_from(to - next).unwrap_or(i64::MAX).min(page);
        let found = log::entries(&mut *pool.get()?, next, limit, fresh)?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        next = u64::try_from(last.leaf_index).unwrap_or(u64::MAX) + 1;
        let mut text = String::with_capacity(found.len() * 512);
        for entry in &found {
            write_line(&mut text, entry);
        }
        if sender.blocking_send(Ok(Bytes::from(text))).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn write_line(text: &mut String, entry: &LoggedEntry) {
    use std::fmt::Write as _;
    let line = Line {
        index: u64::try_from(entry.leaf_index).unwrap_or_default(),
        hash: Hash::from_slice(&entry.hash).unwrap_or_else(Hash::of_nothing),
        leaf: &entry.entry.leaf(),
    };
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

fn text(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(body)
}
