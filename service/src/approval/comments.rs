//! What people and agents say about a request. A comment decides nothing and is never changed.

use chrono::{DateTime, Utc};
use diesel::{Connection as _, PgConnection};
use refwarden_model::ActorChain;

use crate::db::comments::{self, Comment};
use crate::db::events::{self, NewEvent};
use crate::db::{repositories, requests};
use crate::error::AppError;
use crate::random;

/// The longest comment, in bytes.
const MAX_TEXT: usize = 4000;
/// The most comments on one request.
const MAX_COMMENTS: usize = 500;

/// Adds a comment. Who may see the request has been asked before.
///
/// # Errors
/// [`AppError::NotFound`] for no such request, [`AppError::BadRequest`] for nothing or too much
/// said, [`AppError::Conflict`] where enough was said, and what the database says.
pub fn comment(
    conn: &mut PgConnection,
    id: &str,
    author: &ActorChain,
    text: &str,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_TEXT || text.contains('\0') {
        return Err(AppError::bad_request(
            "A comment is 1 to 4000 bytes of text.",
        ));
    }
    conn.transaction(|conn| {
        let request = requests::find(conn, id)?.ok_or_else(AppError::not_found)?;
        repositories::lock(conn, request.repository_id)?;
        let count = comments::of(conn, id)?.len();
        if count >= MAX_COMMENTS {
            return Err(AppError::conflict("Enough was said about this request."));
        }
        let row = Comment {
            request_id: id.to_owned(),
            ordinal: i32::try_from(count).unwrap_or(i32::MAX),
            author: serde_json::to_value(author).map_err(AppError::internal)?,
            text: text.to_owned(),
            created_at: now,
        };
        comments::insert(conn, &row)?;
        // The text may be anything; the log holds what proves it.
        let event = NewEvent {
            kind: "request.commented",
            actor: author.describe(),
            push_id: request.push_id,
            request_id: Some(id.to_owned()),
            ref_name: Some(request.ref_name),
            summary: format!("comment {}, sha256 {}", count + 1, random::sha256(text)),
            ..NewEvent::default()
        };
        events::append(conn, request.repository_id, now, vec![event])?;
        Ok(())
    })
}
