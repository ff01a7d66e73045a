//! Exceptions from the scanner's rules. An exception is a request of the kind [`KIND`]; what only an
//! exception has stands in a table of its own, and what it has let pass in another.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::requests::{Request, state};
use super::schema::{exception_uses, exceptions, requests};

/// The kind of request that asks for an exception.
pub const KIND: &str = "exception";

/// What is to pass, and how it ended before its time.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = exceptions)]
pub struct Exception {
    /// The request.
    pub request_id: String,
    /// Place among the findings of the request's push.
    pub finding: i32,
    /// The scanner's rule.
    pub rule_id: String,
    /// The secret's keyed hash.
    pub fingerprint: String,
    /// Where in a push it stands: `refwarden_model::facts::Place`.
    pub place: String,
    /// The path, masked; none in no file.
    pub path: Option<Vec<u8>>,
    /// The same, lossily as text.
    pub path_text: Option<String>,
    /// A glob of paths in place of the path, as the policy's are written.
    pub paths: Option<String>,
    /// `test-data`, `false-positive` or `fix-later`.
    pub sort: String,
    /// Why it is wanted.
    pub reason: String,
    /// How long it holds.
    pub seconds: i64,
    /// Who took it back.
    pub ended_by: Option<String>,
    /// Why.
    pub end_reason: Option<String>,
}

/// A finding that an exception lets pass.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = exception_uses)]
pub struct Use {
    /// The push.
    pub push_id: Uuid,
    /// The finding's place in it.
    pub finding: i32,
    /// The exception.
    pub request_id: String,
}

/// Inserts what a request for an exception asks.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, exception: &Exception) -> QueryResult<()> {
    diesel::insert_into(exceptions::table)
        .values(exception)
        .execute(conn)?;
    Ok(())
}

/// Finds an exception.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, id: &str) -> QueryResult<Option<Exception>> {
    exceptions::table
        .find(id)
        .select(Exception::as_select())
        .first(conn)
        .optional()
}

/// Exceptions of a repository for any of these fingerprints that wait or hold, newest first.
///
/// # Errors
/// What diesel says.
pub fn standing(
    conn: &mut PgConnection,
    repository: Uuid,
    fingerprints: &[&str],
    now: DateTime<Utc>,
) -> QueryResult<Vec<(Request, Exception)>> {
    requests::table
        .inner_join(exceptions::table)
        .filter(requests::repository_id.eq(repository))
        .filter(exceptions::fingerprint.eq_any(fingerprints.to_vec()))
        .filter(requests::state.eq_any([state::WAITING, state::APPROVED]))
        .filter(requests::expires_at.gt(now))
        .order((requests::created_at.desc(), requests::id))
        .select((Request::as_select(), Exception::as_select()))
        .load(conn)
}

/// The newest exceptions, of one state or of any.
///
/// # Errors
/// What diesel says.
pub fn list(
    conn: &mut PgConnection,
    state: Option<&str>,
    limit: i64,
) -> QueryResult<Vec<(Request, Exception)>> {
    let mut query = requests::table
        .inner_join(exceptions::table)
        .select((Request::as_select(), Exception::as_select()))
        .into_boxed();
    if let Some(state) = state {
        query = query.filter(requests::state.eq(state.to_owned()));
    }
    query
        .order((requests::created_at.desc(), requests::id))
        .limit(limit)
        .load(conn)
}

/// The newest exceptions that were asked for findings of a push.
///
/// # Errors
/// What diesel says.
pub fn of_push(conn: &mut PgConnection, push: Uuid) -> QueryResult<Vec<(Request, Exception)>> {
    requests::table
        .inner_join(exceptions::table)
        .filter(requests::push_id.eq(push).assume_not_null())
        .order((requests::created_at.desc(), requests::id))
        .select((Request::as_select(), Exception::as_select()))
        .load(conn)
}

/// Notes who took an exception back, and why.
///
/// # Errors
/// What diesel says.
pub fn end(conn: &mut PgConnection, id: &str, by: &str, reason: &str) -> QueryResult<()> {
    diesel::update(exceptions::table.find(id))
        .set((
            exceptions::ended_by.eq(by),
            exceptions::end_reason.eq(reason),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records what exceptions let pass.
///
/// # Errors
/// What diesel says.
pub fn insert_uses(conn: &mut PgConnection, uses: &[Use]) -> QueryResult<()> {
    diesel::insert_into(exception_uses::table)
        .values(uses)
        .execute(conn)?;
    Ok(())
}

/// An exception that a push needs and that does not hold any more, if there is one.
///
/// # Errors
/// What diesel says.
pub fn fallen(
    conn: &mut PgConnection,
    push: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<Option<String>> {
    let holds = requests::state
        .eq(state::APPROVED)
        .and(requests::expires_at.gt(now));
    exception_uses::table
        .inner_join(requests::table.on(requests::id.eq(exception_uses::request_id)))
        .filter(exception_uses::push_id.eq(push))
        .filter(diesel::dsl::not(holds))
        .select(requests::id)
        .first(conn)
        .optional()
}

/// Pushes that an exception has let pass or would have, the newest last.
///
/// # Errors
/// What diesel says.
pub fn pushes_of(conn: &mut PgConnection, id: &str) -> QueryResult<Vec<Uuid>> {
    exception_uses::table
        .filter(exception_uses::request_id.eq(id))
        .select(exception_uses::push_id)
        .distinct()
        .order(exception_uses::push_id)
        .load(conn)
}
