//! Throw-away repositories for this crate's tests, made by git itself.

use std::path::{Path, PathBuf};

use refwarden_model::{ObjectFormat, Oid};

use crate::command::{Git, ObjectEnv};
use crate::settings::Repository;

pub struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    pub fn new(format: ObjectFormat, storage: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Self { dir };
        let object_format = format!("--object-format={}", format.name());
        let mut init = sandbox
            .git("init")
            .args(["-q", "--bare", "-b", "main", &object_format]);
        if storage != "files" {
            init = init.arg(format!("--ref-format={storage}"));
        }
        init.output(b"").unwrap();
        sandbox
    }

    pub fn gitdir(&self) -> PathBuf {
        self.dir.path().join("r.git")
    }

    pub fn repository(&self) -> Repository {
        Repository::open(&self.gitdir()).unwrap()
    }

    pub fn git(&self, subcommand: &str) -> Git {
        let gitdir: &Path = &self.gitdir();
        Git::new(gitdir, &ObjectEnv::repository_only(), subcommand)
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@example.org")
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@example.org")
    }

    pub fn oid(git: Git, input: &[u8]) -> Oid {
        let text = git.output(input).unwrap();
        Oid::parse(text.trim_ascii()).unwrap()
    }

    /// Commits a flat tree on top of a ref and moves the ref; answers the commit.
    pub fn commit(&self, name: &str, files: &[(&str, &[u8])]) -> Oid {
        let mut tree = Vec::new();
        for (path, content) in files {
            let blob = Self::oid(self.git("hash-object").args(["-w", "--stdin"]), content);
            tree.extend_from_slice(format!("100644 blob {blob}\t{path}\0").as_bytes());
        }
        let tree = Self::oid(self.git("mktree").arg("-z"), &tree);
        let mut make = self.git("commit-tree").arg(tree.to_string());
        let parent = self.git("rev-parse").args(["-q", "--verify", name]);
        if let Ok(parent) = parent.output(b"") {
            let parent = Oid::parse(parent.trim_ascii()).unwrap();
            make = make.args(["-p", &parent.to_string()]);
        }
        let commit = Self::oid(make, b"message\n");
        self.git("update-ref")
            .args([name, &commit.to_string()])
            .output(b"")
            .unwrap();
        commit
    }
}
