//! One request: everything that would move, and the form with which a person decides.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use askama::Template;
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::RequestId;
use refwarden_wire::api::{AnswerIn, DecisionIn, RefFilterOut, RequestMaskedOut};
use serde::Deserialize;

use super::error::PageError;
use super::session::SignedIn;
use super::text::{distance, kind, listed, short, visible, visible_line};
use super::views::{self, Comment, Commit, Decision, Finding, Need, Person};
use super::{exception, grant, lasting, whole};
use crate::api::{is_auditor, may_see, reads_whole};
use crate::approval::{self, Bound};
use crate::db::requests::{self, Request, state};
use crate::db::{comments, exceptions, grants, pushes};
use crate::error::AppError;
use crate::state::AppState;

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
    old: Option<String>,
    new: Option<String>,
    pusher: Person,
    on_behalf_of: Vec<Person>,
    client: String,
    through: Option<Through>,
    created: String,
    age: String,
    expires: String,
    said: Vec<(&'static str, String)>,
    needs: Vec<Need>,
    decisions: Vec<Decision>,
    findings: Vec<Finding>,
    commits: Vec<Commit>,
    summary: String,
    warnings: Vec<String>,
    note: Option<&'static str>,
    survives_rebase: bool,
    kept: Vec<(String, String)>,
    questions: Vec<Question>,
    comments: Vec<Comment>,
    may_decide: bool,
    why_not: String,
}

/// The masked view that the pusher reads.
pub struct Through {
    view: String,
    ruleset: String,
    /// Which rules mask, where that was told.
    rules: String,
    /// Which refs it has; empty for all.
    refs: String,
    moves: Vec<Moving>,
}

/// A secret that would move.
struct Moving {
    rule: String,
    from: String,
    to: String,
    /// Which secret it is, where that was recorded.
    fingerprint: String,
    unsound: bool,
}

impl Through {
    fn of(masked: &RequestMaskedOut) -> Self {
        let filter = |filter: &RefFilterOut| {
            let refs = match filter.refs.as_slice() {
                [] => "all refs".to_owned(),
                refs => refs.join(", "),
            };
            match filter.hide.as_slice() {
                [] => refs,
                hide => format!("{refs} without {}", hide.join(", ")),
            }
        };
        let refs: Vec<String> = masked.filters.iter().map(filter).collect();
        Self {
            view: visible_line(short(&masked.view).as_bytes()),
            ruleset: visible_line(short(&masked.ruleset).as_bytes()),
            rules: visible_line(rules(masked).as_bytes()),
            refs: visible_line(refs.join("; and of these ").as_bytes()),
            moves: masked
                .moves
                .iter()
                .map(|it| Moving {
                    rule: {
                        let rules = std::iter::once(&it.rule).chain(&it.also);
                        let rules: Vec<&str> = rules.map(String::as_str).collect();
                        visible_line(rules.join(", ").as_bytes())
                    },
                    from: {
                        let line = it.from_line.map(|line| format!(":{line}"));
                        let line = line.unwrap_or_default();
                        visible_line(format!("{}{line}", it.from).as_bytes())
                    },
                    to: visible_line(format!("{}:{}", it.path, it.line).as_bytes()),
                    fingerprint: it
                        .fingerprint
                        .as_deref()
                        .map_or_else(String::new, |print| visible_line(print.as_bytes())),
                    unsound: it.unsound,
                })
                .collect(),
        }
    }
}

fn rules(masked: &RequestMaskedOut) -> String {
    let Some(generic) = masked.generic else {
        return String::new();
    };
    let which = if generic {
        "also generic ones"
    } else {
        "no generic ones"
    };
    match masked.rules.as_slice() {
        [] => which.to_owned(),
        named => format!("only {}; {which}", named.join(", ")),
    }
}

/// A question of the policy, as it is posted back and as it is shown.
pub struct Question {
    pub text: String,
    pub shown: String,
}

/// What the form of a comment posts.
#[derive(Deserialize)]
pub struct Said {
    csrf: String,
    text: String,
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
    let admin = lasting::is_admin(&state, &signed_in);
    let shared = state.clone();
    let page = state
        .db(move |conn| {
            let now = Utc::now();
            approval::expire(conn, now)?;
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &chain, auditor)? {
                return Err(AppError::not_found());
            }
            if request.kind != grants::KIND && !auditor {
                reads_whole(conn, &shared, &request, &chain)?;
            }
            let rendered = match request.kind.as_str() {
                grants::KIND => grant::build(conn, &request, &signed_in, admin, now)?.render(),
                exceptions::KIND => {
                    exception::build(conn, &request, &signed_in, admin, now)?.render()
                }
                _ => build(conn, &request, &signed_in, now)?.render(),
            };
            rendered.map_err(AppError::internal)
        })
        .await?;
    Ok(whole(page))
}

/// Takes a decision and goes back to the page.
pub async fn decide(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
    form: Form<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    let field = |name: &str| {
        let found = form.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    signed_in.check_form(&field("csrf"))?;
    // Each question goes with its answer, so that no answer is taken for one to another question.
    let asked = form.iter().filter_map(|(name, question)| {
        let number = name.strip_prefix("question-")?;
        Some(AnswerIn {
            question: question.clone(),
            answer: field(&format!("answer-{number}")),
        })
    });
    let decision = DecisionIn {
        decision: field("decision"),
        reason: field("reason"),
        digest: field("digest"),
        answers: asked.collect(),
    };
    let back = format!("/r/{id}");
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    let shared = state.clone();
    let decided = state
        .db(move |conn| {
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &chain, auditor)? {
                return Err(AppError::not_found());
            }
            // Nobody decides on what they were not shown.
            if request.kind != grants::KIND && !auditor {
                reads_whole(conn, &shared, &request, &chain)?;
            }
            approval::decide(conn, id.as_str(), &signed_in.actor, &decision, Utc::now())
        })
        .await;
    if let Err(error) = decided {
        return Err(PageError::Decision(error, back));
    }
    state.announce();
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, back))
        .finish())
}

