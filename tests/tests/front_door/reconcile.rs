//! Refs that move outside of pushes are found and recorded, and pushes that are killed are
//! settled by what their refs say; a push in flight is neither.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use refwarden_testkit::{Outcome, Repository, Stack, Via, within};

use crate::shared::{count, kinds, replay, stack};

/// The bound within which a move out of band must be found.
const BOUND: Duration = Duration::from_mins(1);

fn path(repository: &Repository<'_>) -> String {
    repository.path.display().to_string()
}

/// Lets the reconciler look once; it ends with 1 where it found something amiss.
#[track_caller]
pub fn reconcile(repository: &Repository<'_>) -> Outcome {
    let outcome = repository
        .stack
        .refwarden(&["reconcile", &path(repository), "--json"]);
    assert!(matches!(outcome.code, Some(0 | 1)), "{outcome}");
    outcome
}

/// The ledger and the repository agree, and nothing is left to find.
#[track_caller]
fn settled(repository: &Repository<'_>) {
    let again = reconcile(repository).passes();
    again.says(&["\"out_of_band\":0", "\"defects\":[]"]);
    repository
        .stack
        .refwarden(&["doctor", &path(repository), "--json"])
        .passes()
        .says(&["\"well\":true"]);
    replay(repository).passes();
}

/// One move of `name` is found, once, and the records rebuild the repository with it.
#[track_caller]
fn found(repository: &Repository<'_>, name: &str) {
    let doctor = repository.stack.refwarden(&["doctor", &path(repository)]);
    assert_eq!(doctor.code, Some(1), "{doctor}");
    doctor.says(&[name]);
    let before = count(repository, "ref.out_of_band", name);
    let outcome = reconcile(repository);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(count(repository, "ref.out_of_band", name), before + 1);
    settled(repository);
}

fn reftable<'a>(stack: &'a Stack, name: &str) -> Repository<'a> {
    let repository = Repository::empty(stack, name, "sha1");
    std::fs::remove_dir_all(&repository.path).unwrap();
    std::fs::create_dir(&repository.path).unwrap();
    let init = [
        "init",
        "-q",
        "--bare",
        "-b",
        "main",
        "--ref-format=reftable",
        ".",
    ];
    repository.git(&init).passes();
    let work = repository.work();
    work.commit(&[(b"README", b"A repository.\n")], "Begin");
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.install().passes();
    repository
}

/// Every way around the hooks that both backends know.
fn ways_around(repository: &Repository<'_>) {
    let work = repository.work();
    settled(repository);
    // A push that runs no hook.
    work.commit(&[(b"a", b"a\n")], "Around");
    repository
        .git(&["config", "core.hooksPath", "/dev/null"])
        .passes();
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    reconcile(repository).says(&["core.hooksPath"]);
    assert_eq!(count(repository, "ref.out_of_band", "refs/heads/main"), 1);
    repository
        .git(&["config", "--unset", "core.hooksPath"])
        .passes();
    settled(repository);
    let kinds = kinds(repository);
    for kind in ["guard.weakened", "guard.mended"] {
        assert!(kinds.iter().any(|(it, _)| it == kind), "{kind}: {kinds:?}");
    }
    // update-ref, for a move, a creation and a deletion.
    let first = repository.git(&["rev-parse", "main~1"]).passes().text();
    let around = ["-c", "core.hooksPath=/dev/null", "update-ref"];
    let update = |rest: &[&str]| {
        repository.git(&[&around[..], rest].concat()).passes();
    };
    update(&["refs/heads/main", &first]);
    found(repository, "refs/heads/main");
    update(&["refs/heads/new", &first]);
    found(repository, "refs/heads/new");
    update(&["-d", "refs/heads/new"]);
    found(repository, "refs/heads/new");
    // A fetch into refs.
    let other = work.commit(&[(b"f", b"f\n")], "Fetched");
    let source = work.path().display().to_string();
    let fetch = ["-c", "core.hooksPath=/dev/null", "fetch", "-q", &source];
    repository
        .git(&[&fetch[..], &["HEAD:refs/heads/fetched"]].concat())
        .passes();
    assert_eq!(repository.value("refs/heads/fetched"), Some(other));
    found(repository, "refs/heads/fetched");
    // HEAD and another symbolic ref.
    let symbolic = ["-c", "core.hooksPath=/dev/null", "symbolic-ref"];
    repository
        .git(&[&symbolic[..], &["HEAD", "refs/heads/fetched"]].concat())
        .passes();
    found(repository, "HEAD");
    repository
        .git(&[&symbolic[..], &["refs/heads/alias", "refs/heads/main"]].concat())
        .passes();
    found(repository, "refs/heads/alias");
    // Pushes go on from there.
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    settled(repository);
}

