//! Fetches, and the sets of objects that they brought.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Bytea, Integer, SmallInt, Text};
use refwarden_model::{ActorChain, Oid, oidset};
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

/// The id of the masked view that a reader has fetched from last; none where none is on record.
///
/// # Errors
/// What diesel says.
pub fn last_view(
    conn: &mut PgConnection,
    repository: Uuid,
    reader: &ActorChain,
) -> QueryResult<Option<String>> {
    let behalf = reader.on_behalf_of.first().map(|actor| &actor.subject);
    let found: Option<Option<String>> = fetches::table
        .filter(fetches::repository_id.eq(repository))
        .filter(fetches::reader_issuer.eq(&reader.pusher.issuer))
        .filter(fetches::reader_subject.eq(&reader.pusher.subject))
        .filter(fetches::behalf_subject.is_not_distinct_from(behalf))
        .filter(fetches::view_id.is_not_null())
        .order(fetches::begun_at.desc())
        .select(fetches::view_id)
        .first(conn)
        .optional()?;
    Ok(found.flatten())
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

/// A fetch that brought one of the objects that were asked for.
#[derive(Clone, Debug, QueryableByName)]
pub struct Brought {
    /// The fetch.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub fetch: Uuid,
    /// The object, hexadecimal.
    #[diesel(sql_type = Text)]
    pub oid: String,
}

/// Which fetches brought which of these objects, at most `limit` pairs, the oldest fetch first.
///
/// # Errors
/// What diesel says.
pub fn carrying(conn: &mut PgConnection, oids: &[Oid], limit: i64) -> QueryResult<Vec<Brought>> {
    let (mut raw, mut widths, mut bits, mut prefixes) = (vec![], vec![], vec![], vec![]);
    for oid in oids {
        for (of_bits, prefix) in oidset::places(oid) {
            raw.push(oid.raw().to_vec());
            widths.push(i16::try_from(oid.raw().len()).unwrap_or_default());
            bits.push(i16::from(of_bits));
            prefixes.push(i32::from(prefix));
        }
    }
    diesel::sql_query(
        "WITH asked AS (
            SELECT * FROM unnest($1, $2, $3, $4) AS asked (oid, width, bits, prefix)
        ), held AS MATERIALIZED (
            SELECT p.digest, a.oid FROM asked AS a
            JOIN object_parts AS p USING (width, bits, prefix)
            -- An id that begins in the middle of another is none.
            WHERE position(a.oid IN p.oids) % p.width = 1
        )
        SELECT DISTINCT f.begun_at, f.id AS fetch, encode(held.oid, 'hex') AS oid
        FROM held
        JOIN object_sets AS s ON s.parts @> ARRAY[held.digest]
        JOIN fetches AS f ON f.objects = s.digest
        ORDER BY f.begun_at, f.id, oid LIMIT $5",
    )
    .bind::<Array<Bytea>, _>(raw)
    .bind::<Array<SmallInt>, _>(widths)
    .bind::<Array<SmallInt>, _>(bits)
    .bind::<Array<Integer>, _>(prefixes)
    .bind::<diesel::sql_types::BigInt, _>(limit)
    .load(conn)
}

/// Fetches by their ids.
///
/// # Errors
/// What diesel says.
pub fn by_ids(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<Vec<Fetch>> {
    fetches::table
        .filter(fetches::id.eq_any(ids))
        .order((fetches::begun_at, fetches::id))
        .select(Fetch::as_select())
        .load(conn)
}
