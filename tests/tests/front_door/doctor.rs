//! `refwarden doctor` finds what stops hooks and clones, and each time names what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use refwarden_testkit::{Outcome, Repository, Via, program, run};

use crate::shared::stack;

/// A `hook.toml` of a repository's own, as the stack's but for what `change` does to each line.
fn hook_config(directory: &Path, change: impl Fn(&str) -> String) -> PathBuf {
    let text = std::fs::read_to_string(stack().directory().join("hook.toml")).unwrap();
    let lines: Vec<String> = text.lines().map(change).collect();
    let file = directory.join("hook.toml");
    std::fs::write(&file, lines.join("\n")).unwrap();
    file
}

#[track_caller]
fn doctor(repository: &Repository<'_>) -> Outcome {
    let path = repository.path.display().to_string();
    stack().refwarden(&["doctor", &path])
}

/// It says each of these, and that not all is well.
#[track_caller]
fn finds(repository: &Repository<'_>, words: &[&str]) {
    let said = doctor(repository);
    assert_eq!(said.code, Some(1), "{said}");
    said.says(words);
}

#[test]
fn what_hook_toml_names_is_looked_at() {
    let repository = Repository::unguarded(stack(), "doctor-host", "sha1");
    let place = tempfile::tempdir().unwrap();
    let (spool, key) = (place.path().join("spool"), place.path().join("finger.key"));
    std::fs::create_dir(&spool).unwrap();
    std::fs::copy(stack().directory().join("fingerprint.key"), &key).unwrap();
    let file = hook_config(place.path(), |line| {
        if line.starts_with("spool_dir") {
            format!("spool_dir = {:?}", spool.display().to_string())
        } else if line.starts_with("fingerprint_key_file") {
            format!("fingerprint_key_file = {:?}", key.display().to_string())
        } else {
            line.to_owned()
        }
    });
    let path = repository.path.display().to_string();
    let named = file.display().to_string();
    stack()
        .refwarden(&["install", &path, "--hook-config", &named])
        .passes();
    doctor(&repository).passes();

    std::fs::remove_dir_all(&spool).unwrap();
    finds(&repository, &["spool", "cannot be looked at", "mkdir"]);
    std::fs::write(&spool, "no directory\n").unwrap();
    finds(&repository, &["spool", "is no directory", "move it away"]);
    std::fs::remove_file(&spool).unwrap();
    std::fs::create_dir(&spool).unwrap();

    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    finds(&repository, &["fingerprint key", "cannot be read"]);
    std::fs::write(&key, "short\n").unwrap();
    finds(&repository, &["fingerprint key", "64 hexadecimal digits"]);
    std::fs::write(&key, kept).unwrap();
    doctor(&repository).passes();

    std::fs::rename(&file, place.path().join("away.toml")).unwrap();
    finds(&repository, &[&named, "cannot be read", "--hook-config"]);
    std::fs::rename(place.path().join("away.toml"), &file).unwrap();
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    doctor(&repository).passes();
}

#[test]
fn programs_that_are_missing_are_named() {
    let repository = Repository::guarded(stack(), "doctor-programs");
    let place = tempfile::tempdir().unwrap();
    let alone = place.path().join("refwarden");
    // By another process: what this one has open for writing, others of its children cannot run.
    let mut copy = Command::new("cp");
    copy.arg(program("refwarden")).arg(&alone);
    run(copy, b"").passes();
    let mut command = Command::new(&alone);
    command.arg("doctor").arg(&repository.path);
    let said = run(command, b"");
    assert_eq!(said.code, Some(1), "{said}");
    said.says(&["refwarden-pack-objects is missing", "clones fail"]);
}

#[test]
fn what_the_service_rejected_is_named_with_what_to_do() {
    let repository = Repository::guarded(stack(), "doctor-rejected");
    let id = repository
        .git(&["config", "refwarden.repository"])
        .passes()
        .text();
    let spool = stack().directory().join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    let file = spool.join(format!("{id}.rejected"));
    std::fs::write(&file, "{}\n").unwrap();
    let path = repository.path.display().to_string();
    stack()
        .refwarden(&["reconcile", &path])
        .says(&["rejected", "refwarden doctor"]);
    let said = doctor(&repository);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(!said.text().contains("refwarden install puts"), "{said}");
    said.says(&[&file.display().to_string(), "mv "]);
    // What it says helps.
    std::fs::rename(&file, spool.join("looked-at")).unwrap();
    doctor(&repository).passes();
    std::fs::remove_file(spool.join("looked-at")).unwrap();
}
