use serde_json::json;

use super::*;

#[expect(
    clippy::needless_pass_by_value,
    reason = "claims are written where they are used"
)]
fn scopes(claim: Value) -> Scopes {
    Scopes::from_claim(&claim).unwrap()
}

/// A push of one update; `listed` commits change `path`.
fn push(name: &str, kind: &str, gained: u64, listed: u64, path: &str) -> PushFacts {
    let oid = "1".repeat(40);
    let change = json!({
        "path": path, "old_mode": "100644", "new_mode": "100644", "old_oid": oid, "new_oid": oid,
        "status": "M", "added": 1, "deleted": 1, "patch": "", "patch_cut": false,
    });
    let commit = json!({
        "oid": oid, "parents": [], "tree": oid, "author": "a", "committer": "a", "message": "m",
        "signed": false, "changes": [change], "changes_total": 1,
    });
    let commits: Vec<Value> = (0..listed).map(|_| commit.clone()).collect();
    serde_json::from_value(json!({
        "object_format": "sha1",
        "updates": [{
            "ref_name": name, "target": name, "claimed_old": oid, "actual_old": oid, "new": oid,
            "kind": kind, "new_type": "commit", "gained": gained, "lost": 0,
        }],
        "commits": commits, "commits_total": listed, "findings": [], "findings_total": 0,
        "objects_scanned": 0, "push_options": [], "ruleset_id": "",
    }))
    .unwrap()
}

#[track_caller]
fn check(claim: Value, facts: &PushFacts, expected: &[&str]) {
    let denials = scopes(claim).denials("team/app", facts);
    let texts: Vec<&str> = denials.iter().map(|denial| denial.text.as_str()).collect();
    assert_eq!(texts.len(), expected.len(), "{texts:?}");
    for (text, word) in texts.iter().zip(expected) {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn each_list_narrows() {
    let forward = push("refs/heads/x", "fast-forward", 1, 1, "src/a.rs");
    check(json!({}), &forward, &[]);
    check(json!({"repositories": ["team/*"]}), &forward, &[]);
    check(
        json!({"repositories": ["other/*"]}),
        &forward,
        &["this repository"],
    );
    check(json!({"repositories": []}), &forward, &["this repository"]);
    check(json!({"refs": ["refs/heads/*"]}), &forward, &[]);
    check(json!({"refs": ["refs/heads/y"]}), &forward, &["this ref"]);
    check(json!({"verbs": ["update"]}), &forward, &[]);
    check(
        json!({"verbs": ["fetch", "create"]}),
        &forward,
        &["for update"],
    );
    check(json!({"paths": ["src/**"]}), &forward, &[]);
    check(json!({"paths": ["docs/**"]}), &forward, &["path src/a.rs"]);
    // Every one of several scopes has to allow.
    let both = json!([{"refs": ["refs/heads/*"]}, {"refs": ["refs/heads/y"]}]);
    check(both, &forward, &["this ref"]);
}

#[test]
fn what_changes_unseen_paths_is_refused_to_a_token_for_some() {
    let paths = json!({"paths": ["src/**"]});
    let unseen = "not known";
    for (kind, gained, listed, expected) in [
        ("fast-forward", 1, 1, vec![]),
        ("create", 1, 1, vec![]),
        // The ref gains commits that are in the repository already: their changes are not told.
        ("fast-forward", 2, 1, vec![unseen]),
        ("fast-forward", 1, 0, vec![unseen]),
        ("non-fast-forward", 1, 1, vec![unseen]),
        ("delete", 0, 0, vec![unseen]),
        ("no-op", 0, 0, vec![]),
    ] {
        let facts = push("refs/heads/x", kind, gained, listed, "src/a");
        check(paths.clone(), &facts, &expected);
    }
    let mut cut = push("refs/heads/x", "fast-forward", 1, 1, "src/a");
    cut.commits[0].changes_total = 2;
    check(paths, &cut, &[unseen]);
}

#[test]
fn reading_and_writing_are_told_apart() {
    let read = scopes(json!({"verbs": ["fetch"]}));
    assert!(read.may_fetch("a") && !read.may_push("a"));
    let write = scopes(json!({"verbs": ["create"], "repositories": ["a"]}));
    assert!(!write.may_fetch("a") && write.may_push("a") && !write.may_push("b"));
    assert!(Scopes::default().may_fetch("a") && Scopes::default().may_push("a"));
    let both = read.and(write);
    assert!(!both.may_fetch("a") && !both.may_push("a"));
}

#[test]
fn what_is_not_understood_is_an_error() {
    for claim in [
        json!(null),
        json!("all"),
        json!(1),
        json!([]),
        json!([[]]),
        json!({"repos": ["a"]}),
        json!({"verbs": ["push"]}),
        json!({"verbs": "fetch"}),
        json!({"refs": [""]}),
        json!({"refs": [1]}),
        json!({"paths": vec!["a"; 101]}),
    ] {
        assert!(Scopes::from_claim(&claim).is_err(), "{claim}");
    }
}