#[test]
fn moves_around_the_hooks_are_found() {
    let repository = Repository::guarded(stack(), "around-files");
    ways_around(&repository);
    let first = repository.git(&["rev-parse", "main"]).passes().text();
    std::fs::write(
        repository.path.join("refs/heads/written"),
        format!("{first}\n"),
    )
    .unwrap();
    found(&repository, "refs/heads/written");
}

#[test]
fn moves_around_the_hooks_are_found_with_reftable() {
    ways_around(&reftable(stack(), "around-reftable"));
}

#[test]
fn a_restored_backup_is_found() {
    let repository = Repository::guarded(stack(), "restored");
    let backup = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        let mut command = std::process::Command::new("cp");
        command.args(["-a", from, to]);
        refwarden_testkit::run(command, b"").passes();
    };
    let kept = backup.path().join("kept").display().to_string();
    copy(&path(&repository), &kept);
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "Lost");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    settled(&repository);
    std::fs::remove_dir_all(&repository.path).unwrap();
    copy(&kept, &path(&repository));
    let outcome = reconcile(&repository);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(count(&repository, "ref.out_of_band", "refs/heads/topic"), 1);
    reconcile(&repository).passes();
}

#[test]
fn a_move_that_a_push_built_on_is_found_all_the_same() {
    let repository = Repository::guarded(stack(), "built-on");
    let work = repository.work();
    work.commit(&[(b"t", b"t\n")], "Topic");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    let tree = work.git(&["rev-parse", "HEAD^{tree}"]);
    let arguments = [
        "commit-tree",
        "-p",
        "refs/heads/topic",
        "-m",
        "Sneaked",
        &tree,
    ];
    let sneaked = repository
        .stack
        .git()
        .run(&repository.path, &arguments)
        .passes()
        .text();
    let update = [
        "-c",
        "core.hooksPath=/dev/null",
        "update-ref",
        "refs/heads/topic",
        &sneaked,
    ];
    repository.git(&update).passes();
    let url = path(&repository);
    work.git(&["pull", "-q", "--ff-only", &url, "refs/heads/topic"]);
    work.commit(&[(b"u", b"u\n")], "On top");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    let outcome = reconcile(&repository);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(count(&repository, "ref.out_of_band", "refs/heads/topic"), 1);
    settled(&repository);
}

