//! A repository as it was: the fold of its baseline and of the moves that were committed, and
//! the packs that its objects came in.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use chrono::{DateTime, SecondsFormat, Utc};
use diesel::PgConnection;
use refwarden_model::{ObjectFormat, RepositoryId};
use refwarden_wire::api::{DroppedPack, ReplayOut, ReplayPack, RepositoryOut, SealedPack};
use serde::Deserialize;

use super::Caller;
use super::events::find_repository;
use crate::db::repositories::Repository;
use crate::db::{events, packs, pushes, repositories as rows};
use crate::error::AppError;
use crate::reconcile::{self, State};
use crate::state::AppState;

/// The time to rebuild for.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ReplayQuery {
    /// A time (RFC 3339), or `seq:N` for the state after event N; now unless said.
    at: Option<String>,
}

/// Lists the repositories under guard.
#[utoipa::path(get, path = "/api/v1/repositories",
    responses((status = 200, body = Vec<RepositoryOut>)))]
pub async fn repositories(caller: Caller, state: Data<AppState>) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let found = state.db(|conn| Ok(rows::list(conn)?)).await?;
    let out: Vec<RepositoryOut> = found.iter().map(repository_out).collect();
    Ok(HttpResponse::Ok().json(out))
}

/// Says what a repository was made of at a time.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/replay",
    params(("repository" = String, Path, description = "Id or name"), ReplayQuery),
    responses((status = 200, body = ReplayOut)))]
pub async fn replay(
    caller: Caller,
    state: Data<AppState>,
    name: Path<String>,
    query: Query<ReplayQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let reader = caller.chain.describe();
    let out = state
        .db(move |conn| {
            let repository = find_repository(conn, &name)?;
            let what = format!("replay of {} at {:?}", repository.name, query.at);
            events::record_reading(conn, Utc::now(), &reader, &what)?;
            let seq = last_event(conn, &repository, query.at.as_deref())?;
            state_at(conn, &repository, seq)
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Sends the file that holds a pack: the pack as it was received, or what it is sealed in.
#[utoipa::path(get, path = "/api/v1/packs/{digest}",
    params(("digest" = String, Path, description = "Hexadecimal SHA-256")),
    responses((status = 200, content_type = "application/x-git-packed-objects"),
        (status = 200, content_type = "application/age")))]
pub async fn pack(
    caller: Caller,
    state: Data<AppState>,
    digest: Path<String>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let reader = caller.chain.describe();
    let pack = state
        .db(move |conn| {
            let Some(pack) = rows::find_pack(conn, &digest)? else {
                return Err(
                    dropped(conn, &digest)?.map_or_else(AppError::not_found, |gone| {
                        AppError::gone(format!(
                            "The pack was dropped by retention on {}, after {} days.",
                            gone.at.to_rfc3339_opts(SecondsFormat::Secs, true),
                            gone.after_days
                        ))
                    }),
                );
            };
            events::record_reading(conn, Utc::now(), &reader, &format!("pack {digest}"))?;
            Ok(pack)
        })
        .await?;
    // As it is: whoever reads it compares it with what was recorded.
    let opened = state.packs.stream(&pack.location).await;
    let opened = opened.map_err(AppError::internal)?;
    let content_type = match pack.sealed_digest {
        Some(_) => "application/age",
        None => "application/x-git-packed-objects",
    };
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .no_chunking(opened.length)
        .streaming(opened.stream))
}

fn last_event(
    conn: &mut PgConnection,
    repository: &Repository,
    at: Option<&str>,
) -> Result<i64, AppError> {
    let wrong = || AppError::bad_request("at: expected a time as in RFC 3339, or seq:N.");
    let Some(at) = at else {
        return Ok(repository.next_seq - 1);
    };
    if let Some(number) = at.strip_prefix("seq:") {
        let seq: i64 = number.parse().map_err(|_| wrong())?;
        return Ok(seq.min(repository.next_seq - 1));
    }
    let time: DateTime<Utc> = at.parse().map_err(|_| wrong())?;
    Ok(events::last_at(conn, repository.id, time)?)
}

fn state_at(
    conn: &mut PgConnection,
    repository: &Repository,
    seq: i64,
) -> Result<ReplayOut, AppError> {
    let state = reconcile::fold(conn, repository.id, seq)?
        .ok_or_else(|| AppError::bad_request("The repository was not under guard at that time."))?;
    Ok(ReplayOut {
        repository: repository_out(repository),
        at: state.at,
        seq,
        head: state.head.clone(),
        packs: packs_of(conn, &state)?,
        refs: state.into_refs(),
    })
}

/// Packs of the baseline and of moves out of band hold all that they build on; those of pushes
/// may build on any of them.
fn packs_of(conn: &mut PgConnection, state: &State) -> Result<Vec<ReplayPack>, AppError> {
    let whole = state.packs.iter().map(|digest| (None, digest.clone()));
    let mut wanted: Vec<(Option<uuid::Uuid>, String)> = whole.collect();
    for chunk in state.released.chunks(10_000) {
        let found = pushes::packs_of(conn, chunk)?;
        wanted.extend(found.into_iter().map(|(push, digest)| (Some(push), digest)));
    }
    let mut out: Vec<ReplayPack> = Vec::new();
    for (push_id, digest) in wanted {
        let Some(pack) = rows::find_pack(conn, &digest)? else {
            let gone = dropped(conn, &digest)?.ok_or_else(AppError::not_found)?;
            out.push(ReplayPack {
                digest,
                bytes: 0,
                push_id,
                sealed: None,
                dropped: Some(gone),
            });
            continue;
        };
        let bytes = u64::try_from(pack.bytes).unwrap_or_default();
        out.push(ReplayPack {
            digest,
            bytes,
            push_id,
            sealed: pack.sealed_digest.map(|digest| SealedPack {
                digest,
                bytes: u64::try_from(pack.stored_bytes).unwrap_or_default(),
                recipients: pack.recipients,
            }),
            dropped: None,
        });
    }
    Ok(out)
}

fn dropped(conn: &mut PgConnection, digest: &str) -> Result<Option<DroppedPack>, AppError> {
    let found = packs::dropped(conn, digest)?;
    Ok(found.map(|(at, after_days)| DroppedPack { at, after_days }))
}

fn repository_out(repository: &Repository) -> RepositoryOut {
    let object_format = match repository.object_format.as_str() {
        "sha256" => ObjectFormat::Sha256,
        _ => ObjectFormat::Sha1,
    };
    RepositoryOut {
        id: RepositoryId(repository.id),
        name: repository.name.clone(),
        object_format,
        adopted_at: repository.adopted_at,
        epoch: repository.epoch,
    }
}
