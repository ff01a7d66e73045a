//! The end of a push, as post-receive sees it: completes the record, never decides.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::PushId;
use refwarden_wire::hook::{CompleteIn, CompleteOut};

use super::settle::{end_of_move, is_about};
use super::{actor_of, mark_overtaken, push_page};
use crate::db;
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
        let actor = actor_of(&push);
        let updates = pushes::updates(conn, push.id)?;
        let committed = |update: &&pushes::RefUpdate| update.state == update_state::COMMITTED;
        let mut moved = updates.iter().filter(committed).count();
        let mut new_events = Vec::new();
        let mut overtaking = Vec::new();
        for observed in &seen.refs {
            for update in updates.iter().filter(|update| is_about(update, observed)) {
                if observed.value.to_string() == update.new_oid
                    && let Some(event) = end_of_move(conn, actor.clone(), update, true, now)?
                {
                    moved += 1;
                    new_events.push(event);
                    overtaking.push(update);
                }
            }
        }
        pushes::mark_complete(conn, push.id, now)?;
        new_events.push(NewEvent {
            kind: "push.completed",
            actor,
            push_id: Some(push.id),
            summary: format!("{moved} of {} ref(s) moved", updates.len()),
            ..NewEvent::default()
        });
        events::append(conn, push.repository_id, now, new_events)?;
        for update in overtaking {
            let (target, new) = (&update.target, &update.new_oid);
            mark_overtaken(conn, push.repository_id, target, new, now)?;
        }
        // That the refs may have moved is durable since `prepared`; the reconciler finds out again.
        db::commit_lazily(conn)?;
        Ok(CompleteOut {
            push_id: PushId(push.id),
            moved: u64::try_from(moved).unwrap_or_default(),
            url: push_page(public_url, push.id),
        })
    })
}
