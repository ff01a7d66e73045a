//! A hook has refused a push by itself, before it could be judged: recorded all the same.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_wire::hook::RefusedIn;

use crate::db::events::{self, NewEvent};
use crate::db::{pushes, repositories};
use crate::error::AppError;

/// The longest text that is kept, in characters.
const TEXT_MAX: usize = 500;

/// Records it. The actor is the push's where there is one, else whom the token that came along
/// names, else nobody.
///
/// # Errors
/// [`AppError::NotFound`] for a repository that is not the host's, and what the database says.
pub fn refuse(
    conn: &mut PgConnection,
    host: &str,
    refused: &RefusedIn,
    actor: Option<String>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    conn.transaction(|conn| {
        let id = refused.repository.0;
        let known = repositories::find(conn, id)?.filter(|known| known.host == host);
        let repository = known.ok_or_else(AppError::not_found)?;
        let push = pushes::lock(conn, host, id, &refused.correlation)?;
        let text: String = refused.text.chars().take(TEXT_MAX).collect();
        let address = refused.client_address.as_deref().unwrap_or("no address");
        let event = NewEvent {
            kind: "push.refused",
            actor: push
                .as_ref()
                .map(super::actor_of)
                .or(actor)
                .unwrap_or_else(|| "unknown".to_owned()),
            push_id: push.map(|push| push.id),
            codes: vec![refused.code.to_string()],
            summary: format!("{text} ({} from {address})", refused.transport),
            ..NewEvent::default()
        };
        events::append(conn, repository.id, now, vec![event])?;
        Ok(())
    })
}
