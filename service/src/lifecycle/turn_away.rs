//! Somebody is turned away at the proxy, before git starts: recorded all the same.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_wire::hook::{AuthenticateIn, Operation};

use crate::db::events::{self, NewEvent};
use crate::db::repositories;
use crate::error::AppError;
use crate::identity::TokenError;

/// Records that a token was refused. Nothing of the token is kept: what it says of its holder
/// was not proved.
///
/// # Errors
/// What the database says. A repository that is not the host's gets no event.
pub fn turn_away(
    conn: &mut PgConnection,
    host: &str,
    asked: &AuthenticateIn,
    error: &TokenError,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    conn.transaction(|conn| {
        let id = asked.repository.0;
        let known = repositories::find(conn, id)?.filter(|known| known.host == host);
        if known.is_none() {
            return Ok(());
        }
        let operation = match asked.operation {
            Operation::Fetch => "fetch",
            Operation::Push => "push",
        };
        let address = asked
            .client_address
            .as_deref()
            .unwrap_or("an unknown address");
        let event = NewEvent {
            kind: "access.denied",
            actor: "unknown".to_owned(),
            codes: vec![error.code().to_string()],
            summary: format!("{operation} from {address} refused: {error}"),
            ..NewEvent::default()
        };
        events::append(conn, id, now, vec![event])?;
        Ok(())
    })
}
