//! What each role of the database may not do, tried out: every forbidden statement as every role.

use std::process::Command;

use refwarden_testkit::{Outcome, Repository, Stack, Via, run};

use crate::shared::stack;

/// Tables that are only ever added to.
const LEDGER: [&str; 25] = [
    "events",
    "readings",
    "commits",
    "changes",
    "findings",
    "decisions",
    "used_tokens",
    "revocations",
    "baselines",
    "push_facts",
    "log_leaves",
    "log_tiles",
    "log_checkpoints",
    "comments",
    "out_of_band",
    "pack_copies",
    "pack_receptions",
    "pack_drops",
    "holds",
    "hold_releases",
    "fetches",
    "object_sets",
    "object_parts",
    "masked_pushes",
    "untranslated_pushes",
];
/// Tables whose rows have a state that changes, with a column that does not.
const STATES: [(&str, &str); 4] = [
    ("pushes", "received_at"),
    ("ref_updates", "new_oid"),
    ("requests", "digest"),
    ("repositories", "id"),
];

fn psql(stack: &Stack, role: &str, statements: &str) -> Outcome {
    let url = &stack.started().database_url;
    let url = url.replace("user=refwarden", &format!("user={role}"));
    let mut command = Command::new("psql");
    command
        .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c"])
        .arg(statements)
        .arg(url);
    run(command, b"")
}

/// Tries each statement by itself; the first that is not refused for want of rights fails the
/// test, and so does one that fails for another reason.
#[track_caller]
fn all_refused(role: &str, statements: &[String]) {
    let list: Vec<String> = statements
        .iter()
        .map(|statement| format!("$statement${statement}$statement$"))
        .collect();
    let tried = psql(
        stack(),
        role,
        &format!(
            "DO $try$ DECLARE statement text; BEGIN
                FOREACH statement IN ARRAY ARRAY[{}] LOOP
                    BEGIN
                        EXECUTE statement;
                        RAISE EXCEPTION 'not refused: %', statement USING ERRCODE = 'RW001';
                    EXCEPTION WHEN insufficient_privilege THEN NULL;
                    END;
                END LOOP;
            END $try$",
            list.join(", ")
        ),
    );
    assert!(tried.ok(), "as {role}: {tried}");
}

fn each(templates: &[&str], tables: &[&str]) -> Vec<String> {
    let of = |table: &&str| {
        let of_table = |template: &&str| template.replace("TABLE_NAME", table);
        templates.iter().map(of_table).collect::<Vec<_>>()
    };
    tables.iter().flat_map(of).collect()
}

/// Statements that only an owner may make.
const OWNERS: [&str; 7] = [
    "ALTER TABLE TABLE_NAME DISABLE TRIGGER ALL",
    "ALTER TABLE TABLE_NAME ADD COLUMN more text",
    "CREATE RULE nothing AS ON INSERT TO TABLE_NAME DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE INSERT ON TABLE_NAME \
        FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "DROP TABLE TABLE_NAME CASCADE",
    "TRUNCATE TABLE_NAME CASCADE",
    "CREATE INDEX ON TABLE_NAME ((1))",
];
const DATABASE: [&str; 7] = [
    "SET session_replication_role = replica",
    "SET ROLE refwarden",
    "CREATE OR REPLACE FUNCTION ledger_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN RETURN NULL; END'",
    "DROP FUNCTION ledger_is_only_added_to() CASCADE",
    "ALTER ROLE refwarden_app SUPERUSER",
    "CREATE TABLE mine (x int)",
    "COPY (SELECT 1) TO PROGRAM 'true'",
];

fn texts(statements: &[&str]) -> Vec<String> {
    statements.iter().map(|it| (*it).to_owned()).collect()
}

/// A repository with a push, so that no statement finds an empty table.
fn pushed(name: &str) {
    let repository = Repository::guarded(stack(), name);
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    work.push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
}

