//! Comments on requests. Inserted once, never changed.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;

use super::schema::comments;

/// Something that was said.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = comments)]
pub struct Comment {
    /// The request.
    pub request_id: String,
    /// Order in time, from 0.
    pub ordinal: i32,
    /// Who: `refwarden_model::ActorChain`.
    pub author: Value,
    /// What.
    pub text: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Comments on a request, in order.
///
/// # Errors
/// What diesel says.
pub fn of(conn: &mut PgConnection, request: &str) -> QueryResult<Vec<Comment>> {
    comments::table
        .filter(comments::request_id.eq(request))
        .order(comments::ordinal)
        .select(Comment::as_select())
        .load(conn)
}

/// Inserts a comment.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, comment: &Comment) -> QueryResult<()> {
    diesel::insert_into(comments::table)
        .values(comment)
        .execute(conn)?;
    Ok(())
}
