//! Installing on what is there already: another name, another place, a copy, two at once, and what
//! the service refuses.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use refwarden_testkit::{Outcome, Repository, Via, run, until};
use rustix::fs::{FlockOperation, flock};

use crate::shared::{count, kinds, replay, stack};

/// Runs `refwarden install` on a path.
#[track_caller]
fn install(path: &Path, more: &[&str]) -> Outcome {
    let shown = path.display().to_string();
    let arguments = [&["install", &shown][..], more].concat();
    stack().refwarden(&arguments)
}

/// What the guard has set in a repository's configuration.
#[track_caller]
fn settings(path: &Path) -> String {
    let of = [
        "config",
        "--local",
        "--get-regexp",
        "^(refwarden|receive)\\.",
    ];
    stack().git().run(path, &of).text()
}

#[track_caller]
fn setting(path: &Path, key: &str) -> String {
    stack().git().text(path, &["config", "--local", key])
}

#[track_caller]
fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    run(command, b"").passes();
}

#[test]
fn a_name_is_kept_for_good() {
    let repository = Repository::guarded(stack(), "named-once");
    let before = settings(&repository.path);
    let other = install(&repository.path, &["--name", "named-twice"]);
    assert_eq!(other.code, Some(1), "{other}");
    other.says(&["named-once", "--as-new", "next:"]);
    assert_eq!(settings(&repository.path), before);
    // Nor after the guard was taken off.
    install(&repository.path, &["--uninstall"]).passes();
    install(&repository.path, &["--name", "named-twice"]).fails(&["named-once"]);
    install(&repository.path, &[]).passes();
    // One that was told otherwise by an older program is told the truth again.
    repository
        .git(&["config", "refwarden.name", "named-twice"])
        .passes();
    install(&repository.path, &[]).passes();
    assert_eq!(setting(&repository.path, "refwarden.name"), "named-once");
    replay(&repository).passes();
}

#[test]
fn a_refused_install_leaves_the_configuration_as_it_was() {
    let taken = Repository::guarded(stack(), "name-taken");
    let repository = Repository::unguarded(stack(), "name-taker", "sha1");
    repository
        .git(&["config", "receive.unpackLimit", "50"])
        .passes();
    let before = settings(&repository.path);
    for (name, word) in [
        (taken.name.as_str(), "another repository's"),
        ("a//b", "a//b"),
    ] {
        let refused = install(&repository.path, &["--name", name]);
        assert_eq!(refused.code, Some(1), "{refused}");
        refused.says(&[word, "next:", "--name"]);
        assert_eq!(settings(&repository.path), before, "{name}");
        assert!(!repository.path.join("hooks/pre-receive").exists());
    }
    repository.install().passes();
}

#[test]
fn a_copy_is_refused_until_it_is_installed_as_new() {
    let repository = Repository::guarded(stack(), "copied");
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("the-copy.git");
    copy(&repository.path, &path);
    let refused = install(&path, &[]);
    assert_eq!(refused.code, Some(1), "{refused}");
    refused.says(&["copied.git", "--as-new"]);
    let shown = path.display().to_string();
    let doctor = stack().refwarden(&["doctor", &shown]);
    assert_eq!(doctor.code, Some(1), "{doctor}");
    doctor.says(&["is a copy of", "--as-new"]);
    // What moves in it is nothing that happened to the other.
    let reconciled = stack().refwarden(&["reconcile", &shown]);
    assert_eq!(reconciled.code, Some(2), "{reconciled}");
    reconciled.says(&["is a copy"]);
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let git = refwarden_testkit::with_token(stack().git(), &stack().token("ada"), Via::Local);
    let push = ["push", "-q", &shown, "HEAD:refs/heads/topic"];
    git.run(work.path(), &push).fails(&["RW404", "copy"]);
    // The original goes on.
    install(&repository.path, &[]).passes();
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();

    install(&path, &["--as-new"]).passes();
    let id = |path: &Path| setting(path, "refwarden.repository");
    assert_ne!(id(&path), id(&repository.path));
    assert_eq!(setting(&path, "refwarden.name"), "the-copy");
    stack().refwarden(&["doctor", &shown]).passes();
    let git = refwarden_testkit::with_token(stack().git(), &stack().token("ada"), Via::Local);
    let push = ["push", "-q", &shown, "HEAD:refs/heads/other"];
    git.run(work.path(), &push).passes();
    assert_eq!(count(&repository, "ref.committed", "refs/heads/other"), 0);
    replay(&repository).passes();
    install(&path, &["--uninstall"]).passes();
}

