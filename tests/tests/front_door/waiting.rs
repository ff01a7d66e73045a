//! `git push -o wait=`, and the other push options that ask something of the hook.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use refwarden_testkit::{Outcome, Repository, Stack, Via, Work, until, within};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::shared::{approve, count, kinds, request_of, sshd, stack};

const MAIN: &str = "refs/heads/main";
/// Longest that something may take which takes no time.
pub const SOON: Duration = Duration::from_secs(20);

/// A push of HEAD to main that is held, and its request.
pub struct Held<'a> {
    repository: &'a Repository<'a>,
    push: Child,
    pub request: String,
}

/// Starts such a push and waits until its request is made.
#[track_caller]
pub fn hold<'a>(
    repository: &'a Repository<'a>,
    work: &Work<'_>,
    via: Via<'_>,
    options: &[&str],
) -> Held<'a> {
    let token = repository.stack.token("ada");
    let mut arguments = options.to_vec();
    arguments.push("HEAD:refs/heads/main");
    let before = requests(repository);
    let push = work
        .push_command(&token, via, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let request = until("a request is made", SOON, || {
        requests(repository)
            .into_iter()
            .find(|id| !before.contains(id))
    });
    Held {
        repository,
        push,
        request,
    }
}

fn requests(repository: &Repository<'_>) -> Vec<String> {
    let events = repository.stack.api("audrey").events(&repository.name);
    let made = events
        .into_iter()
        .filter(|event| event.kind == "request.created");
    made.filter_map(|event| event.request_id).collect()
}

impl Held<'_> {
    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.push.id()).unwrap()).unwrap()
    }

    #[track_caller]
    pub fn ends(self) -> Outcome {
        let begun = Instant::now();
        let output = self.push.wait_with_output().unwrap();
        Outcome {
            what: "a held push".into(),
            code: output.status.code(),
            stdout: output.stdout,
            stderr: output.stderr,
            took: begun.elapsed(),
        }
    }

    #[track_caller]
    fn is_cancelled(&self) {
        let what = "a push whose client went away is given up";
        within(what, Duration::from_secs(10), || {
            has(self.repository, "push.cancelled")
        });
    }
}

fn has(repository: &Repository<'_>, kind: &str) -> bool {
    kinds(repository).iter().any(|(it, _)| it == kind)
}

#[test]
fn a_held_push_passes_when_people_approve_it() {
    let sshd = sshd();
    for (name, via) in [
        ("held-local", Via::Local),
        ("held-http", Via::Http),
        ("held-ssh", Via::Ssh(&sshd)),
    ] {
        let repository = Repository::guarded(stack(), name);
        let work = repository.work();
        let new = work.commit(&[(b"a", b"a\n")], "A");
        let held = hold(&repository, &work, via, &["--push-option=wait=2m"]);
        let request = held.request.clone();
        // The push goes on so soon that the approval may be used already when this returns.
        let url = format!("{}/r/{request}", stack().started().service_url);
        let page = stack().browser("grace").decide(&url, "approve", "Good.");
        assert_eq!(page.status, 200, "{}", page.body);
        let passed = held.ends().passes().says(&[
            "refs/heads/main needs approval",
            &format!("/r/{request}"),
            "waiting at most 2 min",
            "refs/heads/main is waiting: 0 of 1",
            "refs/heads/main is approved: 1 of 1",
        ]);
        assert!(passed.took < SOON, "{passed}");
        assert_eq!(repository.value(MAIN), Some(new), "{name}");
        assert_eq!(stack().api("audrey").request(&request).state, "used");
        assert_eq!(count(&repository, "ref.committed", MAIN), 1, "{name}");
    }
}

#[test]
fn a_held_push_is_refused_when_people_reject_it() {
    let repository = Repository::guarded(stack(), "held-rejected");
    let work = repository.work();
    let old = repository.value(MAIN);
    work.commit(&[(b"a", b"a\n")], "A");
    let held = hold(&repository, &work, Via::Local, &["--push-option=wait=2m"]);
    let (status, body) = stack()
        .api("grace")
        .decide(&held.request, "reject", "Not like this.");
    assert_eq!(status, 200, "{body}");
    held.ends().fails(&["RW202", "was rejected"]);
    assert_eq!(repository.value(MAIN), old);
    assert!(has(&repository, "push.denied"));
}

#[test]
fn when_the_time_is_over_the_same_push_may_come_again() {
    let repository = Repository::guarded(stack(), "held-in-vain");
    let work = repository.work();
    let new = work.commit(&[(b"a", b"a\n")], "A");
    let push = ["--push-option=wait=1s", "HEAD:refs/heads/main"];
    let refused = work
        .push(Via::Http, &push)
        .fails(&["RW201", "nobody has decided in time"]);
    assert!(has(&repository, "push.cancelled"));
    approve(stack(), &request_of(&refused));
    work.push(Via::Http, &push).passes();
    assert_eq!(repository.value(MAIN), Some(new));
}

#[test]
fn nothing_moves_for_a_client_that_went_away() {
    let sshd = sshd();
    for (name, via) in [
        ("gone-local", Via::Local),
        ("gone-http", Via::Http),
        ("gone-ssh", Via::Ssh(&sshd)),
    ] {
        let repository = Repository::guarded(stack(), name);
        let work = repository.work();
        let old = repository.value(MAIN);
        work.commit(&[(b"a", b"a\n")], "A");
        let mut held = hold(&repository, &work, via, &["--push-option=wait=10m"]);
        if matches!(via, Via::Local) {
            // receive-pack is of the same group, and shall stay.
            kill_process(held.pid(), Signal::KILL).unwrap();
        } else {
            kill_process_group(held.pid(), Signal::KILL).unwrap();
        }
        held.push.wait().unwrap();
        held.is_cancelled();
        approve(stack(), &held.request);
        // A push of somebody who is still there, to know that all has settled.
        work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
        assert_eq!(repository.value(MAIN), old, "{name}");
        assert_eq!(count(&repository, "ref.prepared", MAIN), 0, "{name}");
        // The approval stands, and lets the same push through.
        work.push(via, &["HEAD:refs/heads/main"]).passes();
    }
}

