//! How repositories and their guards fare, for whoever reads the records.

use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::Utc;
use refwarden_wire::reconcile::GuardOut;

use super::Caller;
use crate::error::AppError;
use crate::reconcile;
use crate::state::AppState;

/// Lists every repository with how its guard was found last.
#[utoipa::path(get, path = "/api/v1/health",
    responses((status = 200, body = Vec<GuardOut>), (status = 403, body = refwarden_wire::Problem)))]
pub async fn show(caller: Caller, state: Data<AppState>) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let out = state.db(|conn| reconcile::health(conn, Utc::now())).await?;
    Ok(HttpResponse::Ok().json(out))
}
