//! Windows of time: asked for by whoever pushes, opened by people who may, used by any number of
//! pushes of the same actor to the same ref, ended by time or taken back.

use chrono::{DateTime, Duration, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::{ActorChain, RefName};
use refwarden_policy::{Grantable, Policy, Requirement, grantable};
use refwarden_wire::api::GrantIn;

use super::Bound;
use super::lasting::{about, is_same_chain, reason};
use crate::db::events::{self, NewEvent};
use crate::db::grants::{self, Grant, KIND};
use crate::db::records;
use crate::db::repositories;
use crate::db::requests::{self, Request, state};
use crate::error::AppError;

/// Hours that a request for a window waits for people.
const WAITS_HOURS: i64 = 24;

/// Asks for a window of time for a chain, and returns the request.
///
/// # Errors
/// [`AppError::BadRequest`] for what cannot be asked; [`AppError::Forbidden`] where no rule allows
/// a window, or none so long; [`AppError::Conflict`] where one is asked for or open already.
pub fn ask(
    conn: &mut PgConnection,
    policy: &Policy,
    chain: &ActorChain,
    asked: &GrantIn,
    now: DateTime<Utc>,
) -> Result<Request, AppError> {
    let reason = reason(&asked.reason)?;
    let ref_name = RefName::parse(asked.ref_name.as_bytes()).map_err(|_| {
        AppError::bad_request("ref_name: expected a full name such as refs/heads/main.")
    })?;
    let nowhere = || {
        AppError::forbidden(format!(
            "No rule allows a window of time for you on {ref_name} of that repository."
        ))
    };
    // Whether there is such a repository is told only to whom a rule lets ask.
    let rules = grantable(policy, &asked.repository, chain, &ref_name);
    let longest = rules
        .iter()
        .map(|it| it.longest)
        .max()
        .ok_or_else(nowhere)?;
    if asked.seconds == 0 || asked.seconds > longest {
        return Err(AppError::forbidden(format!(
            "The window is {} seconds long; the policy allows 1 to {longest}.",
            asked.seconds
        )));
    }
    let repository = repositories::find_named(conn, &asked.repository)?.ok_or_else(nowhere)?;
    let rules = rules.into_iter().filter(|it| it.longest >= asked.seconds);
    let requirements: Vec<Requirement> = rules.flat_map(|it| it.requirements).collect();
    conn.transaction(|conn| {
        repositories::lock(conn, repository.id)?;
        for other in grants::standing(conn, repository.id, ref_name.as_bytes(), now)? {
            if is_same_chain(&Bound::of(&other)?.chain, chain) {
                return Err(AppError::conflict(format!(
                    "Request {} asks for such a window already, or has opened it.",
                    other.id
                )));
            }
        }
        let mut request = Request {
            id: requests::new_id(conn)?,
            repository_id: repository.id,
            ref_name: ref_name.as_bytes().to_vec(),
            ref_name_text: records::text(ref_name.as_bytes()),
            old_oid: String::new(),
            new_oid: String::new(),
            kind: KIND.to_owned(),
            push_id: None,
            actor_chain: serde_json::to_value(chain).map_err(AppError::internal)?,
            policy_hash: policy.hash().to_owned(),
            requirements: serde_json::to_value(&requirements).map_err(AppError::internal)?,
            digest: String::new(),
            state: state::WAITING.to_owned(),
            created_at: now,
            expires_at: now + Duration::hours(WAITS_HOURS),
            closed_at: None,
            consumed_by: None,
            patch_series: None,
        };
        request.digest = super::digest(&request, &[&asked.seconds.to_string(), reason]);
        requests::insert(conn, &request)?;
        let grant = Grant {
            request_id: request.id.clone(),
            seconds: i64::try_from(asked.seconds).unwrap_or(i64::MAX),
            reason: reason.to_owned(),
            ended_by: None,
            end_reason: None,
        };
        grants::insert(conn, &grant)?;
        let event = NewEvent {
            kind: "request.created",
            actor: chain.describe(),
            summary: format!(
                "request {} asks for {} seconds of pushes without further approval",
                request.id, asked.seconds
            ),
            ..about(&request)
        };
        events::append(conn, repository.id, now, vec![event])?;
        Ok(request)
    })
}

/// The open window, if any, that stands for all that is asked of an update. The repository is
/// locked.
///
/// # Errors
/// [`AppError`] from the database.
pub fn covering(
    conn: &mut PgConnection,
    repository: uuid::Uuid,
    ref_name: &[u8],
    chain: &ActorChain,
    asked: &[Requirement],
    rules: &[Grantable],
    now: DateTime<Utc>,
) -> Result<Option<Request>, AppError> {
    for request in grants::standing(conn, repository, ref_name, now)? {
        if request.state != state::APPROVED {
            continue;
        }
        let bound = Bound::of(&request)?;
        let Some(grant) = grants::find(conn, &request.id)? else {
            continue;
        };
        let seconds = u64::try_from(grant.seconds).unwrap_or(u64::MAX);
        // What people opened it for has to be what the policy says now, word for word.
        let stands = |rule: &str| {
            let mut now_asked = rules
                .iter()
                .filter(|it| it.rule == rule && it.longest >= seconds);
            let opened: Vec<&Requirement> = bound
                .requirements
                .iter()
                .filter(|it| it.rule == rule)
                .collect();
            now_asked.any(|it| it.requirements.iter().collect::<Vec<_>>() == opened)
        };
        if is_same_chain(&bound.chain, chain) && asked.iter().all(|it| stands(&it.rule)) {
            return Ok(Some(request));
        }
    }
    Ok(None)
}

/// Opens the window of a request that enough people have approved.
///
/// # Errors
/// [`AppError`] from the database.
pub(super) fn open(
    conn: &mut PgConnection,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<NewEvent, AppError> {
    let grant = grants::find(conn, &request.id)?.ok_or_else(AppError::not_found)?;
    let length = Duration::try_seconds(grant.seconds).unwrap_or_default();
    requests::open(conn, &request.id, now + length)?;
    let chain = Bound::of(request)?.chain;
    Ok(NewEvent {
        kind: "grant.opened",
        actor: "refwarden".to_owned(),
        summary: format!(
            "{} may push to it until {}",
            chain.describe(),
            (now + length).format("%Y-%m-%dT%H:%M:%SZ")
        ),
        ..about(request)
    })
}
