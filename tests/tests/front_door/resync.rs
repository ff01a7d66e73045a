//! `refwarden resync`: an old clone of a masked view, after a new rule.

use std::path::Path;

use refwarden_scan::example;
use refwarden_testkit::{Outcome, Repository, Stack, Via, program, run, with_token};
use serde_json::Value;

use crate::fetches::recorded;
use crate::masked::{Clone, configured, push};
use crate::shared::secret;
use crate::unmasked::write;

/// A rule that no view has at first.
const RULE: &str = r#"provider = "Acme"

[[rule]]
id = "acme-key"
description = "Key of Acme"
keywords = ["acme_"]
pattern = 'acme_[0-9a-f]{24}'
severity = "high"
confidence = "high"
"#;

fn key(seed: u64) -> String {
    String::from_utf8(example::expand("acme_{hex:24}", seed)).unwrap()
}

/// Makes the rule one of views, for all who serve.
fn learn(stack: &mut Stack) {
    let rule = stack.directory().join("acme.toml");
    std::fs::write(&rule, RULE).unwrap();
    let line = format!(
        "[proxy.views]\nrules = [{:?}]\n",
        rule.display().to_string()
    );
    let file = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("[proxy.views]\n", &line, 1)).unwrap();
    stack.restart();
}

/// Ten lines, with keys of the kind that becomes a secret in two files, before a merge, a tag and
/// a branch.
fn planted<'a>(stack: &'a Stack, name: &str) -> Repository<'a> {
    let repository = Repository::unguarded(stack, name, "sha1");
    let work = repository.work();
    work.commit(&[(b"clean", b"clean\n")], "Clean");
    let told = format!(
        "a\nb\nc\nd\ntoken = {}\ne\nf\ng\nkey = {}\nend\n",
        secret(9600),
        key(1)
    );
    work.commit(&[(b"conf", told.as_bytes())], "With");
    work.git(&["checkout", "-q", "-b", "side"]);
    work.commit(&[(b"side", b"side\n")], "Beside");
    work.git(&["tag", "-a", "-m", "One", "v1"]);
    work.git(&["checkout", "-q", "main"]);
    work.commit(
        &[(b"more", key(2).as_bytes())],
        &format!("More of {}", key(3)),
    );
    work.git(&["merge", "-q", "--no-ff", "-m", "Merge", "side"]);
    work.git(&["push", "-q", "origin", "main", "side", "v1"]);
    repository.install().passes();
    repository
}

fn resync(clone: &Clone, arguments: &[&str]) -> Outcome {
    let mut command = std::process::Command::new(program("refwarden"));
    command.env_clear();
    clone.git.environment(&mut command);
    command.arg("resync").arg(clone.path()).args(arguments);
    run(command, b"")
}

fn said(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

/// What became of a branch or tag.
fn of<'v>(said: &'v Value, list: &str, name: &str) -> &'v Value {
    let all = said[list].as_array().unwrap();
    let found = all.iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("{name}: {said}"))
}

