//! Fetches, and the sets of objects that they brought.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bytea, SmallInt};
use refwarden_model::oidset;
use serde_json::Value;
use uuid::Uuid;

use super::schema::{fetches, object_parts, object_sets};

/// A fetch.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = fetches)]
pub struct Fetch {
    pub id: Uuid,
    pub repository_id: Uuid,
    pub seq: i64,
    pub host: String,
    pub recorded_at: DateTime<Utc>,
    pub begun_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub transport: String,
    pub client_address: Option<String>,
    pub client_agent: Option<String>,
    pub actor_chain: Option<Value>,
    pub reader_issuer: Option<String>,
    pub reader_subject: Option<String>,
    pub reader_kind: Option<String>,
    pub behalf_subject: Option<String>,
    pub token_sha256: Option<String>,
    pub policy_hash: String,
    pub view_id: Option<String>,
    pub view_ruleset: Option<String>,
    pub refs_count: Option<i64>,
    pub refs_digest: Option<String>,
    pub asked: Value,
    pub ended: String,
    pub pack_bytes: i64,
    pub pack_objects: Option<i64>,
    pub pack_sha256: Option<String>,
    pub pack_digest: Option<String>,
    pub objects: Option<String>,
    pub certainty: Option<String>,
}

/// A certainty that a pack's index gave; what another fetch of the same pack needs not learn again.
const EXACT: &str = "exact";

/// Inserts a fetch.
///
/// # Errors
/// What diesel says.
pub fn insert(conn: &mut PgConnection, fetch: &Fetch) -> QueryResult<()> {
    diesel::insert_into(fetches::table)
        .values(fetch)
        .execute(conn)
        .map(drop)
}

/// The number of a fetch's event, where it is recorded.
///
/// # Errors
/// What diesel says.
pub fn seq_of(conn: &mut PgConnection, id: Uuid) -> QueryResult<Option<i64>> {
    let row = fetches::table.find(id).select(fetches::seq);
    row.first(conn).optional()
}

/// The set of objects of a pack that was fetched before.
///
/// # Errors
/// What diesel says.
pub fn objects_of_pack(conn: &mut PgConnection, pack: &str) -> QueryResult<Option<String>> {
    let found: Option<Option<String>> = fetches::table
        .filter(fetches::pack_sha256.eq(pack))
        .filter(fetches::objects.is_not_null())
        .filter(fetches::certainty.eq(EXACT))
        .filter(fetches::ended.eq("complete"))
        .select(fetches::objects)
        .first(conn)
        .optional()?;
    Ok(found.flatten())
}

/// Inserts a part of a set; the same part twice is one row.
///
/// # Errors
/// What diesel says.
pub fn insert_parts(
    conn: &mut PgConnection,
    width: usize,
    parts: &[oidset::Part],
) -> QueryResult<()> {
    let width = i16::try_from(width).unwrap_or_default();
    let rows: Vec<_> = parts
        .iter()
        .map(|part| {
            (
                object_parts::digest.eq(part.digest().to_vec()),
                object_parts::width.eq(width),
                object_parts::bits.eq(i16::from(part.bits())),
                object_parts::prefix.eq(i32::from(part.prefix())),
                object_parts::oids.eq(part.oids()),
            )
        })
        .collect();
    // Five bound values a row, of which a statement takes 65 535.
    for chunk in rows.chunks(5000) {
        diesel::insert_into(object_parts::table)
            .values(chunk)
            .on_conflict_do_nothing()
            .execute(conn)?;
    }
    Ok(())
}

/// Of these parts, those that are there, with the number of their ids.
///
/// # Errors
/// What diesel says.
pub fn present_parts(
    conn: &mut PgConnection,
    width: usize,
    digests: &[Vec<u8>],
) -> QueryResult<Vec<(Vec<u8>, i64)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bytea)]
        digest: Vec<u8>,
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        objects: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT digest, (length(oids) / width)::bigint AS objects FROM object_parts \
         WHERE digest = ANY ($1) AND width = $2",
    )
    .bind::<Array<Bytea>, _>(digests)
    .bind::<SmallInt, _>(i16::try_from(width).unwrap_or_default())
    .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.digest, row.objects))
        .collect())
}

/// Inserts a set, all of whose parts are there; the same set twice is one row.
///
/// # Errors
/// What diesel says.
pub fn insert_set(
    conn: &mut PgConnection,
    digest: &str,
    objects: i64,
    parts: &[Vec<u8>],
) -> QueryResult<()> {
    diesel::insert_into(object_sets::table)
        .values((
            object_sets::digest.eq(digest),
            object_sets::objects.eq(objects),
            object_sets::parts.eq(parts),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .map(drop)
}

/// Whether a set is there.
///
/// # Errors
/// What diesel says.
pub fn has_set(conn: &mut PgConnection, digest: &str) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(object_sets::table.find(digest))).get_result(conn)
}
