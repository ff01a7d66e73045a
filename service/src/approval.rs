//! Decisions of people: who may decide, what a decision does. Used by the pages and the API.

mod comments;
pub mod exceptions;
pub mod grants;
pub mod lasting;
mod questions;
mod through;

pub use comments::comment;
pub use questions::{questions, questions_for};
pub use through::through;

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::facts::CommitFacts;
use refwarden_model::{Actor, ActorChain, ByteText};
use refwarden_policy::{Barred, Requirement, Tally, barred, tally};
use refwarden_wire::api::DecisionIn;
use sha2::{Digest, Sha256};

use crate::db::ancestry::{self, Brought};
use crate::db::events::{self, NewEvent};
use crate::db::exceptions::KIND as EXCEPTION;
use crate::db::grants::KIND;
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
    let Some(push) = request.push_id else {
        return Ok(barred(person, &bound.chain, &[], &bound.requirements));
    };
    let update = update_of(conn, request)?;
    let brought = brought(conn, request, update.as_ref())?;
    let mut idents = records::idents(conn, push)?;
    idents.extend(ancestry::idents(conn, &brought.commits)?);
    if request.kind == "create" {
        idents.extend(idents_of_known(conn, request)?);
    }
    let idents: Vec<ByteText> = idents.into_iter().map(ByteText::new).collect();
    Ok(barred(person, &bound.chain, &idents, &bound.requirements))
}

/// The ref update that a request is about; none for a grant.
///
/// # Errors
/// [`AppError`] from the database.
pub fn update_of(
    conn: &mut PgConnection,
    request: &Request,
) -> Result<Option<RefUpdate>, AppError> {
    let Some(push) = request.push_id else {
        return Ok(None);
    };
    let updates = pushes::updates(conn, push)?;
    let about = |update: &RefUpdate| update.target == request.ref_name;
    Ok(updates.into_iter().find(about))
}

