//! The rules that a policy names reach the hooks: a `gitleaks.toml` as it is, a file of the scanner's
//! own form, comments and lists of places; what a host keeps of them; and a scan that takes too long.

use std::os::unix::fs::MetadataExt as _;

use refwarden_scan::example;
use refwarden_testkit::{Repository, Stack, Via};

use crate::shared::secret;

const POLICY: &str = r#"
version = 1
[secrets]
rules = ["gitleaks.toml", "own.toml"]
allow_comments = true
repository_ignore = true
evaluate = ["corp-quiet"]
"#;

const GITLEAKS: &str = r"
title = 'as it is'
[allowlist]
paths = ['''^vendor/''']
[[rules]]
id = 'corp-token'
regex = '''corptok_[a-z0-9]{16}'''
keywords = ['corptok_']
[[rules]]
id = 'corp-quiet'
regex = '''corpquiet_[a-z0-9]{16}'''
keywords = ['corpquiet_']
";

const OWN: &str = r#"
provider = "Corp"
[[rule]]
id = "corp-key"
description = "A key of ours"
keywords = ["corpkey_"]
pattern = 'corpkey_[a-z0-9]{16}'
severity = "high"
confidence = "high"
"#;

fn start() -> Stack {
    let mut stack = Stack::start();
    std::fs::write(stack.directory().join("gitleaks.toml"), GITLEAKS).unwrap();
    std::fs::write(stack.directory().join("own.toml"), OWN).unwrap();
    std::fs::write(stack.directory().join("policy.toml"), POLICY).unwrap();
    stack.restart();
    stack
}

fn token(prefix: &str, seed: u64) -> String {
    let template = format!("{prefix}_{{lowernum:16}}");
    String::from_utf8(example::expand(&template, seed)).unwrap()
}

