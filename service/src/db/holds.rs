//! Holds on packs, and their releases. Both are only ever added.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::schema::{hold_releases, holds};

/// A hold.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = holds)]
pub struct Hold {
    /// Its id.
    pub id: Uuid,
    /// Whose packs it keeps; those of all repositories if not given.
    pub repository_id: Option<Uuid>,
    /// Whose pack it keeps.
    pub push_id: Option<Uuid>,
    /// Only what came then or later.
    pub since: Option<DateTime<Utc>>,
    /// Only what came earlier.
    pub before: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// By whom.
    pub placed_by: String,
    /// When.
    pub placed_at: DateTime<Utc>,
}

/// The end of a hold.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = hold_releases)]
pub struct Release {
    /// Which.
    pub hold_id: Uuid,
    /// Why.
    pub reason: String,
    /// By whom.
    pub released_by: String,
    /// When.
    pub released_at: DateTime<Utc>,
}

/// Takes the lock under which packs are dropped, and holds placed and released, until the
/// transaction ends: when a hold is in the record, nothing that it keeps is dropped any more.
///
/// # Errors
/// What diesel says.
pub fn lock(conn: &mut PgConnection) -> QueryResult<()> {
    diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended('retention', 0))")
        .execute(conn)
        .map(drop)
}

/// Places a hold.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, hold: &Hold) -> QueryResult<()> {
    let insert = diesel::insert_into(holds::table).values(hold);
    insert.execute(conn).map(drop)
}

/// Releases a hold.
///
/// # Errors
/// What diesel says.
pub fn release(conn: &mut PgConnection, release: &Release) -> QueryResult<()> {
    let insert = diesel::insert_into(hold_releases::table).values(release);
    insert.execute(conn).map(drop)
}

/// All holds, with the release of each that is released, the oldest first.
///
/// # Errors
/// What diesel says.
pub fn list(conn: &mut PgConnection) -> QueryResult<Vec<(Hold, Option<Release>)>> {
    holds::table
        .left_join(hold_releases::table.on(hold_releases::hold_id.eq(holds::id)))
        .order((holds::placed_at, holds::id))
        .select((Hold::as_select(), Option::<Release>::as_select()))
        .load(conn)
}

/// A hold, with its release.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, id: Uuid) -> QueryResult<Option<(Hold, Option<Release>)>> {
    holds::table
        .left_join(hold_releases::table.on(hold_releases::hold_id.eq(holds::id)))
        .filter(holds::id.eq(id))
        .select((Hold::as_select(), Option::<Release>::as_select()))
        .first(conn)
        .optional()
}
