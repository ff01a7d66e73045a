//! What policy matches, it learns from the hooks: each kind of limit stops a real push.

use std::process::Command;

use refwarden_testkit::{Outcome, Repository, Stack, Via, Work};

const POLICY: &str = r#"
version = 1

[[rule]]
id = "small-files"
refs = ["refs/heads/**"]
max_file_size = 1000
forbid = ["binary"]
effect = "deny"

[[rule]]
id = "large-media"
refs = ["refs/heads/**"]
lfs = ["*.psd"]
effect = "deny"

[[rule]]
id = "signed"
refs = ["refs/heads/signed"]
require = ["signed-commits"]
effect = "deny"

[[rule]]
id = "no-vault"
refs = ["refs/heads/guarded", "refs/heads/guarded-too"]
paths = ["vault/**"]
effect = "deny"

[[rule]]
id = "quiet-default"
refs = ["refs/heads/**"]
default_branch = true
on = ["fast-forward"]
effect = "deny"

[[rule]]
id = "annotated"
refs = ["refs/tags/**"]
require = ["annotated-tags"]
effect = "deny"
"#;

fn stack() -> Stack {
    let mut stack = Stack::start();
    std::fs::write(stack.directory().join("policy.toml"), POLICY).unwrap();
    stack.restart();
    stack
}

#[track_caller]
fn push(work: &Work<'_>, to: &str) -> Outcome {
    work.push(Via::Local, &[&format!("HEAD:{to}")])
}

#[track_caller]
fn denied(work: &Work<'_>, to: &str, rule: &str) {
    push(work, to).fails(&["RW203", rule]);
}

#[test]
fn files_are_matched_by_what_they_are() {
    let stack = stack();
    let repository = Repository::guarded(&stack, "files");
    let topic = "refs/heads/topic";
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n",
        "1".repeat(64)
    );
    for (name, content, rule) in [
        (&b"large"[..], "x".repeat(1001), Some("small-files")),
        (b"small", "x".repeat(1000), None),
        (b"binary", "a\0b".to_owned(), Some("small-files")),
        (b"a.psd", "no pointer\n".to_owned(), Some("large-media")),
        (b"b.psd", pointer, None),
    ] {
        let work = repository.work();
        work.commit(&[(name, content.as_bytes())], "A file");
        let to = format!("{topic}-{}", String::from_utf8_lossy(name));
        match rule {
            Some(rule) => {
                denied(&work, &to, rule);
                assert_eq!(repository.value(&to), None);
            }
            None => {
                push(&work, &to).passes();
            }
        }
    }
    // A file that was large before this push counts when another commit brings it elsewhere.
    let work = repository.work();
    work.commit(&[(b"again", b"small\n")], "Small");
    push(&work, topic).passes();
    denied(&work, "refs/heads/main", "quiet-default");
}

#[test]
fn a_detour_by_way_of_another_branch_hides_nothing() {
    let stack = stack();
    let repository = Repository::guarded(&stack, "detour");
    let work = repository.work();
    push(&work, "refs/heads/guarded").passes();
    work.commit(&[(b"vault/key", b"v\n")], "Into the vault");
    denied(&work, "refs/heads/guarded", "no-vault");
    // The topic branch may have it. From there it is no news to the repository.
    push(&work, "refs/heads/topic").passes();
    denied(&work, "refs/heads/guarded", "no-vault");
    denied(&work, "refs/heads/guarded-too", "no-vault");
    work.commit(&[(b"b", b"b\n")], "Harmless, on top of it");
    denied(&work, "refs/heads/guarded", "no-vault");
    denied(&work, "refs/heads/guarded-too", "no-vault");
    assert_eq!(repository.value("refs/heads/guarded-too"), None);
    // Without it, both pass.
    work.git(&["reset", "-q", "--hard", "HEAD~2"]);
    work.commit(&[(b"c", b"c\n")], "Harmless");
    push(&work, "refs/heads/guarded").passes();
    push(&work, "refs/heads/guarded-too").passes();
}

#[test]
fn signatures_count_when_a_configured_signer_made_them() {
    let stack = stack();
    let repository = Repository::guarded(&stack, "signatures");
    let keys = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = keys.path().join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&path)
            .status();
        assert!(made.unwrap().success());
        path
    };
    let (ada, stranger) = (key("ada"), key("stranger"));
    let signed = "refs/heads/signed";
    let work = repository.work();
    let sign = |work: &Work<'_>, with: &std::path::Path, message: &str| {
        work.commit(&[(b"a", message.as_bytes())], message);
        let key = format!("user.signingKey={}", with.display());
        let arguments = ["-c", "gpg.format=ssh", "-c", &key];
        let amend = ["commit", "-q", "--amend", "--no-edit", "-S"];
        work.git(&[&arguments[..], &amend[..]].concat());
    };
    // Nobody's signature counts as long as nobody is configured.
    sign(&work, &ada, "By Ada");
    denied(&work, signed, "signed");

    let signers = keys.path().join("allowed");
    let public = std::fs::read_to_string(ada.with_extension("pub")).unwrap();
    std::fs::write(&signers, format!("ada@example.org {public}")).unwrap();
    let file = stack.directory().join("hook.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = format!("allowed_signers = \"{}\"\n{text}", signers.display());
    std::fs::write(&file, text).unwrap();
    push(&work, signed).passes();
    sign(&work, &stranger, "By somebody else");
    denied(&work, signed, "signed");
    work.git(&["reset", "-q", "--hard", "HEAD~1"]);
    work.commit(&[(b"a", b"unsigned\n")], "By nobody");
    denied(&work, signed, "signed");

    // What was learned stands in the record.
    let events = stack.api("audrey").events(&repository.name);
    let released = events.iter().find(|event| event.kind == "push.released");
    let push_id = released.unwrap().push_id.unwrap();
    let told: serde_json::Value = stack.api("audrey").read(&format!("/pushes/{push_id}"));
    let signature = &told["facts"]["commits"][0]["signature"];
    assert_eq!(signature["state"], "good", "{told}");
    assert_eq!(signature["signer"], "ada@example.org", "{told}");
}

#[test]
fn tags_are_told_from_tags() {
    let stack = stack();
    let repository = Repository::guarded(&stack, "tags");
    let work = repository.work();
    denied(&work, "refs/tags/light", "annotated");
    work.git(&["tag", "-a", "-m", "Annotated", "v1"]);
    work.push(Via::Local, &["refs/tags/v1"]).passes();
}