#[test]
fn named_by_the_policy_are_those_of_every_push() {
    let stack = start();
    let repository = Repository::guarded(&stack, "rules");
    let work = repository.work();
    let push = ["HEAD:refs/heads/topic"];
    for (file, prefix, rule) in [
        ("a.env", "corptok", Some("corp-token")),
        ("a.env", "corpkey", Some("corp-key")),
        ("a.env", "corpquiet", None),
        ("vendor/a.env", "corptok", None),
    ] {
        let line = format!("T={}\n", token(prefix, 1));
        work.commit(&[(file.as_bytes(), line.as_bytes())], "Add");
        let pushed = work.push(Via::Local, &push);
        match rule {
            Some(rule) => drop(pushed.fails(&["RW301", rule])),
            None => drop(pushed.passes()),
        }
        work.git(&["reset", "-q", "--hard", "origin/main"]);
        work.push(Via::Local, &["-f", "origin/main:refs/heads/topic"]);
    }
    // A comment counts for rules of either form, in its own line, and its use is an event.
    let secret = secret(21);
    let line = format!("T={secret} # gitleaks:allow\n");
    work.commit(&[(b"b.env", line.as_bytes())], "Comment");
    work.push(Via::Local, &push).passes();
    let line = format!("# gitleaks:allow\nT={}\n", crate::shared::secret(22));
    work.commit(&[(b"c.env", line.as_bytes())], "Above");
    work.push(Via::Local, &push).fails(&["RW301", "c.env:2"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    let events = stack.api("audrey").events("rules");
    let allowed = events
        .iter()
        .find(|it| it.kind == "secret.allowed")
        .unwrap();
    assert!(allowed.summary.contains("b.env:1"), "{}", allowed.summary);
    assert!(
        allowed.summary.contains("gitleaks:allow"),
        "{}",
        allowed.summary
    );
    assert!(!allowed.summary.contains(&secret), "{}", allowed.summary);
    // A file of places that the push itself brings does not speak for it.
    let line = format!("T={}\n", crate::shared::secret(23));
    let ignore = b"d.env:github-pat:1\n";
    work.commit(
        &[(b"d.env", line.as_bytes()), (b".gitleaksignore", ignore)],
        "Ignore",
    );
    work.push(Via::Local, &push).fails(&["RW301", "d.env:1"]);
}

#[test]
fn what_a_host_keeps_of_them_is_trusted_for_nothing() {
    let mut stack = start();
    let repository = Repository::guarded(&stack, "rules-kept");
    let kept = stack.directory().join("spool/scan-rules.json");
    assert!(!kept.exists());
    let line = format!("T={}\n", token("corptok", 2));
    let (bad, good) = ("HEAD:refs/heads/bad", "HEAD:refs/heads/good");
    let told = ["RW301", "a.env:1", "corp-token"];
    let work = repository.work();
    work.commit(&[(b"a.env", line.as_bytes())], "Add");
    work.push(Via::Local, &[bad]).fails(&told);
    let whole = std::fs::read(&kept).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    // The common push asks nothing: each question is kept, in a new file.
    let inode = || std::fs::metadata(&kept).unwrap().ino();
    let before = inode();
    work.push(Via::Local, &[bad]).fails(&told);
    assert_eq!(inode(), before);
    for damaged in [
        Vec::new(),
        whole[..whole.len() / 2].to_vec(),
        b"{}".to_vec(),
        b"{\"files\":[{\"name\":\"a\",\"text\":\"[[\"}]}".to_vec(),
        text.replace("corptok_", "corptak_").into_bytes(),
        text.replace("^vendor/", "").into_bytes(),
        vec![b'['; 1 << 20],
    ] {
        std::fs::write(&kept, &damaged).unwrap();
        work.push(Via::Local, &[bad]).fails(&told);
        assert_eq!(std::fs::read(&kept).unwrap(), whole);
    }
    // A host that cannot keep them scans with them all the same.
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    work.push(Via::Local, &[bad]).fails(&told);
    std::fs::remove_dir(&kept).unwrap();
    assert_eq!(repository.value("refs/heads/bad"), None);
    // No push that was scanned with others is on record.
    let events = stack.api("audrey").events("rules-kept");
    let of_pushes = |kind: &str| events.iter().filter(|it| it.kind == kind).count();
    assert_eq!(of_pushes("push.denied"), 10);
    assert_eq!(of_pushes("push.refused"), 0);
    // Rules that have changed hold from the first push on, also where its pack is streamed.
    let changed = GITLEAKS.replace("corptok_", "corpnew_");
    std::fs::write(stack.directory().join("gitleaks.toml"), changed).unwrap();
    stack.restart();
    let repository = Repository::named(&stack, "rules-kept");
    let work = repository.work();
    let noise: Vec<u8> = (0..3_u64 << 17)
        .flat_map(|at| mixed(at).to_le_bytes())
        .collect();
    work.commit(
        &[(b"a.env", line.as_bytes()), (b"noise", &noise)],
        "No more",
    );
    work.push(Via::Local, &[good]).passes();
    let line = format!("T={}\n", token("corpnew", 3));
    work.commit(&[(b"b.env", line.as_bytes())], "Add");
    work.push(Via::Local, &[good])
        .fails(&["RW301", "b.env:1", "corp-token"]);
    // So do none.
    std::fs::write(stack.directory().join("policy.toml"), "version = 1\n").unwrap();
    stack.restart();
    let repository = Repository::named(&stack, "rules-kept");
    let work = repository.work();
    work.commit(&[(b"b.env", line.as_bytes())], "Add");
    work.push(Via::Local, &["HEAD:refs/heads/better"]).passes();
    assert!(!std::fs::read_to_string(&kept).unwrap().contains("corpnew"));
}

/// Bytes that no compression makes shorter (splitmix64).
fn mixed(at: u64) -> u64 {
    let mut it = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

#[test]
fn a_file_that_cannot_be_used_stops_the_service_and_says_where() {
    let stack = start();
    stack.refwarden(&["down"]).passes();
    let broken = GITLEAKS.replace("[a-z0-9]{16}'''\nkeywords = ['corptok_']", "(?=x)'''");
    std::fs::write(stack.directory().join("gitleaks.toml"), broken).unwrap();
    let refused = stack.refwarden(&["up", "--detach", "--json"]);
    assert!(!refused.ok(), "{refused}");
    assert!(
        stack
            .logs()
            .contains("gitleaks.toml:7: rule \"corp-token\""),
        "{}",
        stack.logs()
    );
    let policy = stack.directory().join("policy.toml").display().to_string();
    std::fs::remove_file(stack.directory().join("own.toml")).unwrap();
    std::fs::write(stack.directory().join("gitleaks.toml"), GITLEAKS).unwrap();
    assert!(!stack.refwarden(&["up", "--detach", "--json"]).ok());
    assert!(
        stack
            .logs()
            .contains(&format!("{policy}:4: rules 'own.toml'")),
        "{}",
        stack.logs()
    );
}

#[test]
fn a_scan_that_takes_too_long_refuses() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "rules-budget");
    let work = repository.work();
    let file = stack.directory().join("hook.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("scan_budget_ms = 1\n{text}")).unwrap();
    let long = "a line of text that goes on\n".repeat(1_000_000);
    work.commit(&[(b"long", long.as_bytes())], "Long");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).fails(&[
        "RW302",
        "takes longer than 0.001 s",
        "scan_budget_ms",
    ]);
    assert_eq!(repository.value("refs/heads/topic"), None);
}

#[test]
fn a_secret_that_is_moved_or_copied_is_news() {
    let stack = Stack::start();
    let repository = Repository::unguarded(&stack, "rules-moved", "sha1");
    let work = repository.work();
    let line = format!("T={}\n", secret(24));
    work.commit(&[(b"old.env", line.as_bytes())], "Long ago");
    work.git(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    repository.install().passes();
    let push = ["HEAD:refs/heads/topic"];
    work.git(&["mv", "old.env", "new.env"]);
    work.git(&["commit", "-q", "-m", "Move"]);
    work.push(Via::Local, &push).fails(&["RW301", "new.env:1"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    work.commit(&[(b"copy.env", line.as_bytes())], "Copy");
    work.push(Via::Local, &push).fails(&["RW301", "copy.env:1"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    // In its place it is no news, nor where a merge has it from a parent.
    work.commit(&[(b"old.env", format!("{line}more\n").as_bytes())], "Edit");
    work.push(Via::Local, &push).passes();
    work.git(&["checkout", "-q", "--orphan", "side"]);
    work.git(&["rm", "-rfq", "."]);
    work.commit(&[(b"side", b"s\n")], "Side");
    work.git(&[
        "merge",
        "-q",
        "--no-edit",
        "--allow-unrelated-histories",
        "origin/main",
    ]);
    work.push(Via::Local, &["HEAD:refs/heads/merged"]).passes();
    // What a merge has from neither parent is its own.
    work.git(&["checkout", "-q", "--orphan", "other"]);
    work.git(&["rm", "-rfq", "."]);
    work.commit(&[(b"other", b"o\n")], "Other");
    let merge = ["merge", "-q", "--no-commit", "--allow-unrelated-histories"];
    work.git(&[&merge[..], &["origin/main"]].concat());
    work.commit(&[(b":evil\n.env", line.as_bytes())], "Evil");
    work.push(Via::Local, &["HEAD:refs/heads/evil"])
        .fails(&["RW301", "evil"]);
    assert_eq!(repository.value("refs/heads/evil"), None);
}
