//! The page of a window of time: who wants it, for what, for how long; who has opened it; what was
//! pushed within it; and the form that takes it back.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use askama::Template;
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::RequestId;
use refwarden_policy::is_listed;
use serde::Deserialize;

use super::error::PageError;
use super::request::{needs, oid};
use super::session::SignedIn;
use super::text::{distance, short, span, visible, visible_line};
use super::views::{Comment, Decision, Need, Person};
use crate::api::{is_auditor, may_see};
use crate::approval::{self, Bound};
use crate::db::requests::{self, Request, state};
use crate::db::{comments, exceptions, grants, pushes};
use crate::error::AppError;
use crate::state::AppState;

/// Pushes that are listed.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "grant.html")]
pub struct Page {
    who: Option<String>,
    csrf: String,
    id: String,
    digest: String,
    state: String,
    repository: String,
    ref_name: String,
    pusher: Person,
    on_behalf_of: Vec<Person>,
    length: String,
    reason: String,
    created: String,
    age: String,
    until: String,
    left: String,
    needs: Vec<Need>,
    decisions: Vec<Decision>,
    used: Vec<Used>,
    ended: Option<(String, String)>,
    comments: Vec<Comment>,
    may_decide: bool,
    may_revoke: bool,
    why_not: String,
}

/// A ref update that the window has let through.
struct Used {
    old: Option<String>,
    new: Option<String>,
    state: String,
}

/// What the form that takes a grant back posts.
#[derive(Deserialize)]
pub struct Revoke {
    csrf: String,
    reason: String,
}

/// Collects the page.
pub fn build(
    conn: &mut PgConnection,
    request: &Request,
    signed_in: &SignedIn,
    is_admin: bool,
    now: DateTime<Utc>,
) -> Result<Page, AppError> {
    let bound = Bound::of(request)?;
    let grant = grants::find(conn, &request.id)?.ok_or_else(AppError::not_found)?;
    let decisions = requests::decisions(conn, &request.id)?;
    let tally = approval::progress(&bound.requirements, &decisions)?;
    let mine = decisions.iter().any(|made| {
        made.approver_issuer == signed_in.actor.issuer
            && made.approver_subject == signed_in.actor.subject
    });
    let waits = request.state == state::WAITING;
    let barred = approval::may_decide(conn, request, &signed_in.actor)?;
    let why_not = match &barred {
        _ if !waits => String::new(),
        Err(why) => why.to_string(),
        Ok(()) if mine => "you have decided already".to_owned(),
        Ok(()) => String::new(),
    };
    let updates = pushes::updates_of_request(conn, &request.id)?;
    let used = updates.iter().rev().take(SHOWN).map(|update| Used {
        old: oid(&update.actual_old).map(|oid| short(&oid).to_owned()),
        new: oid(&update.new_oid).map(|oid| short(&oid).to_owned()),
        state: update.state.clone(),
    });
    let may_decide = waits && barred.is_ok() && !mine;
    // Who is asked to open it rejects it instead.
    let stands = (waits && !may_decide) || request.state == state::APPROVED;
    Ok(Page {
        who: Some(visible_line(signed_in.actor.subject.as_bytes())),
        csrf: signed_in.csrf.clone(),
        id: request.id.clone(),
        digest: request.digest.clone(),
        state: request.state.clone(),
        repository: visible_line(approval::repository_name(conn, request)?.as_bytes()),
        ref_name: visible_line(&request.ref_name),
        pusher: Person::of(&bound.chain.pusher),
        on_behalf_of: bound.chain.on_behalf_of.iter().map(Person::of).collect(),
        length: span(grant.seconds),
        reason: visible(grant.reason.as_bytes()),
        created: request.created_at.format("%Y-%m-%d %H:%M UTC").to_string(),
        age: distance(request.created_at, now),
        until: request
            .expires_at
            .format("%Y-%m-%d %H:%M:%S UTC")
            .to_string(),
        left: distance(now, request.expires_at),
        needs: needs(&bound, &tally.counted),
        decisions: decisions
            .iter()
            .map(|made| Decision::of(made, now))
            .collect(),
        used: used.collect(),
        ended: grant.ended_by.map(|by| {
            let reason = grant.end_reason.unwrap_or_default();
            (visible_line(by.as_bytes()), visible(reason.as_bytes()))
        }),
        comments: comments::of(conn, &request.id)?
            .iter()
            .map(|said| Comment::of(said, now))
            .collect(),
        may_decide,
        may_revoke: stands && approval::grants::may_revoke(&bound, &signed_in.chain(), is_admin),
        why_not,
    })
}

/// Whether somebody is an administrator.
pub fn is_admin(state: &AppState, signed_in: &SignedIn) -> bool {
    is_listed(&state.config.access.admins, &signed_in.actor)
}

/// Takes a grant or an exception back and goes back to its page.
pub async fn revoke(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
    form: Form<Revoke>,
) -> Result<HttpResponse, PageError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    signed_in.check_form(&form.csrf)?;
    let back = format!("/r/{id}");
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    let admin = is_admin(&state, &signed_in);
    let ended = state
        .db(move |conn| {
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &chain, auditor)? {
                return Err(AppError::not_found());
            }
            let (id, why, now) = (id.as_str(), &form.reason, Utc::now());
            if request.kind == exceptions::KIND {
                return approval::exceptions::revoke(conn, id, &chain, admin, why, now);
            }
            approval::grants::revoke(conn, id, &chain, admin, why, now)
        })
        .await;
    if let Err(error) = ended {
        return Err(PageError::Decision(error, back));
    }
    state.announce();
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, back))
        .finish())
}
