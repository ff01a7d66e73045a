//! After a transaction: what the refs say is what happened, whatever git reported.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_wire::hook::{Observed, Phase, SettleIn, SettleOut};

use super::{actor_of, mark_overtaken};
use crate::db::events::{self, NewEvent};
use crate::db::pushes::{self, RefUpdate, update_state};
use crate::db::repositories;
use crate::error::AppError;

/// Settles the moves of a push by the values that its hook saw. Of a push that is not known, nothing is
/// to be settled where its transaction was aborted: a verdict that was not durable yet when the
/// database was killed is gone, and what asked for it was stopped.
///
/// # Errors
/// [`AppError::NotFound`] when no push of that run is known, and what the database says.
pub fn settle(
    conn: &mut PgConnection,
    host: &str,
    seen: &SettleIn,
    now: DateTime<Utc>,
) -> Result<SettleOut, AppError> {
    conn.transaction(|conn| {
        let push = match pushes::lock(conn, host, seen.repository.0, &seen.correlation)? {
            Some(push) => push,
            None if seen.phase == Phase::Aborted => return Ok(SettleOut { settled: 0 }),
            None => return Err(AppError::not_found()),
        };
        repositories::lock(conn, push.repository_id)?;
        let updates = pushes::updates(conn, push.id)?;
        let mut settled = 0;
        for observed in &seen.refs {
            for update in updates.iter().filter(|update| is_about(update, observed)) {
                let value = observed.value.to_string();
                // "Committed" is also said of the part of a delete that rewrites packed-refs,
                // while the ref still stands: a ref that has not moved yet is left alone.
                let moved = match seen.phase {
                    Phase::Committed if value == update.new_oid => true,
                    Phase::Aborted if value == update.actual_old => false,
                    Phase::Committed | Phase::Aborted => continue,
                };
                settled += u64::from(settle_one(conn, update, moved, now)?);
            }
        }
        Ok(SettleOut { settled })
    })
}

/// Whether an observation is of the ref that an update moves.
pub(super) fn is_about(update: &RefUpdate, observed: &Observed) -> bool {
    update.state == update_state::PREPARED && update.target == observed.target.as_bytes()
}

/// Settles one move that was about to happen, or was only released and never will be; says whether
/// it was not settled before.
///
/// # Errors
/// What the database says.
pub fn settle_one(
    conn: &mut PgConnection,
    update: &RefUpdate,
    moved: bool,
    now: DateTime<Utc>,
) -> Result<bool, AppError> {
    let actor = pushes::find(conn, update.push_id)?
        .as_ref()
        .map(actor_of)
        .unwrap_or_default();
    let Some(event) = end_of_move(conn, actor, update, moved, now)? else {
        return Ok(false);
    };
    events::append(conn, update.repository_id, now, vec![event])?;
    if moved {
        let (target, new) = (&update.target, &update.new_oid);
        mark_overtaken(conn, update.repository_id, target, new, now)?;
    }
    Ok(true)
}

/// Marks how a move that was about to happen ended, and answers the event to append; none where
/// it was settled before. Of a ref that has moved, [`mark_overtaken`] is left to the caller.
///
/// # Errors
/// What the database says.
pub(super) fn end_of_move(
    conn: &mut PgConnection,
    actor: String,
    update: &RefUpdate,
    moved: bool,
    now: DateTime<Utc>,
) -> Result<Option<NewEvent>, AppError> {
    let (state, kind, what) = if moved {
        (update_state::COMMITTED, "ref.committed", "has moved")
    } else {
        (update_state::NOT_MOVED, "ref.not_moved", "has not moved")
    };
    let is_settled_now = pushes::mark_settled(conn, update, state, now)?;
    Ok(is_settled_now.then(|| NewEvent {
        kind,
        actor,
        push_id: Some(update.push_id),
        request_id: update.request_id.clone(),
        ref_name: Some(update.target.clone()),
        old_oid: Some(update.actual_old.clone()),
        new_oid: Some(update.new_oid.clone()),
        codes: Vec::new(),
        summary: format!("{} {what}", update.ref_name_text),
    }))
}
