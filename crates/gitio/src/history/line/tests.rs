use std::collections::HashSet;

use proptest::prelude::*;
use refwarden_model::{ObjectFormat, Oid};

use super::*;
use crate::history;
use crate::testing::Sandbox;

/// A repository whose pushed objects lie apart, as in a quarantine.
struct Push {
    sandbox: Sandbox,
    apart: tempfile::TempDir,
}

impl Push {
    fn new() -> Self {
        let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
        let apart = tempfile::tempdir().unwrap();
        Self { sandbox, apart }
    }

    fn objects(&self) -> ObjectEnv {
        ObjectEnv::apart(self.apart.path(), &[&self.sandbox.gitdir().join("objects")])
    }

    fn git(&self, subcommand: &str) -> crate::Git {
        crate::Git::new(&self.sandbox.gitdir(), &self.objects(), subcommand)
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@example.org")
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@example.org")
    }

    fn commit(&self, parents: &[Oid], files: &[(&str, &str, &[u8])]) -> Oid {
        let index = self.apart.path().join("index");
        let _ = std::fs::remove_file(&index);
        let mut listed = Vec::new();
        for (mode, path, content) in files {
            let blob = if *mode == "160000" {
                "1".repeat(40)
            } else {
                let git = self.git("hash-object").args(["-w", "--stdin"]);
                Sandbox::oid(git, content).to_string()
            };
            listed.extend_from_slice(format!("{mode} {blob}\t{path}\0").as_bytes());
        }
        let git = |name| self.git(name).env("GIT_INDEX_FILE", &index);
        git("update-index")
            .args(["-z", "--index-info"])
            .output(&listed)
            .unwrap();
        let tree = Sandbox::oid(git("write-tree").arg("--missing-ok"), b"");
        let mut make = self.git("commit-tree").arg(tree.to_string());
        for parent in parents {
            make = make.args(["-p", &parent.to_string()]);
        }
        Sandbox::oid(make, b"message\n")
    }

    fn sent(&self) -> HashSet<Oid> {
        let git = self.git("cat-file").args([
            "--batch-all-objects",
            "--batch-check=%(objectname)",
            "--unordered",
        ]);
        let all = git.output(b"").unwrap();
        let stored = self
            .sandbox
            .git("cat-file")
            .args(["--batch-all-objects", "--batch-check=%(objectname)"]);
        let stored = ids(&stored.output(b"").unwrap());
        ids(&all).difference(&stored).copied().collect()
    }

    fn quick(&self, tip: Oid, standing: &[Oid]) -> Option<History> {
        let sent = self.sent();
        let repository = self.sandbox.repository();
        let is_sent = |oid| sent.contains(&oid);
        read_line(
            &repository,
            &self.objects(),
            tip,
            standing,
            is_sent,
            &Limits::default(),
        )
    }

    fn by_git(&self, tip: Oid) -> History {
        let sent = self.sent();
        let repository = self.sandbox.repository();
        let keep = |oid| !sent.contains(&oid);
        history::read(
            &repository,
            &self.objects(),
            &[tip],
            &Limits::default(),
            keep,
        )
        .unwrap()
    }
}

fn ids(text: &[u8]) -> HashSet<Oid> {
    let lines = text.split(|&byte| byte == b'\n');
    lines.filter_map(|line| Oid::parse(line).ok()).collect()
}

fn same(quick: &History, git: &History) {
    assert_eq!(quick.commits, git.commits);
    assert_eq!(quick.commits_total, git.commits_total);
    assert_eq!(quick.objects, git.objects);
    assert_eq!(quick.changes, git.changes);
}

type File = (&'static str, &'static str, Vec<u8>);

fn file() -> impl Strategy<Value = File> {
    let modes = prop::sample::select(vec!["100644", "100644", "100755", "120000"]);
    let line = prop::sample::select(vec![
        "",
        "x",
        "fn main() {",
        "    return;",
        "}",
        "@@ -1 +1 @@",
        "--- a",
        "\\ No newline",
        "\u{e9}\r",
    ]);
    let lines = prop::collection::vec(line, 0..30);
    let end = prop::sample::select(vec!["", "\n", "\0"]);
    (modes, lines, end).prop_map(|(mode, lines, end)| {
        let mut content = lines.join("\n");
        content.push_str(end);
        (mode, "", content.into_bytes())
    })
}

fn tree() -> impl Strategy<Value = Vec<File>> {
    let paths = ["a", "a-b", "a.c", "d/a", "d/e/f", "d/e/g", "d-e", "z"];
    prop::collection::vec(prop::option::weighted(0.6, file()), paths.len()).prop_map(move |files| {
        let named = paths.iter().zip(files);
        named
            .filter_map(|(path, file)| file.map(|(mode, _, content)| (mode, *path, content)))
            .collect()
    })
}