#[test]
fn a_client_that_goes_away_with_a_hook_in_its_place_moves_nothing() {
    let repository = Repository::guarded(stack(), "gone-hook");
    let work = repository.work();
    let old = repository.value(MAIN);
    work.commit(&[(b"a", b"a\n")], "A");
    let held = hold(&repository, &work, Via::Local, &["--push-option=wait=10m"]);
    let hook = hook_of(&repository);
    kill_process(hook, Signal::KILL).unwrap();
    let request = held.request.clone();
    held.ends().fails(&["pre-receive hook declined"]);
    approve(stack(), &request);
    assert_eq!(repository.value(MAIN), old);
    assert_eq!(count(&repository, "ref.prepared", MAIN), 0);
}

/// The pre-receive that runs in a repository.
#[track_caller]
fn hook_of(repository: &Repository<'_>) -> Pid {
    let path = repository.path.canonicalize().unwrap();
    let found = std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let entry = entry.ok()?;
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        let cwd = std::fs::read_link(entry.path().join("cwd")).ok()?;
        let is_it = command.starts_with(b"hooks/pre-receive\0") && cwd == path;
        is_it.then(|| Pid::from_raw(pid)).flatten()
    });
    found.unwrap_or_else(|| panic!("no hook runs in {}", path.display()))
}

#[test]
fn options_that_make_no_sense_are_refused_and_recorded() {
    let repository = Repository::guarded(stack(), "odd-options");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    for option in ["wait=", "wait=soon", "wait=2h", "wait=-1m", "wait"] {
        let option = format!("--push-option={option}");
        work.push(Via::Local, &[&option, "HEAD:refs/heads/topic"])
            .fails(&["RW406", "such as wait=10m"]);
    }
    assert_eq!(repository.value("refs/heads/topic"), None);
    let events = stack().api("audrey").events(&repository.name);
    let refused: Vec<_> = events
        .iter()
        .filter(|event| event.kind == "push.refused" && event.codes == ["RW406"])
        .collect();
    assert_eq!(refused.len(), 5);
    assert!(refused[0].summary.contains("local"), "{:?}", refused[0]);

    // An option of somebody else's is none of ours, and waiting without need does not wait.
    let free = [
        "--push-option=waiting=x",
        "--push-option=wait=1h",
        "HEAD:refs/heads/topic",
    ];
    let passed = work.push(Via::Local, &free).passes();
    assert!(passed.took < SOON, "{passed}");
    let said = passed.said();
    let note = "note: push option \"waiting\" is not known; known are help, dry-run, wait=";
    assert!(said.contains(note) && !said.contains("waiting=x"), "{said}");
}

#[test]
fn a_dry_run_says_what_would_become_of_it_and_changes_nothing() {
    let repository = Repository::guarded(stack(), "dry-run");
    let work = repository.work();
    let old = repository.value(MAIN);
    work.commit(&[(b"a", b"a\n")], "A");
    work.push(
        Via::Http,
        &["--push-option=dry-run", "HEAD:refs/heads/topic"],
    )
    .fails(&["RW205", "would pass"]);
    work.push(
        Via::Http,
        &["--push-option=dry-run", "HEAD:refs/heads/main"],
    )
    .fails(&["RW205", "would be stopped", "RW201"]);
    work.push(Via::Http, &["--push-option=dry-run", ":refs/heads/main"])
        .fails(&["RW205", "would be stopped", "RW203"]);
    assert_eq!(repository.value(MAIN), old);
    assert_eq!(repository.value("refs/heads/topic"), None);
    for odd in ["dryrun", "dry_run", "dry-run=true", "Dry-Run"] {
        let option = format!("--push-option={odd}");
        work.push(Via::Http, &[&option, "HEAD:refs/heads/topic"])
            .fails(&["RW406", "git push -o dry-run"]);
    }
    assert_eq!(repository.value("refs/heads/topic"), None);
    assert!(!has(&repository, "request.created"));
    work.push(Via::Http, &["--push-option=help", "HEAD:refs/heads/topic"])
        .fails(&["wait=10m", "dry-run", "nothing was changed"]);
    assert_eq!(repository.value("refs/heads/topic"), None);
}

#[test]
fn a_service_that_dies_refuses_what_is_held_and_keeps_the_request() {
    let mut stack = Stack::start();
    let request = {
        let repository = Repository::guarded(&stack, "held-outage");
        let work = repository.work();
        let old = repository.value(MAIN);
        work.commit(&[(b"a", b"a\n")], "A");
        let held = hold(&repository, &work, Via::Local, &["--push-option=wait=10m"]);
        let request = held.request.clone();
        stack.kill("service");
        let refused = held.ends().fails(&["RW501"]);
        assert!(refused.took < Duration::from_secs(5), "{refused}");
        assert_eq!(repository.value(MAIN), old);
        request
    };
    stack.restart();
    approve(&stack, &request);
    assert_eq!(stack.api("audrey").request(&request).state, "approved");
}
