//! A database superuser changes the record. Whatever it is, `refwarden audit verify` names it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use refwarden_merkle::{Checkpoint, Hash, SecretKey};
use refwarden_testkit::{Outcome, Repository, Stack, Via, until};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(30);

/// A log with some pushes in it, and what an auditor has outside the database.
struct Log {
    stack: Stack,
    key: PathBuf,
    second: PathBuf,
    work: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        let stack = Stack::start();
        let repository = Repository::guarded(&stack, "logged");
        let tree = repository.work();
        for name in ["a", "b", "c"] {
            tree.commit(&[(name.as_bytes(), b"x\n")], name);
            tree.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
        }
        let work = tempfile::tempdir().unwrap();
        let key = work.path().join("log.pub");
        let text = stack.refwarden(&["audit", "key"]).passes().text();
        std::fs::write(&key, text).unwrap();
        let second = stack.directory().join("checkpoints");
        let log = Self {
            stack,
            key,
            second,
            work,
        };
        let recorded = log.stack.api("audrey").events("logged").len();
        log.attested(recorded);
        log
    }

    /// Waits until a checkpoint attests so many events at least.
    fn attested(&self, events: usize) -> usize {
        until("events are attested", DEADLINE, || {
            let note = std::fs::read_to_string(self.second.join("checkpoint")).ok()?;
            let size: usize = note.lines().nth(1)?.parse().ok()?;
            (size >= events).then_some(size)
        })
    }

    /// Runs SQL as the superuser, past every trigger, in one transaction that nothing disturbs.
    /// The service takes its locks in another order: when Postgres ends this one's transaction as
    /// the victim of a deadlock, nothing has happened, and it comes again.
    #[track_caller]
    fn sql(&self, statements: &str) -> String {
        until("the statements get their locks", DEADLINE, || {
            let mut command = Command::new("psql");
            command
                .args(["-X", "-q", "-t", "-A", "-1", "-v", "ON_ERROR_STOP=1", "-c"])
                .arg(format!(
                    "SET session_replication_role = replica; \
                     LOCK TABLE events, log_leaves IN ACCESS EXCLUSIVE MODE; {statements}"
                ))
                .arg(&self.stack.started().database_url);
            let outcome = refwarden_testkit::run(command, b"");
            if outcome.to_string().contains("deadlock detected") {
                return None;
            }
            Some(outcome.passes().text())
        })
    }

    fn online(&self, with_second: bool) -> Outcome {
        let (key, second) = (self.key.to_str().unwrap(), self.second.to_str().unwrap());
        let mut arguments = vec!["audit", "verify", "--key", key];
        if with_second {
            arguments.extend(["--checkpoints", second]);
        }
        self.stack.refwarden(&arguments)
    }

    fn export(&self, name: &str) -> PathBuf {
        let path = self.work.path().join(name);
        let arguments = ["audit", "export", "--out", path.to_str().unwrap()];
        self.stack.refwarden(&arguments).passes();
        path
    }

    fn offline(&self, export: &Path, checkpoints: &[&Path]) -> Outcome {
        let (key, export) = (self.key.to_str().unwrap(), export.to_str().unwrap());
        let mut arguments = vec!["audit", "verify", "--key", key, "--export", export];
        for path in checkpoints {
            arguments.extend(["--checkpoints", path.to_str().unwrap()]);
        }
        self.stack.refwarden(&arguments)
    }

    /// Tampers, sees it named (online and from an export), and puts back what was.
    #[track_caller]
    fn names(&self, tampering: &str, undo: &str, words: &[&str]) {
        let kept = "CREATE TABLE kept_events AS TABLE events; \
                    CREATE TABLE kept_leaves AS TABLE log_leaves;";
        self.sql(&format!("{kept} {tampering}"));
        let found = self.online(true);
        assert_eq!(found.code, Some(1), "{found}");
        found.says(words);
        let export = self.export("tampered.jsonl");
        let found = self.offline(&export, &[&self.second]);
        assert_eq!(found.code, Some(1), "{found}");
        self.sql(&format!(
            "{undo}; DROP TABLE kept_events; DROP TABLE kept_leaves"
        ));
        self.online(true).passes();
    }
}

/// The third event of the repository, by its id and number.
const THIRD: &str = "repository_id = (SELECT id FROM repositories WHERE name = 'logged') \
                     AND seq = 3";
const THIRD_LEAF: &str = "(SELECT leaf_index FROM kept_leaves WHERE stream = \
                          (SELECT id FROM repositories WHERE name = 'logged') AND seq = 3)";
