//! A database that was restored from a backup, older than the repositories: every move that it
//! misses is reported, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use refwarden_testkit::{Repository, Stack, Via, run, until};

use crate::reconcile::reconcile;
use crate::shared::replay;

#[track_caller]
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    run(command, b"").passes();
}

/// What the second place says that the log attests, in events.
fn attested(stack: &Stack) -> Option<usize> {
    let note = std::fs::read_to_string(stack.directory().join("checkpoints/checkpoint")).ok()?;
    note.lines().nth(1)?.parse().ok()
}

/// Events of all streams in the database.
fn recorded(stack: &Stack) -> usize {
    let mut command = Command::new("psql");
    let count = "SELECT count(*) FROM events";
    command.args(["-X", "-q", "-t", "-A", "-c", count]);
    command.arg(&stack.started().database_url);
    let said = run(command, b"").passes().text();
    said.trim().parse().unwrap()
}

#[test]
fn an_older_database_reports_every_missing_move_and_invents_nothing() {
    let mut stack = Stack::start();
    let (cluster, backup) = {
        let data = stack.directory();
        (data.join("postgres"), data.join("backup"))
    };
    {
        let repository = Repository::guarded(&stack, "restored");
        let work = repository.work();
        work.commit(&[(b"a", b"a\n")], "A");
        for name in ["stays", "moves", "goes"] {
            work.push(Via::Local, &[&format!("HEAD:refs/heads/{name}")])
                .passes();
        }
        Repository::guarded(&stack, "untouched");
    }
    // As an administrator would who stops everything for it; packs are only ever added.
    stack.refwarden(&["down"]).passes();
    copy(&cluster, &backup);
    stack.restart();
    let in_backup = recorded(&stack);

    let (expected, events) = {
        let repository = Repository::named(&stack, "restored");
        let before = repository.value("refs/heads/moves").unwrap();
        let work = repository.work();
        work.git(&["fetch", "-q", "origin", "moves"]);
        work.git(&["checkout", "-q", "FETCH_HEAD"]);
        work.commit(&[(b"b", b"b\n")], "B");
        work.push(Via::Local, &["HEAD:refs/heads/moves"]).passes();
        let after = work.commit(&[(b"c", b"c\n")], "C");
        for to in [
            "HEAD:refs/heads/moves",
            "HEAD:refs/heads/comes",
            ":refs/heads/goes",
        ] {
            work.push(Via::Local, &[to]).passes();
        }
        let zero = repository.zero();
        let moves = [
            ("refs/heads/moves", (before.clone(), after.clone())),
            ("refs/heads/comes", (zero.clone(), after)),
            ("refs/heads/goes", (before, zero)),
        ];
        let expected: BTreeMap<_, _> = moves
            .into_iter()
            .map(|(it, move_)| (it.to_owned(), move_))
            .collect();
        (expected, stack.api("audrey").events("restored").len())
    };
    // Only what a checkpoint attests can be missed by the log.
    until("later events are attested", Duration::from_secs(90), || {
        attested(&stack).filter(|size| *size > in_backup)
    });
    stack.refwarden(&["down"]).passes();
    let lost = attested(&stack).unwrap();
    copy(&backup, &cluster);
    stack.restart();

    let repository = Repository::named(&stack, "restored");
    let untouched = Repository::named(&stack, "untouched");
    let known = stack.api("audrey").events("restored").len();
    assert!(known < events, "{known} {events}");
    // The reconciler of the stack may have looked already, at its start.
    reconcile(&repository);
    let found = stack.api("audrey").events("restored");
    let committed = found.iter().filter(|event| event.kind == "ref.committed");
    assert_eq!(committed.count(), 3);
    let moves: Vec<_> = found
        .iter()
        .filter(|event| event.kind == "ref.out_of_band")
        .collect();
    let told: BTreeMap<String, (String, String)> = moves
        .iter()
        .map(|event| {
            let text = |value: &Option<String>| value.clone().unwrap();
            (text(&event.ref_name), (text(&event.old), text(&event.new)))
        })
        .collect();
    assert_eq!((moves.len(), told), (3, expected));
    reconcile(&repository).passes().says(&["\"out_of_band\":0"]);
    reconcile(&untouched).passes().says(&["\"out_of_band\":0"]);
    // Their objects came along: the record rebuilds what is there.
    replay(&repository).passes();
    replay(&untouched).passes();
    // The log does not go on over another history than its second place has.
    let said = until("the log says so", Duration::from_mins(1), || {
        let said = stack.logs();
        said.contains("an older one was restored").then_some(said)
    });
    assert!(
        said.contains(&format!("a checkpoint attests {lost}")),
        "{said}"
    );
    let second = stack.directory().join("checkpoints").display().to_string();
    let verdict = stack.refwarden(&["audit", "verify", "--checkpoints", &second]);
    assert_eq!(verdict.code, Some(1), "{verdict}");
    verdict.says(&["cut off at the tail"]);
    // Pushes go on.
    let work = repository.work();
    work.commit(&[(b"d", b"d\n")], "D");
    work.push(Via::Local, &["HEAD:refs/heads/later"]).passes();
}
