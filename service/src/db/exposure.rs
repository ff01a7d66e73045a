//! Who was sent a secret: objects that hold it, and the pushes and fetches that carried those.

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::schema::{fetches, findings, pushes};
use crate::db::fetches::Fetch;

/// A finding of a push.
#[derive(Clone, Debug, Queryable)]
pub struct Found {
    /// The push.
    pub push: Uuid,
    /// Its repository.
    pub repository: Uuid,
    /// The rules that found it.
    pub ruleset: String,
    /// The rule.
    pub rule: String,
    /// The secret's fingerprint.
    pub fingerprint: String,
    /// In what it stands.
    pub place: String,
    /// The object that holds it.
    pub object: Option<String>,
    /// The file.
    pub path: Option<Vec<u8>>,
    /// The commit that brought it.
    pub commit: Option<String>,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub enum Sought {
    /// One secret.
    Fingerprint(String),
    /// Whatever a rule found.
    Rule(String),
}

/// Gives the questions of a transaction more time than pushes have.
///
/// # Errors
/// What diesel says.
pub fn take_time(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute("SET LOCAL statement_timeout = '60s'")
}

/// Findings that are on record, at most `limit`, the oldest push first.
///
/// # Errors
/// What diesel says.
pub fn findings_of(
    conn: &mut PgConnection,
    sought: &Sought,
    repository: Option<Uuid>,
    limit: i64,
) -> QueryResult<Vec<Found>> {
    let mut query = findings::table
        .inner_join(pushes::table.on(pushes::id.eq(findings::push_id)))
        .select((
            pushes::id,
            pushes::repository_id,
            pushes::ruleset_id,
            findings::rule_id,
            findings::fingerprint,
            findings::place,
            findings::object_oid,
            findings::path,
            findings::commit_oid,
        ))
        .into_boxed();
    query = match sought {
        Sought::Fingerprint(it) => query.filter(findings::fingerprint.eq(it)),
        Sought::Rule(it) => query.filter(findings::rule_id.eq(it)),
    };
    if let Some(repository) = repository {
        query = query.filter(pushes::repository_id.eq(repository));
    }
    query
        .order((pushes::received_at, pushes::id, findings::ordinal))
        .limit(limit)
        .load(conn)
}

/// A push that brought an object.
#[derive(Clone, Debug, QueryableByName)]
pub struct Pushed {
    /// The push.
    #[diesel(sql_type = SqlUuid)]
    pub push: Uuid,
    /// The object.
    #[diesel(sql_type = Text)]
    pub oid: String,
}

/// Which pushes brought which of these objects, refused ones too, at most `limit`.
///
/// # Errors
/// What diesel says.
pub fn pushes_with(
    conn: &mut PgConnection,
    oids: &[String],
    limit: i64,
) -> QueryResult<Vec<Pushed>> {
    diesel::sql_query(
        "SELECT push_id AS push, object_oid AS oid FROM findings WHERE object_oid = ANY ($1) \
         UNION SELECT push_id, new_oid FROM changes WHERE new_oid = ANY ($1) \
         UNION SELECT push_id, oid FROM commits WHERE oid = ANY ($1) \
         ORDER BY push, oid LIMIT $2",
    )
    .bind::<Array<Text>, _>(oids)
    .bind::<BigInt, _>(limit)
    .load(conn)
}

/// What is told of a push.
#[derive(Clone, Debug, Queryable)]
pub struct Told {
    pub id: Uuid,
    pub repository: Uuid,
    pub at: DateTime<Utc>,
    pub actor_chain: Option<serde_json::Value>,
    pub address: Option<String>,
    pub transport: String,
    pub state: String,
}

/// Pushes by their ids, the oldest first.
///
/// # Errors
/// What diesel says.
pub fn pushes_told(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<Vec<Told>> {
    pushes::table
        .filter(pushes::id.eq_any(ids))
        .order((pushes::received_at, pushes::id))
        .select((
            pushes::id,
            pushes::repository_id,
            pushes::received_at,
            pushes::actor_chain,
            pushes::client_address,
            pushes::transport,
            pushes::state,
        ))
        .load(conn)
}

/// Fetches of which it is not known what they brought, at most `limit`, the oldest first.
///
/// # Errors
/// What diesel says.
pub fn unknown(
    conn: &mut PgConnection,
    repositories: &[Uuid],
    limit: i64,
) -> QueryResult<Vec<Fetch>> {
    fetches::table
        .filter(fetches::repository_id.eq_any(repositories))
        .filter(fetches::objects.is_null())
        .order((fetches::begun_at, fetches::id))
        .limit(limit)
        .select(Fetch::as_select())
        .load(conn)
}

/// Masked fetches of a repository under the same rules.
#[derive(Clone, Debug, QueryableByName)]
pub struct Masked {
    #[diesel(sql_type = SqlUuid)]
    pub repository: Uuid,
    #[diesel(sql_type = Text)]
    pub ruleset: String,
    #[diesel(sql_type = BigInt)]
    pub fetches: i64,
    #[diesel(sql_type = Timestamptz)]
    pub first_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub last_at: DateTime<Utc>,
    /// Chains, each once; null for a reader without a token.
    #[diesel(sql_type = Array<Nullable<Jsonb>>)]
    pub readers: Vec<Option<serde_json::Value>>,
}

/// Masked fetches of these repositories but for those that are known to have carried something.
///
/// # Errors
/// What diesel says.
pub fn masked(
    conn: &mut PgConnection,
    repositories: &[Uuid],
    carried: &[Uuid],
) -> QueryResult<Vec<Masked>> {
    diesel::sql_query(
        "SELECT repository_id AS repository, view_ruleset AS ruleset, count(*) AS fetches, \
             min(begun_at) AS first_at, max(begun_at) AS last_at, \
             array_agg(DISTINCT actor_chain) AS readers \
         FROM fetches WHERE repository_id = ANY ($1) AND view_ruleset IS NOT NULL \
             AND objects IS NOT NULL AND id <> ALL ($2) \
         GROUP BY repository_id, view_ruleset ORDER BY first_at",
    )
    .bind::<Array<SqlUuid>, _>(repositories)
    .bind::<Array<SqlUuid>, _>(carried)
    .load(conn)
}