/// Authors, committers and co-authors of commits that a new ref would bring and that the
/// repository held already, as the hook told them: those that the default branch does not have.
fn idents_of_known(conn: &mut PgConnection, request: &Request) -> Result<Vec<Vec<u8>>, AppError> {
    let known = known_commits(conn, request)?;
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

/// Commits that a new ref would bring and that the repository held already, parents first.
///
/// # Errors
/// [`AppError`] from the database.
pub fn known_commits(
    conn: &mut PgConnection,
    request: &Request,
) -> Result<Vec<CommitFacts>, AppError> {
    let Some(push) = request.push_id.filter(|_| request.kind == "create") else {
        return Ok(Vec::new());
    };
    let facts = push_facts::find(conn, push)?;
    Ok(facts.map(|facts| facts.known_commits).unwrap_or_default())
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
    let Some(push) = request.push_id else {
        return Ok(Brought::default());
    };
    let repository = request.repository_id;
    let (old, new) = (&request.old_oid, &request.new_oid);
    let gained = update.map_or(0, |update| update.gained);
    let is_commit = update.is_some_and(|update| update.new_type.as_deref() == Some("commit"));
    Ok(match request.kind.as_str() {
        "delete" => Brought::default(),
        // Behind a tag object, or something that is no commit, stands all that the push brought.
        _ if !is_commit => ancestry::all_of(conn, push)?,
        "create" => {
            let mut brought = ancestry::brought_by(conn, repository, push, new)?;
            let known = known_commits(conn, request)?;
            let oids: Vec<String> = known.iter().map(|it| it.oid.to_string()).collect();
            let mut before = ancestry::recorded_in_order(conn, repository, push, &oids)?;
            before.retain(|it| !brought.commits.contains(it));
            brought.commits.splice(..0, before);
            brought
        }
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
        let values = (update.actual_old, update.new_oid);
        if values != own && !moves.contains(&values) {
            moves.push(values);
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
        let is_review = request.state == state::REVIEW;
        let asked = if is_review {
            Vec::new()
        } else {
            questions_for(&bound.requirements, person)
        };
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
        let mut more = Vec::new();
        if is_review {
            requests::set_state(conn, id, state::REVIEWED, now)?;
        } else if !approves {
            requests::set_state(conn, id, state::REJECTED, now)?;
        } else if progress(&bound.requirements, &decisions)?.met {
            match request.kind.as_str() {
                KIND => more.push(grants::open(conn, &request, now)?),
                EXCEPTION => more.push(exceptions::open(conn, &request, now)?),
                _ => requests::set_state(conn, id, state::APPROVED, now)?,
            }
        }
        let (kind, what) = match (is_review, approves) {
            (false, true) => ("request.approved", "approved"),
            (false, false) => ("request.rejected", "rejected"),
            (true, true) => ("break_glass.reviewed", "found justified"),
            (true, false) => ("break_glass.reviewed", "found not justified"),
        };
        let is_move = request.is_move();
        let event = NewEvent {
            kind,
            actor: person.subject.clone(),
            push_id: request.push_id,
            request_id: Some(id.to_owned()),
            ref_name: request.of_ref(),
            old_oid: is_move.then(|| request.old_oid.clone()),
            new_oid: is_move.then(|| request.new_oid.clone()),
            codes: Vec::new(),
            summary: format!("{what} by {}; decision sha256 {said}", person.subject),
        };
        more.insert(0, event);
        events::append(conn, request.repository_id, now, more)?;
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
    if request.state == state::REVIEW && decision.reason.trim().is_empty() {
        return Err(AppError::bad_request("Say what you found."));
    }
    if decision.decision == "reject" && decision.reason.trim().is_empty() {
        return Err(AppError::bad_request(
            "Say why you reject: the pusher has to know.",
        ));
    }
    if decision.decision == "approve"
        && request.state == state::WAITING
        && through::is_unsound(conn, request)?
    {
        return Err(AppError::conflict(
            "With the secrets that would move, the view would not be what was pushed, or would show one. Nobody can approve this: reject it, and make the change for whoever pushed, or say what else to push.",
        ));
    }
    if decision.digest != request.digest {
        return Err(AppError::conflict(
            "What the request would release is not what was shown. Look again, then decide.",
        ));
    }
    if request.state != state::WAITING && request.state != state::REVIEW {
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

pub(crate) fn expire_one(
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
            let id = &request.id;
            let is_move = request.is_move();
            let (kind, summary) = match (request.kind.as_str(), request.state.as_str()) {
                (KIND, state::APPROVED) => {
                    ("grant.ended", format!("the window of grant {id} is over"))
                }
                (EXCEPTION, state::APPROVED) => (
                    "exception.ended",
                    format!("the time of exception {id} is over"),
                ),
                _ => ("request.expired", format!("request {id} has expired")),
            };
            let event = NewEvent {
                kind,
                actor: "refwarden".to_owned(),
                request_id: Some(request.id.clone()),
                ref_name: request.of_ref(),
                old_oid: is_move.then_some(request.old_oid),
                new_oid: is_move.then_some(request.new_oid),
                summary,
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

/// Digest of all that a request binds, and of what else it asks. The page posts it back with the
/// decision.
pub fn digest(request: &Request, more: &[&str]) -> String {
    let mut hasher = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(bytes);
    };
    field(b"refwarden request 2");
    field(request.id.as_bytes());
    field(request.repository_id.as_bytes());
    field(&request.ref_name);
    field(request.old_oid.as_bytes());
    field(request.new_oid.as_bytes());
    field(request.actor_chain.to_string().as_bytes());
    field(request.policy_hash.as_bytes());
    field(request.requirements.to_string().as_bytes());
    field(
        request
            .patch_series
            .as_deref()
            .unwrap_or_default()
            .as_bytes(),
    );
    for text in more {
        field(text.as_bytes());
    }
    hex::encode(hasher.finalize())
}
