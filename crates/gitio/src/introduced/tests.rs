use std::collections::BTreeSet;

use super::*;
use crate::testing::Sandbox;
use refwarden_model::ObjectFormat;

/// Path, commit's index and content's oid of everything found.
fn listed(found: &Introduced) -> Vec<(String, Option<u32>, Oid)> {
    let path = |place: &Place| {
        place.path.map_or_else(
            || "-".to_owned(),
            |path| String::from_utf8_lossy(&found.paths[path as usize]).into_owned(),
        )
    };
    let mut list = Vec::new();
    for blob in &found.blobs {
        for place in std::iter::once(&blob.first).chain(&blob.more) {
            list.push((path(place), place.commit, blob.oid));
        }
    }
    list
}

fn blob(sandbox: &Sandbox, content: &[u8]) -> Oid {
    let hash = sandbox.git("hash-object").args(["-w", "--stdin"]);
    Sandbox::oid(hash, content)
}

#[test]
fn a_history_has_each_blob_once_with_where_it_came_from() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let sandbox = Sandbox::new(format, "files");
        let first = sandbox.commit("refs/heads/main", &[("a", b"1"), ("b", b"same")]);
        let second = sandbox.commit("refs/heads/main", &[("a", b"2"), ("c", b"same")]);
        let third = sandbox.commit("refs/heads/main", &[("a", b"1")]);
        let found = everything(&sandbox.repository(), &|_| false, &mut |_| {}).unwrap();
        assert_eq!(found.commits, [first, second, third]);
        assert_eq!(found.refs, [b"refs/heads/main"]);
        let (one, two, same) = (
            blob(&sandbox, b"1"),
            blob(&sandbox, b"2"),
            blob(&sandbox, b"same"),
        );
        assert_eq!(
            listed(&found),
            [
                ("a".into(), Some(0), one),
                ("b".into(), Some(0), same),
                ("c".into(), Some(1), same),
                ("a".into(), Some(1), two),
            ]
        );
        let found = range(&sandbox.repository(), Some(first), third, &mut |_| {}).unwrap();
        assert_eq!(found.commits, [second, third]);
        assert_eq!(found.blobs[0].first.before, [one]);
        assert_eq!(
            listed(&found),
            [
                ("a".into(), Some(0), two),
                ("c".into(), Some(0), same),
                ("a".into(), Some(1), one),
            ]
        );
    }
}

#[test]
fn merges_tags_and_refs_hide_nothing() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let base = sandbox.commit("refs/heads/main", &[("a", b"1")]);
    let side = sandbox.commit("refs/heads/side", &[("b", b"2")]);
    let evil = blob(&sandbox, b"evil");
    let tree = Sandbox::oid(
        sandbox.git("mktree").arg("-z"),
        format!("100644 blob {evil}\td\0120000 blob {evil}\tlink\0").as_bytes(),
    );
    let merge = sandbox.git("commit-tree").args([
        &tree.to_string(),
        "-p",
        &base.to_string(),
        "-p",
        &side.to_string(),
    ]);
    let merge = Sandbox::oid(merge, b"merge\n");
    let update = |name: &str, oid: Oid| {
        let git = sandbox.git("update-ref");
        git.args([name, &oid.to_string()]).output(b"").unwrap();
    };
    update("refs/heads/main", merge);
    let lone = blob(&sandbox, b"lone");
    update("refs/tags/light", lone);
    let inner = blob(&sandbox, b"inner");
    let sub = Sandbox::oid(
        sandbox.git("mktree").arg("-z"),
        format!("100644 blob {inner}\tf\0160000 commit {base}\tmodule\0").as_bytes(),
    );
    let top = Sandbox::oid(
        sandbox.git("mktree").arg("-z"),
        format!("040000 tree {sub}\tdir\0").as_bytes(),
    );
    let tag = |target: Oid, kind: &str| {
        let text =
            format!("object {target}\ntype {kind}\ntag t\ntagger a <a@example.org> 1 +0000\n\nx\n");
        Sandbox::oid(sandbox.git("mktag"), text.as_bytes())
    };
    let of_tree = tag(top, "tree");
    let of_tag = tag(of_tree, "tag");
    update("refs/tags/heavy", of_tag);
    let found = everything(&sandbox.repository(), &|_| false, &mut |_| {}).unwrap();
    assert_eq!(found.tags, [of_tag, of_tree]);
    let list = listed(&found);
    let index = found.commits.iter().position(|it| *it == merge).unwrap();
    let index = u32::try_from(index).ok();
    for expected in [
        ("d".to_owned(), index, evil),
        ("link".into(), index, evil),
        ("-".into(), None, lone),
        ("dir/f".into(), None, inner),
    ] {
        assert!(list.contains(&expected), "{expected:?} in {list:?}");
    }
    let module = found.paths.iter().any(|path| **path == *b"dir/module");
    assert!(module, "the path of a submodule is a path too");
}

