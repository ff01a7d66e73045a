//! Packs: what was received, in which file of the store it is, and which files are gone.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, max, not};
use diesel::prelude::*;
use diesel::sql_types::Text;

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

/// Records a stored pack; the same pack twice is one row. Where the store has the pack already,
/// the new file is not kept.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, pack: &StoredPack, now: DateTime<Utc>) -> QueryResult<()> {
    lock(conn, &pack.digest)?;
    diesel::insert_into(packs::table)
        .values((
            packs::digest.eq(&pack.digest),
            packs::bytes.eq(i64::try_from(pack.bytes).unwrap_or(i64::MAX)),
            packs::stored_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if find(conn, &pack.digest)?.is_none() {
        let last: Option<i32> = pack_copies::table
            .filter(pack_copies::digest.eq(&pack.digest))
            .select(max(pack_copies::copy))
            .first(conn)?;
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

/// Locks a pack until the transaction ends: whether the store has it must not change while
/// something is decided by it.
///
/// # Errors
/// What diesel says.
pub fn lock(conn: &mut PgConnection, digest: &str) -> QueryResult<()> {
    diesel::sql_query("SELECT pg_advisory_xact_lock(hashtextextended('pack ' || $1, 0))")
        .bind::<Text, _>(digest)
        .execute(conn)
        .map(drop)
}
