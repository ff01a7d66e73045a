//! How Postgres goes about each filter, on generated events of which a few are asked for.

use std::fmt::Write as _;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::Text;
use diesel::{Connection as _, PgConnection, QueryResult, RunQueryDsl as _};
use refwarden_testkit::Stack;

use super::events::{Event, Filter, Place, list, selected};
use super::pages::{Reach, list_within};
use super::search::Way;
use super::terms;

/// 20 000 events of 5 000 pushes; one push in 1 000 is different in everything.
const GENERATE: &str = "
SET LOCAL session_replication_role = replica;
INSERT INTO repositories (id, name, object_format, host, epoch, adopted_at, next_seq)
    SELECT md5('r' || r)::uuid, 'team/r' || r, 'sha1', 'h', 1, now(), 100000
    FROM generate_series(0, 199) r;
INSERT INTO pushes (id, repository_id, host, received_at, boot_id, pid_namespace, pid, start_ticks,
        transport, hook_version, pusher_subject, pusher_kind, behalf_subject, push_options,
        policy_hash, ruleset_id, verdict, codes, state, commits_total, findings_total,
        objects_scanned, timings)
    SELECT md5('p' || p)::uuid, md5('r' || p % 200)::uuid, 'h', timestamptz '2026-01-01' + p * interval '1 min',
        'b', 1, p, p, 'ssh', '1', 'agent', CASE WHEN p % 1000 = 7 THEN 'ci' ELSE 'agent' END,
        CASE WHEN p % 1000 = 7 THEN 'rare' ELSE 'ada' || p % 50 END, '[]', 'x', 'y', '{}', '{}',
        CASE WHEN p % 1000 = 7 THEN 'cancelled' ELSE 'granted' END, 1, 1, 1, '{}'
    FROM generate_series(1, 5000) p;
INSERT INTO ref_updates (push_id, ordinal, repository_id, ref_name, ref_name_text, target,
        claimed_old, actual_old, new_oid, kind, gained, lost, state)
    SELECT id, 0, repository_id, 'r', 'r', 'r', '0', '0', '1', 'create', 1, 0,
        CASE WHEN state = 'cancelled' THEN 'not_moved' ELSE 'committed' END FROM pushes;
INSERT INTO changes (push_id, commit_ordinal, ordinal, path, path_text, old_mode, new_mode, old_oid,
        new_oid, status, patch, patch_cut)
    SELECT md5('p' || p)::uuid, 0, c, 'x', CASE WHEN p % 1000 = 7 THEN 'deploy/main.tf'
        ELSE 'src/' || c || '/file' || p || '.rs' END, '0', '0', '0', '0', 'A', '', false
    FROM generate_series(1, 5000) p, generate_series(1, 4) c;
INSERT INTO findings (push_id, ordinal, rule_id, fingerprint, place, line, column_, redacted,
        pre_existing)
    SELECT md5('p' || p)::uuid, 0, CASE WHEN p % 1000 = 7 THEN 'rare-key' ELSE 'github-pat' END,
        'f', 'file', 1, 1, '**', false FROM generate_series(1, 5000) p;
INSERT INTO events (repository_id, seq, recorded_at, kind, actor, push_id, request_id, ref_name,
        ref_name_text, codes, summary)
    SELECT repository_id, pid * 4 + e, received_at + e * interval '1 s',
        CASE WHEN e = 0 AND pid % 1000 = 7 THEN 'push.rare' ELSE 'ref.committed' END,
        CASE WHEN pid % 1000 = 7 THEN 'rare for ada' ELSE 'agent for ' || behalf_subject END, id,
        CASE WHEN pid % 1000 = 7 THEN 'RARE' END, 'x',
        CASE WHEN pid % 1000 = 7 THEN 'refs/heads/rare' ELSE 'refs/heads/t' || pid END,
        CASE WHEN pid % 1000 = 7 THEN '{RW999}'::text[] ELSE '{RW000}' END, 'x'
    FROM pushes, generate_series(0, 3) e;
ANALYZE;";

struct Explain<Q>(Q);

