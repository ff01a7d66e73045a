//! The page of a window of time: who wants it, for what, for how long, and what was pushed within it.

use askama::Template;
use chrono::{DateTime, Utc};
use diesel::PgConnection;

use super::lasting::Lasting;
use super::request::oid;
use super::session::SignedIn;
use super::text::{short, span, visible, visible_line};
use crate::db::requests::Request;
use crate::db::{grants, pushes};
use crate::error::AppError;

/// Pushes that are listed.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "grant.html")]
pub struct Page {
    who: Option<String>,
    csrf: String,
    it: Lasting,
    ref_name: String,
    length: String,
    reason: String,
    used: Vec<Used>,
}

/// A ref update that the window has let through.
struct Used {
    old: Option<String>,
    new: Option<String>,
    state: String,
}

/// Collects the page.
pub fn build(
    conn: &mut PgConnection,
    request: &Request,
    signed_in: &SignedIn,
    is_admin: bool,
    now: DateTime<Utc>,
) -> Result<Page, AppError> {
    let grant = grants::find(conn, &request.id)?.ok_or_else(AppError::not_found)?;
    let updates = pushes::updates_of_request(conn, &request.id)?;
    let used = updates.iter().rev().take(SHOWN).map(|update| Used {
        old: oid(&update.actual_old).map(|oid| short(&oid).to_owned()),
        new: oid(&update.new_oid).map(|oid| short(&oid).to_owned()),
        state: update.state.clone(),
    });
    let ended = grant.ended_by.zip(grant.end_reason);
    Ok(Page {
        who: Some(visible_line(signed_in.actor.subject.as_bytes())),
        csrf: signed_in.csrf.clone(),
        it: Lasting::of(conn, request, signed_in, ended, is_admin, now)?,
        ref_name: visible_line(&request.ref_name),
        length: span(grant.seconds),
        reason: visible(grant.reason.as_bytes()),
        used: used.collect(),
    })
}