const EVENTS_BACK: &str = "DELETE FROM events; INSERT INTO events SELECT * FROM kept_events";
const ALL_BACK: &str = "DELETE FROM events; INSERT INTO events SELECT * FROM kept_events; \
                        DELETE FROM log_leaves; INSERT INTO log_leaves SELECT * FROM kept_leaves";

#[test]
fn each_change_of_a_superuser_is_named() {
    let log = Log::new();
    log.online(true).passes().says(&["Whole:"]);
    log.names(
        &format!("UPDATE events SET summary = 'nothing happened' WHERE {THIRD}"),
        EVENTS_BACK,
        &["number 3 of logged", "was edited"],
    );
    log.names(
        &format!("DELETE FROM events WHERE {THIRD}"),
        EVENTS_BACK,
        &["was deleted"],
    );
    // With the hash that stands beside it, as far as somebody can who does not have the key.
    log.names(
        &format!(
            "UPDATE events SET summary = 'nothing happened' WHERE {THIRD}; \
             UPDATE log_leaves SET hash = sha256('guessed') WHERE leaf_index = {THIRD_LEAF}"
        ),
        &format!(
            "{EVENTS_BACK}; UPDATE log_leaves SET hash = kept.hash FROM kept_leaves AS kept \
             WHERE kept.leaf_index = log_leaves.leaf_index"
        ),
        &["number 3 of logged", "was edited"],
    );
    // Event and leaf are gone, and what followed has moved up.
    log.names(
        &format!(
            "DELETE FROM events WHERE {THIRD}; \
             DELETE FROM log_leaves WHERE leaf_index = {THIRD_LEAF}; \
             UPDATE log_leaves SET leaf_index = -1 - leaf_index WHERE leaf_index > {THIRD_LEAF}; \
             UPDATE log_leaves SET leaf_index = -2 - leaf_index WHERE leaf_index < 0"
        )
        .replace(
            "UPDATE log_leaves SET leaf_index = -1",
            "ALTER TABLE log_leaves DROP CONSTRAINT log_leaves_leaf_index_check; \
             UPDATE log_leaves SET leaf_index = -1",
        ),
        ALL_BACK,
        &["number 3 of logged", "was deleted"],
    );
    // Two leaves have changed places; the same again puts them back. The log goes on meanwhile,
    // and what it gains must stay.
    let swap = format!(
        "UPDATE log_leaves SET leaf_index = -5 WHERE leaf_index = {THIRD_LEAF}; \
         UPDATE log_leaves SET leaf_index = {THIRD_LEAF} \
            WHERE leaf_index = {THIRD_LEAF} + 2; \
         UPDATE log_leaves SET leaf_index = {THIRD_LEAF} + 2 WHERE leaf_index = -5"
    );
    log.names(&swap, &swap, &["was moved"]);
    // An event that never was, where there is room for it.
    log.names(
        &format!(
            "UPDATE log_leaves SET leaf_index = -1 - leaf_index WHERE leaf_index >= {THIRD_LEAF}; \
             UPDATE log_leaves SET leaf_index = - leaf_index WHERE leaf_index < 0; \
             INSERT INTO events SELECT repository_id, 1000, recorded_at, kind, 'mallory', push_id, \
                request_id, ref_name, ref_name_text, old_oid, new_oid, codes, summary \
                FROM kept_events WHERE {THIRD}; \
             INSERT INTO log_leaves SELECT leaf_index, stream, 1000, hash, records \
                FROM kept_leaves WHERE leaf_index = {THIRD_LEAF}"
        ),
        ALL_BACK,
        &["number 1000 of logged", "was inserted"],
    );
    // The last that happened has not happened.
    log.names(
        &format!("DELETE FROM log_leaves WHERE leaf_index >= {THIRD_LEAF}"),
        ALL_BACK,
        &["cut off at the tail"],
    );
}

#[test]
fn what_belongs_to_an_event_is_guarded_with_it() {
    let log = Log::new();
    for (change, back) in [
        (
            "CREATE TABLE kept AS TABLE commits; UPDATE commits SET author = 'Mallory'",
            "UPDATE commits SET author = kept.author FROM kept \
             WHERE (kept.push_id, kept.ordinal) = (commits.push_id, commits.ordinal)",
        ),
        (
            "CREATE TABLE kept AS TABLE changes; DELETE FROM changes",
            "INSERT INTO changes SELECT * FROM kept",
        ),
        (
            "CREATE TABLE kept AS TABLE pushes; UPDATE pushes SET pusher_subject = 'mallory'",
            "UPDATE pushes SET pusher_subject = kept.pusher_subject FROM kept \
             WHERE kept.id = pushes.id",
        ),
    ] {
        log.sql(change);
        let found = log.online(true);
        assert_eq!(found.code, Some(1), "{change}: {found}");
        found.says(&["of logged", "was edited"]);
        log.sql(&format!("{back}; DROP TABLE kept"));
        log.online(true).passes();
    }
}

