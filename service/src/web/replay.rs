//! The page of a push as a session, step by step, for auditors: what `refwarden replay --push` tells, from
//! the same records.
//!
//! Whoever opens it is recorded as a reader, as through the API. It changes nothing else, and plays
//! nothing: the times stand beside the steps.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use chrono::Utc;
use diesel::PgConnection;
use refwarden_model::ActorChain;
use refwarden_session::{Before, Session, Step, steps};
use uuid::Uuid;

use super::audit::tone;
use super::error::PageError;
use super::html;
use super::session::SignedIn;
use super::text::visible_line;
use crate::api::{event_out, is_auditor, parse_query, push_record, request_out};
use crate::db::events::{self, Event, Filter};
use crate::db::requests;
use crate::error::AppError;
use crate::reconcile;
use crate::state::AppState;

/// Events of the push, and of each of its requests, that are shown.
const MOST: i64 = 1000;

#[derive(Template)]
#[template(path = "replay.html")]
struct Page {
    who: Option<String>,
    csrf: String,
    id: String,
    repository: String,
    state: String,
    received: String,
    rows: Vec<Row>,
    /// Whether there were more events.
    is_cut: bool,
}

struct Row {
    offset: String,
    /// The time of day, for whoever compares it with a log.
    time: String,
    what: String,
    /// The class of the tag.
    tone: &'static str,
    /// One thing a line.
    lines: String,
}

/// Shows the steps of a push.
pub async fn replay(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, PageError> {
    let id: Uuid = id.parse().map_err(|_| AppError::not_found())?;
    let chain = signed_in.chain();
    if !is_auditor(&state, &chain) {
        let why = "Only auditors read the records; see [access].";
        return Err(AppError::forbidden(why).into());
    }
    let shared = state.clone();
    let page = state
        .db(move |conn| {
            let (session, is_cut) = gather(conn, &shared, &chain, id)?;
            let what = format!("page /p/{id}/replay");
            events::record_reading(conn, Utc::now(), &chain.describe(), &what)?;
            Ok(page(&session, is_cut, &signed_in))
        })
        .await?;
    Ok(html(&page)?)
}

fn page(session: &Session, is_cut: bool, signed_in: &SignedIn) -> Page {
    let shown = |text: &str| visible_line(text.as_bytes());
    let record = &session.record;
    Page {
        who: Some(shown(&signed_in.actor.subject)),
        csrf: signed_in.csrf.clone(),
        id: record.id.to_string(),
        repository: shown(&record.repository),
        state: record.state.clone(),
        received: record
            .received_at
            .format("%Y-%m-%d %H:%M:%S UTC")
            .to_string(),
        rows: steps(session, &shown).into_iter().map(row).collect(),
        is_cut,
    }
}

fn row(step: Step) -> Row {
    Row {
        offset: step.offset(),
        time: step.at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string(),
        tone: tone(&step.what),
        lines: step.lines.join("\n"),
        what: step.what,
    }
}

/// What is on record of the push, and whether there was more than is shown.
fn gather(
    conn: &mut PgConnection,
    state: &AppState,
    reader: &ActorChain,
    id: Uuid,
) -> Result<(Session, bool), AppError> {
    let record = push_record(conn, id)?;
    let of_push = Filter {
        push: Some(id),
        limit: MOST,
        ..Filter::default()
    };
    let mut found = events::list(conn, &of_push)?;
    let mut is_cut = is_full(&found);
    let mut ids: Vec<String> = found
        .iter()
        .filter_map(|it| it.request_id.clone())
        .collect();
    ids.sort();
    ids.dedup();
    let mut asked = Vec::new();
    for id in ids {
        // What other pushes did with the request is theirs.
        let of_request = Filter {
            query: parse_query(&format!("request:{id} kind:request"))?,
            limit: MOST,
            ..Filter::default()
        };
        let of_request = events::list(conn, &of_request)?;
        is_cut |= is_full(&of_request);
        found.extend(of_request);
        if let Some(request) = requests::find(conn, &id)? {
            asked.push(request_out(conn, state, &request, reader)?);
        }
    }
    found.sort_by_key(|event| event.seq);
    found.dedup_by_key(|event| event.seq);
    let before = match found.first() {
        Some(first) if first.seq > 1 => {
            let state = reconcile::fold(conn, first.repository_id, first.seq - 1)?;
            state.map(|state| Before {
                refs: state.refs.len(),
                head: state.head.to_string(),
            })
        }
        _ => None,
    };
    let out = |event| event_out(event, record.repository.clone());
    let session = Session {
        events: found.into_iter().map(out).collect(),
        requests: asked,
        before,
        record,
    };
    Ok((session, is_cut))
}

fn is_full(found: &[Event]) -> bool {
    i64::try_from(found.len()) == Ok(MOST)
}
