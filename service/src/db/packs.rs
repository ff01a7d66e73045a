//! Packs: what was received, in which file of the store it is, and which files are gone.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, max, not};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::schema::{pack_copies, pack_drops, pack_receptions, packs};
use crate::packs::StoredPack;

/// The file that holds a pack.
#[derive(Clone, Debug, Queryable)]
pub struct Pack {
    /// Bytes of the pack itself.
    pub bytes: i64,
    /// Where the file is in the store.
    pub location: String,
    /// Bytes of the file.
    pub stored_bytes: i64,
    /// SHA-256 of the file, where it is sealed.
    pub sealed_digest: Option<String>,
    /// To whom it is sealed.
    pub recipients: Vec<String>,
}

/// Leave to decide by whether the store has certain packs: who has locked them, and nobody else until
/// the transaction ends.
#[must_use]
pub struct Locked(());

/// Locks packs until the transaction ends: whether the store has them must not change while
/// something is decided by it. Taken before any row's lock ([`super::repositories::lock`] says why),
/// and once in a transaction.
///
/// # Errors
/// What diesel says.
pub fn lock<'a>(
    conn: &mut PgConnection,
    digests: impl IntoIterator<Item = &'a str>,
) -> QueryResult<Locked> {
    let mut digests: Vec<&str> = digests.into_iter().collect();
    // In one order, whichever is which.
    digests.sort_unstable();
    for digest in digests {
        diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended('pack ' || $1, 0))")
            .bind::<Text, _>(digest)
            .execute(conn)?;
    }
    Ok(Locked(()))
}

