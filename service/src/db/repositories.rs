//! Repositories under guard, and their baselines.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::schema::{baselines, repositories};

pub use super::packs::find as find_pack;

/// A repository.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = repositories)]
pub struct Repository {
    /// Its id, whatever its path.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// The Git host that it stands on.
    pub host: String,
    /// Times it was adopted.
    pub epoch: i32,
    /// When it was adopted last.
    pub adopted_at: DateTime<Utc>,
    /// The number that the next event gets.
    pub next_seq: i64,
}

/// A repository's state when it was adopted.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = baselines)]
pub struct Baseline {
    /// The repository.
    pub repository_id: Uuid,
    /// Which adoption.
    pub epoch: i32,
    /// The event that records it.
    pub seq: i64,
    /// When.
    pub recorded_at: DateTime<Utc>,
    /// What HEAD named.
    pub head: Vec<u8>,
    /// Its refs: a list of name and value.
    pub refs: serde_json::Value,
    /// The pack of everything reachable.
    pub pack_digest: Option<String>,
}

/// Finds a repository by id.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, id: Uuid) -> QueryResult<Option<Repository>> {
    repositories::table
        .find(id)
        .select(Repository::as_select())
        .first(conn)
        .optional()
}

/// Finds a repository by name.
///
/// # Errors
/// What diesel says.
pub fn find_named(conn: &mut PgConnection, name: &str) -> QueryResult<Option<Repository>> {
    repositories::table
        .filter(repositories::name.eq(name))
        .select(Repository::as_select())
        .first(conn)
        .optional()
}

/// All repositories by name.
///
/// # Errors
/// What diesel says.
pub fn list(conn: &mut PgConnection) -> QueryResult<Vec<Repository>> {
    repositories::table
        .order(repositories::name)
        .select(Repository::as_select())
        .load(conn)
}

/// Inserts a new repository.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, repository: &Repository) -> QueryResult<()> {
    diesel::insert_into(repositories::table)
        .values(repository)
        .execute(conn)?;
    Ok(())
}

/// Begins a further epoch.
///
/// # Errors
/// What diesel says.
pub fn begin_epoch(
    conn: &mut PgConnection,
    id: Uuid,
    epoch: i32,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(repositories::table.find(id))
        .set((
            repositories::epoch.eq(epoch),
            repositories::adopted_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Inserts a baseline.
///
/// # Errors
/// What diesel says.
pub fn insert_baseline(conn: &mut PgConnection, baseline: &Baseline) -> QueryResult<()> {
    diesel::insert_into(baselines::table)
        .values(baseline)
        .execute(conn)?;
    Ok(())
}

/// The baseline that a state at that event number starts from.
///
/// # Errors
/// What diesel says.
pub fn baseline_at(conn: &mut PgConnection, id: Uuid, seq: i64) -> QueryResult<Option<Baseline>> {
    baselines::table
        .filter(baselines::repository_id.eq(id))
        .filter(baselines::seq.le(seq))
        .order(baselines::seq.desc())
        .select(Baseline::as_select())
        .first(conn)
        .optional()
}

/// Locks a repository's row until the transaction ends. Whatever takes locks on requests takes
/// this one first, and a pack's and a push's before it: packs, push, repository, then requests and
/// ref updates. An event's number is drawn under it too, so in another order two transactions could
/// wait for each other. Packs come first and not last because all pushes of a repository wait for
/// its row, and only those of the same bytes for a pack.
///
/// # Errors
/// What diesel says; `NotFound` when there is no such repository.
pub fn lock(conn: &mut PgConnection, id: Uuid) -> QueryResult<()> {
    repositories::table
        .find(id)
        .select(repositories::id)
        .for_no_key_update()
        .first::<Uuid>(conn)
        .map(|_| ())
}