#[test]
fn the_service_adds_to_the_ledger_and_cannot_change_it() {
    pushed("roles-app");
    let as_whom = "SELECT DISTINCT usename FROM pg_stat_activity \
                   WHERE datname = 'refwarden' AND pid <> pg_backend_pid() AND usename <> 'refwarden'";
    let users = psql(stack(), "refwarden", as_whom).passes().text();
    assert!(users.contains("refwarden_app"), "{users}");
    let changes = ["DELETE FROM TABLE_NAME", "TRUNCATE TABLE_NAME"];
    let states: Vec<&str> = STATES.iter().map(|(table, _)| *table).collect();
    let mut statements = each(&changes, &[&LEDGER[..], &states, &["packs"]].concat());
    statements.extend(each(&OWNERS, &[&LEDGER[..], &states].concat()));
    statements.extend(each(
        &["UPDATE TABLE_NAME SET recorded_at = now()"],
        &["events", "readings", "baselines", "log_checkpoints"],
    ));
    for (table, column) in [
        ("commits", "message"),
        ("changes", "path"),
        ("findings", "rule_id"),
        ("decisions", "decision"),
        ("used_tokens", "token_id"),
        ("revocations", "reason"),
        ("push_facts", "facts"),
        ("comments", "text"),
        ("out_of_band", "name"),
        ("log_leaves", "hash"),
        ("log_tiles", "root"),
        ("packs", "bytes"),
        ("fetches", "ended"),
        ("object_sets", "objects"),
        ("object_parts", "oids"),
        ("pack_copies", "location"),
        ("pack_receptions", "received_at"),
        ("pack_drops", "dropped_at"),
        ("holds", "reason"),
        ("hold_releases", "reason"),
    ] {
        statements.push(format!("UPDATE {table} SET {column} = {column}"));
    }
    // Nor does it make anything of the ledger hard to find.
    let found_by = [
        "event_terms",
        "event_term_blocks",
        "event_values",
        "event_terms_made",
    ];
    statements.extend(each(&changes, &found_by));
    statements.extend(each(&OWNERS, &found_by));
    statements.push("UPDATE event_terms SET terms = '{}'".to_owned());
    statements.push("UPDATE event_terms_made SET leaves = 1000000".to_owned());
    statements.push("UPDATE event_term_blocks SET last_at = '-infinity'".to_owned());
    statements.push("INSERT INTO event_values VALUES ('x', 'actor', 'x')".to_owned());
    // Their state may change, and nothing else.
    for statement in [
        "UPDATE pushes SET received_at = received_at - interval '1 day'",
        "UPDATE pushes SET pusher_subject = 'mallory'",
        "UPDATE pushes SET verdict = '{}'",
        "UPDATE ref_updates SET new_oid = repeat('0', 40)",
        "UPDATE requests SET digest = 'other'",
        "UPDATE requests SET requirements = '[]'",
        "UPDATE repositories SET next_seq = 1",
        "UPDATE repositories SET id = gen_random_uuid()",
    ] {
        statements.push(statement.to_owned());
    }
    statements.extend(texts(&DATABASE));
    all_refused("refwarden_app", &statements);
}

#[test]
fn an_auditor_reads_views_and_nothing_else() {
    pushed("roles-auditor");
    let seen = psql(
        stack(),
        "refwarden_auditor",
        "SELECT count(*) > 0 FROM audit.events JOIN audit.repositories AS r \
         ON r.id = repository_id WHERE r.name = 'roles-auditor'",
    );
    assert_eq!(seen.passes().text(), "t");
    let tables = psql(
        stack(),
        "refwarden",
        "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'",
    );
    let tables = tables.passes().text();
    let tables: Vec<&str> = tables.lines().collect();
    assert!(LEDGER.iter().all(|it| tables.contains(it)), "{tables:?}");
    let reading_and_changing = [
        "SELECT * FROM TABLE_NAME",
        "INSERT INTO TABLE_NAME DEFAULT VALUES",
        "DELETE FROM TABLE_NAME",
        "TRUNCATE TABLE_NAME",
    ];
    let mut statements = each(&reading_and_changing, &tables);
    statements.extend(each(&OWNERS, &tables));
    let views = [
        "audit.events",
        "audit.pushes",
        "audit.readings",
        "audit.log_checkpoints",
    ];
    statements.extend(each(
        &[
            "INSERT INTO TABLE_NAME DEFAULT VALUES",
            "DELETE FROM TABLE_NAME",
        ],
        &views,
    ));
    statements.extend(texts(&DATABASE));
    all_refused("refwarden_auditor", &statements);
}

#[test]
fn not_even_the_owner_changes_the_ledger_by_accident() {
    pushed("roles-owner");
    let changes = ["DELETE FROM TABLE_NAME", "TRUNCATE TABLE_NAME CASCADE"];
    let mut statements = each(&changes, &LEDGER);
    statements.push("UPDATE events SET summary = ''".to_owned());
    statements.push("DELETE FROM pushes".to_owned());
    statements.push("UPDATE pushes SET token_sha256 = ''".to_owned());
    all_refused("refwarden", &statements);
}

#[test]
fn the_service_does_not_start_where_commits_are_not_durable() {
    let stack = Stack::start();
    let set = "ALTER ROLE refwarden_app SET synchronous_commit = off";
    psql(&stack, "refwarden", set).passes();
    stack.refwarden(&["down"]).passes();
    stack
        .refwarden(&["up", "--detach"])
        .fails(&["synchronous_commit = off"]);
}
