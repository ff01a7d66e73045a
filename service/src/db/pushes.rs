//! Pushes and their ref updates.

use chrono::{DateTime, Duration, Utc};
use diesel::prelude::*;
use refwarden_wire::hook::Correlation;
use serde_json::Value;
use uuid::Uuid;

use super::schema::{pushes, ref_updates, used_tokens};

/// A push.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false, table_name = pushes)]
#[expect(clippy::struct_field_names, reason = "a push option is called so")]
pub struct Push {
    pub id: Uuid,
    pub repository_id: Uuid,
    pub host: String,
    pub received_at: DateTime<Utc>,
    pub boot_id: String,
    pub pid_namespace: i64,
    pub pid: i64,
    pub start_ticks: i64,
    pub transport: String,
    pub client_address: Option<String>,
    pub client_agent: Option<String>,
    pub hook_version: String,
    pub pusher_issuer: Option<String>,
    pub pusher_subject: Option<String>,
    pub pusher_kind: Option<String>,
    pub behalf_subject: Option<String>,
    pub actor_chain: Option<Value>,
    pub token_sha256: Option<String>,
    pub token_id: Option<String>,
    /// Whose token it was: a token of our own names people of other issuers.
    pub token_issuer: Option<String>,
    pub push_options: Value,
    pub policy_hash: String,
    pub ruleset_id: String,
    pub verdict: Value,
    pub codes: Vec<String>,
    pub state: String,
    pub commits_total: i64,
    pub findings_total: i64,
    pub objects_scanned: i64,
    pub pack_digest: Option<String>,
    pub timings: Value,
}

/// States of a push. `granted` means its refs may move, each once.
pub mod push_state {
    /// Its refs may move.
    pub const GRANTED: &str = "granted";
    /// It was refused until a human approves.
    pub const WAITING: &str = "waiting";
    /// It was refused.
    pub const DENIED: &str = "denied";
    /// It was held, and nobody decided while its client waited.
    pub const CANCELLED: &str = "cancelled";
}

/// States of a ref update.
pub mod update_state {
    /// Asked for; the push was not granted.
    pub const CLAIMED: &str = "claimed";
    /// The push was granted.
    pub const RELEASED: &str = "released";
    /// The ref is locked and about to move.
    pub const PREPARED: &str = "prepared";
    /// The ref has moved.
    pub const COMMITTED: &str = "committed";
    /// The transaction ended and the ref has not moved.
    pub const NOT_MOVED: &str = "not_moved";
}

/// One ref update of a push.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false, table_name = ref_updates)]
pub struct RefUpdate {
    pub push_id: Uuid,
    pub ordinal: i32,
    pub repository_id: Uuid,
    pub ref_name: Vec<u8>,
    pub ref_name_text: String,
    pub target: Vec<u8>,
    pub claimed_old: String,
    pub actual_old: String,
    pub new_oid: String,
    pub kind: String,
    pub new_type: Option<String>,
    pub gained: i64,
    pub lost: i64,
    pub request_id: Option<String>,
    pub state: String,
}

/// Inserts a push.
///
/// # Errors
/// What diesel says; a unique violation when this run of receive-pack has a push already.
pub fn insert(conn: &mut PgConnection, push: &Push) -> QueryResult<()> {
    diesel::insert_into(pushes::table)
        .values(push)
        .execute(conn)?;
    Ok(())
}

/// Inserts the ref updates of a push.
///
/// # Errors
/// What diesel says.
pub fn insert_updates(conn: &mut PgConnection, updates: &[RefUpdate]) -> QueryResult<()> {
    insert_rows!(conn, ref_updates::table, updates, 1000);
    Ok(())
}

/// Finds a push.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, id: Uuid) -> QueryResult<Option<Push>> {
    pushes::table
        .find(id)
        .select(Push::as_select())
        .first(conn)
        .optional()
}

/// Finds the push of a run of receive-pack and locks its row.
///
/// # Errors
/// What diesel says.
pub fn lock(
    conn: &mut PgConnection,
    host: &str,
    repository: Uuid,
    run: &Correlation,
) -> QueryResult<Option<Push>> {
    pushes::table
        .filter(pushes::host.eq(host))
        .filter(pushes::repository_id.eq(repository))
        .filter(pushes::boot_id.eq(&run.boot_id))
        .filter(pushes::pid_namespace.eq(signed(run.pid_namespace)))
        .filter(pushes::pid.eq(i64::from(run.pid)))
        .filter(pushes::start_ticks.eq(signed(run.start_ticks)))
        .select(Push::as_select())
        .for_no_key_update()
        .first(conn)
        .optional()
}

/// A count for a column that has no unsigned type; beyond its range, the largest there is.
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The ref updates of a push, in the client's order.
///
/// # Errors
/// What diesel says.
pub fn updates(conn: &mut PgConnection, push: Uuid) -> QueryResult<Vec<RefUpdate>> {
    ref_updates::table
        .filter(ref_updates::push_id.eq(push))
        .order(ref_updates::ordinal)
        .select(RefUpdate::as_select())
        .load(conn)
}

/// The updates that a request has released or would have, oldest first.
///
/// # Errors
/// What diesel says.
pub fn updates_of_request(conn: &mut PgConnection, request: &str) -> QueryResult<Vec<RefUpdate>> {
    ref_updates::table
        .filter(ref_updates::request_id.eq(request))
        .order((ref_updates::push_id, ref_updates::ordinal))
        .select(RefUpdate::as_select())
        .load(conn)
}

