//! The ledger's events, oldest first. Reading them is itself recorded.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_wire::api::{EventOut, EventsOut};
use serde::Deserialize;
use uuid::Uuid;

use super::{Caller, hint};
use crate::db::events::{Event, Filter};
use crate::db::{events, repositories};
use crate::error::AppError;
use crate::state::AppState;

/// What may be asked for.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// A page's `next`.
    after: Option<String>,
    /// Events on a page, 1 to 1000; 100 unless said.
    limit: Option<i64>,
    /// What to look for, in the grammar of docs/auditing.md: `repo:payments/* since:7d`.
    q: Option<String>,
    /// Say how many there are on all pages, which may take long.
    #[serde(default)]
    total: bool,
    /// The newest first; the oldest unless said.
    #[serde(default)]
    newest: bool,
    /// A repository's name or id.
    repository: Option<String>,
    /// A kind such as `push.denied`, or its first part.
    kind: Option<String>,
    /// A full ref name.
    #[serde(rename = "ref")]
    #[param(rename = "ref")]
    ref_name: Option<String>,
    /// Part of an actor's description.
    actor: Option<String>,
    /// A push's id.
    push: Option<Uuid>,
    /// Not before this time (RFC 3339).
    since: Option<DateTime<Utc>>,
}

/// Lists events.
#[utoipa::path(get, path = "/api/v1/events", params(EventsQuery),
    responses((status = 200, body = EventsOut), (status = 403, body = refwarden_wire::Problem)))]
pub async fn list(
    caller: Caller,
    state: Data<AppState>,
    query: Query<EventsQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let query = query.into_inner();
    let after = query.after.as_deref().map(parse_cursor).transpose()?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(AppError::bad_request("limit: expected 1 to 1000."));
    }
    let asked = parse(query.q.as_deref().unwrap_or_default())?;
    let reader = caller.chain.describe();
    let out = state
        .db(move |conn| {
            let first_page = after.is_none();
            let repository = match &query.repository {
                None => None,
                Some(name) => Some(find_repository(conn, name)?.id),
            };
            let what = format!("{query:?}");
            let filter = Filter {
                repository,
                kind: query.kind,
                ref_name: query.ref_name,
                actor: query.actor,
                push: query.push,
                since: query.since,
                query: asked,
                after,
                newest_first: query.newest,
                limit,
                ..Filter::default()
            };
            if first_page {
                events::record_reading(conn, Utc::now(), &reader, &what)?;
            }
            let mut out = page(conn, &filter)?;
            if query.total {
                out.total = Some(events::count(conn, &filter).map_err(in_time)?);
            }
            Ok(out)
        })
        .await?;
    Ok(HttpResponse::Ok().json(out))
}

/// Reads a query in the grammar.
///
/// # Errors
/// 400 with where it went wrong, and what was expected.
pub fn parse(query: &str) -> Result<refwarden_query::Query, AppError> {
    refwarden_query::parse(query, Utc::now())
        .map_err(|error| AppError::bad_request(format!("q: {error}.")))
}

/// A page of events, and where the next begins.
///
/// # Errors
/// 400 when the database took too long over it; what diesel says.
pub fn page(conn: &mut PgConnection, filter: &Filter) -> Result<EventsOut, AppError> {
    let found = events::list(conn, filter).map_err(in_time)?;
    let full = i64::try_from(found.len()).unwrap_or_default() == filter.limit;
    let next = found.last().filter(|_| full).map(cursor);
    let hint = if found.is_empty() && filter.after.is_none() {
        hint::if_in_time(hint::of_short_names(conn, filter))?
    } else {
        None
    };
    let names = repositories::list(conn)?;
    let name_of = |id: Uuid| {
        names
            .iter()
            .find(|known| known.id == id)
            .map(|known| known.name.clone())
    };
    let events = found
        .into_iter()
        .map(|event| {
            let name = name_of(event.repository_id).unwrap_or_default();
            event_out(event, name)
        })
        .collect();
    Ok(EventsOut {
        events,
        next,
        total: None,
        hint,
    })
}

/// Says of a query that was stopped what helps.
fn in_time(error: diesel::result::Error) -> AppError {
    if events::is_out_of_time(&error) {
        AppError::bad_request(
            "q: this takes too long. Add repo:, since: or another term that few events meet.",
        )
    } else {
        error.into()
    }
}

/// An event as the API gives it.
pub fn event_out(event: Event, repository: String) -> EventOut {
    EventOut {
        seq: event.seq,
        recorded_at: event.recorded_at,
        repository,
        kind: event.kind,
        actor: event.actor,
        push_id: event.push_id,
        request_id: event.request_id,
        ref_name: event
            .ref_name
            .map(|name| refwarden_model::bytes::escape(&name)),
        old: event.old_oid,
        new: event.new_oid,
        codes: event.codes,
        summary: event.summary,
    }
}

/// Finds a repository by id or name, for auditors.
///
/// # Errors
/// 404 that names what was asked for, which nobody else may be told; what diesel says.
pub fn find_repository(
    conn: &mut PgConnection,
    name: &str,
) -> Result<repositories::Repository, AppError> {
    let found = match name.parse::<Uuid>() {
        Ok(id) => repositories::find(conn, id)?,
        Err(_) => repositories::find_named(conn, name)?,
    };
    found.ok_or_else(|| {
        let name = refwarden_model::bytes::escape(name.as_bytes());
        AppError::no_such(format!("There is no repository '{name}' in the records."))
    })
}

fn cursor(event: &Event) -> String {
    let (at, repository, seq) = event.place();
    format!("{}_{}_{seq}", at.timestamp_micros(), repository.simple())
}

/// Reads a page's `next`.
///
/// # Errors
/// 400 for anything else.
pub fn parse_cursor(text: &str) -> Result<(DateTime<Utc>, Uuid, i64), AppError> {
    let mut parts = text.split('_');
    let mut parse = || {
        let at = DateTime::from_timestamp_micros(parts.next()?.parse().ok()?)?;
        let repository = Uuid::try_parse(parts.next()?).ok()?;
        let seq = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some((at, repository, seq))
    };
    parse().ok_or_else(|| AppError::bad_request("after: expected the next of an earlier page."))
}
