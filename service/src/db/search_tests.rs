//! How Postgres goes about each filter, on generated events of which a few are asked for.

use std::fmt::Write as _;

use diesel::connection::SimpleConnection as _;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::Text;
use diesel::{Connection as _, PgConnection, QueryResult, RunQueryDsl as _};
use refwarden_testkit::Stack;

use super::events::{Filter, list, selected};

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
                let plan: Vec<String> = Explain(selected(&filter)).load(conn)?;
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
        let shown = diesel::debug_query::<Pg, _>(&selected(&filter)).to_string();
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