#[test]
fn forks_are_found_by_checkpoints_and_witnesses() {
    let log = Log::new();
    let export = log.export("export.jsonl");
    let der = std::fs::read(log.stack.directory().join("ledger-signing.key")).unwrap();
    let public = std::fs::read_to_string(&log.key).unwrap();
    let origin = public.split('+').next().unwrap();
    let secret = SecretKey::of_log(origin, &der).unwrap();
    let size = u64::try_from(log.attested(1)).unwrap();
    let other = Checkpoint::sign(size, Hash::of_leaf(b"another history"), &secret);
    let path = log.work.path().join("other.note");
    std::fs::write(&path, other.note.to_string()).unwrap();
    let found = log.offline(&export, &[&log.second, &path]);
    assert_eq!(found.code, Some(1), "{found}");
    found.says(&["forked"]);
    // One that the log has not signed proves nothing.
    let stranger = SecretKey::of_log(origin, &SecretKey::generate().unwrap()).unwrap();
    let forged = Checkpoint::sign(size, Hash::of_leaf(b"another history"), &stranger);
    std::fs::write(&path, forged.note.to_string()).unwrap();
    let found = log.offline(&export, &[&path]);
    assert_eq!(found.code, Some(1), "{found}");
    found.says(&["not to be trusted"]);

    let (last, own) = (
        log.work.path().join("last.note"),
        log.work.path().join("own.key"),
    );
    let (last_text, own_text) = (last.to_str().unwrap(), own.to_str().unwrap());
    let key = log.key.to_str().unwrap();
    let witness = [
        "audit",
        "witness",
        "--name",
        "witness.example",
        "--secret-key",
        own_text,
        "--last",
        last_text,
        "--key",
        key,
    ];
    let said = log.stack.refwarden(&witness).passes().text();
    let witness_key = said
        .lines()
        .find_map(|line| line.strip_prefix("Witness key: "))
        .unwrap();
    log.stack.refwarden(&witness).passes();
    let verify = [
        "audit",
        "verify",
        "--key",
        key,
        "--checkpoints",
        last_text,
        "--witness-key",
        witness_key,
    ];
    log.stack.refwarden(&verify).passes();
    // The witness has signed another history: it does not sign this one too.
    let mut other = Checkpoint::sign(1, Hash::of_leaf(b"another history"), &secret);
    let own = SecretKey::of_witness("witness.example", &std::fs::read(&own).unwrap()).unwrap();
    other.note.sign(&own, 1);
    std::fs::write(&last, other.note.to_string()).unwrap();
    let refused = log.stack.refwarden(&witness);
    assert_eq!(refused.code, Some(1), "{refused}");
    refused.says(&["not signed", "two histories"]);
    let found = log.stack.refwarden(&verify);
    assert_eq!(found.code, Some(1), "{found}");
    found.says(&["forked"]);
}

#[test]
fn one_event_is_proved_and_readings_are_events() {
    let log = Log::new();
    let key = log.key.to_str().unwrap();
    let prove = ["audit", "prove", "logged", "2", "--key", key, "--json"];
    let said = log.stack.refwarden(&prove).passes().text();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["leaf"].as_str().unwrap().contains(r#""seq":2,"#));
    // What `Log::new` read stands in the log.
    let export = until("the reading is in the log", DEADLINE, || {
        let text = std::fs::read_to_string(log.export("export.jsonl")).unwrap();
        text.contains(r#""kind":"records.read""#).then_some(text)
    });
    assert!(export.contains("audrey"), "{export}");
    let restarted = {
        let mut log = log;
        log.stack.restart();
        log
    };
    restarted.online(true).passes();
    let before = restarted.attested(1);
    restarted.online(true).passes();
    restarted.attested(before + 1);
}

#[test]
fn nothing_is_signed_over_a_history_that_was_cut_off() {
    let mut log = Log::new();
    let size = log.attested(1);
    log.sql(
        "DELETE FROM log_leaves WHERE leaf_index > 1; \
         DELETE FROM log_checkpoints WHERE size > 2; \
         DELETE FROM log_positions; INSERT INTO log_positions SELECT stream, max(seq) \
            FROM log_leaves GROUP BY stream",
    );
    log.stack.restart();
    let said = until("the service complains", DEADLINE, || {
        let said = log.stack.logs();
        said.contains("it was cut off").then_some(said)
    });
    assert!(said.contains(&format!("attests {size}")), "{said}");
    let found = log.online(true);
    assert_eq!(found.code, Some(1), "{found}");
    found.says(&["cut off at the tail"]);
}