#[test]
fn a_repository_that_was_moved_goes_on() {
    let repository = Repository::guarded(stack(), "moves-house");
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("elsewhere.git");
    let id = setting(&repository.path, "refwarden.repository");
    copy(&repository.path, &path);
    std::fs::remove_dir_all(&repository.path).unwrap();
    let shown = path.display().to_string();
    stack().refwarden(&["doctor", &shown]).passes();
    install(&path, &[]).passes().says(&["moved", "already"]);
    assert_eq!(setting(&path, "refwarden.repository"), id);
    assert_eq!(setting(&path, "refwarden.name"), "moves-house");
    let canonical = path.canonicalize().unwrap();
    assert_eq!(
        setting(&path, "refwarden.path"),
        canonical.display().to_string()
    );
    let adopted = kinds(&repository);
    let adopted = adopted.iter().filter(|(it, _)| it == "repository.adopted");
    assert_eq!(adopted.count(), 1);
}

#[test]
fn one_that_was_installed_without_its_path_goes_on() {
    let repository = Repository::guarded(stack(), "without-path");
    repository
        .git(&["config", "--unset", "refwarden.path"])
        .passes();
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    install(&repository.path, &[]).passes();
    assert!(setting(&repository.path, "refwarden.path").ends_with("/without-path.git"));
}

#[test]
fn two_installs_at_once_leave_one_guard() {
    let repository = Repository::unguarded(stack(), "at-once", "sha1");
    let path = repository.path.display().to_string();
    let both: Vec<Outcome> = std::thread::scope(|scope| {
        let run = || stack().refwarden(&["install", &path, "--name", "at-once"]);
        let started = [scope.spawn(run), scope.spawn(run)];
        started.map(|one| one.join().unwrap()).into()
    });
    assert!(both.iter().any(Outcome::ok), "{} {}", both[0], both[1]);
    for one in &both {
        assert!(matches!(one.code, Some(0 | 1)), "{one}");
    }
    stack().refwarden(&["doctor", &path]).passes();
    // While one works, others say so: installing and uninstalling alike.
    let lock = std::fs::File::open(repository.path.join("refwarden.install-lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    for more in [&[][..], &["--uninstall"]] {
        let refused = install(&repository.path, more);
        assert_eq!(refused.code, Some(1), "{refused}");
        refused.says(&["another refwarden install", "next:"]);
    }
    install(&repository.path, &["--dry-run"]).passes();
    drop(lock);
    let passes = || install(&repository.path, &[]).ok().then_some(());
    until("the lock is free", Duration::from_secs(10), passes);
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
}

#[test]
fn a_named_hook_config_wins_over_the_environment() {
    let repository = Repository::unguarded(stack(), "hook-config", "sha1");
    let file = stack().directory().join("hook.toml").display().to_string();
    // `refwarden` gets REFWARDEN_DATA_DIR from the stack.
    install(&repository.path, &["--hook-config", &file]).passes();
    let directory = stack().directory().display().to_string();
    let both = ["--hook-config", &file, "--data-dir", &directory];
    let refused = install(&repository.path, &both);
    assert_eq!(refused.code, Some(2), "{refused}");
    refused.says(&["cannot be used with"]);
}