/// Takes a comment and goes back to the page.
pub async fn comment(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
    form: Form<Said>,
) -> Result<HttpResponse, PageError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    signed_in.check_form(&form.csrf)?;
    let back = format!("/r/{id}#comments");
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    let said = state
        .db(move |conn| {
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &chain, auditor)? {
                return Err(AppError::not_found());
            }
            approval::comment(conn, id.as_str(), &chain, &form.text, Utc::now())
        })
        .await;
    if let Err(error) = said {
        return Err(PageError::Decision(error, back));
    }
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
    let push = request.push_id.ok_or_else(AppError::not_found)?;
    let push = pushes::find(conn, push)?.ok_or_else(AppError::not_found)?;
    let update = approval::update_of(conn, request)?;
    let update = update.as_ref();
    let (gained, lost) = update.map_or((0, 0), |update| (update.gained, update.lost));
    let content = views::content(conn, request, update)?;
    let mine = decisions.iter().any(|made| {
        made.approver_issuer == signed_in.actor.issuer
            && made.approver_subject == signed_in.actor.subject
    });
    let is_review = request.state == state::REVIEW;
    let waits = request.state == state::WAITING || is_review;
    let barred = approval::may_decide(conn, request, &signed_in.actor)?;
    let why_not = match (&barred, mine) {
        _ if !waits => String::new(),
        (Err(why), _) => why.to_string(),
        (Ok(()), true) => "you have decided already".to_owned(),
        (Ok(()), false) => String::new(),
    };
    let client = [push.client_agent.as_deref(), push.client_address.as_deref()];
    let client: Vec<String> = [Some(push.transport.as_str())]
        .into_iter()
        .chain(client)
        .flatten()
        .map(|text| visible_line(text.as_bytes()))
        .collect();
    Ok(Page {
        who: Some(visible_line(signed_in.actor.subject.as_bytes())),
        csrf: signed_in.csrf.clone(),
        id: request.id.clone(),
        digest: request.digest.clone(),
        state: request.state.clone(),
        repository: visible_line(approval::repository_name(conn, request)?.as_bytes()),
        ref_name: visible_line(&request.ref_name),
        kind: kind(&request.kind, &request.ref_name, gained, lost),
        old: oid(&request.old_oid),
        new: oid(&request.new_oid),
        pusher: Person::of(&bound.chain.pusher),
        on_behalf_of: bound.chain.on_behalf_of.iter().map(Person::of).collect(),
        client: client.join(", "),
        through: approval::through(conn, request)?.as_ref().map(Through::of),
        created: request.created_at.format("%Y-%m-%d %H:%M UTC").to_string(),
        age: distance(request.created_at, now),
        expires: distance(now, request.expires_at),
        said: options(&push.push_options),
        needs: needs(&bound, &tally.counted),
        decisions: decisions
            .iter()
            .map(|made| Decision::of(made, now))
            .collect(),
        findings: content.findings,
        commits: content.commits,
        summary: content.summary,
        warnings: content.warnings,
        note: content.note,
        survives_rebase: request.patch_series.is_some(),
        kept: approval::kept(conn, request)?
            .iter()
            .map(|(old, new)| (short(old).to_owned(), short(new).to_owned()))
            .collect(),
        questions: approval::questions_for(&bound.requirements, &signed_in.actor)
            .into_iter()
            .filter(|_| !is_review)
            .map(|text| Question {
                shown: visible(text.as_bytes()),
                text,
            })
            .collect(),
        comments: comments::of(conn, &request.id)?
            .iter()
            .map(|said| Comment::of(said, now))
            .collect(),
        may_decide: waits && barred.is_ok() && !mine,
        why_not,
    })
}

/// An object id; none for the zero id, which stands for a ref that does not exist.
pub fn oid(oid: &str) -> Option<String> {
    oid.bytes()
        .any(|digit| digit != b'0')
        .then(|| oid.to_owned())
}

/// Push options that speak to the approver: `reason=` and `ticket=`.
fn options(options: &serde_json::Value) -> Vec<(&'static str, String)> {
    let list = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let spoken = list.iter().filter_map(|option| {
        let (name, text) = option.as_str()?.split_once('=')?;
        let label = match name {
            "reason" => "Reason",
            "ticket" => "Ticket",
            _ => return None,
        };
        Some((label, visible(text.as_bytes())))
    });
    spoken.collect()
}

/// What each rule asks, and how far it is met.
pub fn needs(bound: &Bound, counted: &[u32]) -> Vec<Need> {
    let need = |(needed, &have): (&refwarden_policy::Requirement, &u32)| Need {
        rule: needed.rule.clone(),
        have,
        quorum: needed.quorum,
        approvers: needed
            .approvers
            .iter()
            .map(|entry| listed(entry))
            .collect::<Vec<_>>()
            .join(", "),
    };
    bound.requirements.iter().zip(counted).map(need).collect()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