/// Lets pushes of an actor be counted and recorded one after the other, until the transaction
/// ends. Taken before any row's lock, and after those of packs.
///
/// # Errors
/// What diesel says.
pub fn one_at_a_time(conn: &mut PgConnection, issuer: &str, subject: &str) -> QueryResult<()> {
    let actor = format!("{} {issuer} {subject}", issuer.len());
    diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind::<diesel::sql_types::Text, _>(actor)
        .execute(conn)?;
    Ok(())
}

/// How often an actor has pushed within this long before a time, to any repository, refused pushes
/// with them.
///
/// # Errors
/// What diesel says.
pub fn count_of(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
    span: Duration,
    before: DateTime<Utc>,
) -> QueryResult<u64> {
    let count: i64 = pushes::table
        .filter(pushes::pusher_subject.eq(subject))
        .filter(pushes::pusher_issuer.eq(issuer))
        .filter(pushes::received_at.gt(before - span))
        .filter(pushes::received_at.lt(before))
        .count()
        .get_result(conn)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Sets the state of a push.
///
/// # Errors
/// What diesel says.
pub fn set_state(conn: &mut PgConnection, push: Uuid, state: &str) -> QueryResult<()> {
    diesel::update(pushes::table.find(push))
        .set(pushes::state.eq(state))
        .execute(conn)?;
    Ok(())
}

/// Releases every ref update of a push that was only asked for.
///
/// # Errors
/// What diesel says.
pub fn release_updates(conn: &mut PgConnection, push: Uuid) -> QueryResult<()> {
    let claimed = ref_updates::table
        .filter(ref_updates::push_id.eq(push))
        .filter(ref_updates::state.eq(update_state::CLAIMED));
    diesel::update(claimed)
        .set(ref_updates::state.eq(update_state::RELEASED))
        .execute(conn)?;
    Ok(())
}

/// Updates of other pushes that hold a ref as about to move.
///
/// # Errors
/// What diesel says.
pub fn prepared_by_others(
    conn: &mut PgConnection,
    repository: Uuid,
    target: &[u8],
    push: Uuid,
) -> QueryResult<Vec<RefUpdate>> {
    ref_updates::table
        .filter(ref_updates::repository_id.eq(repository))
        .filter(ref_updates::target.eq(target))
        .filter(ref_updates::state.eq(update_state::PREPARED))
        .filter(ref_updates::push_id.ne(push))
        .select(RefUpdate::as_select())
        .load(conn)
}

/// Marks an update as about to move.
///
/// # Errors
/// What diesel says.
pub fn mark_prepared(
    conn: &mut PgConnection,
    update: &RefUpdate,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(ref_updates::table.find((update.push_id, update.ordinal)))
        .set((
            ref_updates::state.eq(update_state::PREPARED),
            ref_updates::prepared_at.eq(now),
            ref_updates::settled_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Marks how an update ended that stands as `update` says, about to move or only released; says
/// whether it was so marked now.
///
/// # Errors
/// What diesel says.
pub fn mark_settled(
    conn: &mut PgConnection,
    update: &RefUpdate,
    state: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let row = ref_updates::table
        .find((update.push_id, update.ordinal))
        .filter(ref_updates::state.eq(&update.state));
    let changed = diesel::update(row)
        .set((
            ref_updates::state.eq(state),
            ref_updates::settled_at.eq(now),
        ))
        .execute(conn)?;
    Ok(changed == 1)
}

/// Marks a push as complete.
///
/// # Errors
/// What diesel says.
pub fn mark_complete(conn: &mut PgConnection, push: Uuid, now: DateTime<Utc>) -> QueryResult<()> {
    diesel::update(pushes::table.find(push))
        .set(pushes::completed_at.eq(now))
        .execute(conn)?;
    Ok(())
}

/// The push that a token has released, if any.
///
/// # Errors
/// What diesel says.
pub fn token_user(
    conn: &mut PgConnection,
    issuer: &str,
    token_id: &str,
) -> QueryResult<Option<Uuid>> {
    used_tokens::table
        .find((issuer, token_id))
        .select(used_tokens::push_id)
        .first(conn)
        .optional()
}

/// Uses a token up for a push; says whether the token is that push's now.
///
/// # Errors
/// What diesel says.
pub fn use_token(
    conn: &mut PgConnection,
    issuer: &str,
    token_id: &str,
    push: Uuid,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let row = (
        used_tokens::issuer.eq(issuer),
        used_tokens::token_id.eq(token_id),
        used_tokens::push_id.eq(push),
        used_tokens::used_at.eq(now),
    );
    let inserted = diesel::insert_into(used_tokens::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(inserted == 1 || token_user(conn, issuer, token_id)? == Some(push))
}

/// Digests of the packs of these pushes, oldest push first.
///
/// # Errors
/// What diesel says.
pub fn packs_of(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<Vec<(Uuid, String)>> {
    let rows: Vec<(Uuid, Option<String>)> = pushes::table
        .filter(pushes::id.eq_any(ids.to_vec()))
        .filter(pushes::pack_digest.is_not_null())
        .order((pushes::received_at, pushes::id))
        .select((pushes::id, pushes::pack_digest))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, digest)| Some((id, digest?)))
        .collect())
}
