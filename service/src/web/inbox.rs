//! The inbox: what waits for me, and what became of the rest.

use actix_web::HttpResponse;
use actix_web::web::Data;
use askama::Template;
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::Actor;
use refwarden_policy::{Requirement, is_listed};

use super::error::PageError;
use super::html;
use super::session::SignedIn;
use super::text::{distance, kind, visible_line};
use crate::api::{is_auditor, may_see};
use crate::approval::{self, Bound};
use crate::db::exceptions;
use crate::db::requests::{self, Request, state};
use crate::error::AppError;
use crate::state::AppState;

/// Waiting requests that are looked at for one inbox, oldest ones left out last.
const WAITING: i64 = 1_000;
/// Other requests that are looked at, and shown.
const RECENT: i64 = 200;
const SHOWN: usize = 30;

#[derive(Template)]
#[template(path = "inbox.html")]
struct Inbox {
    who: Option<String>,
    csrf: String,
    /// Whether the records are open to them.
    auditor: bool,
    waiting: Vec<Row>,
    /// Open, and for others to decide, or approved and not used yet.
    open: Vec<Row>,
    closed: Vec<Row>,
}

struct Row {
    id: String,
    repository: String,
    ref_name: String,
    kind: String,
    actor: String,
    state: String,
    age: String,
    expires: String,
    is_window: bool,
}

/// Shows the inbox.
pub async fn inbox(signed_in: SignedIn, state: Data<AppState>) -> Result<HttpResponse, PageError> {
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    let page = state
        .db(move |conn| {
            let now = Utc::now();
            approval::expire(conn, now)?;
            let mut page = Inbox {
                who: Some(visible_line(signed_in.actor.subject.as_bytes())),
                csrf: signed_in.csrf.clone(),
                auditor,
                waiting: Vec::new(),
                open: Vec::new(),
                closed: Vec::new(),
            };
            let mut waiting = requests::list(conn, Some(state::REVIEW), WAITING)?;
            waiting.extend(requests::list(conn, Some(state::WAITING), WAITING)?);
            for request in waiting {
                if waits_for(conn, &request, &signed_in.actor)? {
                    page.waiting.push(row(conn, &request, now)?);
                } else if page.open.len() < SHOWN && may_see(&request, &chain, auditor)? {
                    page.open.push(row(conn, &request, now)?);
                }
            }
            for request in requests::list(conn, None, RECENT)? {
                let list = match request.state.as_str() {
                    state::WAITING | state::REVIEW => continue,
                    state::APPROVED => &mut page.open,
                    _ => &mut page.closed,
                };
                if list.len() < SHOWN && may_see(&request, &chain, auditor)? {
                    list.push(row(conn, &request, now)?);
                }
            }
            Ok(page)
        })
        .await?;
    Ok(html(&page)?)
}

/// Whether the person can decide on the request now: nobody is asked who cannot.
fn waits_for(conn: &mut PgConnection, request: &Request, person: &Actor) -> Result<bool, AppError> {
    // Most people are no approvers of most requests, and that is known without the database.
    let listed = |needed: &Requirement| is_listed(&needed.approvers, person);
    if !Bound::of(request)?.requirements.iter().any(listed)
        || approval::may_decide(conn, request, person)?.is_err()
    {
        return Ok(false);
    }
    let made = requests::decisions(conn, &request.id)?;
    let mine = |made: &requests::Decision| {
        made.approver_issuer == person.issuer && made.approver_subject == person.subject
    };
    Ok(!made.iter().any(mine))
}

fn row(conn: &mut PgConnection, request: &Request, now: DateTime<Utc>) -> Result<Row, AppError> {
    let update = approval::update_of(conn, request)?;
    let (gained, lost) = update.map_or((0, 0), |update| (update.gained, update.lost));
    let exception = match request.kind.as_str() {
        exceptions::KIND => exceptions::find(conn, &request.id)?,
        _ => None,
    };
    let about = exception.map(|it| approval::exceptions::in_words(&it));
    Ok(Row {
        id: request.id.clone(),
        repository: visible_line(approval::repository_name(conn, request)?.as_bytes()),
        ref_name: visible_line(about.as_deref().map_or(&request.ref_name, str::as_bytes)),
        kind: kind(&request.kind, &request.ref_name, gained, lost),
        actor: visible_line(Bound::of(request)?.chain.describe().as_bytes()),
        is_window: request.kind == "grant" || request.kind == exceptions::KIND,
        state: request.state.clone(),
        age: distance(request.closed_at.unwrap_or(request.created_at), now),
        expires: distance(now, request.expires_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pusher_chose_is_text() {
        let row = Row {
            id: "8FZK2M0T".into(),
            repository: "<img src=x onerror=alert(1)>".into(),
            ref_name: visible_line(b"refs/heads/<script>alert(1)</script>\xff"),
            kind: "adds 1 commit".into(),
            actor: "\"><script>alert(2)</script>".into(),
            is_window: false,
            state: "waiting".into(),
            age: "1 s".into(),
            expires: "7 d".into(),
        };
        let page = Inbox {
            who: Some("<script>alert(3)</script>".into()),
            csrf: "\"><script>".into(),
            auditor: true,
            waiting: vec![row],
            open: vec![],
            closed: vec![],
        };
        let html = page.render().unwrap();
        assert!(
            !html.contains("<script>") && !html.contains("<img"),
            "{html}"
        );
        assert!(
            html.contains("refs/heads/&#60;script&#62;alert(1)"),
            "{html}"
        );
        assert!(html.contains("\\xff"), "{html}");
    }
}
