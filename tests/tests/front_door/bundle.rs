//! Evidence bundles: made by the service, checked with nothing but a key, and useless when changed.

use std::path::Path;
use std::process::Command;

use refwarden_testkit::{Outcome, Repository, Via, program, run};

use crate::shared::{secret, stack};

/// Runs `refwarden audit verify-bundle` on a machine that has the file, and a key, and no service.
fn elsewhere(file: &Path, extra: &[&str]) -> Outcome {
    let mut command = Command::new(program("refwarden"));
    command
        .env_clear()
        .args(["audit", "verify-bundle"])
        .arg(file)
        .args(extra);
    run(command, b"")
}

fn position(bytes: &[u8], needle: &[u8]) -> usize {
    memchr::memmem::find(bytes, needle).unwrap()
}

#[test]
fn a_bundle_of_a_refused_push_holds_elsewhere_until_it_is_changed() {
    let repository = Repository::guarded(stack(), "bundle-push");
    let work = repository.work();
    let secret = secret(7301);
    work.commit(&[(b"conf", secret.as_bytes())], "Conf");
    work.push(Via::Http, &["HEAD:refs/heads/topic"])
        .fails(&["RW301"]);
    let events = stack().api("audrey").events("bundle-push");
    let push = events.iter().find_map(|event| event.push_id).unwrap();
    let push = push.to_string();

    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let file = at("evidence.tar");
    let shown = file.display().to_string();
    stack()
        .refwarden(&["audit", "bundle", "--push", &push, "--out", &shown])
        .passes()
        .says(&["1 packs"]);
    let key = stack().refwarden(&["audit", "key"]).passes().text();
    let identity = stack().directory().join("auditor.identity");
    let identity = identity.display().to_string();
    let bundle = std::fs::read(&file).unwrap();

    elsewhere(&file, &["--key", &key])
        .passes()
        .says(&["Whole:", &push, "0 were opened"]);
    elsewhere(&file, &["--key", &key, "--identity", &identity])
        .passes()
        .says(&["1 were opened"]);
    assert!(memchr::memmem::find(&bundle, secret.as_bytes()).is_none());
    // Other tools read it too.
    let mut tar = Command::new("tar");
    tar.args(["-tf"]).arg(&file);
    run(tar, b"").passes().says(&[
        "checkpoint",
        "events/1.jsonl",
        "records/",
        ".pack.age",
        "manifest.note",
    ]);

    let other = {
        use refwarden_merkle::SecretKey;
        let der = SecretKey::generate().unwrap();
        let name = key.split('+').next().unwrap();
        SecretKey::of_log(name, &der).unwrap().public().to_string()
    };
    elsewhere(&file, &["--key", &other]).fails(&["not whole", "checkpoint: no signature by"]);

    let changed = at("changed.tar");
    let edits = [
        (
            position(&bundle, b"push.denied"),
            "is not in the log as it stands here",
        ),
        (position(&bundle, b"[\"push\", "), "they were edited"),
        (
            position(&bundle, b"age-encryption.org/v1") + 400,
            ".pack.age: it is not what was signed",
        ),
        (
            position(&bundle, b"\"made_for\"") + 3,
            "manifest.note: it signs another manifest",
        ),
        (position(&bundle, b"\n\n\xe2\x80\x94 ") + 60, "checkpoint: "),
        (bundle.len() - 1, "this is no part of a bundle"),
    ];
    for (at, expected) in edits {
        let mut bytes = bundle.clone();
        bytes[at] ^= 1;
        std::fs::write(&changed, &bytes).unwrap();
        let found = elsewhere(&changed, &["--key", &key]);
        assert_eq!(found.code, Some(1), "{expected}: {found}");
        found.says(&[expected]);
    }
    std::fs::write(&changed, &bundle[..bundle.len() / 2]).unwrap();
    elsewhere(&changed, &["--key", &key]).fails(&["cut off"]);
    // With the wrong identity it says so, and does not pass for checked.
    let wrong = at("wrong.identity");
    let own = age::x25519::Identity::generate().to_string();
    std::fs::write(&wrong, age::secrecy::ExposeSecret::expose_secret(&own)).unwrap();
    let wrong = wrong.display().to_string();
    elsewhere(&file, &["--key", &key, "--identity", &wrong]).fails(&["it does not open"]);
}

#[test]
fn a_bundle_of_a_period_has_its_events_and_baseline() {
    let repository = Repository::guarded(stack(), "bundle-period");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    let count = stack().api("audrey").events("bundle-period").len();
    let key = stack().refwarden(&["audit", "key"]).passes().text();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("period.tar");
    let shown = file.display().to_string();
    // What is not attested yet is not part of it: wait for the checkpoint.
    refwarden_testkit::until(
        "all is attested",
        std::time::Duration::from_secs(30),
        || {
            let made = stack().refwarden(&[
                "audit",
                "bundle",
                "--repository",
                "bundle-period",
                "--since",
                "1d",
                "--out",
                &shown,
            ]);
            made.passes()
                .text()
                .contains(&format!("{count} events, 2 packs"))
                .then_some(())
        },
    );
    elsewhere(&file, &["--key", &key])
        .passes()
        .says(&["Whole:", "repository bundle-period"]);
    stack()
        .refwarden(&["audit", "bundle", "--out", &shown])
        .fails(&["--push"]);
}
