//! Windows of time for pushes. A grant is a request of the kind [`KIND`]; what only a grant has
//! stands in a table of its own.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::requests::{Request, state};
use super::schema::{grants, requests};

/// The kind of request that asks for a window of time.
pub const KIND: &str = "grant";

/// What was asked for, and how it ended before its time.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = grants)]
pub struct Grant {
    /// The request.
    pub request_id: String,
    /// How long the window is open.
    pub seconds: i64,
    /// Why it is wanted.
    pub reason: String,
    /// Who took it back.
    pub ended_by: Option<String>,
    /// Why.
    pub end_reason: Option<String>,
}

/// Inserts what a request for a window asks.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, grant: &Grant) -> QueryResult<()> {
    diesel::insert_into(grants::table)
        .values(grant)
        .execute(conn)?;
    Ok(())
}

/// Finds a grant.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, id: &str) -> QueryResult<Option<Grant>> {
    grants::table
        .find(id)
        .select(Grant::as_select())
        .first(conn)
        .optional()
}

/// Requests for a window on a ref that wait or are open, newest first, locked.
///
/// # Errors
/// What diesel says.
pub fn standing(
    conn: &mut PgConnection,
    repository: Uuid,
    ref_name: &[u8],
    now: DateTime<Utc>,
) -> QueryResult<Vec<Request>> {
    requests::table
        .filter(requests::kind.eq(KIND))
        .filter(requests::repository_id.eq(repository))
        .filter(requests::ref_name.eq(ref_name))
        .filter(requests::state.eq_any([state::WAITING, state::APPROVED]))
        .filter(requests::expires_at.gt(now))
        .order((requests::created_at.desc(), requests::id))
        .select(Request::as_select())
        .for_no_key_update()
        .load(conn)
}

/// The newest grants, of one state or of any.
///
/// # Errors
/// What diesel says.
pub fn list(conn: &mut PgConnection, state: Option<&str>, limit: i64) -> QueryResult<Vec<Request>> {
    let mut query = requests::table
        .filter(requests::kind.eq(KIND))
        .select(Request::as_select())
        .into_boxed();
    if let Some(state) = state {
        query = query.filter(requests::state.eq(state.to_owned()));
    }
    query
        .order((requests::created_at.desc(), requests::id))
        .limit(limit)
        .load(conn)
}

/// Notes who took a grant back, and why.
///
/// # Errors
/// What diesel says.
pub fn end(conn: &mut PgConnection, id: &str, by: &str, reason: &str) -> QueryResult<()> {
    diesel::update(grants::table.find(id))
        .set((grants::ended_by.eq(by), grants::end_reason.eq(reason)))
        .execute(conn)?;
    Ok(())
}
