use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use refwarden_model::ObjectFormat;

use super::*;
use crate::testing::Sandbox;

fn read_all(sandbox: &Sandbox, tips: &[Oid], limits: &Limits) -> History {
    let objects = ObjectEnv::repository_only();
    read(&sandbox.repository(), &objects, tips, limits, |_| true).unwrap()
}

/// Makes commits on a ref and takes the ref away, so that they are new.
fn unreferenced(sandbox: &Sandbox, contents: &[&[(&str, &[u8])]]) -> Vec<Oid> {
    let name = "refs/heads/work";
    let commits = contents.iter().map(|files| sandbox.commit(name, files));
    let commits = commits.collect();
    sandbox
        .git("update-ref")
        .args(["-d", name])
        .output(b"")
        .unwrap();
    commits
}

#[test]
fn commits_changes_and_patches_are_read() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let sandbox = Sandbox::new(format, "files");
        let commits = unreferenced(
            &sandbox,
            &[
                &[("a", b"one\n"), ("bin", b"\0x")],
                &[("a", b"one\n--- x\ndiff --git a b\n"), ("no-eol", b"x")],
                &[("a", b"one\n--- x\ndiff --git a b\n"), ("no-eol", b"x")],
            ],
        );
        let history = read_all(&sandbox, &commits[2..], &Limits::default());
        let listed: Vec<Oid> = history.commits.iter().map(|commit| commit.oid).collect();
        assert_eq!((listed, history.commits_total), (commits.clone(), 3));
        assert_eq!(history.objects.len(), 3 + 2 + 4);
        assert_eq!(history.commits[1].parents, [commits[0]]);
        let shown = |oid: Oid| -> Vec<_> {
            let changes = &history.changes[&oid].changes;
            let rows = changes.iter().map(|change| {
                let path = String::from_utf8_lossy(&change.path).into_owned();
                (path, change.status, change.added, change.deleted)
            });
            rows.collect()
        };
        let first = [
            ("a".into(), 'A', Some(1), Some(0)),
            ("bin".into(), 'A', None, None),
        ];
        assert_eq!(shown(commits[0]), first);
        let second = [
            ("a".into(), 'M', Some(2), Some(0)),
            ("bin".into(), 'D', None, None),
            ("no-eol".into(), 'A', Some(1), Some(0)),
        ];
        assert_eq!(shown(commits[1]), second);
        let patch = &history.changes[&commits[1]].changes[2].patch;
        assert_eq!(patch, b"@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n");
        assert!(!history.changes.contains_key(&commits[2]));
        assert_eq!(gained_within(&history.commits, None, commits[2]), Some(3));
        let old = Some(commits[0]);
        assert_eq!(
            gained_within(&history.commits[1..], old, commits[2]),
            Some(2)
        );
        assert_eq!(gained_within(&history.commits[2..], old, commits[2]), None);
    }
}

#[test]
fn lists_are_cut_at_their_bounds_and_say_so() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let long = "line\n".repeat(1000).into_bytes();
    let files: Vec<(String, &[u8])> = (0..9).map(|n| (format!("{n}"), &long[n..])).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, c)| (name.as_str(), *c)).collect();
    let commits = unreferenced(&sandbox, &[&files, &files[..3], &files[..2]]);
    let limits = Limits {
        commits: 2,
        changes_per_commit: 4,
        patch: 6_010,
        patches: 20_000,
        ..Limits::default()
    };
    let history = read_all(&sandbox, &commits[2..], &limits);
    assert_eq!((history.commits.len(), history.commits_total), (2, 3));
    let cut = &history.changes[&commits[1]];
    assert_eq!((cut.changes.len(), cut.total), (4, 6));
    assert_eq!(cut.changes[0].deleted, Some(1000));
    assert!(cut.changes.iter().all(|change| change.patch.len() <= 6_010));
    assert!(cut.changes.last().unwrap().patch_cut);
}

#[test]
fn a_change_of_type_and_a_merge_are_read() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let commits = unreferenced(&sandbox, &[&[("a", b"x")], &[("a", b"x"), ("b", b"y")]]);
    let blob = Sandbox::oid(sandbox.git("hash-object").args(["-w", "--stdin"]), b"x");
    let entries = format!("120000 blob {blob}\ta\n100755 blob {blob}\tz\n");
    let tree = Sandbox::oid(sandbox.git("mktree"), entries.as_bytes());
    let make = sandbox.git("commit-tree").arg(tree.to_string());
    let make = make.args(["-p", &commits[0].to_string(), "-p", &commits[1].to_string()]);
    let merge = Sandbox::oid(make, b"merge");
    let history = read_all(&sandbox, &[merge], &Limits::default());
    let changes = &history.changes[&merge].changes;
    let rows: Vec<_> = changes
        .iter()
        .map(|change| (change.status, change.added))
        .collect();
    assert_eq!(rows, [('T', Some(1)), ('A', Some(1))]);
}

#[test]
fn a_missing_tip_is_an_error() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let tip = Oid::parse(&[b'1'; 40]).unwrap();
    let objects = ObjectEnv::repository_only();
    let limits = Limits::default();
    assert!(read(&sandbox.repository(), &objects, &[tip], &limits, |_| true).is_err());
}

#[test]
fn reach_is_counted() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let one = sandbox.commit("refs/heads/main", &[("a", b"1")]);
    sandbox
        .git("branch")
        .args(["side", "main"])
        .output(b"")
        .unwrap();
    let two = sandbox.commit("refs/heads/main", &[("a", b"2")]);
    let side = sandbox.commit("refs/heads/side", &[("a", b"3")]);
    let repository = sandbox.repository();
    let none = ObjectEnv::repository_only();
    let between = |old, new| {
        let counts = counts(&repository, &none, old, new).unwrap();
        (counts.gained, counts.lost)
    };
    assert_eq!(between(one, two), (1, 0));
    assert_eq!(between(two, side), (1, 1));
    let name = |text: &str| RefName::parse(text.as_bytes()).unwrap();
    let lost = unreferenced_without(&repository, &name("refs/heads/side"), side).unwrap();
    assert_eq!(lost, 1);
    let gone = unreferenced(&sandbox, &[&[("z", b"z")]])[0];
    let wanted = BTreeSet::from([one, side, gone]);
    let deadline = Instant::now() + Duration::from_secs(10);
    let found = reachable(&repository, &wanted, deadline).unwrap();
    assert_eq!(found, BTreeSet::from([one, side]));
}

use refwarden_model::RefName;
