//! The end of a push, as post-receive sees it: completes the record, never decides.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::PushId;
use refwarden_wire::hook::{CompleteIn, CompleteOut};

use super::settle::{is_about, settle_one};
use super::{actor_of, push_url};
use crate::db::events::{self, NewEvent};
use crate::db::pushes::{self, update_state};
use crate::db::repositories;
use crate::error::AppError;

/// Completes the record of a push.
///
/// # Errors
/// [`AppError::NotFound`] when no push of that run is known, and what the database says.
pub fn complete(
    conn: &mut PgConnection,
    host: &str,
    seen: &CompleteIn,
    public_url: &str,
    now: DateTime<Utc>,
) -> Result<CompleteOut, AppError> {
    conn.transaction(|conn| {
        let push = pushes::lock(conn, host, seen.repository.0, &seen.correlation)?
            .ok_or_else(AppError::not_found)?;
        repositories::lock(conn, push.repository_id)?;
        let updates = pushes::updates(conn, push.id)?;
        for observed in &seen.refs {
            for update in updates.iter().filter(|update| is_about(update, observed)) {
                if observed.value.to_string() == update.new_oid {
                    settle_one(conn, update, true, now)?;
                }
            }
        }
        let updates = pushes::updates(conn, push.id)?;
        let committed = |update: &&pushes::RefUpdate| update.state == update_state::COMMITTED;
        let moved = updates.iter().filter(committed).count();
        pushes::mark_complete(conn, push.id, now)?;
        let event = NewEvent {
            kind: "push.completed",
            actor: actor_of(&push),
            push_id: Some(push.id),
            summary: format!("{moved} of {} ref(s) moved", updates.len()),
            ..NewEvent::default()
        };
        events::append(conn, push.repository_id, now, vec![event])?;
        Ok(CompleteOut {
            push_id: PushId(push.id),
            moved: u64::try_from(moved).unwrap_or_default(),
            url: push_url(public_url, push.id),
        })
    })
}
