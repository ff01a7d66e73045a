//! One request: everything that would move, and the form with which a person decides.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use askama::Template;
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::{Actor, RequestId};
use refwarden_wire::api::DecisionIn;
use serde::Deserialize;

use super::error::PageError;
use super::html;
use super::patch::{self, Row};
use super::session::SignedIn;
use super::text::{count, distance, kind, short, visible};
use crate::api::{is_auditor, may_see};
use crate::approval::{self, Bound};
use crate::db::pushes;
use crate::db::records::{self, Change, Commit, Finding};
use crate::db::requests::{self, Request, state};
use crate::error::AppError;
use crate::state::AppState;

/// What one page shows at the most.
const MAX_COMMITS: i64 = 200;
const MAX_FILES: i64 = 500;
const MAX_ROWS: usize = 10_000;
const MAX_ROWS_OF_FILE: usize = 2_000;

#[derive(Template)]
#[template(path = "request.html")]
struct Page {
    who: Option<String>,
    csrf: String,
    id: String,
    digest: String,
    state: String,
    repository: String,
    ref_name: String,
    kind: String,
    old: String,
    new: String,
    pusher: String,
    pusher_kind: &'static str,
    on_behalf_of: Vec<String>,
    client: String,
    created: String,
    age: String,
    expires: String,
    reason_given: Vec<String>,
    needs: Vec<Need>,
    decisions: Vec<Said>,
    findings: Vec<Found>,
    commits: Vec<Shown>,
    files: String,
    cut: Option<String>,
    may_decide: bool,
    why_not: String,
}

struct Need {
    rule: String,
    have: u32,
    quorum: u32,
    approvers: String,
}

struct Said {
    who: String,
    what: &'static str,
    reason: String,
    when: String,
}

struct Found {
    rule: String,
    place: String,
    redacted: String,
    pre_existing: bool,
}

struct Shown {
    oid: String,
    subject: String,
    body: String,
    author: String,
    signed: bool,
    files: Vec<File>,
}

struct File {
    status: &'static str,
    path: String,
    counts: String,
    mode: Option<String>,
    rows: Vec<Row>,
    note: Option<&'static str>,
}

/// What the form posts.
#[derive(Deserialize)]
pub struct DecideIn {
    csrf: String,
    digest: String,
    decision: String,
    #[serde(default)]
    reason: String,
}

/// Shows a request.
pub async fn page(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
) -> Result<HttpResponse, PageError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    let page = state
        .db(move |conn| {
            let now = Utc::now();
            approval::expire(conn, now)?;
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &chain, auditor)? {
                return Err(AppError::not_found());
            }
            build(conn, &request, &signed_in, now)
        })
        .await?;
    Ok(html(&page)?)
}

/// Takes a decision and goes back to the page.
pub async fn decide(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
    form: Form<DecideIn>,
) -> Result<HttpResponse, PageError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    signed_in.check_form(&form.csrf)?;
    let form = form.into_inner();
    let decision = DecisionIn {
        decision: form.decision,
        reason: form.reason,
        digest: form.digest,
    };
    let back = format!("/r/{id}");
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    state
        .db(move |conn| {
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &chain, auditor)? {
                return Err(AppError::not_found());
            }
            approval::decide(conn, id.as_str(), &signed_in.actor, &decision, Utc::now())
        })
        .await?;
    state.announce();
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, back))
        .finish())
}

fn build(
    conn: &mut PgConnection,
    request: &Request,
    signed_in: &SignedIn,
    now: DateTime<Utc>,
) -> Result<Page, AppError> {
    let bound = Bound::of(request)?;
    let decisions = requests::decisions(conn, &request.id)?;
    let tally = approval::progress(&bound.requirements, &decisions)?;
    let push = pushes::find(conn, request.push_id)?.ok_or_else(AppError::not_found)?;
    let updates = pushes::updates(conn, request.push_id)?;
    let update = updates
        .iter()
        .find(|update| update.target == request.ref_name);
    let (gained, lost) = update.map_or((0, 0), |update| (update.gained, update.lost));
    let commits = records::commits(conn, request.push_id, MAX_COMMITS)?;
    let changes = records::changes(conn, request.push_id, MAX_FILES)?;
    let all_files: i64 = commits.iter().map(|commit| commit.changes_total).sum();
    let (shown, cut_rows) = show(&commits, &changes);
    let cut = cut(&push, &commits, &changes, all_files, cut_rows);
    let mine = decisions
        .iter()
        .any(|made| made.approver_subject == signed_in.actor.subject);
    let barred = approval::may_decide(conn, request, &signed_in.actor)?;
    let why_not = match (&barred, mine, request.state == state::WAITING) {
        (Err(why), _, true) => why.to_string(),
        (Ok(()), true, true) => "you have decided already".to_owned(),
        _ => String::new(),
    };
    let name = |actor: &Actor| visible(actor.subject.as_bytes());
    let client = [push.client_agent.as_deref(), push.client_address.as_deref()];
    let client: Vec<String> = client
        .into_iter()
        .flatten()
        .map(|text| visible(text.as_bytes()))
        .collect();
    Ok(Page {
        who: Some(signed_in.actor.subject.clone()),
        csrf: signed_in.csrf.clone(),
        id: request.id.clone(),
        digest: request.digest.clone(),
        state: request.state.clone(),
        repository: approval::repository_name(conn, request)?,
        ref_name: visible(&request.ref_name),
        kind: kind(&request.kind, gained, lost),
        old: short(&request.old_oid).to_owned(),
        new: short(&request.new_oid).to_owned(),
        pusher: name(&bound.chain.pusher),
        pusher_kind: bound.chain.pusher.kind.name(),
        on_behalf_of: bound.chain.on_behalf_of.iter().map(name).collect(),
        client: format!("{} {}", push.transport, client.join(", "))
            .trim()
            .to_owned(),
        created: request.created_at.format("%Y-%m-%d %H:%M UTC").to_string(),
        age: distance(request.created_at, now),
        expires: distance(now, request.expires_at),
        reason_given: options(&push.push_options),
        needs: needs(&bound, &tally.counted),
        decisions: decisions.iter().map(|made| said(made, now)).collect(),
        findings: records::findings(conn, request.push_id)?
            .iter()
            .map(found)
            .collect(),
        commits: shown,
        files: count(all_files, "changed file"),
        cut,
        may_decide: request.state == state::WAITING && barred.is_ok() && !mine,
        why_not,
    })
}

