//! What happens while the service or the database is away: pushes are refused in plain words
//! within five seconds, reads go on, and nothing that moved is lost.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use refwarden_testkit::{Outcome, Repository, Stack, Via, with_token, within};
use rustix::process::{Pid, Signal, kill_process};

use crate::shared::{approve, count, replay, request_of, sshd};

/// The most that a refusal may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Over every way in, a push is refused in time and in plain words, and reads go on.
fn away(repository: &Repository<'_>, codes: &[&str], tokens: &[String; 3], reader: &str) {
    let sshd = sshd();
    let work = repository.work();
    work.commit(&[(b"away", b"x\n")], "While it is away");
    let ways = [Via::Local, Via::Http, Via::Ssh(&sshd)];
    for (via, token) in ways.into_iter().zip(tokens) {
        let refused = work
            .push_with(token, via, &["HEAD:refs/heads/away"])
            .fails(&[]);
        assert!(refused.took < PATIENCE, "{refused}");
        plain(&refused, codes);
        assert_eq!(repository.value("refs/heads/away"), None);
        // Reads go on; over HTTP for who was known a moment ago.
        let git = with_token(&work.git, reader, via);
        git.run(
            work.path(),
            &["fetch", &repository.url(via), "refs/heads/main"],
        )
        .passes();
    }
}

#[track_caller]
fn plain(refused: &Outcome, codes: &[&str]) {
    let said = refused.said();
    assert!(
        codes.iter().any(|code| said.contains(code)),
        "none of {codes:?}: {refused}"
    );
    for word in [
        "panicked",
        "stack backtrace",
        "src/",
        "reqwest",
        "diesel",
        "hook.toml",
    ] {
        assert!(!said.contains(word), "{word}: {refused}");
    }
}

/// Reads once through the proxy, so that it knows the reader's token.
fn introduce(repository: &Repository<'_>, token: &str) {
    let git = with_token(repository.stack.git(), token, Via::Http);
    git.run(&repository.path, &["ls-remote", &repository.http_url()])
        .passes();
}

#[test]
fn without_the_service_pushes_are_refused_and_reads_go_on() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "app");
    let tokens = std::array::from_fn(|_| stack.token("ada"));
    let reader = stack.token("ada");
    introduce(&repository, &reader);
    stack.kill("service");
    away(&repository, &["RW501"], &tokens, &reader);
}

#[test]
fn with_a_service_that_hangs_pushes_are_refused_and_reads_go_on() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "app");
    let tokens = std::array::from_fn(|_| stack.token("ada"));
    let reader = stack.token("ada");
    introduce(&repository, &reader);
    let pid = Pid::from_raw(stack.pid("service")).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    away(&repository, &["RW501", "RW502"], &tokens, &reader);
    kill_process(pid, Signal::CONT).unwrap();
}

#[test]
fn without_the_database_pushes_are_refused_and_reads_go_on() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "app");
    let tokens = std::array::from_fn(|_| stack.token("ada"));
    let reader = stack.token("ada");
    introduce(&repository, &reader);
    stack.kill("postgres");
    away(&repository, &["RW502", "RW503"], &tokens, &reader);
}

/// Whether the service says that it can decide, and how it says so, in less time than a push waits.
fn ready(stack: &Stack) -> (u16, String) {
    let begun = Instant::now();
    let answer = reqwest::blocking::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
        .get(format!("{}/readyz", stack.started().service_url))
        .send()
        .unwrap();
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    (answer.status().as_u16(), answer.text().unwrap())
}

#[test]
fn a_service_that_can_judge_no_push_is_not_ready() {
    let stack = Stack::start();
    assert_eq!(ready(&stack), (200, "ok\n".to_owned()));
    let incoming = stack.directory().join("packs/incoming");
    let away = incoming.with_extension("away");
    std::fs::rename(&incoming, &away).unwrap();
    let (status, text) = ready(&stack);
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("Packs cannot be kept"), "{text}");
    std::fs::rename(&away, &incoming).unwrap();
    assert!(stack.logs().contains("packs/incoming/"));
    // A server that is there and says nothing.
    let servers = backends(stack.pid("postgres"));
    for pid in &servers {
        kill_process(*pid, Signal::STOP).unwrap();
    }
    // Each who asks has an answer, however many do.
    for _ in 0..3 {
        assert_eq!(ready(&stack).0, 503);
    }
    for pid in &servers {
        kill_process(*pid, Signal::CONT).unwrap();
    }
    within("it is ready again", Duration::from_secs(20), || {
        ready(&stack).0 == 200
    });
}

