//! The tamper-evident log: leaves, tiles, checkpoints. Rows are only ever inserted; what they mean
//! is in `refwarden_merkle`, and when they are written in `ledger`.

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text, Timestamptz};
use diesel::upsert::excluded;
use refwarden_merkle::{Hash, Leaf, READINGS, Subtrees, Tree};
use uuid::Uuid;

use super::pieces::{Piece, Pieces};
use super::schema::{events, log_checkpoints, log_leaves, log_positions, log_tiles};

/// Leaves of a tile, as a power of two.
const TILE_LEVEL: u32 = 8;
/// Leaves of a tile.
pub const TILE: u64 = 1 << TILE_LEVEL;
/// Whoever holds this lock puts events into the log. Any number that nobody else uses.
const LOCK: i64 = 7_240_618;

/// An event, or a reading, with what is needed to make its leaf.
#[derive(Clone, Debug, QueryableByName)]
pub struct Entry {
    /// A repository's id, or [`READINGS`].
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub stream: Uuid,
    /// Its number there.
    #[diesel(sql_type = BigInt)]
    pub seq: i64,
    /// When it was recorded; none where the event is gone.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    actor: String,
    #[diesel(sql_type = Nullable<diesel::sql_types::Uuid>)]
    push_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    request_id: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    ref_name: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    old_oid: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    new_oid: Option<String>,
    #[diesel(sql_type = diesel::sql_types::Array<Text>)]
    codes: Vec<String>,
    #[diesel(sql_type = Text)]
    summary: String,
    /// SHA-256 over the records that belong to it.
    #[diesel(sql_type = Nullable<Text>)]
    pub records: Option<String>,
}

impl Entry {
    /// The leaf's bytes; `null` where the event is gone.
    pub fn leaf(&self) -> String {
        let Some(at) = self.at else {
            return "null".to_owned();
        };
        let leaf = Leaf {
            v: 1,
            stream: self.stream,
            seq: self.seq,
            at,
            kind: &self.kind,
            actor: &self.actor,
            push: self.push_id,
            request: self.request_id.as_deref(),
            ref_name: self.ref_name.clone().map(Into::into),
            old: self.old_oid.as_deref(),
            new: self.new_oid.as_deref(),
            codes: &self.codes,
            summary: &self.summary,
            records: self.records.as_deref(),
        };
        leaf.to_json()
    }
}

/// A leaf of the log, with its event.
#[derive(Clone, Debug, QueryableByName)]
pub struct LoggedEntry {
    /// Its number in the log, from 0.
    #[diesel(sql_type = BigInt)]
    pub leaf_index: i64,
    /// The hash that was recorded.
    #[diesel(sql_type = Binary)]
    pub hash: Vec<u8>,
    /// The event.
    #[diesel(embed)]
    pub entry: Entry,
}

/// Takes the sequencer's lock until the transaction ends, if nobody else has it.
///
/// # Errors
/// What diesel says.
pub fn try_lock(conn: &mut PgConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Got {
        #[diesel(sql_type = Bool)]
        got: bool,
    }
    // A batch may hold pushes of many thousand files, whose records are hashed here.
    conn.batch_execute("SET LOCAL statement_timeout = '60s'")?;
    let got: Got = diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS got")
        .bind::<BigInt, _>(LOCK)
        .get_result(conn)?;
    Ok(got.got)
}

/// Events and readings that are committed and not in the log, those of one stream in order and at
/// most `limit` of each stream.
///
/// # Errors
/// What diesel says.
pub fn pending(conn: &mut PgConnection, limit: i64) -> QueryResult<Vec<Entry>> {
    diesel::sql_query(
        "WITH fresh AS MATERIALIZED (
            SELECT e.repository_id AS stream, e.seq, e.recorded_at AS at, e.kind, e.actor,
                e.push_id, e.request_id, e.ref_name, e.old_oid, e.new_oid, e.codes, e.summary
            FROM repositories AS r
            LEFT JOIN log_positions AS p ON p.stream = r.id
            CROSS JOIN LATERAL (
                SELECT * FROM events
                WHERE repository_id = r.id AND seq > coalesce(p.seq, 0)
                ORDER BY seq LIMIT $1
            ) AS e
            WHERE r.next_seq > coalesce(p.seq, 0) + 1
            UNION ALL
            (SELECT $2, r.seq, r.recorded_at, 'records.read', r.reader, NULL, NULL, NULL, NULL,
                NULL, ARRAY[]::text[], r.what
            FROM readings AS r
            WHERE r.seq > coalesce((SELECT seq FROM log_positions WHERE stream = $2), 0)
            ORDER BY r.seq LIMIT $1)
            LIMIT 4 * $1
        )
        SELECT fresh.*, encode(sha256(convert_to(
            event_records(kind, push_id, request_id, at, stream, seq), 'UTF8')), 'hex') AS records
        FROM fresh ORDER BY stream, seq",
    )
    .bind::<BigInt, _>(limit)
    .bind::<diesel::sql_types::Uuid, _>(READINGS)
    .load(conn)
}

