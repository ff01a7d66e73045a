//! The page of an exception: which secret in which file, why and for how long.

use askama::Template;
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_policy::describe_finding;

use super::lasting::Lasting;
use super::session::SignedIn;
use super::text::{span, visible, visible_line};
use crate::approval::exceptions::{in_words, sort_in_words};
use crate::db::requests::{Request, state};
use crate::db::{exceptions, push_facts};
use crate::error::AppError;

#[derive(Template)]
#[template(path = "exception.html")]
pub struct Page {
    who: Option<String>,
    csrf: String,
    it: Lasting,
    what: String,
    /// The finding in one line, with what may be shown of it.
    finding: String,
    rule: String,
    fingerprint: String,
    /// A glob of the files that it covers, if not the finding's alone.
    paths: Option<String>,
    sort: String,
    is_no_secret: bool,
    length: String,
    reason: String,
    used: usize,
    push: Option<String>,
}

/// Collects the page.
pub fn build(
    conn: &mut PgConnection,
    request: &Request,
    signed_in: &SignedIn,
    is_admin: bool,
    now: DateTime<Utc>,
) -> Result<Page, AppError> {
    let exception = exceptions::find(conn, &request.id)?.ok_or_else(AppError::not_found)?;
    let facts = match request.push_id {
        Some(push) => push_facts::find(conn, push)?,
        None => None,
    };
    let number = usize::try_from(exception.finding).unwrap_or(usize::MAX);
    let finding = facts.as_ref().and_then(|facts| facts.findings.get(number));
    let line = |text: &str| visible_line(text.as_bytes());
    Ok(Page {
        who: Some(visible_line(signed_in.actor.subject.as_bytes())),
        csrf: signed_in.csrf.clone(),
        what: line(&in_words(&exception)),
        finding: finding
            .map(|it| line(&describe_finding(it)))
            .unwrap_or_default(),
        rule: line(&exception.rule_id),
        fingerprint: exception.fingerprint,
        paths: exception.paths.as_deref().map(line),
        sort: sort_in_words(&exception.sort).to_owned(),
        is_no_secret: exception.sort == "false-positive" && request.state == state::APPROVED,
        length: span(exception.seconds),
        reason: visible(exception.reason.as_bytes()),
        used: exceptions::pushes_of(conn, &request.id)?.len(),
        push: request.push_id.map(|id| id.to_string()),
        it: {
            let ended = exception.ended_by.zip(exception.end_reason);
            Lasting::of(conn, request, signed_in, ended, is_admin, now)?
        },
    })
}
