//! The records, for auditors: a question in the grammar, a table of events, the next page.
//!
//! Whoever opens it is recorded as a reader, as through the API. It changes nothing else.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use chrono::Utc;
use refwarden_wire::api::EventOut;
use serde::Deserialize;

use super::error::PageError;
use super::html;
use super::session::SignedIn;
use super::text::visible_line;
use crate::api::{events_page, is_auditor, parse_cursor, parse_query};
use crate::db::events::{self, Filter};
use crate::error::AppError;
use crate::state::AppState;

/// Events on a page.
const PAGE: i64 = 50;

/// What the page is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    q: String,
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    who: Option<String>,
    csrf: String,
    q: String,
    /// Why the question was not understood.
    wrong: Option<String>,
    rows: Vec<Row>,
    /// What was probably meant, where nothing was found.
    hint: Option<String>,
    is_first: bool,
    next: Option<String>,
}

struct Row {
    time: String,
    repository: String,
    seq: i64,
    kind: String,
    /// The class of the tag: `rejected`, `approved` or none.
    tone: &'static str,
    actor: String,
    ref_name: Option<String>,
    summary: String,
    codes: String,
    /// Links, made for a query: the push's events and the repository's.
    push: Option<String>,
    request: Option<String>,
}

/// Shows a page of events, the newest first.
pub async fn audit(
    signed_in: SignedIn,
    state: Data<AppState>,
    asked: Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let chain = signed_in.chain();
    if !is_auditor(&state, &chain) {
        let why = "Only auditors read the records; see [access].";
        return Err(AppError::forbidden(why).into());
    }
    let asked = asked.into_inner();
    let mut page = Audit {
        who: Some(visible_line(signed_in.actor.subject.as_bytes())),
        csrf: signed_in.csrf.clone(),
        q: asked.q.clone(),
        wrong: None,
        rows: Vec::new(),
        hint: None,
        is_first: asked.after.is_none(),
        next: None,
    };
    let after = asked.after.as_deref().map(parse_cursor).transpose();
    let (query, after) = match parse_query(&asked.q).and_then(|query| Ok((query, after?))) {
        Ok(read) => read,
        Err(error) => {
            page.wrong = Some(visible_line(error.title().as_bytes()));
            return Ok(html(&page)?);
        }
    };
    let filter = Filter {
        query,
        after,
        newest_first: true,
        limit: PAGE,
        ..Filter::default()
    };
    let reader = chain.describe();
    let what = format!("page /audit {asked:?}");
    let found = state
        .db(move |conn| {
            events::record_reading(conn, Utc::now(), &reader, &what)?;
            events_page(conn, &filter)
        })
        .await;
    match found {
        Ok(found) => {
            page.rows = found.events.into_iter().map(row).collect();
            page.next = found.next;
            page.hint = found.hint.map(|hint| visible_line(hint.as_bytes()));
        }
        Err(AppError::BadRequest(why)) => page.wrong = Some(why),
        Err(error) => return Err(error.into()),
    }
    Ok(html(&page)?)
}

/// The class of the tag of a kind of event.
pub(super) fn tone(kind: &str) -> &'static str {
    match kind.rsplit('.').next() {
        Some("denied" | "refused" | "rejected" | "out_of_band" | "bypassed") => "rejected",
        Some("committed" | "approved" | "released") => "approved",
        Some("waiting" | "created") => "waiting",
        _ => "",
    }
}

fn row(event: EventOut) -> Row {
    let shown = |text: &str| visible_line(text.as_bytes());
    Row {
        time: event.recorded_at.format("%Y-%m-%d %H:%M:%S").to_string(),
        repository: shown(&event.repository),
        seq: event.seq,
        tone: tone(&event.kind),
        kind: event.kind,
        actor: shown(&event.actor),
        ref_name: event.ref_name,
        summary: shown(&event.summary),
        codes: event.codes.join(" "),
        push: event.push_id.map(|id| id.to_string()),
        request: event.request_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pusher_or_a_link_chose_is_text() {
        let event = EventOut {
            seq: 1,
            recorded_at: Utc::now(),
            repository: "<b>".into(),
            kind: "push.denied".into(),
            actor: "\"><script>alert(1)</script>\u{202e}".into(),
            push_id: None,
            request_id: None,
            ref_name: Some("refs/heads/<img src=x>".into()),
            old: None,
            new: None,
            codes: vec![],
            summary: "<svg onload=alert(1)>\n".into(),
        };
        let page = Audit {
            who: None,
            csrf: String::new(),
            q: "\"><script>alert(2)</script>".into(),
            wrong: Some("<script>".into()),
            rows: vec![row(event)],
            hint: None,
            is_first: true,
            next: Some("1_2_3\"><script>".into()),
        };
        let html = page.render().unwrap();
        for raw in ["<script>", "<img", "<svg", "<b>", "\u{202e}"] {
            assert!(!html.contains(raw), "{raw}: {html}");
        }
        assert!(html.contains("&#60;script&#62;alert(2)"), "{html}");
    }
}
