//! The page of an exception: which secret in which file, why and for how long; who has let it pass,
//! and the form that takes it back.

use askama::Template;
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_policy::describe_finding;

use super::request::needs;
use super::session::SignedIn;
use super::text::{distance, span, visible, visible_line};
use super::views::{Comment, Decision, Need, Person};
use crate::approval::exceptions::{may_revoke, sort_in_words};
use crate::approval::{self, Bound};
use crate::db::requests::{self, Request, state};
use crate::db::{comments, exceptions, push_facts};
use crate::error::AppError;

#[derive(Template)]
#[template(path = "exception.html")]
pub struct Page {
    who: Option<String>,
    csrf: String,
    id: String,
    digest: String,
    state: String,
    repository: String,
    what: String,
    /// The finding in one line, with what may be shown of it.
    finding: String,
    rule: String,
    fingerprint: String,
    sort: String,
    is_no_secret: bool,
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
    used: usize,
    ended: Option<(String, String)>,
    comments: Vec<Comment>,
    may_decide: bool,
    may_revoke: bool,
    why_not: String,
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
    let bound = Bound::of(request)?;
    let exception = exceptions::find(conn, &request.id)?.ok_or_else(AppError::not_found)?;
    let facts = match request.push_id {
        Some(push) => push_facts::find(conn, push)?,
        None => None,
    };
    let number = usize::try_from(exception.finding).unwrap_or(usize::MAX);
    let finding = facts.as_ref().and_then(|facts| facts.findings.get(number));
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
    let may_decide = waits && barred.is_ok() && !mine;
    // Who is asked to let it pass rejects it instead.
    let stands = (waits && !may_decide) || request.state == state::APPROVED;
    Ok(Page {
        who: Some(visible_line(signed_in.actor.subject.as_bytes())),
        csrf: signed_in.csrf.clone(),
        id: request.id.clone(),
        digest: request.digest.clone(),
        state: request.state.clone(),
        repository: visible_line(approval::repository_name(conn, request)?.as_bytes()),
        what: visible_line(approval::exceptions::in_words(&exception).as_bytes()),
        finding: finding
            .map(|it| visible_line(describe_finding(it).as_bytes()))
            .unwrap_or_default(),
        rule: visible_line(exception.rule_id.as_bytes()),
        fingerprint: exception.fingerprint.clone(),
        sort: sort_in_words(&exception.sort).to_owned(),
        is_no_secret: exception.sort == "false-positive" && request.state == state::APPROVED,
        pusher: Person::of(&bound.chain.pusher),
        on_behalf_of: bound.chain.on_behalf_of.iter().map(Person::of).collect(),
        length: span(exception.seconds),
        reason: visible(exception.reason.as_bytes()),
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
        used: exceptions::pushes_of(conn, &request.id)?.len(),
        ended: exception.ended_by.map(|by| {
            let reason = exception.end_reason.unwrap_or_default();
            (visible_line(by.as_bytes()), visible(reason.as_bytes()))
        }),
        comments: comments::of(conn, &request.id)?
            .iter()
            .map(|said| Comment::of(said, now))
            .collect(),
        may_decide,
        may_revoke: stands && may_revoke(&bound, &signed_in.chain(), is_admin),
        why_not,
        push: request.push_id.map(|id| id.to_string()),
    })
}
