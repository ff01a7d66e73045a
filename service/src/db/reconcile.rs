//! Moves out of band, and how guards were found.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::pushes::{RefUpdate, push_state, update_state};
use super::schema::{events, guards, out_of_band, pushes, ref_updates};

/// Kinds of event after which a ref may stand elsewhere than it did.
pub const MOVES: [&str; 4] = [
    "ref.prepared",
    "ref.committed",
    "ref.not_moved",
    "ref.out_of_band",
];

/// The most updates that [`released`] tells.
const RELEASED_MAX: i64 = 1000;

/// A move that the reconciler found.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = out_of_band)]
pub struct OutOfBand {
    pub repository_id: Uuid,
    pub seq: i64,
    pub name: Vec<u8>,
    pub old_value: Option<Vec<u8>>,
    pub new_value: Option<Vec<u8>>,
    pub before_seq: Option<i64>,
    pub pack_digest: Option<String>,
}

/// A run of receive-pack: boot id, pid namespace, pid, start time.
pub type Run = (String, i64, i64, i64);

/// An update that is about to move, since when, and the run that moves it.
pub type InDoubt = (RefUpdate, Option<DateTime<Utc>>, Run);

/// A repository, when its guard was looked at last, and what was wrong with it then.
pub type Guard = (Uuid, DateTime<Utc>, Vec<String>);

/// Updates that are about to move.
///
/// # Errors
/// What diesel says.
pub fn prepared(conn: &mut PgConnection, repository: Uuid) -> QueryResult<Vec<InDoubt>> {
    ref_updates::table
        .inner_join(pushes::table.on(pushes::id.eq(ref_updates::push_id)))
        .filter(ref_updates::repository_id.eq(repository))
        .filter(ref_updates::state.eq(update_state::PREPARED))
        .order((ref_updates::prepared_at, ref_updates::ordinal))
        .select((
            RefUpdate::as_select(),
            ref_updates::prepared_at,
            (
                pushes::boot_id,
                pushes::pid_namespace,
                pushes::pid,
                pushes::start_ticks,
            ),
        ))
        .load(conn)
}

/// Updates of pushes recorded since a time that were granted and never about to move, be it that this
/// is settled already: what they left may still be in the way. With the time of their push; at most [`RELEASED_MAX`], the latest.
///
/// # Errors
/// What diesel says.
pub fn released(
    conn: &mut PgConnection,
    repository: Uuid,
    after: DateTime<Utc>,
) -> QueryResult<Vec<InDoubt>> {
    pushes::table
        .inner_join(ref_updates::table.on(ref_updates::push_id.eq(pushes::id)))
        .filter(pushes::repository_id.eq(repository))
        .filter(pushes::received_at.gt(after))
        .filter(pushes::state.eq(push_state::GRANTED))
        .filter(ref_updates::state.eq_any([update_state::RELEASED, update_state::NOT_MOVED]))
        .filter(ref_updates::prepared_at.is_null())
        .order((pushes::received_at.desc(), ref_updates::ordinal))
        .limit(RELEASED_MAX)
        .select((
            RefUpdate::as_select(),
            pushes::received_at.nullable(),
            (
                pushes::boot_id,
                pushes::pid_namespace,
                pushes::pid,
                pushes::start_ticks,
            ),
        ))
        .load(conn)
}

/// Updates of these pushes that were granted and never about to move, where nothing says what became
/// of the push.
///
/// # Errors
/// What diesel says.
pub fn never_prepared(
    conn: &mut PgConnection,
    repository: Uuid,
    ids: &[Uuid],
) -> QueryResult<Vec<RefUpdate>> {
    pushes::table
        .inner_join(ref_updates::table.on(ref_updates::push_id.eq(pushes::id)))
        .filter(pushes::repository_id.eq(repository))
        .filter(pushes::id.eq_any(ids.to_vec()))
        .filter(pushes::state.eq(push_state::GRANTED))
        .filter(pushes::completed_at.is_null())
        .filter(ref_updates::state.eq(update_state::RELEASED))
        .order((ref_updates::push_id, ref_updates::ordinal))
        .select(RefUpdate::as_select())
        .load(conn)
}

/// Names that events after `seq` are about, where those may have moved a ref.
///
/// # Errors
/// What diesel says.
pub fn moved_since(
    conn: &mut PgConnection,
    repository: Uuid,
    seq: i64,
) -> QueryResult<Vec<Vec<u8>>> {
    let names: Vec<Option<Vec<u8>>> = events::table
        .filter(events::repository_id.eq(repository))
        .filter(events::seq.gt(seq))
        .filter(events::kind.eq_any(MOVES))
        .select(events::ref_name)
        .load(conn)?;
    Ok(names.into_iter().flatten().collect())
}

/// Records moves out of band.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, rows: &[OutOfBand]) -> QueryResult<()> {
    for chunk in rows.chunks(1000) {
        diesel::insert_into(out_of_band::table)
            .values(chunk)
            .execute(conn)?;
    }
    Ok(())
}

/// Moves out of band with these numbers or between them, in order.
///
/// # Errors
/// What diesel says.
pub fn out_of_band(
    conn: &mut PgConnection,
    repository: Uuid,
    from: i64,
    to: i64,
) -> QueryResult<Vec<OutOfBand>> {
    out_of_band::table
        .filter(out_of_band::repository_id.eq(repository))
        .filter(out_of_band::seq.between(from, to))
        .order(out_of_band::seq)
        .select(OutOfBand::as_select())
        .load(conn)
}

/// Writes down how a guard was found, and answers how it was found before.
///
/// # Errors
/// What diesel says.
pub fn set_guard(
    conn: &mut PgConnection,
    repository: Uuid,
    now: DateTime<Utc>,
    defects: &[String],
) -> QueryResult<Vec<String>> {
    let before: Option<Vec<String>> = guards::table
        .find(repository)
        .select(guards::defects)
        .first(conn)
        .optional()?;
    let row = (
        guards::repository_id.eq(repository),
        guards::checked_at.eq(now),
        guards::defects.eq(defects),
    );
    diesel::insert_into(guards::table)
        .values(row)
        .on_conflict(guards::repository_id)
        .do_update()
        .set((guards::checked_at.eq(now), guards::defects.eq(defects)))
        .execute(conn)?;
    Ok(before.unwrap_or_default())
}

/// How every guard was found last.
///
/// # Errors
/// What diesel says.
pub fn guards(conn: &mut PgConnection) -> QueryResult<Vec<Guard>> {
    guards::table
        .select((guards::repository_id, guards::checked_at, guards::defects))
        .load(conn)
}

/// For each repository that has any: updates that are about to move.
///
/// # Errors
/// What diesel says.
pub fn count_prepared(conn: &mut PgConnection) -> QueryResult<Vec<(Uuid, i64)>> {
    ref_updates::table
        .filter(ref_updates::state.eq(update_state::PREPARED))
        .group_by(ref_updates::repository_id)
        .select((ref_updates::repository_id, diesel::dsl::count_star()))
        .load(conn)
}

/// For each repository that has any: moves out of band since a time.
///
/// # Errors
/// What diesel says.
pub fn count_out_of_band(
    conn: &mut PgConnection,
    since: DateTime<Utc>,
) -> QueryResult<Vec<(Uuid, i64)>> {
    events::table
        .filter(events::kind.eq("ref.out_of_band"))
        .filter(events::recorded_at.ge(since))
        .group_by(events::repository_id)
        .select((events::repository_id, diesel::dsl::count_star()))
        .load(conn)
}