#[test]
fn a_hook_that_is_missing_replaced_or_not_executable_is_told() {
    let repository = Repository::guarded(stack(), "weakened");
    let hook = repository.path.join("hooks/pre-receive");
    let kept = hook.with_extension("kept");
    let mode = |mode| {
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    reconcile(&repository).says(&["pre-receive is not executable"]);
    mode(0o755);
    reconcile(&repository).passes();
    std::fs::rename(&hook, &kept).unwrap();
    reconcile(&repository).says(&["pre-receive is missing"]);
    std::os::unix::fs::symlink("/nonexistent", &hook).unwrap();
    reconcile(&repository).says(&["pre-receive is missing"]);
    std::fs::remove_file(&hook).unwrap();
    std::fs::write(&hook, "#!/bin/sh\n").unwrap();
    mode(0o755);
    reconcile(&repository).says(&["pre-receive is not the one that was installed"]);
    let health = stack().api("audrey").get("/health").text().unwrap();
    assert!(
        health.contains("not the one that was installed"),
        "{health}"
    );
    std::fs::rename(&kept, &hook).unwrap();
    settled(&repository);
}

/// Puts a script in the place of reference-transaction; `exec "$real" "$@"` runs the real one.
fn wrap(repository: &Repository<'_>, script: &str) {
    let hook = repository.path.join("hooks/reference-transaction");
    let real = hook.with_extension("real");
    std::fs::rename(&hook, &real).unwrap();
    let text = format!("#!/bin/sh\nreal='{}'\n{script}\n", real.display());
    std::fs::write(&hook, text).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn unwrap(repository: &Repository<'_>) {
    let hook = repository.path.join("hooks/reference-transaction");
    std::fs::rename(hook.with_extension("real"), &hook).unwrap();
}

#[test]
fn a_push_killed_after_its_ref_moved_is_settled_as_committed() {
    let repository = Repository::guarded(stack(), "killed-after");
    let work = repository.work();
    let new = work.commit(&[(b"a", b"a\n")], "A");
    let kill = "[ \"$1\" = committed ] && { kill -9 $PPID; exit 0; }\nexec \"$real\" \"$@\"";
    wrap(&repository, kill);
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).fails(&[]);
    unwrap(&repository);
    assert_eq!(repository.value("refs/heads/topic"), Some(new));
    assert_eq!(count(&repository, "ref.committed", "refs/heads/topic"), 0);
    reconcile(&repository).passes().says(&["\"settled\":1"]);
    assert_eq!(count(&repository, "ref.committed", "refs/heads/topic"), 1);
    settled(&repository);
}

#[test]
fn a_push_killed_before_its_ref_moved_is_settled_and_its_lock_released() {
    let repository = Repository::guarded(stack(), "killed-before");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    // receive-pack is held once it has told the hook everything, and killed when the hook has
    // ended.
    let kill = "input=$(cat)\nif [ \"$1\" = prepared ]; then\n\
        kill -STOP $PPID\n\
        ( while ! grep -q ') Z ' /proc/$$/stat; do :; done; kill -9 $PPID ) \
        >/dev/null 2>&1 </dev/null &\nfi\nexec \"$real\" \"$@\" <<END\n$input\nEND";
    wrap(&repository, kill);
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).fails(&[]);
    unwrap(&repository);
    assert_eq!(repository.value("refs/heads/topic"), None);
    assert_eq!(count(&repository, "ref.prepared", "refs/heads/topic"), 1);
    let lock = repository.path.join("refs/heads/topic.lock");
    assert!(lock.exists(), "the test must leave a lock");
    reconcile(&repository).passes().says(&["\"settled\":1"]);
    assert!(!lock.exists());
    assert_eq!(count(&repository, "ref.not_moved", "refs/heads/topic"), 1);
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    settled(&repository);
}

#[test]
fn a_released_push_that_ended_before_the_barrier_is_recorded_as_not_moved() {
    let repository = Repository::guarded(stack(), "never-prepared");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    // As where the service does not answer there.
    let stop = "if [ \"$1\" = prepared ]; then cat >/dev/null; exit 1; fi\nexec \"$real\" \"$@\"";
    wrap(&repository, stop);
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).fails(&[]);
    unwrap(&repository);
    let of_topic = |kind| count(&repository, kind, "refs/heads/topic");
    assert_eq!(
        (of_topic("ref.prepared"), of_topic("ref.not_moved")),
        (0, 0)
    );
    reconcile(&repository).passes();
    assert_eq!(of_topic("ref.not_moved"), 1);
    // Once, and the same push passes afterwards.
    reconcile(&repository).passes();
    assert_eq!(of_topic("ref.not_moved"), 1);
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    settled(&repository);
}

