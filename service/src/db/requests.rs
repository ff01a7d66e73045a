//! Approval requests and decisions.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use refwarden_model::RequestId;

use super::schema::{decisions, requests};
use super::{exceptions, grants};
use crate::error::AppError;

/// An approval request.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = requests)]
pub struct Request {
    /// Its code.
    pub id: String,
    /// The repository.
    pub repository_id: Uuid,
    /// The ref that would really move.
    pub ref_name: Vec<u8>,
    /// The same, lossily as text.
    pub ref_name_text: String,
    /// Its value when the request was made.
    pub old_oid: String,
    /// The value it would get.
    pub new_oid: String,
    /// Kind of update.
    pub kind: String,
    /// The push that asked first; its record is what approvers are shown. None for a grant, which
    /// is asked for without one.
    pub push_id: Option<Uuid>,
    /// Who pushed and for whom.
    pub actor_chain: Value,
    /// The policy that asked.
    pub policy_hash: String,
    /// What it asked: a list of `refwarden_policy::Requirement`.
    pub requirements: Value,
    /// Digest of all that it binds; a decision must name it.
    pub digest: String,
    /// One of [`state`].
    pub state: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// When it stopped waiting for people.
    pub closed_at: Option<DateTime<Utc>>,
    /// The push that used it.
    pub consumed_by: Option<Uuid>,
    /// Digest of what an approval is kept for, where a clean rebase keeps it.
    pub patch_series: Option<String>,
}

impl Request {
    /// Whether it is about the move of a ref.
    pub fn is_move(&self) -> bool {
        self.kind != grants::KIND && self.kind != exceptions::KIND
    }

    /// The ref that it is about; none for an exception.
    pub fn of_ref(&self) -> Option<Vec<u8>> {
        (!self.ref_name.is_empty()).then(|| self.ref_name.clone())
    }
}

/// States of a request.
pub mod state {
    /// People have to decide.
    pub const WAITING: &str = "waiting";
    /// Enough have approved; not used yet.
    pub const APPROVED: &str = "approved";
    /// Somebody rejected it.
    pub const REJECTED: &str = "rejected";
    /// Its time is over.
    pub const EXPIRED: &str = "expired";
    /// The ref has moved, or the policy asks for something else.
    pub const STALE: &str = "stale";
    /// A push has used it.
    pub const USED: &str = "used";
    /// A grant or an exception was taken back.
    pub const REVOKED: &str = "revoked";
    /// A push was let through in an emergency; somebody has to look at it.
    pub const REVIEW: &str = "review";
    /// Somebody has.
    pub const REVIEWED: &str = "reviewed";

    /// All of them.
    pub const ALL: [&str; 9] = [
        WAITING, APPROVED, REJECTED, EXPIRED, STALE, USED, REVOKED, REVIEW, REVIEWED,
    ];
}

/// What a person said.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = decisions)]
#[expect(
    clippy::struct_field_names,
    reason = "the column is named for what it holds"
)]
pub struct Decision {
    /// The request.
    pub request_id: String,
    /// Order in time, from 0.
    pub ordinal: i32,
    /// Who: issuer.
    pub approver_issuer: String,
    /// Who: subject.
    pub approver_subject: String,
    /// Who: `refwarden_model::Actor`.
    pub approver: Value,
    /// `approve` or `reject`.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// Digest of what was shown.
    pub digest: String,
    /// When.
    pub decided_at: DateTime<Utc>,
    /// Questions and answers: a list of `refwarden_wire::api::AnswerIn`.
    pub answers: Value,
}

/// Inserts a request.
///
/// # Errors
/// What diesel says; a unique violation when the code is taken.
pub fn insert(conn: &mut PgConnection, request: &Request) -> QueryResult<()> {
    diesel::insert_into(requests::table)
        .values(request)
        .execute(conn)?;
    Ok(())
}

/// Finds a request.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, id: &str) -> QueryResult<Option<Request>> {
    requests::table
        .find(id)
        .select(Request::as_select())
        .first(conn)
        .optional()
}

/// Finds a request and locks its row.
///
/// # Errors
/// What diesel says.
pub fn lock(conn: &mut PgConnection, id: &str) -> QueryResult<Option<Request>> {
    requests::table
        .find(id)
        .select(Request::as_select())
        .for_no_key_update()
        .first(conn)
        .optional()
}

/// The newest requests, of one state or of any.
///
/// # Errors
/// What diesel says.
pub fn list(conn: &mut PgConnection, state: Option<&str>, limit: i64) -> QueryResult<Vec<Request>> {
    let mut query = requests::table.select(Request::as_select()).into_boxed();
    if let Some(state) = state {
        query = query.filter(requests::state.eq(state.to_owned()));
    }
    query
        .order((requests::created_at.desc(), requests::id))
        .limit(limit)
        .load(conn)
}

/// Requests bound to exactly this move, newest first, locked.
///
/// # Errors
/// What diesel says.
pub fn bound_to(
    conn: &mut PgConnection,
    repository: Uuid,
    ref_name: &[u8],
    old_oid: &str,
    new_oid: &str,
) -> QueryResult<Vec<Request>> {
    requests::table
        .filter(requests::repository_id.eq(repository))
        .filter(requests::ref_name.eq(ref_name))
        .filter(requests::old_oid.eq(old_oid))
        .filter(requests::new_oid.eq(new_oid))
        .order((requests::created_at.desc(), requests::id))
        .select(Request::as_select())
        .for_no_key_update()
        .load(conn)
}