#[test]
fn an_index_is_compared_with_head() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let checkout = Checkout::find(&sandbox.gitdir()).unwrap();
    let add = |path: &str, content: &[u8]| {
        let oid = blob(&sandbox, content);
        let entry = format!("100644,{oid},{path}");
        let git = sandbox.git("update-index");
        git.args(["--add", "--cacheinfo", &entry])
            .output(b"")
            .unwrap();
        oid
    };
    let one = add("a", b"1");
    let found = staged(&checkout).unwrap();
    assert_eq!(
        listed(&found),
        [("a".to_owned(), None, one)],
        "no commit yet"
    );
    sandbox.commit("refs/heads/main", &[("a", b"1"), ("gone", b"")]);
    assert_eq!(listed(&staged(&checkout).unwrap()), []);
    let two = add("a", b"2");
    let found = staged(&checkout).unwrap();
    assert_eq!(listed(&found), [("a".to_owned(), None, two)]);
    assert_eq!(found.blobs[0].first.before, [one]);
}

#[test]
fn names_are_never_options() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let commit = sandbox.commit("refs/heads/main", &[("a", b"1")]);
    let checkout = Checkout::find(&sandbox.gitdir()).unwrap();
    assert_eq!(resolve(&checkout, "main").unwrap(), commit);
    for name in ["--all", "-q", "", "none", "main..main"] {
        assert!(resolve(&checkout, name).is_err(), "{name}");
    }
}

/// Blobs that git itself lists for these arguments of rev-list.
fn blobs_of(sandbox: &Sandbox, arguments: &[&str]) -> BTreeSet<Oid> {
    let list = sandbox.git("rev-list").args(["--objects"]).args(arguments);
    let list = list.arg("--no-object-names").output(b"").unwrap();
    let check = sandbox.git("cat-file").arg("--batch-check");
    let text = String::from_utf8(check.output(&list).unwrap()).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(" blob"))
        .map(|(id, _)| id.parse().unwrap())
        .collect()
}

/// Branches that part and meet again, with files that come, go, move and come back.
fn tangle(sandbox: &Sandbox, seed: u64) {
    let mut state = seed;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let mut stream = Vec::new();
    for commit in 1..=60u64 {
        let branch = random(4);
        stream.push(format!("commit refs/heads/b{branch}\nmark :{commit}\n"));
        stream.push("committer a <a@example.org> 1 +0000\ndata 1\nx\n".into());
        if commit > 1 {
            stream.push(format!("from :{}\n", 1 + random(commit - 1)));
            for _ in 0..random(3) {
                stream.push(format!("merge :{}\n", 1 + random(commit - 1)));
            }
        }
        for _ in 0..=random(3) {
            let path = format!("d{}/f{}", random(2), random(4));
            let content = random(25).to_string();
            stream.push(match random(5) {
                0 => format!("D {path}\n"),
                _ => format!(
                    "M 100644 inline {path}\ndata {}\n{content}\n",
                    content.len()
                ),
            });
        }
    }
    let import = sandbox.git("fast-import").args(["--quiet", "--force"]);
    import.output(stream.concat().as_bytes()).unwrap();
}

