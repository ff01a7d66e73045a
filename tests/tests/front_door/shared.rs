//! What tests share: a running Refwarden, an sshd, and words for what comes back.

use std::sync::OnceLock;

use refwarden_testkit::{Outcome, Repository, Sshd, Stack, planted};
use serde_json::Value;

/// The Refwarden that all tests share which do not kill it. It stops when this process ends.
pub fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(Stack::start)
}

/// The sshd that all tests share. Not in a static: nobody would stop it.
pub fn sshd() -> Sshd {
    Sshd::start()
}

/// A secret that the scanner knows. Each seed gives another.
pub fn secret(seed: u64) -> String {
    planted::plant("ghp_{base62:30}{crc32}", seed)
}

/// Everything in a database, as text.
#[track_caller]
pub fn dump(database_url: &str) -> String {
    let mut command = std::process::Command::new("pg_dump");
    command.arg("--inserts").arg(database_url);
    refwarden_testkit::run(command, b"").passes().text()
}

/// What the last line for programs says: `refwarden: {…}`.
#[track_caller]
pub fn for_programs(said: &str) -> Value {
    let mut lines = said.lines().filter_map(|line| {
        let line = line.trim_start_matches("remote:").trim();
        line.strip_prefix("refwarden: ")
    });
    let line = lines
        .next_back()
        .unwrap_or_else(|| panic!("no line for programs: {said}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The code of the request that a refused push made.
#[track_caller]
pub fn request_of(outcome: &Outcome) -> String {
    let said = for_programs(&outcome.said());
    said["request"]
        .as_str()
        .unwrap_or_else(|| panic!("no request: {said}"))
        .to_owned()
}

/// Grace, a maintainer, approves on the page.
#[track_caller]
pub fn approve(stack: &Stack, request: &str) {
    let url = format!("{}/r/{request}", stack.started().service_url);
    let page = stack
        .browser("grace")
        .decide(&url, "approve", "Looked at it.");
    assert_eq!(page.status, 200, "{}", page.body);
    let state = stack.api("audrey").request(request).state;
    assert_eq!(state, "approved", "{}", page.body);
}

/// The kinds of a repository's events, with their refs.
#[track_caller]
pub fn kinds(repository: &Repository<'_>) -> Vec<(String, Option<String>)> {
    let events = repository.stack.api("audrey").events(&repository.name);
    events
        .into_iter()
        .map(|event| (event.kind, event.ref_name))
        .collect()
}

/// How many events of a kind a repository has for a ref.
#[track_caller]
pub fn count(repository: &Repository<'_>, kind: &str, ref_name: &str) -> usize {
    let all = kinds(repository);
    all.iter()
        .filter(|(it, of)| it == kind && of.as_deref() == Some(ref_name))
        .count()
}

/// Rebuilds the repository from the records and compares it with the live one.
#[track_caller]
pub fn replay(repository: &Repository<'_>) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("rebuilt.git").display().to_string();
    let live = repository.path.display().to_string();
    let arguments = [
        "replay",
        &repository.name,
        "--into",
        &into,
        "--verify",
        &live,
    ];
    repository.stack.refwarden(&arguments)
}
