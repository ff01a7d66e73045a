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
        let found = everything(&sandbox.repository(), &mut |_| {}).unwrap();
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
    let found = everything(&sandbox.repository(), &mut |_| {}).unwrap();
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
