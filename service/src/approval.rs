//! Decisions of people: who may decide, what a decision does. Used by the pages and the API.

mod comments;
mod questions;

pub use comments::comment;
pub use questions::{questions, questions_for};

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::{Actor, ActorChain, ByteText};
use refwarden_policy::{Barred, Requirement, Tally, barred, tally};
use refwarden_wire::api::DecisionIn;

use crate::db::ancestry::{self, Brought};
use crate::db::events::{self, NewEvent};
use crate::db::pushes::{self, RefUpdate};
use crate::db::requests::{self, Decision, Request, state};
use crate::db::{push_facts, records, repositories};
use crate::error::AppError;

/// The longest reason, in bytes.
const MAX_REASON: usize = 4000;

/// What a request's JSON columns hold, read back.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Who pushed and for whom.
    pub chain: ActorChain,
    /// What the policy asks of people.
    pub requirements: Vec<Requirement>,
}

impl Bound {
    /// Reads the columns.
    ///
    /// # Errors
    /// [`AppError::Internal`] when they do not hold what was written.
    pub fn of(request: &Request) -> Result<Self, AppError> {
        let chain = serde_json::from_value(request.actor_chain.clone());
        let requirements = serde_json::from_value(request.requirements.clone());
        Ok(Self {
            chain: chain.map_err(AppError::internal)?,
            requirements: requirements.map_err(AppError::internal)?,
        })
    }
}

/// Whether a person may decide on a request.
///
/// # Errors
/// [`AppError`] from the database; that the person may not is the inner result.
pub fn may_decide(
    conn: &mut PgConnection,
    request: &Request,
    person: &Actor,
) -> Result<Result<(), Barred>, AppError> {
    let bound = Bound::of(request)?;
    let updates = pushes::updates(conn, request.push_id)?;
    let update = updates
        .iter()
        .find(|update| update.target == request.ref_name);
    let brought = brought(conn, request, update)?;
    let mut idents = records::idents(conn, request.push_id)?;
    idents.extend(ancestry::idents(conn, &brought.commits)?);
    if request.kind == "create" {
        idents.extend(idents_of_known(conn, request)?);
    }
    let idents: Vec<ByteText> = idents.into_iter().map(ByteText::new).collect();
    Ok(barred(person, &bound.chain, &idents, &bound.requirements))
}

/// Authors, committers and co-authors of commits that a new ref would bring and that the
/// repository held already, as the hook told them: those that the default branch does not have.
fn idents_of_known(conn: &mut PgConnection, request: &Request) -> Result<Vec<Vec<u8>>, AppError> {
    let facts = push_facts::find(conn, request.push_id)?;
    let known = facts.map(|facts| facts.known_commits).unwrap_or_default();
    let bytes = |text: &ByteText| text.as_bytes().to_vec();
    let everyone = known.iter().map(|commit| {
        let columns = (
            bytes(&commit.author),
            bytes(&commit.committer),
            bytes(&commit.message),
        );
        records::everyone(columns)
    });
    Ok(everyone.flatten().collect())
}

/// The commits that a request would let through: those of its own push, and those that earlier
/// pushes have brought to other refs. What people are shown and who may not decide both follow
/// from it. Commits from before the repository was adopted are not known here.
///
/// # Errors
/// [`AppError`] from the database.
pub fn brought(
    conn: &mut PgConnection,
    request: &Request,
    update: Option<&RefUpdate>,
) -> Result<Brought, AppError> {
    let (repository, push) = (request.repository_id, request.push_id);
    let (old, new) = (&request.old_oid, &request.new_oid);
    let gained = update.map_or(0, |update| update.gained);
    let is_commit = update.is_some_and(|update| update.new_type.as_deref() == Some("commit"));
    Ok(match request.kind.as_str() {
        "delete" => Brought::default(),
        // Behind a tag object, or something that is no commit, stands all that the push brought.
        _ if !is_commit => ancestry::all_of(conn, push)?,
        "create" => ancestry::brought_by(conn, repository, push, new)?,
        _ => ancestry::brought(conn, repository, push, old, new, gained)?,
    })
}

/// Moves other than its own that an approval was kept for: old and new values, oldest first.
///
/// # Errors
/// [`AppError`] from the database.
pub fn kept(conn: &mut PgConnection, request: &Request) -> Result<Vec<(String, String)>, AppError> {
    if request.patch_series.is_none() {
        return Ok(Vec::new());
    }
    let own = (request.old_oid.clone(), request.new_oid.clone());
    let mut moves = Vec::new();
    for update in pushes::updates_of_request(conn, &request.id)? {
        let moved = (update.actual_old, update.new_oid);
        if moved != own && !moves.contains(&moved) {
            moves.push(moved);
        }
    }
    Ok(moves)
}

/// How far the approvals of a request go.
///
/// # Errors
/// [`AppError`] from the database or its JSON.
pub fn progress(requirements: &[Requirement], decisions: &[Decision]) -> Result<Tally, AppError> {
    let approvals = decisions
        .iter()
        .filter(|decision| decision.decision == "approve");
    let people: Result<Vec<Actor>, _> = approvals
        .map(|decision| serde_json::from_value(decision.approver.clone()))
        .collect();
    Ok(tally(requirements, &people.map_err(AppError::internal)?))
}