/// A process and its children.
fn backends(parent: i32) -> Vec<Pid> {
    let children = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let after = stat.rsplit_once(')')?.1;
        let of: i32 = after.split_whitespace().nth(1)?.parse().ok()?;
        (of == parent).then_some(pid)
    });
    let all = std::iter::once(parent).chain(children);
    all.filter_map(Pid::from_raw).collect()
}

/// A push whose service dies just before one of the hook's calls.
fn kill_before(stack: &Stack, repository: &Repository<'_>, phase: &str) {
    let hook = repository.path.join("hooks/reference-transaction");
    let real = hook.with_extension("real");
    std::fs::rename(&hook, &real).unwrap();
    let pid = stack.directory().join("run/service.pid");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = {phase} ]; then kill -9 $(cat '{}'); fi\nexec '{}' \"$@\"\n",
        pid.display(),
        real.display()
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn unwrap_hook(repository: &Repository<'_>) {
    let hook = repository.path.join("hooks/reference-transaction");
    std::fs::rename(hook.with_extension("real"), &hook).unwrap();
}

fn spooled(stack: &Stack) -> u64 {
    let entries = std::fs::read_dir(stack.directory().join("spool")).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn a_service_killed_before_committed_learns_of_it_from_the_spool() {
    let mut stack = Stack::start();
    let id = {
        let repository = Repository::guarded(&stack, "app");
        let work = repository.work();
        let new = work.commit(&[(b"a", b"a\n")], "A");
        let refused = work
            .push(Via::Local, &["HEAD:refs/heads/main"])
            .fails(&["RW201"]);
        approve(&stack, &request_of(&refused));
        let token = stack.token("ada");
        kill_before(&stack, &repository, "committed");
        work.push_with(&token, Via::Local, &["HEAD:refs/heads/main"])
            .passes();
        assert_eq!(repository.value("refs/heads/main"), Some(new.clone()));
        assert!(spooled(&stack) > 0, "nothing was spooled");
        unwrap_hook(&repository);
        new
    };
    stack.restart();
    let path = stack.started().repositories.join("app.git");
    let repository = Repository {
        stack: &stack,
        name: "app".to_owned(),
        path,
        format: "sha1".to_owned(),
    };
    // The next push brings what was left.
    let work = repository.work();
    work.commit(&[(b"b", b"b\n")], "B");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    within("the spool is empty", Duration::from_secs(10), || {
        spooled(&stack) == 0
    });
    assert_eq!(count(&repository, "ref.committed", "refs/heads/main"), 1);
    assert_eq!(count(&repository, "ref.committed", "refs/heads/topic"), 1);
    assert_eq!(repository.value("refs/heads/main"), Some(id));
    replay(&repository).passes();
}

#[test]
fn a_service_killed_before_prepared_lets_nothing_move() {
    let mut stack = Stack::start();
    let begin = {
        let repository = Repository::guarded(&stack, "app");
        let work = repository.work();
        let begin = repository.value("refs/heads/main").unwrap();
        work.commit(&[(b"a", b"a\n")], "A");
        let refused = work
            .push(Via::Local, &["HEAD:refs/heads/main"])
            .fails(&["RW201"]);
        approve(&stack, &request_of(&refused));
        let token = stack.token("ada");
        kill_before(&stack, &repository, "prepared");
        let refused = work
            .push_with(&token, Via::Local, &["HEAD:refs/heads/main"])
            .fails(&[]);
        assert!(refused.took < PATIENCE, "{refused}");
        assert_eq!(repository.value("refs/heads/main"), Some(begin.clone()));
        unwrap_hook(&repository);
        begin
    };
    stack.restart();
    let path = stack.started().repositories.join("app.git");
    let repository = Repository {
        stack: &stack,
        name: "app".to_owned(),
        path,
        format: "sha1".to_owned(),
    };
    assert_eq!(repository.value("refs/heads/main"), Some(begin));
    assert_eq!(count(&repository, "ref.committed", "refs/heads/main"), 0);
    replay(&repository).passes();
}
