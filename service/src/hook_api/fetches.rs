//! What Git hosts tell of fetches.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Payload};
use chrono::Utc;
use refwarden_wire::fetch::{FetchIn, KnownIn, ObjectsIn};

use super::{HostCredential, framed};
use crate::error::AppError;
use crate::lifecycle;
use crate::state::AppState;

/// Says what is known of a pack.
pub async fn known(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<KnownIn>,
) -> Result<HttpResponse, AppError> {
    let out = state
        .db(move |conn| lifecycle::known_pack(conn, &host.name, &body))
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Takes the objects of a fetch.
pub async fn objects(
    host: HostCredential,
    state: Data<AppState>,
    body: Json<ObjectsIn>,
) -> Result<HttpResponse, AppError> {
    let out = state
        .db(move |conn| lifecycle::fetched_objects(conn, &host.name, &body))
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Records a fetch.
pub async fn record(
    host: HostCredential,
    state: Data<AppState>,
    body: Payload,
) -> Result<HttpResponse, AppError> {
    let (told, pack) = framed::read::<FetchIn>(body, &state.packs, |_| None).await?;
    let out = state
        .db(move |conn| lifecycle::fetched(conn, &host.name, &told, pack.as_ref(), Utc::now()))
        .await?;
    Ok(HttpResponse::Ok().json(out))
}