/// Records a stored pack, which is among those that are locked; the same pack twice is one row. Where
/// the store has the pack already, the new file is not kept.
///
/// # Errors
/// What diesel says.
pub fn insert(
    conn: &mut PgConnection,
    _: &Locked,
    pack: &StoredPack,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let is_new = diesel::insert_into(packs::table)
        .values((
            packs::digest.eq(&pack.digest),
            packs::bytes.eq(i64::try_from(pack.bytes).unwrap_or(i64::MAX)),
            packs::stored_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?
        == 1;
    if is_new || find(conn, &pack.digest)?.is_none() {
        let last: Option<i32> = if is_new {
            None
        } else {
            pack_copies::table
                .filter(pack_copies::digest.eq(&pack.digest))
                .select(max(pack_copies::copy))
                .first(conn)?
        };
        diesel::insert_into(pack_copies::table)
            .values((
                pack_copies::digest.eq(&pack.digest),
                pack_copies::copy.eq(last.unwrap_or(0) + 1),
                pack_copies::location.eq(&pack.location),
                pack_copies::stored_bytes.eq(i64::try_from(pack.stored_bytes).unwrap_or(i64::MAX)),
                pack_copies::sealed_digest.eq(pack.sealed.as_ref().map(|sealed| &sealed.digest)),
                pack_copies::recipients.eq(pack
                    .sealed
                    .as_ref()
                    .map_or(&[][..], |sealed| &sealed.recipients)),
                pack_copies::stored_at.eq(now),
            ))
            .execute(conn)?;
        // Now, and not after the commit, whose answer may be lost: a file too many is harmless.
        pack.keep();
    }
    diesel::insert_into(pack_receptions::table)
        .values((
            pack_receptions::digest.eq(&pack.digest),
            pack_receptions::received_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(())
}

/// Records that a pack, which is locked, came again which the store has; says whether it has it.
///
/// # Errors
/// What diesel says.
pub fn receive_again(
    conn: &mut PgConnection,
    _: &Locked,
    digest: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    if find(conn, digest)?.is_none() {
        return Ok(false);
    }
    diesel::insert_into(pack_receptions::table)
        .values((
            pack_receptions::digest.eq(digest),
            pack_receptions::received_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(true)
}

/// Finds the file that holds a pack, if one does.
///
/// # Errors
/// What diesel says.
pub fn find(conn: &mut PgConnection, digest: &str) -> QueryResult<Option<Pack>> {
    let dropped = pack_drops::table
        .filter(pack_drops::digest.eq(pack_copies::digest))
        .filter(pack_drops::copy.eq(pack_copies::copy));
    pack_copies::table
        .inner_join(packs::table.on(packs::digest.eq(pack_copies::digest)))
        .filter(pack_copies::digest.eq(digest))
        .filter(not(exists(dropped)))
        .order(pack_copies::copy.desc())
        .select((
            packs::bytes,
            pack_copies::location,
            pack_copies::stored_bytes,
            pack_copies::sealed_digest,
            pack_copies::recipients,
        ))
        .first(conn)
        .optional()
}

/// Whether a file is named, be it dropped by now.
///
/// # Errors
/// What diesel says.
pub fn is_named(conn: &mut PgConnection, location: &str) -> QueryResult<bool> {
    // The name of a file begins with the pack's digest, by which rows are found.
    let name = location.rsplit('/').next().unwrap_or(location);
    let digest = name.split('.').next().unwrap_or(name);
    let copies = pack_copies::table.filter(pack_copies::digest.eq(digest));
    let named = copies.filter(pack_copies::location.eq(location));
    diesel::select(exists(named)).get_result(conn)
}

/// A file of the store that is older than retention keeps it, and may be held.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Old {
    /// The pack.
    #[diesel(sql_type = Text)]
    pub digest: String,
    /// Which copy.
    #[diesel(sql_type = Integer)]
    pub copy: i32,
    /// Where the file is.
    #[diesel(sql_type = Text)]
    pub location: String,
    /// Since when.
    #[diesel(sql_type = Timestamptz)]
    pub stored_at: DateTime<Utc>,
}

/// Files of packs that did not come since `cutoff`, the oldest first, behind `after`.
///
/// # Errors
/// What diesel says.
pub fn old(
    conn: &mut PgConnection,
    cutoff: DateTime<Utc>,
    after: Option<&Old>,
    limit: i64,
) -> QueryResult<Vec<Old>> {
    let (since, digest, copy) = after.map_or((DateTime::UNIX_EPOCH, "", 0), |after| {
        (after.stored_at, &after.digest, after.copy)
    });
    diesel::sql_query(
        "SELECT digest, copy, location, stored_at FROM pack_copies AS copies \
         WHERE stored_at < $1 AND (stored_at, digest, copy) > ($2, $3, $4) \
         AND NOT EXISTS (SELECT FROM pack_drops AS drops \
             WHERE drops.digest = copies.digest AND drops.copy = copies.copy) \
         AND NOT EXISTS (SELECT FROM pack_receptions AS came \
             WHERE came.digest = copies.digest AND came.received_at >= $1) \
         ORDER BY stored_at, digest, copy LIMIT $5",
    )
    .bind::<Timestamptz, _>(cutoff)
    .bind::<Timestamptz, _>(since)
    .bind::<Text, _>(digest)
    .bind::<Integer, _>(copy)
    .bind::<BigInt, _>(limit)
    .load(conn)
}

/// A repository that refers to a pack, and the last push of it that does.
#[derive(Clone, Debug, QueryableByName)]
pub struct Use {
    /// The repository.
    #[diesel(sql_type = SqlUuid)]
    pub repository_id: Uuid,
    /// The push, where it is one.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub push_id: Option<Uuid>,
}

/// The repositories that refer to a pack, in the order of their ids.
///
/// # Errors
/// What diesel says.
pub fn uses(conn: &mut PgConnection, digest: &str) -> QueryResult<Vec<Use>> {
    diesel::sql_query(
        "SELECT DISTINCT ON (repository_id) repository_id, push_id FROM pack_references \
         WHERE digest = $1 ORDER BY repository_id, came_at DESC",
    )
    .bind::<Text, _>(digest)
    .load(conn)
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    is_so: bool,
}

/// Whether a pack may be dropped still: it is there, did not come since `cutoff`, and no hold
/// keeps it. It is locked.
///
/// # Errors
/// What diesel says.
pub fn may_drop(
    conn: &mut PgConnection,
    _: &Locked,
    old: &Old,
    cutoff: DateTime<Utc>,
) -> QueryResult<bool> {
    diesel::sql_query(
        "SELECT NOT pack_is_held($1) \
         AND NOT EXISTS (SELECT FROM pack_drops WHERE digest = $1 AND copy = $2) \
         AND NOT EXISTS (SELECT FROM pack_receptions WHERE digest = $1 AND received_at >= $3) \
         AS is_so",
    )
    .bind::<Text, _>(&old.digest)
    .bind::<Integer, _>(old.copy)
    .bind::<Timestamptz, _>(cutoff)
    .get_result(conn)
    .map(|answer: Answer| answer.is_so)
}

/// Records that a file is dropped.
///
/// # Errors
/// What diesel says.
pub fn insert_drop(
    conn: &mut PgConnection,
    old: &Old,
    days: u16,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::insert_into(pack_drops::table)
        .values((
            pack_drops::digest.eq(&old.digest),
            pack_drops::copy.eq(old.copy),
            pack_drops::dropped_at.eq(now),
            pack_drops::after_days.eq(i32::from(days)),
        ))
        .execute(conn)
        .map(drop)
}

/// When a pack was dropped last, and after how many days.
///
/// # Errors
/// What diesel says.
pub fn dropped(conn: &mut PgConnection, digest: &str) -> QueryResult<Option<(DateTime<Utc>, i32)>> {
    pack_drops::table
        .filter(pack_drops::digest.eq(digest))
        .order(pack_drops::copy.desc())
        .select((pack_drops::dropped_at, pack_drops::after_days))
        .first(conn)
        .optional()
}

/// Locations of files that were dropped since `since`.
///
/// # Errors
/// What diesel says.
pub fn dropped_since(conn: &mut PgConnection, since: DateTime<Utc>) -> QueryResult<Vec<String>> {
    pack_drops::table
        .inner_join(
            pack_copies::table.on(pack_copies::digest
                .eq(pack_drops::digest)
                .and(pack_copies::copy.eq(pack_drops::copy))),
        )
        .filter(pack_drops::dropped_at.ge(since))
        .select(pack_copies::location)
        .load(conn)
}