/// Approved requests for a ref whose commits are such a series, newest first, locked.
///
/// # Errors
/// What diesel says.
pub fn kept_for(
    conn: &mut PgConnection,
    repository: Uuid,
    ref_name: &[u8],
    series: &str,
) -> QueryResult<Vec<Request>> {
    requests::table
        .filter(requests::repository_id.eq(repository))
        .filter(requests::ref_name.eq(ref_name))
        .filter(requests::state.eq(state::APPROVED))
        .filter(requests::patch_series.eq(series))
        .order((requests::created_at.desc(), requests::id))
        .select(Request::as_select())
        .for_no_key_update()
        .load(conn)
}

/// Requests on a ref that are open, do not start from its present value and are not kept for a
/// rebase, locked.
///
/// # Errors
/// What diesel says.
pub fn overtaken(
    conn: &mut PgConnection,
    repository: Uuid,
    ref_name: &[u8],
    present: &str,
) -> QueryResult<Vec<Request>> {
    requests::table
        .filter(requests::repository_id.eq(repository))
        .filter(requests::ref_name.eq(ref_name))
        .filter(
            requests::state.eq(state::WAITING).or(requests::state
                .eq(state::APPROVED)
                .and(requests::patch_series.is_null())),
        )
        .filter(requests::kind.ne_all([grants::KIND, exceptions::KIND]))
        .filter(requests::old_oid.ne(present))
        .select(Request::as_select())
        .for_no_key_update()
        .load(conn)
}

/// Open requests whose time is over, locked.
///
/// # Errors
/// What diesel says.
pub fn overdue(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<Vec<Request>> {
    requests::table
        .filter(requests::state.eq_any([state::WAITING, state::APPROVED]))
        .filter(requests::expires_at.le(now))
        .select(Request::as_select())
        .for_no_key_update()
        .skip_locked()
        .load(conn)
}

/// Lets an approval that lasts hold until a time.
///
/// # Errors
/// What diesel says.
pub fn open(conn: &mut PgConnection, id: &str, until: DateTime<Utc>) -> QueryResult<()> {
    diesel::update(requests::table.find(id))
        .set((
            requests::state.eq(state::APPROVED),
            requests::expires_at.eq(until),
        ))
        .execute(conn)?;
    Ok(())
}

/// Changes a request's state.
///
/// # Errors
/// What diesel says.
pub fn set_state(
    conn: &mut PgConnection,
    id: &str,
    state: &str,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(requests::table.find(id))
        .set((requests::state.eq(state), requests::closed_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Uses an approved request up for a push: once, in time, and only while the request is
/// approved. The same push may ask again.
///
/// # Errors
/// What diesel says.
pub fn consume(
    conn: &mut PgConnection,
    id: &str,
    push: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let approved = requests::state
        .eq(state::APPROVED)
        .and(requests::kind.ne_all([grants::KIND, exceptions::KIND]))
        .and(requests::expires_at.gt(now));
    let mine = requests::state
        .eq(state::USED)
        .and(requests::consumed_by.eq(push).assume_not_null());
    let changed = diesel::update(requests::table.find(id).filter(approved.or(mine)))
        .set((
            requests::state.eq(state::USED),
            requests::closed_at.eq(now),
            requests::consumed_by.eq(push),
        ))
        .execute(conn)?;
    Ok(changed == 1 || releases_unused(conn, id, push, now)?)
}

/// Whether a request releases a push without being used up: an open window of time, or one that
/// this very push was let through by in an emergency.
fn releases_unused(
    conn: &mut PgConnection,
    id: &str,
    push: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let open = requests::kind
        .eq(grants::KIND)
        .and(requests::state.eq(state::APPROVED))
        .and(requests::expires_at.gt(now));
    let emergency = requests::state
        .eq_any([state::REVIEW, state::REVIEWED])
        .and(requests::consumed_by.eq(push).assume_not_null());
    let found = requests::table.find(id).filter(open.or(emergency));
    diesel::select(diesel::dsl::exists(found)).get_result(conn)
}

/// A code that no request has.
///
/// # Errors
/// [`AppError`] from the database, or without randomness.
pub fn new_id(conn: &mut PgConnection) -> Result<String, AppError> {
    loop {
        let mut bits = [0_u8; 5];
        aws_lc_rs::rand::fill(&mut bits).map_err(|_| AppError::internal("no randomness"))?;
        let id = RequestId::from_random(bits);
        if find(conn, id.as_str())?.is_none() {
            return Ok(id.as_str().to_owned());
        }
    }
}

/// Decisions on a request, in order.
///
/// # Errors
/// What diesel says.
pub fn decisions(conn: &mut PgConnection, id: &str) -> QueryResult<Vec<Decision>> {
    decisions::table
        .filter(decisions::request_id.eq(id))
        .order(decisions::ordinal)
        .select(Decision::as_select())
        .load(conn)
}

/// Inserts a decision.
///
/// # Errors
/// What diesel says; a unique violation when that person has decided already.
pub fn insert_decision(conn: &mut PgConnection, decision: &Decision) -> QueryResult<()> {
    diesel::insert_into(decisions::table)
        .values(decision)
        .execute(conn)?;
    Ok(())
}