/// Takes a decision, and returns the request as it is afterwards.
///
/// # Errors
/// [`AppError::NotFound`] for no such request; [`AppError::Forbidden`] for a person who may not
/// decide; [`AppError::Conflict`] when the request no longer waits, was shown differently, or
/// the person has decided already; [`AppError::BadRequest`] for a rejection without a reason.
pub fn decide(
    conn: &mut PgConnection,
    id: &str,
    person: &Actor,
    decision: &DecisionIn,
    now: DateTime<Utc>,
) -> Result<Request, AppError> {
    expire(conn, now)?;
    conn.transaction(|conn| {
        let request = requests::find(conn, id)?.ok_or_else(AppError::not_found)?;
        repositories::lock(conn, request.repository_id)?;
        let request = requests::lock(conn, id)?.ok_or_else(AppError::not_found)?;
        check(conn, &request, person, decision)?;
        let bound = Bound::of(&request)?;
        let asked = questions_for(&bound.requirements, person);
        let answers = questions::answers(&asked, decision)?;
        let said = questions::digest(&request, person, decision, &answers);
        let mut decisions = requests::decisions(conn, id)?;
        let row = Decision {
            request_id: id.to_owned(),
            ordinal: i32::try_from(decisions.len()).unwrap_or(i32::MAX),
            approver_issuer: person.issuer.clone(),
            approver_subject: person.subject.clone(),
            approver: serde_json::to_value(person).map_err(AppError::internal)?,
            decision: decision.decision.clone(),
            reason: decision.reason.trim().to_owned(),
            digest: decision.digest.clone(),
            decided_at: now,
            answers: serde_json::to_value(&answers).map_err(AppError::internal)?,
        };
        requests::insert_decision(conn, &row)?;
        decisions.push(row);
        let approves = decision.decision == "approve";
        if !approves {
            requests::set_state(conn, id, state::REJECTED, now)?;
        } else if progress(&bound.requirements, &decisions)?.met {
            requests::set_state(conn, id, state::APPROVED, now)?;
        }
        let what = if approves { "approved" } else { "rejected" };
        let event = NewEvent {
            kind: if approves {
                "request.approved"
            } else {
                "request.rejected"
            },
            actor: person.subject.clone(),
            push_id: Some(request.push_id),
            request_id: Some(id.to_owned()),
            ref_name: Some(request.ref_name.clone()),
            old_oid: Some(request.old_oid.clone()),
            new_oid: Some(request.new_oid.clone()),
            codes: Vec::new(),
            summary: format!("{what} by {}; decision sha256 {said}", person.subject),
        };
        events::append(conn, request.repository_id, now, vec![event])?;
        requests::find(conn, id)?.ok_or_else(AppError::not_found)
    })
}

fn check(
    conn: &mut PgConnection,
    request: &Request,
    person: &Actor,
    decision: &DecisionIn,
) -> Result<(), AppError> {
    may_decide(conn, request, person)?.map_err(|why| AppError::forbidden(sentence(why)))?;
    if decision.decision != "approve" && decision.decision != "reject" {
        return Err(AppError::bad_request("A decision is approve or reject."));
    }
    if decision.reason.len() > MAX_REASON {
        return Err(AppError::bad_request(
            "A reason is at most 4000 bytes long.",
        ));
    }
    let answers = decision.answers.iter().map(|given| &given.answer);
    if answers
        .chain([&decision.reason])
        .any(|text| text.contains('\0'))
    {
        return Err(AppError::bad_request("A reason or an answer is text."));
    }
    if decision.decision == "reject" && decision.reason.trim().is_empty() {
        return Err(AppError::bad_request(
            "Say why you reject: the pusher has to know.",
        ));
    }
    if decision.digest != request.digest {
        return Err(AppError::conflict(
            "What the request would release is not what was shown. Look again, then decide.",
        ));
    }
    if request.state != state::WAITING {
        return Err(AppError::conflict(format!(
            "The request is {} already.",
            request.state
        )));
    }
    let before = requests::decisions(conn, &request.id)?;
    let same = |made: &&Decision| {
        let approver = serde_json::from_value::<Actor>(made.approver.clone());
        approver.is_ok_and(|approver| approver.is_same_person(person))
    };
    if before.iter().any(|made| same(&made)) {
        return Err(AppError::conflict(
            "You have decided on this request already.",
        ));
    }
    Ok(())
}

fn sentence(why: Barred) -> String {
    let text = why.to_string();
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|c| c.to_ascii_uppercase())
        .unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// Closes requests whose time is over. Called before requests are read, so that nobody is shown
/// an open request that is not.
///
/// # Errors
/// [`AppError`] from the database.
pub fn expire(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<(), AppError> {
    for request in requests::overdue(conn, now)? {
        expire_one(conn, &request, now)?;
    }
    Ok(())
}

fn expire_one(
    conn: &mut PgConnection,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    conn.transaction(|conn| {
        repositories::lock(conn, request.repository_id)?;
        let is_open =
            |request: &Request| request.state == state::WAITING || request.state == state::APPROVED;
        if let Some(request) = requests::lock(conn, &request.id)?.filter(is_open) {
            requests::set_state(conn, &request.id, state::EXPIRED, now)?;
            let event = NewEvent {
                kind: "request.expired",
                actor: "refwarden".to_owned(),
                request_id: Some(request.id.clone()),
                ref_name: Some(request.ref_name),
                old_oid: Some(request.old_oid),
                new_oid: Some(request.new_oid),
                summary: format!("request {} has expired", request.id),
                ..NewEvent::default()
            };
            events::append(conn, request.repository_id, now, vec![event])?;
        }
        Ok(())
    })
}

/// The name of the repository that a request is about.
///
/// # Errors
/// [`AppError`] from the database.
pub fn repository_name(conn: &mut PgConnection, request: &Request) -> Result<String, AppError> {
    let repository = repositories::find(conn, request.repository_id)?;
    Ok(repository
        .map(|repository| repository.name)
        .unwrap_or_default())
}
