//! The inbox: what waits for me, and what became of the rest.

use actix_web::HttpResponse;
use actix_web::web::Data;
use askama::Template;
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::Actor;

use super::error::PageError;
use super::html;
use super::session::SignedIn;
use super::text::{distance, visible};
use crate::api::{is_auditor, may_see};
use crate::approval::{self, Bound};
use crate::db::requests::{self, Request, state};
use crate::error::AppError;
use crate::state::AppState;

/// Requests that are looked at for one inbox.
const LOOKED_AT: i64 = 500;

#[derive(Template)]
#[template(path = "inbox.html")]
struct Inbox {
    who: Option<String>,
    csrf: String,
    waiting: Vec<Row>,
    others: Vec<Row>,
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
}

/// Shows the inbox.
pub async fn inbox(signed_in: SignedIn, state: Data<AppState>) -> Result<HttpResponse, PageError> {
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    let person = signed_in.actor.clone();
    let (waiting, others) = state
        .db(move |conn| {
            let now = Utc::now();
            approval::expire(conn, now)?;
            let (mut waiting, mut others) = (Vec::new(), Vec::new());
            for request in requests::list(conn, None, LOOKED_AT)? {
                if waits_for(conn, &request, &person)? {
                    waiting.push(row(conn, &request, now)?);
                } else if others.len() < 30 && may_see(&request, &chain, auditor)? {
                    others.push(row(conn, &request, now)?);
                }
            }
            Ok((waiting, others))
        })
        .await?;
    let who = Some(signed_in.actor.subject);
    Ok(html(&Inbox {
        who,
        csrf: signed_in.csrf,
        waiting,
        others,
    })?)
}

/// Whether the person can decide on the request now: nobody is asked who cannot.
fn waits_for(conn: &mut PgConnection, request: &Request, person: &Actor) -> Result<bool, AppError> {
    if request.state != state::WAITING || approval::may_decide(conn, request, person)?.is_err() {
        return Ok(false);
    }
    let made = requests::decisions(conn, &request.id)?;
    let mine = |made: &requests::Decision| {
        made.approver_issuer == person.issuer && made.approver_subject == person.subject
    };
    Ok(!made.iter().any(mine))
}

fn row(conn: &mut PgConnection, request: &Request, now: DateTime<Utc>) -> Result<Row, AppError> {
    Ok(Row {
        id: request.id.clone(),
        repository: approval::repository_name(conn, request)?,
        ref_name: visible(&request.ref_name),
        kind: request.kind.clone(),
        actor: visible(Bound::of(request)?.chain.describe().as_bytes()),
        state: request.state.clone(),
        age: distance(request.created_at, now),
        expires: distance(now, request.expires_at),
    })
}