/// Numbers of the last event of each of these streams that is in the log.
///
/// # Errors
/// What diesel says.
pub fn positions(conn: &mut PgConnection, streams: &[Uuid]) -> QueryResult<Vec<(Uuid, i64)>> {
    log_positions::table
        .filter(log_positions::stream.eq_any(streams))
        .load(conn)
}

/// A leaf to append.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = log_leaves)]
pub struct NewLeaf {
    /// Its number in the log.
    pub leaf_index: i64,
    /// The event's stream.
    pub stream: Uuid,
    /// Its number there.
    pub seq: i64,
    /// Its hash.
    pub hash: Vec<u8>,
    /// SHA-256 over the records that belong to it.
    pub records: Option<String>,
}

/// Appends leaves, and the tiles that they fill.
///
/// # Errors
/// What diesel says.
pub fn append(conn: &mut PgConnection, leaves: &[NewLeaf]) -> QueryResult<()> {
    let Some(first) = leaves.first() else {
        return Ok(());
    };
    // Seven bound values a row, of which a statement takes 65 535.
    for chunk in leaves.chunks(5000) {
        diesel::insert_into(log_leaves::table)
            .values(chunk)
            .execute(conn)?;
    }
    let mut ends = std::collections::BTreeMap::new();
    for leaf in leaves {
        ends.insert(leaf.stream, leaf.seq);
    }
    let ends: Vec<_> = ends
        .into_iter()
        .map(|(stream, seq)| (log_positions::stream.eq(stream), log_positions::seq.eq(seq)))
        .collect();
    diesel::insert_into(log_positions::table)
        .values(&ends)
        .on_conflict(log_positions::stream)
        .do_update()
        .set(log_positions::seq.eq(excluded(log_positions::seq)))
        .execute(conn)?;
    let size = unsigned(first.leaf_index) + u64::try_from(leaves.len()).unwrap_or_default();
    for tile in unsigned(first.leaf_index) / TILE..size / TILE {
        let hashes = leaf_hashes(conn, tile * TILE, (tile + 1) * TILE)?;
        let mut tree = Tree::new();
        tree.extend(hashes.iter().copied());
        let bytes: Vec<u8> = hashes.iter().flat_map(|it| *it.as_bytes()).collect();
        diesel::insert_into(log_tiles::table)
            .values((
                log_tiles::tile.eq(signed(tile)),
                log_tiles::hashes.eq(bytes),
                log_tiles::root.eq(tree.root().as_bytes().to_vec()),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Leaves in the log.
///
/// # Errors
/// What diesel says.
pub fn size(conn: &mut PgConnection) -> QueryResult<u64> {
    let last: Option<i64> = log_leaves::table
        .select(diesel::dsl::max(log_leaves::leaf_index))
        .first(conn)?;
    Ok(last.map_or(0, |last| unsigned(last) + 1))
}

/// Hashes of the leaves `from..to`, in order.
///
/// # Errors
/// What diesel says.
pub fn leaf_hashes(conn: &mut PgConnection, from: u64, to: u64) -> QueryResult<Vec<Hash>> {
    let rows: Vec<Vec<u8>> = log_leaves::table
        .filter(log_leaves::leaf_index.ge(signed(from)))
        .filter(log_leaves::leaf_index.lt(signed(to)))
        .order(log_leaves::leaf_index)
        .select(log_leaves::hash)
        .load(conn)?;
    Ok(rows
        .iter()
        .filter_map(|row| Hash::from_slice(row))
        .collect())
}

/// A leaf of the log, and where its event stands among events; readings stand nowhere.
#[derive(Clone, Copy, Debug)]
pub struct LeafPlace {
    /// Its number in the log.
    pub index: u64,
    /// The event.
    pub place: Option<super::events::Place>,
}

/// Leaves from `from` on, in order, at most `limit`.
///
/// # Errors
/// What diesel says.
pub fn events_from(conn: &mut PgConnection, from: u64, limit: i64) -> QueryResult<Vec<LeafPlace>> {
    let rows: Vec<(i64, Uuid, i64, Option<DateTime<Utc>>)> = log_leaves::table
        .left_join(
            events::table.on(events::repository_id
                .eq(log_leaves::stream)
                .and(events::seq.eq(log_leaves::seq))),
        )
        .filter(log_leaves::leaf_index.ge(signed(from)))
        .order(log_leaves::leaf_index)
        .limit(limit)
        .select((
            log_leaves::leaf_index,
            log_leaves::stream,
            log_leaves::seq,
            events::recorded_at.nullable(),
        ))
        .load(conn)?;
    let place = |(index, stream, seq, at): (i64, Uuid, i64, Option<DateTime<Utc>>)| LeafPlace {
        index: unsigned(index),
        place: at.map(|at| (at, stream, seq)),
    };
    Ok(rows.into_iter().map(place).collect())
}

/// Where a stream's event stands in the log.
///
/// # Errors
/// What diesel says.
pub fn index_of(conn: &mut PgConnection, stream: Uuid, seq: i64) -> QueryResult<Option<u64>> {
    let found: Option<i64> = log_leaves::table
        .filter(log_leaves::stream.eq(stream))
        .filter(log_leaves::seq.eq(seq))
        .select(log_leaves::leaf_index)
        .first(conn)
        .optional()?;
    Ok(found.map(unsigned))
}

/// Leaves from `from` on with their events, at most `limit`. With `fresh`, the hash over the
/// records of each is made again from what the tables hold now, and not taken from the log.
///
/// # Errors
/// What diesel says.
pub fn entries(
    conn: &mut PgConnection,
    from: u64,
    limit: i64,
    fresh: bool,
) -> QueryResult<Vec<LoggedEntry>> {
    diesel::sql_query(
        "WITH page AS MATERIALIZED (
            SELECT * FROM log_leaves WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT $2
        )
        SELECT l.leaf_index, l.hash, l.stream, l.seq,
            coalesce(e.recorded_at, r.recorded_at) AS at,
            coalesce(e.kind, 'records.read') AS kind,
            coalesce(e.actor, r.reader, '') AS actor,
            e.push_id, e.request_id, e.ref_name, e.old_oid, e.new_oid,
            coalesce(e.codes, ARRAY[]::text[]) AS codes,
            coalesce(e.summary, r.what, '') AS summary,
            CASE WHEN $3 THEN encode(sha256(convert_to(
                    event_records(e.kind, e.push_id, e.request_id, e.recorded_at,
                        l.stream, l.seq), 'UTF8')), 'hex')
                ELSE l.records END AS records
        FROM page AS l
        LEFT JOIN events AS e ON e.repository_id = l.stream AND e.seq = l.seq
        LEFT JOIN readings AS r ON l.stream = $4 AND r.seq = l.seq
        ORDER BY l.leaf_index",
    )
    .bind::<BigInt, _>(signed(from))
    .bind::<BigInt, _>(limit)
    .bind::<Bool, _>(fresh)
    .bind::<diesel::sql_types::Uuid, _>(READINGS)
    .load(conn)
}

/// Records a checkpoint.
///
/// # Errors
/// What diesel says.
pub fn insert_checkpoint(
    conn: &mut PgConnection,
    size: u64,
    note: &str,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::insert_into(log_checkpoints::table)
        .values((
            log_checkpoints::size.eq(signed(size)),
            log_checkpoints::recorded_at.eq(now),
            log_checkpoints::note.eq(note),
        ))
        .execute(conn)?;
    Ok(())
}

/// Sizes and notes of checkpoints larger than `after`, the smallest first.
///
/// # Errors
/// What diesel says.
pub fn checkpoints(
    conn: &mut PgConnection,
    after: u64,
    limit: i64,
) -> QueryResult<Vec<(i64, String)>> {
    log_checkpoints::table
        .filter(log_checkpoints::size.gt(signed(after)))
        .order(log_checkpoints::size)
        .limit(limit)
        .select((log_checkpoints::size, log_checkpoints::note))
        .load(conn)
}

/// The last checkpoint: its size, when it was made, and the note.
///
/// # Errors
/// What diesel says.
pub fn last_checkpoint(
    conn: &mut PgConnection,
) -> QueryResult<Option<(i64, DateTime<Utc>, String)>> {
    log_checkpoints::table
        .order(log_checkpoints::size.desc())
        .first(conn)
        .optional()
}

/// Roots of subtrees, from tiles and, behind the last full tile, from leaves.
pub struct Stored<'a>(pub &'a mut PgConnection);

impl Subtrees for Stored<'_> {
    type Error = diesel::result::Error;

    fn subtree(&mut self, level: u32, index: u64) -> QueryResult<Hash> {
        let mut tree = Tree::new();
        if level < TILE_LEVEL {
            let (from, to) = (index << level, (index + 1) << level);
            tree.extend(leaf_hashes(self.0, from, to)?);
        } else {
            let level = level - TILE_LEVEL;
            let (from, to) = (index << level, (index + 1) << level);
            let roots: Vec<Vec<u8>> = log_tiles::table
                .filter(log_tiles::tile.ge(signed(from)))
                .filter(log_tiles::tile.lt(signed(to)))
                .order(log_tiles::tile)
                .select(log_tiles::root)
                .load(self.0)?;
            tree.extend(roots.iter().filter_map(|root| Hash::from_slice(root)));
        }
        Ok(tree.root())
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Which events: of a push, or of a period and perhaps one stream.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The push.
    pub push: Option<Uuid>,
    /// Then or later.
    pub since: Option<DateTime<Utc>>,
    /// Earlier.
    pub before: Option<DateTime<Utc>>,
    /// The repository.
    pub stream: Option<Uuid>,
}

/// A leaf whose event was selected.
#[derive(Clone, Copy, Debug)]
pub struct Selected {
    /// Its number in the log.
    pub index: u64,
    stream: Uuid,
    seq: i64,
}

#[derive(QueryableByName)]
struct SelectedRow {
    #[diesel(sql_type = BigInt)]
    leaf_index: i64,
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    stream: Uuid,
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

/// Selected events, in the order of the log, from number `from` to below `size`, at most `limit`.
///
/// # Errors
/// What diesel says.
pub fn select(
    conn: &mut PgConnection,
    selection: &Selection,
    from: u64,
    size: u64,
    limit: i64,
) -> QueryResult<Vec<Selected>> {
    let mut query = Pieces::default();
    query.sql(
        "SELECT l.leaf_index, l.stream, l.seq FROM log_leaves AS l
        JOIN events AS e ON e.repository_id = l.stream AND e.seq = l.seq WHERE TRUE",
    );
    let (mut from, mut size) = (from, size);
    if let Some(push) = selection.push {
        query.sql(" AND e.push_id = ");
        query.bind(Piece::Uuid(push));
    } else {
        let (first, past) = leaves_of(conn, selection)?;
        from = from.max(first);
        size = size.min(past);
    }
    if let Some(stream) = selection.stream {
        query.sql(" AND l.stream = ");
        query.bind(Piece::Uuid(stream));
    }
    if let Some(since) = selection.since {
        query.sql(" AND e.recorded_at >= ");
        query.bind(Piece::Time(since));
    }
    if let Some(before) = selection.before {
        query.sql(" AND e.recorded_at < ");
        query.bind(Piece::Time(before));
    }
    query.sql(" AND l.leaf_index >= ");
    query.bind(Piece::Number(signed(from)));
    query.sql(" AND l.leaf_index < ");
    query.bind(Piece::Number(signed(size)));
    query.sql(" ORDER BY l.leaf_index LIMIT ");
    query.bind(Piece::Number(limit));
    let rows: Vec<SelectedRow> = query.load(conn)?;
    let row = |row: SelectedRow| Selected {
        index: unsigned(row.leaf_index),
        stream: row.stream,
        seq: row.seq,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Between which leaves the events of a period stand, so that a log of many years is not read for a
/// day: the first, and the one behind the last.
fn leaves_of(conn: &mut PgConnection, selection: &Selection) -> QueryResult<(u64, u64)> {
    #[derive(QueryableByName)]
    struct Bounds {
        #[diesel(sql_type = BigInt)]
        first: i64,
        #[diesel(sql_type = BigInt)]
        past: i64,
    }
    let mut query = Pieces::default();
    // Leaves without terms may be of any time.
    query.sql(
        "SELECT least(min(block) << 15, made.leaves) AS first, CASE
            WHEN made.leaves > (SELECT max(leaf_index) FROM log_leaves)
                THEN coalesce((max(block) + 1) << 15, 0)
            ELSE 9223372036854775807 END AS past
        FROM event_terms_made AS made LEFT JOIN event_term_blocks ON TRUE",
    );
    if let Some(since) = selection.since {
        query.sql(" AND last_at >= ");
        query.bind(Piece::Time(since));
    }
    if let Some(before) = selection.before {
        query.sql(" AND first_at < ");
        query.bind(Piece::Time(before));
    }
    query.sql(" GROUP BY made.leaves");
    let bounds: Bounds = query.get_result(conn)?;
    Ok((unsigned(bounds.first), unsigned(bounds.past)))
}

/// Events of a push that are in the log below `size`.
///
/// # Errors
/// What diesel says.
pub fn count_of_push(conn: &mut PgConnection, push: Uuid, size: u64) -> QueryResult<i64> {
    let selection = Selection {
        push: Some(push),
        ..Selection::default()
    };
    let found = select(conn, &selection, 0, size, i64::MAX)?;
    Ok(i64::try_from(found.len()).unwrap_or(i64::MAX))
}

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Nullable<Text>)]
    text: Option<String>,
}

/// What belongs to the event of a leaf, as the tables hold it now.
///
/// # Errors
/// What diesel says.
pub fn records_of(conn: &mut PgConnection, index: u64) -> QueryResult<Option<String>> {
    diesel::sql_query(
        "SELECT event_records(e.kind, e.push_id, e.request_id, e.recorded_at, l.stream, l.seq) AS text
        FROM log_leaves AS l JOIN events AS e ON e.repository_id = l.stream AND e.seq = l.seq
        WHERE l.leaf_index = $1",
    )
    .bind::<BigInt, _>(signed(index))
    .get_result(conn)
    .optional()
    .map(|found: Option<OneText>| found.and_then(|found| found.text))
}

/// Digests of the packs that these events refer to: of their pushes, of a baseline, of a move out
/// of band, of a fetch.
///
/// # Errors
/// What diesel says.
pub fn packs_of(conn: &mut PgConnection, events: &[Selected]) -> QueryResult<Vec<String>> {
    let streams: Vec<Uuid> = events.iter().map(|event| event.stream).collect();
    let seqs: Vec<i64> = events.iter().map(|event| event.seq).collect();
    let rows: Vec<OneText> = diesel::sql_query(
        "WITH asked AS (SELECT * FROM unnest($1, $2) AS asked (stream, seq))
        SELECT DISTINCT text FROM (
            SELECT p.pack_digest AS text FROM asked
                JOIN events AS e ON e.repository_id = stream AND e.seq = asked.seq
                JOIN pushes AS p ON p.id = e.push_id
            UNION ALL
            SELECT b.pack_digest FROM asked
                JOIN baselines AS b ON b.repository_id = stream AND b.seq = asked.seq
            UNION ALL
            SELECT o.pack_digest FROM asked
                JOIN out_of_band AS o ON o.repository_id = stream AND o.seq = asked.seq
            UNION ALL
            SELECT f.pack_digest FROM asked
                JOIN fetches AS f ON f.repository_id = stream AND f.seq = asked.seq
        ) AS found WHERE text IS NOT NULL ORDER BY text",
    )
    .bind::<diesel::sql_types::Array<diesel::sql_types::Uuid>, _>(streams)
    .bind::<diesel::sql_types::Array<BigInt>, _>(seqs)
    .load(conn)?;
    Ok(rows.into_iter().filter_map(|row| row.text).collect())
}
