//! `refwarden up` where something has died, or cannot start, and what it says of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use refwarden_testkit::{Outcome, Repository, Stack, Via, program, run};
use rustix::process::{Pid, Signal, kill_process};

use crate::fetches::psql;
use crate::shared::stack;

/// A server on which nothing listens.
const NOWHERE: &str = "postgresql://127.0.0.1:9/none?connect_timeout=2";

#[test]
fn up_starts_anew_where_postgres_was_killed() {
    let stack = Stack::start();
    {
        let repository = Repository::guarded(&stack, "survives");
        stack.kill("postgres");
        let again = stack.refwarden(&["up", "--detach"]).passes();
        again.says(&["left behind", "Refwarden is ready"]);
        let work = repository.work();
        work.commit(&[(b"a", b"a\n")], "A");
        work.push(Via::Http, &["HEAD:refs/heads/topic"]).passes();
    }
    // Where all runs, it is left alone.
    let third = stack.refwarden(&["up", "--detach"]);
    assert_eq!(third.code, Some(1), "{third}");
    third.says(&["runs already"]);
}

#[test]
fn a_database_that_was_never_there_is_not_kept() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("a data dir");
    let up = |url: &str| -> Outcome {
        let mut command = Command::new(program("refwarden"));
        command.arg("up").arg("--detach").arg("--data-dir");
        command.arg(&directory).env("DATABASE_URL", url);
        run(command, b"")
    };
    for _ in 0..2 {
        let refused = up(NOWHERE);
        assert_eq!(refused.code, Some(2), "{refused}");
        refused.says(&[
            "service.log",
            "DATABASE_URL",
            "this one was not written down",
        ]);
        assert!(!directory.join("refwarden.toml").exists());
    }
}

#[test]
fn a_start_that_fails_tells_its_own_cause_and_where_the_database_is_named() {
    psql(stack(), "CREATE DATABASE guests");
    let own = &stack().started().database_url;
    let url = own.replacen("/refwarden?", "/guests?", 1);
    let mut guest = Stack::on_server(&url);
    guest.refwarden(&["down"]).passes();
    let file = guest.directory().join("refwarden.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}\n[no-such-section]\n")).unwrap();
    guest
        .refwarden(&["up", "--detach"])
        .fails(&["no-such-section"]);
    // A log with an earlier mistake, which is mended now.
    let log = guest.directory().join("log/service.log");
    let mistake = "2026-01-31T12:00:00Z ERROR start: a mistake of yesterday\n";
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{text}{mistake}")).unwrap();
    let database = serde_json::Value::from(url.as_str()).to_string();
    let nowhere = serde_json::Value::from(NOWHERE).to_string();
    assert!(good.contains(&database), "{good}");
    std::fs::write(&file, good.replace(&database, &nowhere)).unwrap();
    let refused = guest.refwarden(&["up", "--detach"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    let toml = file.display().to_string();
    let said = refused.says(&["ERROR", "[database] url in", &toml]).said();
    assert!(!said.contains("of yesterday"), "{said}");
    std::fs::write(&file, &good).unwrap();
    guest.restart();
}

#[test]
fn a_signal_stops_everything_and_says_so() {
    let mut stack = Stack::start();
    stack.refwarden(&["down"]).passes();
    let mut command = stack.refwarden_command(&["up"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_last = |line: &String| line.starts_with("Ctrl-C");
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| is_last(&line))
    );
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{ended:?}");
    let end = "Stopping …\nStopped: reconciler, proxy, service, postgres.\n";
    assert!(said.ends_with(end), "{said}");
    stack.restart();
}

#[test]
fn an_issuer_that_is_configured_twice_is_named_with_its_line() {
    let mut stack = Stack::start();
    stack.refwarden(&["down"]).passes();
    let file = stack.directory().join("refwarden.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let issuer = "[[issuer]]\nurl = \"https://id.example.com\"\nalgorithms = [\"EdDSA\"]\n";
    std::fs::write(&file, format!("{good}\n{issuer}{issuer}")).unwrap();
    let line = good.matches('\n').count() + 5;
    let place = format!("refwarden.toml:{line}: issuer https://id.example.com is configured twice");
    stack.refwarden(&["up", "--detach"]).fails(&[&place]);
    std::fs::write(&file, &good).unwrap();
    stack.restart();
}

#[test]
fn status_says_where_sign_ins_are() {
    let file = stack().directory().join("identities.toml");
    let status = stack().refwarden(&["status"]).passes();
    status.says(&["sign-ins", &file.display().to_string()]);
}

#[test]
fn a_demo_that_starts_nothing_says_nothing_runs() {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("refwarden"));
    command.arg("demo").current_dir(place.path());
    let refused = run(command, b"");
    assert_eq!(refused.code, Some(2), "{refused}");
    let said = refused.says(&["is not in a Git repository"]).everything();
    assert!(!said.contains("still runs"), "{said}");
    assert!(!place.path().join(".demo").exists());
}

#[test]
fn a_state_of_requests_that_does_not_exist_is_refused() {
    let refused = stack().refwarden(&["requests", "--state", "bogus"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    refused.says(&["bogus", "waiting", "approved"]);
    stack()
        .refwarden(&["requests", "--state", "waiting"])
        .passes();
}
