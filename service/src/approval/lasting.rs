//! What grants and exceptions have in common: requests whose approval holds for a time, for any number
//! of pushes, and can be taken back.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::{Actor, ActorChain};
use refwarden_policy::barred;

use super::Bound;
use crate::db::events::{self, NewEvent};
use crate::db::requests::{self, Request, state};
use crate::db::{exceptions, grants, repositories};
use crate::error::AppError;

/// The longest reason, in bytes.
const MAX_REASON: usize = 4000;

/// Why something is asked for or taken back.
///
/// # Errors
/// [`AppError::BadRequest`] for nothing, and for too much.
pub fn reason(text: &str) -> Result<&str, AppError> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_REASON || text.contains('\0') {
        return Err(AppError::bad_request(
            "Say why, in 1 to 4000 bytes of text.",
        ));
    }
    Ok(text)
}

/// Whether two chains are of the same actors in the same places.
pub fn is_same_chain(one: &ActorChain, other: &ActorChain) -> bool {
    let key = |chain: &ActorChain| -> Vec<(String, String)> {
        chain
            .everyone()
            .map(|actor| (actor.issuer.clone(), actor.subject.clone()))
            .collect()
    };
    key(one) == key(other)
}

/// Whether somebody may take it back: whoever asked, whom it is for, whoever could approve it, and
/// administrators.
pub fn may_revoke(bound: &Bound, chain: &ActorChain, is_admin: bool) -> bool {
    let person: &Actor = &chain.pusher;
    let is_agent = !chain.on_behalf_of.is_empty();
    // One agent acts for many people; it is that of one of them.
    let holds = if is_agent {
        is_same_chain(&bound.chain, chain)
    } else {
        bound
            .chain
            .everyone()
            .any(|actor| actor.is_same_person(person))
    };
    let approves = !is_agent && barred(person, &bound.chain, &[], &bound.requirements).is_ok();
    holds || approves || is_admin
}

/// Takes a grant or an exception back, or the request for one. `kind` says which it has to be.
///
/// # Errors
/// [`AppError::NotFound`] for none of this kind, [`AppError::Forbidden`] for who may not,
/// [`AppError::Conflict`] where it is over, and what the database says.
pub fn revoke(
    conn: &mut PgConnection,
    id: &str,
    kind: &str,
    chain: &ActorChain,
    is_admin: bool,
    why: &str,
    now: DateTime<Utc>,
) -> Result<Request, AppError> {
    let why = reason(why)?;
    super::expire(conn, now)?;
    conn.transaction(|conn| {
        let request = requests::find(conn, id)?.filter(|it| it.kind == kind);
        let request = request.ok_or_else(AppError::not_found)?;
        repositories::lock(conn, request.repository_id)?;
        let request = requests::lock(conn, id)?.ok_or_else(AppError::not_found)?;
        if !may_revoke(&Bound::of(&request)?, chain, is_admin) {
            return Err(AppError::forbidden(
                "Whoever asked for it, or could approve it, takes it back.",
            ));
        }
        if request.state != state::WAITING && request.state != state::APPROVED {
            return Err(AppError::conflict(format!(
                "It is {} already.",
                request.state
            )));
        }
        requests::set_state(conn, id, state::REVOKED, now)?;
        let by = chain.describe();
        let event = match kind {
            grants::KIND => {
                grants::end(conn, id, &by, why)?;
                "grant.revoked"
            }
            exceptions::KIND => {
                exceptions::end(conn, id, &by, why)?;
                "exception.revoked"
            }
            _ => return Err(AppError::not_found()),
        };
        let event = NewEvent {
            kind: event,
            actor: by,
            summary: format!("{kind} {id} is taken back"),
            ..about(&request)
        };
        events::append(conn, request.repository_id, now, vec![event])?;
        requests::find(conn, id)?.ok_or_else(AppError::not_found)
    })
}

/// What an event about it names.
pub(super) fn about(request: &Request) -> NewEvent {
    NewEvent {
        push_id: request.push_id,
        request_id: Some(request.id.clone()),
        ref_name: (!request.ref_name.is_empty()).then(|| request.ref_name.clone()),
        ..NewEvent::default()
    }
}