/// Push options that speak to the approver: `reason=` and `ticket=`.
fn options(options: &serde_json::Value) -> Vec<String> {
    let list = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = list.iter().filter_map(serde_json::Value::as_str);
    let spoken = texts.filter(|text| text.starts_with("reason=") || text.starts_with("ticket="));
    spoken.map(|text| visible(text.as_bytes())).collect()
}

fn needs(bound: &Bound, counted: &[u32]) -> Vec<Need> {
    let need = |(needed, &have): (&refwarden_policy::Requirement, &u32)| Need {
        rule: needed.rule.clone(),
        have,
        quorum: needed.quorum,
        approvers: needed.approvers.join(", "),
    };
    bound.requirements.iter().zip(counted).map(need).collect()
}

fn said(made: &requests::Decision, now: DateTime<Utc>) -> Said {
    Said {
        who: visible(made.approver_subject.as_bytes()),
        what: if made.decision == "approve" {
            "approved"
        } else {
            "rejected"
        },
        reason: visible(made.reason.as_bytes()),
        when: distance(made.decided_at, now),
    }
}

fn found(finding: &Finding) -> Found {
    let place = match &finding.path {
        Some(path) => format!("{}:{}", visible(path), finding.line),
        None => format!("{} line {}", finding.place, finding.line),
    };
    Found {
        rule: finding.rule_id.clone(),
        place,
        redacted: visible(finding.redacted.as_bytes()),
        pre_existing: finding.pre_existing,
    }
}

fn show(commits: &[Commit], changes: &[Change]) -> (Vec<Shown>, bool) {
    let mut left = MAX_ROWS;
    let mut cut = false;
    let mut shown = Vec::new();
    for commit in commits {
        let of_commit = changes
            .iter()
            .filter(|change| change.commit_ordinal == commit.ordinal);
        let mut files = Vec::new();
        for change in of_commit {
            let (rows, more) = patch::rows(&change.patch, left.min(MAX_ROWS_OF_FILE));
            left = left.saturating_sub(rows.len());
            cut |= more;
            files.push(file(change, rows, more));
        }
        let message = visible(&commit.message);
        let (subject, body) = message.split_once('\n').unwrap_or((message.as_str(), ""));
        shown.push(Shown {
            oid: short(&commit.oid).to_owned(),
            subject: subject.to_owned(),
            body: body.trim().to_owned(),
            author: visible(author(&commit.author)),
            signed: commit.signed,
            files,
        });
    }
    (shown, cut)
}

/// An ident line without its time.
fn author(ident: &[u8]) -> &[u8] {
    let end = ident
        .iter()
        .rposition(|&byte| byte == b'>')
        .map_or(ident.len(), |at| at + 1);
    ident.get(..end).unwrap_or_default()
}

fn file(change: &Change, rows: Vec<Row>, cut: bool) -> File {
    let status = match change.status.as_str() {
        "A" => "added",
        "D" => "deleted",
        "T" => "type changed",
        _ => "modified",
    };
    let counts = match (change.added, change.deleted) {
        (Some(added), Some(deleted)) => format!("+{added} -{deleted}"),
        _ => "binary".to_owned(),
    };
    let modes = change.old_mode != change.new_mode && change.status == "M";
    let note = if change.patch_cut || cut {
        Some("The diff is too long for this page; the record holds all of it.")
    } else if rows.is_empty() && change.added.is_none() {
        Some("A binary file: its content is not shown.")
    } else {
        None
    };
    File {
        status,
        path: visible(&change.path),
        counts,
        mode: modes.then(|| format!("mode {} to {}", change.old_mode, change.new_mode)),
        rows,
        note,
    }
}

/// What the page leaves out, in words: nobody approves what they do not know is there.
fn cut(
    push: &pushes::Push,
    commits: &[Commit],
    changes: &[Change],
    all_files: i64,
    rows: bool,
) -> Option<String> {
    let shown = |list: usize| i64::try_from(list).unwrap_or(i64::MAX);
    let (hidden_commits, hidden_files) = (
        push.commits_total - shown(commits.len()),
        all_files - shown(changes.len()),
    );
    let mut parts = Vec::new();
    if hidden_commits > 0 {
        parts.push(count(hidden_commits, "commit"));
    }
    if hidden_files > 0 {
        parts.push(count(hidden_files, "changed file"));
    }
    if rows {
        parts.push("parts of long diffs".to_owned());
    }
    (!parts.is_empty()).then(|| format!("Not shown on this page: {}.", parts.join(", ")))
}
