//! Who was sent a secret, for auditors. Asking is itself recorded.

use actix_web::HttpResponse;
use actix_web::web::{Data, Json, Query};
use chrono::Utc;
use diesel::Connection as _;
use refwarden_wire::exposure::{ExposureIn, ExposureOut};
use serde::Deserialize;

use super::Caller;
use super::events::find_repository;
use crate::db::events;
use crate::db::exposure::Sought;
use crate::error::AppError;
use crate::exposure;
use crate::state::AppState;

/// What may be asked for: a fingerprint or a rule.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ExposureQuery {
    /// The secret's fingerprint, 64 hexadecimal digits.
    fingerprint: Option<String>,
    /// The id of the rule that found it.
    rule: Option<String>,
    /// In this repository only: its name or id.
    repository: Option<String>,
}

impl ExposureQuery {
    fn sought(&self) -> Result<Sought, AppError> {
        sought(self.fingerprint.as_deref(), self.rule.as_deref())
    }
}

/// Reads what is looked for: exactly one of the two.
///
/// # Errors
/// 400 for anything else.
pub fn sought(fingerprint: Option<&str>, rule: Option<&str>) -> Result<Sought, AppError> {
    match (fingerprint, rule) {
        (Some(it), None) if it.len() == 64 && it.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(Sought::Fingerprint(it.to_ascii_lowercase()))
        }
        (Some(_), None) => Err(AppError::bad_request(
            "fingerprint: expected 64 hexadecimal digits, as the record of a push has them.",
        )),
        (None, Some(rule)) if (1..=200).contains(&rule.len()) => Ok(Sought::Rule(rule.to_owned())),
        _ => Err(AppError::bad_request(
            "Expected a fingerprint or the id of a rule.",
        )),
    }
}

/// Says who was sent what pushes were found to hold.
#[utoipa::path(get, path = "/api/v1/exposure", params(ExposureQuery),
    responses((status = 200, body = ExposureOut), (status = 400, body = refwarden_wire::Problem),
        (status = 403, body = refwarden_wire::Problem)))]
pub async fn of_findings(
    caller: Caller,
    state: Data<AppState>,
    query: Query<ExposureQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let sought = query.sought()?;
    let reader = caller.chain.describe();
    let out = state
        .db(move |conn| {
            events::record_reading(conn, Utc::now(), &reader, &format!("{query:?}"))?;
            let repository = match &query.repository {
                None => None,
                Some(name) => Some(find_repository(conn, name)?.id),
            };
            conn.transaction(|conn| exposure::of_findings(conn, &sought, repository))
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Says who was sent objects that a scan of a repository's history found to hold a secret.
#[utoipa::path(post, path = "/api/v1/exposure", request_body = ExposureIn,
    responses((status = 200, body = ExposureOut), (status = 400, body = refwarden_wire::Problem),
        (status = 403, body = refwarden_wire::Problem)))]
pub async fn of_objects(
    caller: Caller,
    state: Data<AppState>,
    body: Json<ExposureIn>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let reader = caller.chain.describe();
    let out = state
        .db(move |conn| {
            let what = format!(
                "exposure of {} objects of {}",
                body.objects.len(),
                body.repository
            );
            events::record_reading(conn, Utc::now(), &reader, &what)?;
            let repository = find_repository(conn, &body.repository)?.id;
            conn.transaction(|conn| exposure::of_objects(conn, repository, &body))
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}