#[test]
fn what_moved_between_two_epochs_is_told() {
    let repository = Repository::guarded(stack(), "epochs");
    let first = repository.git(&["rev-parse", "main"]).passes().text();
    let place = path(&repository);
    stack()
        .refwarden(&["install", &place, "--uninstall"])
        .passes();
    let update = ["update-ref", "refs/heads/unguarded", &first];
    repository.git(&update).passes();
    repository.install().passes();
    let moved = "ref.moved_unguarded";
    assert_eq!(count(&repository, moved, "refs/heads/unguarded"), 1);
    let all = kinds(&repository);
    assert_eq!(
        all.iter().filter(|(kind, _)| kind == moved).count(),
        1,
        "{all:?}"
    );
    settled(&repository);
}

#[test]
fn a_report_that_the_service_rejects_is_kept_and_told() {
    let repository = Repository::guarded(stack(), "report-rejected");
    let id = repository
        .git(&["config", "refwarden.repository"])
        .passes()
        .text();
    // Of a run of receive-pack that no push is known of.
    let report = serde_json::json!({
        "repository": id,
        "correlation": { "boot_id": "none", "pid_namespace": 1, "pid": 1, "start_ticks": 1 },
        "phase": "committed", "observed_at": 1, "refs": [],
    });
    let spool = stack().directory().join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    let waiting = spool.join(format!("{id}.jsonl"));
    std::fs::write(&waiting, format!("{report}\n")).unwrap();
    stack()
        .refwarden(&["doctor", &path(&repository)])
        .says(&["wait in the spool"]);
    reconcile(&repository).says(&["rejected"]);
    assert_eq!(std::fs::read(&waiting).unwrap(), b"");
    let rejected = spool.join(format!("{id}.rejected"));
    assert_eq!(
        std::fs::read_to_string(&rejected).unwrap(),
        format!("{report}\n")
    );
    std::fs::remove_file(rejected).unwrap();
    settled(&repository);
}

#[test]
fn pushes_in_flight_and_maintenance_are_not_out_of_band() {
    let repository = Repository::guarded(stack(), "in-flight");
    let work = repository.work();
    let done = std::sync::atomic::AtomicBool::new(false);
    let is_done = || done.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done() {
                reconcile(&repository);
            }
        });
        scope.spawn(|| {
            while !is_done() {
                for command in [
                    &["pack-refs", "--all", "--prune"][..],
                    &["repack", "-q", "-a", "-d"],
                    &["prune"],
                    &["gc", "-q"],
                ] {
                    repository.git(command);
                }
            }
        });
        for round in 0..6 {
            work.commit(&[(b"a", format!("{round}\n").as_bytes())], "More");
            for name in ["one", "two"] {
                work.push(Via::Local, &[&format!("HEAD:refs/heads/{name}")]);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    // `prune` may take objects away from under a push, which then fails.
    let all = kinds(&repository);
    let moved = all.iter().filter(|(kind, _)| kind == "ref.committed");
    assert!(moved.count() > 0, "no push passed: {all:?}");
    settled(&repository);
    let kinds = kinds(&repository);
    let false_events = kinds.iter().filter(|(kind, _)| kind == "ref.out_of_band");
    assert_eq!(false_events.count(), 0, "{kinds:?}");
}

#[test]
fn the_reconciler_runs_by_itself() {
    let stack = Stack::reconciling("1s");
    let repository = Repository::guarded(&stack, "app");
    let first = repository.git(&["rev-parse", "main"]).passes().text();
    let around = ["-c", "core.hooksPath=/dev/null", "update-ref"];
    let update = |name: &str| {
        repository
            .git(&[&around[..], &[name, &first]].concat())
            .passes();
    };
    update("refs/heads/one");
    within("a move out of band is found", BOUND, || {
        count(&repository, "ref.out_of_band", "refs/heads/one") == 1
    });
    replay(&repository).passes();
}
