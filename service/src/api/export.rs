//! Events as a stream, in the formats that other tools read. Reading is recorded before the first
//! byte goes out.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{Bytes, Data, Query};
use chrono::Utc;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Caller;
use crate::db::events::{Event, Filter};
use crate::db::pool::DbPool;
use crate::db::{events, records, repositories};
use crate::error::AppError;
use crate::export::{Format, Writer};
use crate::state::AppState;

/// Events that are read at once.
const PAGE: i64 = 1000;

/// What to write.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// `jsonl`, `csv`, `ocsf`, `cef`, or `sarif` for the findings of pushes.
    format: Format,
    /// What to look for, in the grammar of docs/auditing.md; everything if not given.
    #[serde(default)]
    q: String,
}

/// Streams events, oldest first. A stream that ends early is cut off without its last chunk.
#[utoipa::path(get, path = "/api/v1/events/export", params(ExportQuery),
    responses((status = 200, body = String), (status = 400, body = refwarden_wire::Problem),
        (status = 403, body = refwarden_wire::Problem)))]
pub async fn export(
    caller: Caller,
    state: Data<AppState>,
    query: Query<ExportQuery>,
) -> Result<HttpResponse, AppError> {
    caller.auditor()?;
    let asked = query.into_inner();
    let filter = Filter {
        query: super::events::parse(&asked.q)?,
        // What happens while the export runs is not part of it: it comes to an end.
        before: Some(Utc::now()),
        limit: PAGE,
        ..Filter::default()
    };
    let reader = caller.chain.describe();
    let what = format!("export {asked:?}");
    state
        .db(move |conn| Ok(events::record_reading(conn, Utc::now(), &reader, &what)?))
        .await?;
    let (sender, receiver) = mpsc::channel(2);
    let pool = state.pool.clone();
    let format = asked.format;
    // Ends with its channel: when everything was sent, or when the client has gone.
    actix_web::rt::task::spawn_blocking(move || {
        if let Err(error) = send(&pool, format, filter, &sender) {
            tracing::error!(cause = %error, "an export was cut off");
            let _ = sender.blocking_send(Err(error));
        }
    });
    let pages = stream::unfold(receiver, |mut receiver| async move {
        let page: Result<Bytes, AppError> = receiver.recv().await?;
        Some((page, receiver))
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, format.content_type()))
        .insert_header((CONTENT_DISPOSITION, "attachment"))
        .streaming(pages))
}

/// Page by page, each with a connection of its own, so that a slow reader holds none.
fn send(
    pool: &DbPool,
    format: Format,
    mut filter: Filter,
    sender: &mpsc::Sender<Result<Bytes, AppError>>,
) -> Result<(), AppError> {
    let mut writer = Writer::new(format);
    let mut names = HashMap::new();
    let mut text = String::new();
    writer.begin(&mut text);
    loop {
        let conn = &mut *pool.get()?;
        let page = events::list(conn, &filter)?;
        let is_last = i64::try_from(page.len()).unwrap_or_default() < filter.limit;
        filter.after = page.last().map(Event::place);
        for event in &page {
            if !names.contains_key(&event.repository_id) {
                names = all_names(conn)?;
            }
            let name = names.get(&event.repository_id);
            let name = name.map(String::as_str).unwrap_or_default();
            if !format.is_of_findings() {
                writer.event(&mut text, event, name);
                continue;
            }
            let verdicts = ["push.denied", "push.waiting", "push.released"];
            let push = event.push_id.filter(|_| verdicts.contains(&&*event.kind));
            for finding in push.map_or(Ok(vec![]), |push| records::findings(conn, push))? {
                writer.finding(&mut text, event, name, &finding);
            }
        }
        if is_last {
            writer.end(&mut text);
        }
        let chunk = Bytes::from(std::mem::take(&mut text));
        let has_gone = !chunk.is_empty() && sender.blocking_send(Ok(chunk)).is_err();
        if is_last || has_gone {
            return Ok(());
        }
    }
}

fn all_names(conn: &mut diesel::PgConnection) -> Result<HashMap<Uuid, String>, AppError> {
    let all = repositories::list(conn)?.into_iter();
    Ok(all.map(|known| (known.id, known.name)).collect())
}
