//! The barrier: refs are locked, and move only if this transaction commits first.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::Code;
use refwarden_wire::hook::{Move, PrepareIn, PrepareOut, Reason};

use super::{actor_of, reason};
use crate::db::events::{self, NewEvent};
use crate::db::pushes::{self, Push, RefUpdate, push_state, update_state};
use crate::db::{exceptions, repositories, requests};
use crate::error::AppError;
use crate::identity::TokenError;
use crate::tokens;

/// Rolls the transaction back while carrying what is told to the caller.
enum Stop {
    Refused(Box<Reason>),
    Failed(AppError),
}

impl From<diesel::result::Error> for Stop {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<AppError> for Stop {
    fn from(error: AppError) -> Self {
        Self::Failed(error)
    }
}

/// Consumes what the push was granted: approvals, its token, and one move of each ref. All
/// moves are prepared or none is.
///
/// # Errors
/// What the database says; a refusal is no error but an answer.
pub fn prepare(
    conn: &mut PgConnection,
    host: &str,
    asked: &PrepareIn,
    now: DateTime<Utc>,
) -> Result<PrepareOut, AppError> {
    match conn.transaction(|conn| prepare_all(conn, host, asked, now)) {
        Ok(()) => Ok(PrepareOut {
            prepared: true,
            reasons: Vec::new(),
        }),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Refused(reason)) => {
            record_refusal(conn, host, asked, &reason, now)?;
            Ok(PrepareOut {
                prepared: false,
                reasons: vec![*reason],
            })
        }
    }
}

fn refused(code: Code, text: impl Into<String>) -> Stop {
    Stop::Refused(Box::new(reason(code, text)))
}

fn prepare_all(
    conn: &mut PgConnection,
    host: &str,
    asked: &PrepareIn,
    now: DateTime<Utc>,
) -> Result<(), Stop> {
    let push = pushes::lock(conn, host, asked.repository.0, &asked.correlation)?
        .ok_or_else(|| refused(Code::NotReleased, "no push is known that asked for this"))?;
    if push.state != push_state::GRANTED {
        return Err(refused(Code::NotReleased, "the push was not released"));
    }
    if tokens::is_push_revoked(conn, &push)? {
        let text = TokenError::Revoked.to_string();
        return Err(refused(Code::RevokedToken, text));
    }
    use_token(conn, &push, now)?;
    repositories::lock(conn, push.repository_id)?;
    if push.findings_total > 0
        && let Some(id) = exceptions::fallen(conn, push.id, now)?
    {
        let text = format!("exception {id} has ended since the push was judged");
        return Err(refused(Code::SecretFound, text));
    }
    let updates = pushes::updates(conn, push.id)?;
    let mut new_events = Vec::new();
    for wanted in &asked.moves {
        let update = find(&updates, wanted)?;
        if let Some(request) = &update.request_id
            && !requests::consume(conn, request, push.id, now)?
        {
            let text = format!("approval {request} is used, expired or withdrawn");
            return Err(refused(Code::NeedsApproval, text));
        }
        settle_earlier(conn, &push, update, now)?;
        pushes::mark_prepared(conn, update, now)?;
        if update.state != update_state::PREPARED {
            new_events.push(event("ref.prepared", &push, update, "is about to move"));
        }
    }
    if !new_events.is_empty() {
        events::append(conn, push.repository_id, now, new_events)?;
    }
    Ok(())
}

/// A token releases one push. Smart HTTP sends it several times for the same one.
fn use_token(conn: &mut PgConnection, push: &Push, now: DateTime<Utc>) -> Result<(), Stop> {
    let (Some(issuer), Some(token_id)) = (&push.token_issuer, &push.token_id) else {
        return Err(refused(
            Code::NotReleased,
            "the push has no verified pusher",
        ));
    };
    if pushes::use_token(conn, issuer, token_id, push.id, now)? {
        Ok(())
    } else {
        Err(refused(
            Code::UsedToken,
            "the token has released another push; get a new one",
        ))
    }
}

fn find<'a>(updates: &'a [RefUpdate], wanted: &Move) -> Result<&'a RefUpdate, Stop> {
    let new = wanted.new.to_string();
    let about =
        |update: &&RefUpdate| update.target == wanted.target.as_bytes() && update.new_oid == new;
    let update = updates.iter().find(about).ok_or_else(|| {
        refused(
            Code::NotReleased,
            format!("{}: no such move was released", wanted.target),
        )
    })?;
    if update.actual_old != wanted.old.to_string() {
        let text = format!("{} has moved since the push was judged", wanted.target);
        return Err(refused(Code::StaleOldOid, text));
    }
    if update.state == update_state::COMMITTED || update.state == update_state::CLAIMED {
        let text = format!("{} was moved by this push already", wanted.target);
        return Err(refused(Code::NotReleased, text));
    }
    Ok(update)
}

/// Whoever holds the ref's lock now proves how earlier moves of it ended: no other transaction
/// is between its barrier and its end.
fn settle_earlier(
    conn: &mut PgConnection,
    push: &Push,
    update: &RefUpdate,
    now: DateTime<Utc>,
) -> Result<(), Stop> {
    let others = pushes::prepared_by_others(conn, push.repository_id, &update.target, push.id)?;
    for other in others {
        let moved = other.new_oid == update.actual_old;
        if !moved && other.actual_old != update.actual_old {
            continue;
        }
        super::settle::settle_one(conn, &other, moved, now)?;
    }
    Ok(())
}

fn event(kind: &'static str, push: &Push, update: &RefUpdate, what: &str) -> NewEvent {
    NewEvent {
        kind,
        actor: actor_of(push),
        push_id: Some(push.id),
        request_id: update.request_id.clone(),
        ref_name: Some(update.target.clone()),
        old_oid: Some(update.actual_old.clone()),
        new_oid: Some(update.new_oid.clone()),
        codes: Vec::new(),
        summary: format!("{} {what}", update.ref_name_text),
    }
}

/// A move that was stopped at the barrier is an event too, where the repository is known.
fn record_refusal(
    conn: &mut PgConnection,
    host: &str,
    asked: &PrepareIn,
    reason: &Reason,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let Some(repository) = repositories::find(conn, asked.repository.0)? else {
        return Err(AppError::not_found());
    };
    if repository.host != host {
        return Err(AppError::forbidden(
            "This host may not speak for that repository.",
        ));
    }
    conn.transaction(|conn| {
        let push = pushes::lock(conn, host, asked.repository.0, &asked.correlation)?;
        let refused = |wanted: &Move| NewEvent {
            kind: "ref.refused",
            actor: push.as_ref().map_or_else(|| "unknown".to_owned(), actor_of),
            push_id: push.as_ref().map(|push| push.id),
            request_id: None,
            ref_name: Some(wanted.target.as_bytes().to_vec()),
            old_oid: Some(wanted.old.to_string()),
            new_oid: Some(wanted.new.to_string()),
            codes: vec![reason.code.to_string()],
            summary: reason.text.clone(),
        };
        let new_events: Vec<_> = asked.moves.iter().map(refused).collect();
        events::append(conn, repository.id, now, new_events)?;
        Ok(())
    })
}
