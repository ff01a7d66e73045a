//! The page of a push: what it asked for, what became of it, what the scanner found and, for each
//! finding, the form that asks its rule's owners to let it pass.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use askama::Template;
use chrono::Utc;
use diesel::PgConnection;
use refwarden_model::Code;
use refwarden_model::facts::FindingFacts;
use refwarden_policy::{Policy, describe_finding, longest_exception, owners_of};
use refwarden_wire::api::ExceptionIn;
use serde::Deserialize;
use uuid::Uuid;

use super::error::PageError;
use super::html;
use super::session::SignedIn;
use super::text::{listed, visible_line};
use crate::api::is_auditor;
use crate::approval;
use crate::approval::exceptions::{Looked, SORTS, chain_of, covers, look, may_be_asked_for};
use crate::db::exceptions;
use crate::db::pushes::{self, RefUpdate};
use crate::error::AppError;
use crate::state::AppState;

/// Refs that are listed.
const REFS: usize = 100;

/// Findings that are listed.
const SHOWN: usize = 100;

const DAY: u64 = 86_400;

#[derive(Template)]
#[template(path = "push.html")]
struct Page {
    who: Option<String>,
    csrf: String,
    id: String,
    repository: String,
    actor: String,
    state: String,
    received: String,
    /// Why it was refused: each code with its title.
    codes: Vec<String>,
    /// Whether the reader may have it step by step.
    is_auditor: bool,
    updates: Vec<Update>,
    more_updates: usize,
    findings: Vec<Finding>,
    hidden: usize,
    sorts: [(&'static str, &'static str); 3],
}

/// A ref, where it was to go, and what became of that.
struct Update {
    name: String,
    old: String,
    new: String,
    state: String,
}

/// What was found, and what may be asked.
struct Finding {
    number: usize,
    text: String,
    /// The request for an exception and its state.
    asked: Option<(String, String)>,
    may_be_asked: bool,
    owners: String,
    /// The longest exception in days, one at least.
    longest: u64,
    usual: u64,
    is_known: bool,
    is_in_file: bool,
}

/// What the form posts.
#[derive(Deserialize)]
pub struct Ask {
    csrf: String,
    finding: u32,
    kind: String,
    #[serde(default)]
    paths: Option<String>,
    days: u64,
    reason: String,
}

/// Shows a push.
pub async fn push(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, PageError> {
    let id: Uuid = id.parse().map_err(|_| AppError::not_found())?;
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    let shared = state.clone();
    let page = state
        .db(move |conn| {
            approval::expire(conn, Utc::now())?;
            let looked = look(conn, &shared.policy, id, &chain, auditor)?;
            build(conn, &shared.policy, &looked, &signed_in, auditor)
        })
        .await?;
    Ok(html(&page)?)
}

fn build(
    conn: &mut PgConnection,
    policy: &Policy,
    looked: &Looked,
    signed_in: &SignedIn,
    is_auditor: bool,
) -> Result<Page, AppError> {
    let Looked {
        push,
        repository,
        facts,
    } = looked;
    let asked = exceptions::of_push(conn, push.id)?;
    let one = |(number, finding): (usize, &FindingFacts)| {
        let owners = owners_of(policy, &repository.name, &finding.rule_id);
        let owners = owners.iter().map(|needed| {
            let people: Vec<String> = needed.approvers.iter().map(|it| listed(it)).collect();
            format!("{} of {}", needed.quorum, people.join(", "))
        });
        let longest = longest_exception(policy, &repository.name, &finding.rule_id);
        let longest = longest.unwrap_or_default().div_euclid(DAY).max(1);
        Finding {
            number,
            text: visible_line(describe_finding(finding).as_bytes()),
            asked: asked
                .iter()
                .find(|(_, exception)| covers(exception, finding))
                .map(|(request, _)| (request.id.clone(), request.state.clone())),
            may_be_asked: may_be_asked_for(policy, &repository.name, finding),
            owners: owners.collect::<Vec<_>>().join(", and "),
            longest,
            usual: longest.min(30),
            is_known: finding.pre_existing,
            is_in_file: finding.path.is_some(),
        }
    };
    let findings = facts.findings.iter().enumerate().take(SHOWN).map(one);
    let chain = chain_of(push)?;
    let updates = pushes::updates(conn, push.id)?;
    let update = |update: &RefUpdate| Update {
        name: visible_line(&update.ref_name),
        old: update.actual_old.chars().take(12).collect(),
        new: update.new_oid.chars().take(12).collect(),
        state: update.state.replace('_', " "),
    };
    Ok(Page {
        who: Some(visible_line(signed_in.actor.subject.as_bytes())),
        csrf: signed_in.csrf.clone(),
        id: push.id.to_string(),
        repository: visible_line(repository.name.as_bytes()),
        actor: visible_line(chain.map(|it| it.describe()).unwrap_or_default().as_bytes()),
        state: push.state.clone(),
        received: push.received_at.format("%Y-%m-%d %H:%M UTC").to_string(),
        codes: push.codes.iter().map(|code| titled(code)).collect(),
        is_auditor,
        updates: updates.iter().take(REFS).map(update).collect(),
        more_updates: updates.len().saturating_sub(REFS),
        findings: findings.collect(),
        hidden: facts.findings.len().saturating_sub(SHOWN),
        sorts: SORTS,
    })
}

/// A code and what it means.
fn titled(code: &str) -> String {
    let known = Code::ALL.iter().find(|known| known.as_str() == code);
    known.map_or_else(
        || visible_line(code.as_bytes()),
        |code| format!("{code} {}", code.title()),
    )
}

/// Asks for an exception and goes to its page.
pub async fn ask_for_exception(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
    form: Form<Ask>,
) -> Result<HttpResponse, PageError> {
    let id: Uuid = id.parse().map_err(|_| AppError::not_found())?;
    signed_in.check_form(&form.csrf)?;
    let form = form.into_inner();
    let asked = ExceptionIn {
        push: id,
        finding: form.finding,
        kind: form.kind,
        paths: form.paths,
        seconds: Some(form.days.saturating_mul(DAY)),
        reason: form.reason,
    };
    let chain = signed_in.chain();
    let shared = state.clone();
    let asked = state
        .db(move |conn| {
            let now = Utc::now();
            approval::expire(conn, now)?;
            let (policy, days) = (&shared.policy, shared.config.service.request_days);
            approval::exceptions::ask(conn, policy, &chain, &asked, days, now)
        })
        .await;
    let request = match asked {
        Ok(request) => request,
        Err(error) => return Err(PageError::Decision(error, format!("/p/{id}"))),
    };
    state.announce();
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, format!("/r/{}", request.id)))
        .finish())
}