#[test]
fn no_blob_is_missed_in_tangled_histories() {
    for seed in 1..=6 {
        let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
        tangle(&sandbox, seed);
        let repository = sandbox.repository();
        let found = everything(&repository, &|_| false, &mut |_| {}).unwrap();
        let blobs: BTreeSet<Oid> = found.blobs.iter().map(|blob| blob.oid).collect();
        assert_eq!(blobs.len(), found.blobs.len(), "each once");
        assert!(blobs.len() > 15 && found.commits.len() > 15, "seed {seed}");
        assert_eq!(blobs, blobs_of(&sandbox, &["--all"]), "seed {seed}");
        for blob in &found.blobs {
            // The commit has it at the path, and is the first that has it anywhere.
            let commit = blob.first.commit.unwrap() as usize;
            let path = &found.paths[blob.first.path.unwrap() as usize];
            let path = String::from_utf8_lossy(path);
            let name = format!("{}:{path}", found.commits[commit]);
            let there = Sandbox::oid(sandbox.git("rev-parse").arg(name), b"");
            assert_eq!(there, blob.oid, "seed {seed}");
        }
        for (from, to) in [(0, 59), (20, 50), (50, 20), (30, 31)] {
            let (Some(&from), Some(&to)) = (found.commits.get(from), found.commits.get(to)) else {
                continue;
            };
            let part = range(&repository, Some(from), to, &mut |_| {}).unwrap();
            let part: BTreeSet<Oid> = part.blobs.iter().map(|blob| blob.oid).collect();
            let wanted = blobs_of(&sandbox, &[&to.to_string(), &format!("^{from}")]);
            assert!(wanted.is_subset(&part), "seed {seed}: {wanted:?}");
        }
    }
}

/// What trees say, and what git says, which must be the same; and whether it was left to git.
fn told_alike(sandbox: &Sandbox) -> bool {
    let repository = sandbox.repository();
    let matters = |path: &[u8]| path.ends_with(b"1");
    let commits = lineage(&repository).unwrap();
    let mut own = reached(&repository, &matters, &commits).unwrap();
    let is_own = trees::changes(&mut own, &commits, &mut |_| {}).unwrap();
    let mut gits = reached(&repository, &matters, &commits).unwrap();
    gits.changes(&mut |_| {}).unwrap();
    if is_own {
        assert_eq!(format!("{:?}", own.found), format!("{:?}", gits.found));
    }
    let found = everything(&repository, &matters, &mut |_| {}).unwrap();
    assert_eq!(format!("{found:?}"), format!("{:?}", gits.found));
    !is_own
}

#[test]
fn trees_say_what_git_says_of_tangled_histories() {
    for (seed, format) in (1..=8).zip([ObjectFormat::Sha1, ObjectFormat::Sha256].iter().cycle()) {
        let sandbox = Sandbox::new(*format, "files");
        tangle(&sandbox, seed);
        assert!(!told_alike(&sandbox), "seed {seed}, as imported");
        let repack = sandbox.git("repack").args(["-a", "-d", "-f", "-q"]);
        repack.output(b"").unwrap();
        tangle(&sandbox, seed + 100);
        assert!(!told_alike(&sandbox), "seed {seed}, some packed");
    }
}