impl<Q> Query for Explain<Q> {
    type SqlType = Text;
}
impl<Q> QueryId for Explain<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<Q> diesel::RunQueryDsl<PgConnection> for Explain<Q> {}
impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Explain<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("EXPLAIN ");
        self.0.walk_ast(out)
    }
}

fn filter(query: &str, newest_first: bool) -> Filter {
    Filter {
        query: refwarden_query::parse(query, chrono::Utc::now()).unwrap(),
        newest_first,
        limit: 50,
        ..Filter::default()
    }
}

#[test]
fn every_single_filter_is_served_by_an_index() {
    let stack = Stack::start();
    let mut conn = PgConnection::establish(&stack.started().database_url).unwrap();
    conn.test_transaction::<_, diesel::result::Error, _>(|conn| {
        conn.batch_execute(GENERATE)?;
        let push = "push:00000000-0000-0000-0000-000000000001";
        let mut wrong = String::new();
        for (query, expected) in [
            ("repo:team/r7", 50),
            ("repo:team/r7,team/none", 50),
            ("ref:refs/heads/rare", 20),
            ("ref:refs/heads/ra*", 20),
            ("ref:**/rare", 20),
            ("ref:refs/heads/rare,refs/heads/t1", 24),
            ("actor:rare", 20),
            ("actor:ra*", 20),
            ("actor:kind=ci", 20),
            ("on-behalf-of:rare", 20),
            ("state:cancelled", 20),
            ("state:not-moved", 20),
            ("rule:rare-key", 20),
            ("rule:secret.rare*", 20),
            ("path:deploy/main.tf", 20),
            ("path:deploy/**", 20),
            ("path:**/*.tf", 20),
            ("path:**/main.tf,none", 20),
            ("kind:push.rare", 5),
            ("kind:push", 5),
            ("code:RW999", 20),
            ("request:RARE", 20),
            (push, 0),
            ("event:28", 1),
            ("since:2026-01-04", 50),
            ("until:2026-01-02", 50),
            ("", 50),
        ] {
            for newest_first in [false, true] {
                let filter = filter(query, newest_first);
                let found = list(conn, &filter)?.len();
                let plan: Vec<String> = Explain(selected(&filter, Way::Among)).load(conn)?;
                let plan = plan.join("\n");
                let is_scanned = ["events", "pushes", "changes", "findings", "ref_updates"]
                    .iter()
                    .any(|table| plan.contains(&format!("Seq Scan on {table}")));
                if is_scanned || found != expected {
                    writeln!(wrong, "{query}: {found} of {expected}\n{plan}").unwrap();
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        Ok(())
    });
}

/// Most events come into the log, a few leaves to a block, and get their terms; the last stay
/// without. Then a push changes its state, and one of its events is fresh.
const SPREAD: &str = "
INSERT INTO log_leaves (leaf_index, stream, seq, hash)
    SELECT 23 * (row_number() OVER (ORDER BY recorded_at, repository_id, seq) - 1), repository_id,
        seq, sha256('x') FROM events WHERE recorded_at < '2026-01-04 11:00';
INSERT INTO log_positions SELECT stream, max(seq) FROM log_leaves GROUP BY stream;
UPDATE repositories SET next_seq = 1 + coalesce((SELECT max(seq) FROM events
    WHERE repository_id = repositories.id), 0);";
const CHANGE: &str = "
UPDATE pushes SET state = 'waiting' WHERE pid IN (1007, 1008);
UPDATE ref_updates SET state = 'not_moved' WHERE push_id = md5('p1008')::uuid;
INSERT INTO events (repository_id, seq, recorded_at, kind, actor, push_id, codes, summary)
    SELECT repository_id, next_seq, '2026-01-05', 'push.waiting', 'rare for ada',
        md5('p' || pid)::uuid, '{}', 'x'
    FROM pushes JOIN repositories ON repositories.id = repository_id WHERE pid IN (1007, 1008);
UPDATE repositories SET next_seq = next_seq + 1
    WHERE id IN (SELECT repository_id FROM pushes WHERE pid IN (1007, 1008));";

fn places(events: &[Event]) -> Vec<Place> {
    events.iter().map(Event::place).collect()
}

#[test]
fn pages_by_terms_are_those_that_a_plain_query_finds() {
    let stack = Stack::start();
    let mut conn = PgConnection::establish(&stack.started().database_url).unwrap();
    conn.test_transaction::<_, diesel::result::Error, _>(|conn| {
        conn.batch_execute(GENERATE)?;
        // The service's own events are not part of it.
        conn.batch_execute(
            "DELETE FROM event_terms; DELETE FROM event_term_blocks; DELETE FROM log_positions;
            DELETE FROM log_leaves; UPDATE event_terms_made SET leaves = 0;",
        )?;
        // An empty log has nothing to make, and what comes into it later is made.
        assert_eq!(terms::make(conn, 100_000)?, 0);
        conn.batch_execute(SPREAD)?;
        while terms::make(conn, 100_000)? > 0 {}
        same_pages(conn);
        conn.batch_execute(CHANGE)?;
        same_pages(conn);
        // Of what is in the log now, terms of earlier events are made again.
        conn.batch_execute(
            "INSERT INTO log_leaves (leaf_index, stream, seq, hash)
                SELECT 1000000 + row_number() OVER (), repository_id, seq, sha256('x') FROM events
                WHERE recorded_at >= '2026-01-04 11:00';
            DELETE FROM log_positions;
            INSERT INTO log_positions SELECT stream, max(seq) FROM log_leaves GROUP BY stream;",
        )?;
        while terms::make(conn, 100_000)? > 0 {}
        same_pages(conn);
        Ok(())
    });
}

#[track_caller]
fn same_pages(conn: &mut PgConnection) {
    for query in [
        "repo:team/r7",
        "repo:team/r*",
        "repo:team/r1?",
        "repo:none",
        "ref:refs/heads/rare",
        "ref:refs/heads/t10*",
        "ref:refs/heads/t100*",
        "ref:refs/heads/t100?",
        "ref:refs/heads/t100**",
        "ref:refs/heads/rar?,refs/heads/t1007*",
        "ref:**/rare",
        "-ref:refs/heads/t1 actor:rare",
        "actor:ra*",
        "actor:agent on-behalf-of:ada7",
        "actor:kind=ci state:cancelled",
        "on-behalf-of:a*7",
        "state:cancelled,waiting",
        "state:waiting",
        "state:not-moved",
        "state:not-moved kind:ref.committed",
        "state:waiting since:2026-01-01 until:2026-01-02",
        "state:released actor:kind=ci",
        "rule:rare-key",
        "rule:rare* actor:rare",
        "path:deploy/main.tf",
        "path:deploy/**",
        "path:**/*.tf",
        "path:src/3/file70?.rs",
        "path:**/file7007.rs",
        "path:**/main.tf",
        "path:deploy/*",
        "path:src/*",
        "path:src/3/*",
        "path:src/3/**",
        "path:src/*/file1007.rs",
        "path:src/3/file7*.rs",
        "path:src/3/file1008*",
        "path:src/3/file1008.r?",
        "path:src/3/file70**",
        "path:src/3/fi*1008.rs",
        "path:deploy/mai*",
        "path:deploy/main.t?",
        "path:src/**/file100?.rs",
        "path:**/3/file1007.rs",
        "path:s*/3/file1007.rs",
        "path:*/",
        "path:src/3*7.rs",
        "path:**/main.tf,none state:not-moved",
        "kind:push.rare",
        "kind:push",
        "kind:push -kind:push.rare",
        "code:rw999",
        "code:rw999 -state:cancelled",
        "code:rw999 \"x\" since:2026-01-03",
    ] {
        for newest_first in [false, true] {
            let mut filter = filter(query, newest_first);
            filter.limit = 7;
            let reach = Reach {
                walk: 1,
                candidates: 1,
                time: Duration::from_mins(1),
            };
            let hurried = Reach {
                time: Duration::ZERO,
                ..reach
            };
            for page in 0..3 {
                let expected = selected(&filter, Way::Among).load::<Event>(conn).unwrap();
                let found = list_within(conn, &filter, reach).unwrap();
                let shown = format!("{query}, page {page}, newest first: {newest_first}");
                assert_eq!(places(&found), places(&expected), "{shown}");
                assert_eq!(places(&list(conn, &filter).unwrap()), places(&expected));
                if page == 0 {
                    let found = list_within(conn, &filter, hurried).unwrap();
                    assert_eq!(places(&found), places(&expected), "{shown}, out of time");
                }
                filter.after = expected.last().map(Event::place).or(filter.after);
            }
        }
    }
}

#[test]
fn what_is_asked_for_is_never_part_of_the_sql() {
    for key in refwarden_query::KEYS {
        let query = format!("{key}:\"x'y\\\"z\"");
        let Ok(query) = refwarden_query::parse(&query, chrono::Utc::now()) else {
            continue;
        };
        let filter = Filter {
            query,
            ..Filter::default()
        };
        let shown = diesel::debug_query::<Pg, _>(&selected(&filter, Way::Among)).to_string();
        let (sql, binds) = shown.split_once("-- binds:").unwrap();
        let (sql, binds) = (sql.to_lowercase(), binds.to_lowercase());
        // Where it becomes a pattern, a backslash stands before the quote.
        assert!(!sql.contains("x'y") && !sql.contains("x\\'y"), "{sql}");
        assert!(
            binds.contains("x'y") || binds.contains("x\\\\'y"),
            "{binds}"
        );
    }
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    number: i64,
}

fn number(conn: &mut PgConnection, query: &str) -> i64 {
    let found: Number = diesel::sql_query(format!("SELECT ({query})::bigint AS number"))
        .get_result(conn)
        .unwrap();
    found.number
}

#[test]
fn terms_are_made_by_one_at_a_time_and_leave_nothing_out() {
    let stack = Stack::start();
    let open = || PgConnection::establish(&stack.started().database_url).unwrap();
    let (mut one, mut other) = (open(), open());
    one.batch_execute("BEGIN; SELECT FROM event_terms_made FOR UPDATE")
        .unwrap();
    let made = "SELECT leaves FROM event_terms_made";
    let before = number(&mut one, made);
    refwarden_testkit::Repository::guarded(&stack, "made");
    // What is in the log now has no terms, and whoever does not get the lock makes none.
    let waiting = format!("SELECT coalesce(max(leaf_index) + 1, 0) - ({made}) FROM log_leaves");
    refwarden_testkit::until("there are leaves", Duration::from_secs(30), || {
        (number(&mut other, &waiting) > 0).then_some(())
    });
    assert_eq!(terms::make(&mut other, 1000).unwrap(), 0);
    assert_eq!(number(&mut other, made), before);
    one.batch_execute("ROLLBACK").unwrap();
    refwarden_testkit::until("all have their terms", Duration::from_secs(30), || {
        (number(&mut other, &waiting) == 0).then_some(())
    });
    let without = "SELECT count(*) FROM log_leaves LEFT JOIN event_terms AS t \
                   ON t.repository_id = stream AND t.seq = log_leaves.seq \
                   JOIN events AS e ON e.repository_id = stream AND e.seq = log_leaves.seq \
                   WHERE t.seq IS NULL";
    assert_eq!(number(&mut other, without), 0);
    // No name goes by the number of a state, which is taken away when the state changes.
    let of_state = "SELECT max(term_hash(term)) FROM unnest(ARRAY['push:denied', 'push:waiting', \
                    'push:granted', 'push:cancelled', 'move:committed', 'move:prepared', \
                    'move:not_moved']) AS term";
    assert!(number(&mut other, of_state) < 16);
    let of_names = "SELECT count(*) FROM generate_series(1, 1000) AS n \
                    WHERE name_hash('ref:' || n) & 16 = 0";
    assert_eq!(number(&mut other, of_names), 0);
    let same = "SELECT count(*) FROM generate_series(1, 1000) AS n \
                WHERE term_hash('ref:' || n) <> name_hash('ref:' || n)";
    assert_eq!(number(&mut other, same), 0);
}