fn borrowed(files: &[File]) -> Vec<(&str, &str, &[u8])> {
    let files = files.iter();
    files
        .map(|(mode, path, content)| (*mode, *path, content.as_slice()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Where it answers at all, it answers what git does, byte for byte.
    #[test]
    fn it_answers_what_git_does(trees in prop::collection::vec(tree(), 1..5), from_root: bool) {
        let push = Push::new();
        let base = push.sandbox.commit("refs/heads/main", &[("a", b"x\ny\n"), ("z", b"z")]);
        let mut tip = (!from_root).then_some(base);
        for files in &trees {
            tip = Some(push.commit(tip.as_slice(), &borrowed(files)));
        }
        let tip = tip.unwrap();
        if let Some(quick) = push.quick(tip, &[base]) {
            same(&quick, &push.by_git(tip));
        }
    }
}

#[test]
fn plain_pushes_are_answered() {
    let push = Push::new();
    let base = push
        .sandbox
        .commit("refs/heads/main", &[("a", b"1\n"), ("b", b"2\n")]);
    let one = push.commit(
        &[base],
        &[("100644", "a", b"1\n2\n"), ("100644", "b", b"2\n")],
    );
    let two = push.commit(
        &[one],
        &[("100755", "a", b"1\n2\n"), ("100644", "d/c", b"\0")],
    );
    let quick = push.quick(two, &[base]).unwrap();
    same(&quick, &push.by_git(two));
    let listed: Vec<Oid> = quick.commits.iter().map(|commit| commit.oid).collect();
    assert_eq!(listed, [one, two]);
    let nothing = push.quick(base, &[base]).unwrap();
    assert_eq!((nothing.commits.len(), nothing.commits_total), (0, 0));
}

/// Each of these has an answer that only git knows, or that nobody has.
#[test]
fn everything_else_is_left_to_git() {
    let push = Push::new();
    let old = push.sandbox.commit("refs/heads/main", &[("a", b"1\n")]);
    let base = push.sandbox.commit("refs/heads/main", &[("a", b"2\n")]);
    let file: &[(&str, &str, &[u8])] = &[("100644", "a", b"3\n")];
    let none = |tip, why| assert!(push.quick(tip, &[base]).is_none(), "{why}");

    let behind = push.commit(&[old], file);
    none(
        behind,
        "it starts from a commit that no named ref stands at",
    );
    let plain = push.commit(&[base], file);
    assert!(push.quick(plain, &[base]).is_some());
    none(push.commit(&[plain, behind], file), "a merge");
    let link: &[(&str, &str, &[u8])] = &[("120000", "a", b"3")];
    none(push.commit(&[base], link), "a change of type");
    let module: &[(&str, &str, &[u8])] = &[("160000", "a", b"")];
    none(push.commit(&[base], module), "a submodule");
    let large = vec![b'x'; 300 << 10];
    none(
        push.commit(&[base], &[("100644", "a", &large)]),
        "a large file",
    );
    let elsewhere: &[(&str, &str, &[u8])] = &[("100644", "b", b"1\n")];
    none(
        push.commit(&[base], elsewhere),
        "content that was there before",
    );

    let stored = push.sandbox.commit("refs/heads/side", &[("s", b"3\n")]);
    none(stored, "a commit that was not sent");
    let missing = Oid::parse(&[b'1'; 40]).unwrap();
    none(missing, "a commit that is not there");
    let tag = push.git("mktag");
    let text = format!("object {plain}\ntype commit\ntag t\ntagger a <a@b> 1 +0000\n\nm\n");
    none(Sandbox::oid(tag, text.as_bytes()), "a tag");
}

/// A client may send again what the repository has. It does not become new by that.
#[test]
fn a_commit_that_was_sent_again_is_left_to_git() {
    let push = Push::new();
    let main = "refs/heads/main";
    let old = push.sandbox.commit(main, &[("a", b"1\n")]);
    let base = push.sandbox.commit(main, &[("a", b"2\n")]);
    let repository = push.sandbox.repository();
    let objects = push.objects();
    let all = |_| true;
    let answer = read_line(&repository, &objects, old, &[base], all, &Limits::default());
    assert!(answer.is_none());
    let git = push.by_git(old);
    assert_eq!(git.commits_total, 0);
}

/// The bounds of lists are git's to keep.
#[test]
fn what_would_be_cut_is_left_to_git() {
    let push = Push::new();
    let base = push.sandbox.commit("refs/heads/main", &[("a", b"1\n")]);
    let one = push.commit(&[base], &[("100644", "a", b"2\n"), ("100644", "b", b"3\n")]);
    let two = push.commit(&[one], &[("100644", "a", b"4\n")]);
    let repository = push.sandbox.repository();
    let sent = push.sent();
    let with = |limits: Limits| {
        let is_sent = |oid| sent.contains(&oid);
        read_line(&repository, &push.objects(), two, &[base], is_sent, &limits).is_some()
    };
    assert!(with(Limits::default()));
    let limits = Limits::default();
    assert!(!with(Limits {
        commits: 1,
        ..limits
    }));
    assert!(!with(Limits {
        changes_per_commit: 1,
        ..limits
    }));
    assert!(!with(Limits {
        changes: 2,
        ..limits
    }));
    assert!(!with(Limits {
        patch: 10,
        ..limits
    }));
    assert!(!with(Limits {
        patches: 30,
        ..limits
    }));
}