#[test]
fn trees_say_what_git_says_of_odd_names_and_modes() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let (one, two) = (blob(&sandbox, b"1"), blob(&sandbox, b"2"));
    // In another repository.
    let module = Oid::parse(&[b'7'; 40]).unwrap();
    let folder = |entries: &[(&str, Oid, &str)]| {
        let lines = entries.iter().map(|(mode, oid, name)| {
            let kind = match *mode {
                "040000" => "tree",
                "160000" => "commit",
                _ => "blob",
            };
            format!("{mode} {kind} {oid}\t{name}\0")
        });
        let lines: String = lines.collect();
        Sandbox::oid(
            sandbox.git("mktree").args(["-z", "--missing"]),
            lines.as_bytes(),
        )
    };
    let inner = folder(&[("100644", one, "f"), ("100755", one, "g1")]);
    let other = folder(&[("100644", two, "f"), ("120000", one, "g1")]);
    let none = folder(&[]);
    let roots = [
        folder(&[
            ("100644", one, "a"),
            ("100644", one, "a.c"),
            ("040000", inner, "b"),
        ]),
        folder(&[
            ("040000", inner, "a"),
            ("100644", one, "a.c"),
            ("100644", one, "b"),
        ]),
        folder(&[
            ("100755", one, "a"),
            ("100644", two, "a-"),
            ("040000", other, "b"),
        ]),
        folder(&[
            ("160000", module, "a"),
            ("040000", none, "b"),
            ("040000", other, "b1"),
        ]),
        folder(&[
            ("120000", two, "a"),
            ("160000", module, "b"),
            ("100644", one, "a\nb\u{fc}"),
        ]),
        folder(&[("100664", two, "a"), ("040000", inner, "b")]),
        none,
    ];
    let commit = |tree: Oid, parents: &[Oid]| {
        let mut git = sandbox.git("commit-tree").arg(tree.to_string());
        for parent in parents {
            git = git.args(["-p", &parent.to_string()]);
        }
        Sandbox::oid(git, b"x\n")
    };
    let mut commits: Vec<Oid> = roots.iter().map(|root| commit(*root, &[])).collect();
    for root in roots {
        for count in 1..=4 {
            let parents: Vec<Oid> = commits
                .iter()
                .rev()
                .step_by(3)
                .take(count)
                .copied()
                .collect();
            commits.push(commit(root, &parents));
        }
    }
    for (number, commit) in commits.iter().enumerate() {
        let git = sandbox.git("update-ref");
        let git = git.args([&format!("refs/heads/b{number}"), &commit.to_string()]);
        git.output(b"").unwrap();
    }
    assert!(!told_alike(&sandbox));
}

#[test]
fn trees_that_git_would_not_write_are_left_to_git() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let (one, two) = (blob(&sandbox, b"1"), blob(&sandbox, b"2"));
    let first = sandbox.commit("refs/heads/main", &[("a", b"1"), ("b", b"2")]);
    let mut tree = Vec::new();
    for (name, oid) in [("b", one), ("a", two)] {
        tree.extend_from_slice(format!("100644 {name}\0").as_bytes());
        tree.extend_from_slice(oid.raw());
    }
    let hash = sandbox
        .git("hash-object")
        .args(["-t", "tree", "-w", "--stdin", "--literally"]);
    let tree = Sandbox::oid(hash, &tree);
    let git = sandbox.git("commit-tree");
    let git = git.args([&tree.to_string(), "-p", &first.to_string()]);
    let second = Sandbox::oid(git, b"x\n");
    let git = sandbox.git("update-ref");
    git.args(["refs/heads/main", &second.to_string()])
        .output(b"")
        .unwrap();
    assert!(told_alike(&sandbox), "out of order");
}

#[test]
fn a_missing_tree_is_an_error_in_gits_words() {
    let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
    let commit = sandbox.commit("refs/heads/main", &[("a", b"1")]);
    let tree = sandbox.git("rev-parse").arg(format!("{commit}^{{tree}}"));
    let tree = Sandbox::oid(tree, b"").to_string();
    let (folder, name) = tree.split_at(2);
    let path = sandbox.gitdir().join("objects").join(folder).join(name);
    std::fs::remove_file(path).unwrap();
    let error = everything(&sandbox.repository(), &|_| false, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("diff-tree"), "{error}");
}