#[test]
fn an_old_clone_follows_a_new_rule_and_loses_nothing() {
    let mut stack = configured(str::to_owned, "");
    planted(&stack, "resync");
    let old = {
        let repository = Repository::named(&stack, "resync");
        Clone::new(&repository, &stack.token("ada"), &[])
    };
    assert!(old.read("conf").contains(&key(1)));
    resync(&old, &[]).passes().says(&["Nothing was moved"]);
    // Work of one's own: upon main, upon side with a merge of main, a branch that is behind, one
    // upon a clean commit, and one that touches the very line.
    old.git(&["branch", "behind", "main~1"]);
    old.git(&["branch", "early", "main~3"]);
    old.git(&["checkout", "-q", "-b", "mine"]);
    let shown = old.read("conf");
    write(&old, "conf", &format!("{shown}mine = 1\n"), "Mine");
    write(&old, "own", "own\n", "Own");
    old.git(&["checkout", "-q", "-b", "merged", "origin/side"]);
    write(&old, "third", "third\n", "Third");
    old.git(&["merge", "-q", "--no-ff", "-m", "Both", "mine"]);
    old.git(&["checkout", "-q", "-b", "torn", "main"]);
    let torn = shown.replace("key = ", "key: ");
    write(&old, "conf", &torn, "Torn");
    old.git(&["checkout", "-q", "-b", "apart", "main~3"]);
    write(&old, "apart", "apart\n", "Apart");
    old.git(&["checkout", "-q", "mine"]);
    std::fs::write(old.path().join("untracked"), "mine").unwrap();
    let before = old.git(&["show-ref", "--heads"]);

    learn(&mut stack);
    let repository = Repository::named(&stack, "resync");
    let url = repository.http_url();
    old.git(&["remote", "set-url", "origin", &url]);
    let token = stack.token("ada");
    let old = Clone {
        git: with_token(stack.git(), &token, Via::Http),
        ..old
    };
    // Who pushes upon the old view is told what to do.
    let pushed = old
        .git
        .run(old.path(), &["push", "origin", "mine:refs/heads/mine"]);
    pushed.fails(&["pre-receive hook declined", "refwarden resync"]);

    let dry = said(&resync(&old, &["--dry-run", "--json"]).fails(&[]));
    assert_eq!(old.git(&["show-ref", "--heads"]), before);
    let dirty = old.read("own");
    std::fs::write(old.path().join("own"), "changed\n").unwrap();
    let held = said(&resync(&old, &["--dry-run", "--json"]));
    let mine = of(&held, "branches", "refs/heads/mine");
    assert!(mine["left"].as_str().unwrap().contains("stash"), "{mine}");
    std::fs::write(old.path().join("own"), dirty).unwrap();

    let outcome = resync(&old, &["--json"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    let done = said(&outcome);
    for name in ["behind", "mine", "merged", "main"] {
        let name = format!("refs/heads/{name}");
        let (one, other) = (of(&done, "branches", &name), of(&dry, "branches", &name));
        assert_eq!(one["left"], Value::Null, "{one}");
        assert_eq!(one["now"], other["now"], "{name}");
        assert_eq!(one["now"], old.git(&["rev-parse", &name]), "{name}");
    }
    let torn = of(&done, "branches", "refs/heads/torn");
    assert!(torn["left"].as_str().unwrap().contains("does not apply"));
    assert!(before.contains(&old.git(&["rev-parse", "torn"])));
    let rest = done["branches"].as_array().unwrap().iter();
    let names: Vec<&str> = rest.map(|it| it["name"].as_str().unwrap()).collect();
    assert!(!names.contains(&"refs/heads/apart") && !names.contains(&"refs/heads/early"));
    assert_eq!(
        old.git(&["rev-parse", "v1"]),
        old.git
            .text(old.path(), &["ls-remote", "origin", "refs/tags/v1"])[..40]
    );
    // Everything is there, upon the new view, and the working tree is as it was.
    assert_eq!(
        old.git(&["rev-parse", "main"]),
        old.git(&["rev-parse", "origin/main"])
    );
    assert_eq!(
        old.git(&["rev-parse", "mine~2"]),
        old.git(&["rev-parse", "origin/main"])
    );
    assert_eq!(old.git(&["log", "--format=%s", "-2", "mine"]), "Own\nMine");
    let parents = old.git(&["rev-parse", "merged^1~1", "merged^2"]);
    let expected = old.git(&["rev-parse", "origin/side", "mine"]);
    assert_eq!(parents, expected);
    assert_eq!(old.git(&["status", "--porcelain"]), "?? untracked");
    assert!(old.read("conf").ends_with("end\nmine = 1\n"));
    assert!(old.read("conf").contains("REFWARDEN-MASKED-acme-key-"));
    // What was moved is kept.
    let kept = done["kept"].as_str().unwrap();
    for line in before.lines() {
        let (oid, name) = line.split_once(' ').unwrap();
        let short = name.strip_prefix("refs/heads/").unwrap();
        if ["behind", "mine", "merged", "main"].contains(&short) {
            let there = old.git(&["rev-parse", &format!("{kept}heads/{short}")]);
            assert_eq!(there, oid);
        }
    }
    // And what was made again is pushed as if it had been made there.
    old.git(&["push", "-q", "origin", "merged:refs/heads/merged"]);
    let text = repository.git(&["show", "refs/heads/merged:conf"]).text();
    assert!(
        text.contains(&key(1)) && text.contains(&secret(9600)),
        "{text}"
    );
    assert!(text.ends_with("mine = 1"), "{text}");
    resync(&old, &["--json"]).fails(&["refs/heads/torn"]);
    old.git(&["branch", "-q", "-D", "torn"]);
    resync(&old, &[]).passes();
}

#[test]
fn where_nobody_can_tell_a_branch_stays() {
    let stack = configured(str::to_owned, "");
    let repository = planted(&stack, "forced-off");
    let clone = Clone::new(&repository, &stack.token("ada"), &[]);
    write(&clone, "own", "own\n", "Own");
    let mine = clone.git(&["rev-parse", "main"]);
    // Somebody has rewritten the branch: what is there now answers to nothing that was.
    let work = repository.work();
    work.git(&["reset", "-q", "--hard", "HEAD~2"]);
    work.commit(&[(b"instead", b"instead\n")], "Instead");
    push(&work, &["--force", "HEAD:refs/heads/main"]);
    // It makes no difference that it was fetched before.
    clone.git(&["fetch", "-q"]);
    let outcome = resync(&clone, &[]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    outcome.says(&["refs/heads/main stays", "nothing answers"]);
    assert_eq!(clone.git(&["rev-parse", "main"]), mine);
    resync(&clone, &["--remote", "nobody"]).fails(&["no branches of that remote"]);
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(program("refwarden"));
    command.arg("resync").arg(Path::new(nowhere.path()));
    assert_eq!(run(command, b"").code, Some(2));
}

#[test]
fn who_fetches_from_another_view_than_before_is_told_what_mends_a_clone() {
    const TOLD: &str = "In a clone that is older, run: refwarden resync";
    let mut stack = configured(str::to_owned, "");
    planted(&stack, "told-of");
    let old = {
        let repository = Repository::named(&stack, "told-of");
        let (old, outcome) = Clone::attempt(&repository, &stack.token("ada"), &[]);
        assert!(!outcome.passes().everything().contains(TOLD));
        recorded(&repository, 1);
        old
    };
    learn(&mut stack);
    let repository = Repository::named(&stack, "told-of");
    let fetch = |clone: &Clone| {
        let git = with_token(stack.git(), &stack.token("ada"), Via::Http);
        let url = repository.http_url();
        let all = "+refs/heads/*:refs/remotes/origin/*";
        git.run(clone.path(), &["fetch", &url, all])
            .passes()
            .everything()
    };
    let said = fetch(&old);
    assert!(said.contains(TOLD), "{said}");
    recorded(&repository, 2);
    // Once: what is fetched from now on is of the new view.
    let work = repository.work();
    work.commit(&[(b"later", b"later\n")], "Later");
    push(&work, &["HEAD:refs/heads/later"]);
    let said = fetch(&old);
    assert!(said.contains("later") && !said.contains(TOLD), "{said}");
    // Others who read for the first time are told nothing.
    let (_, outcome) = Clone::attempt(&repository, &stack.token("grace"), &[]);
    assert!(!outcome.passes().everything().contains(TOLD));
}
