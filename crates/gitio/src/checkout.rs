//! The repository that a person at a command line means: found from a path or from what git
//! hands to its hooks, linked worktrees and submodules included.
//!
//! Hooks on a server never look around like this: they are told ([`Repository::of_hook`]).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::command::{Git, ObjectEnv};
use crate::settings::{OpenError, Repository};

/// A repository, and the git directory of the working tree from which it was found.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// The repository: where objects, refs and configuration are.
    pub repository: Repository,
    /// Where HEAD and the index are: the repository's directory, or that of a linked worktree.
    pub gitdir: PathBuf,
    /// The index that git says to use (`GIT_INDEX_FILE`), as in a pre-commit hook.
    index: Option<PathBuf>,
}

impl Checkout {
    /// Finds the repository at a path: a git directory, the top of a working tree, or anything
    /// below one.
    pub fn find(path: &Path) -> Result<Self, OpenError> {
        let broken = |problem: String| OpenError::NotARepository {
            path: path.to_owned(),
            problem,
        };
        let from = path.canonicalize().map_err(|e| broken(e.to_string()))?;
        for directory in from.ancestors() {
            if is_gitdir(directory) {
                return Self::open(directory);
            }
            let inside = directory.join(".git");
            if inside.is_dir() {
                return Self::open(&inside);
            }
            if inside.is_file() {
                let text = std::fs::read(&inside).map_err(|e| broken(e.to_string()))?;
                let named = text.trim_ascii_end().strip_prefix(b"gitdir: ");
                let named = named.ok_or_else(|| broken("its .git names no directory".into()))?;
                return Self::open(&directory.join(OsStr::from_bytes(named)));
            }
        }
        Err(broken("neither it nor a directory above it is one".into()))
    }

    /// The repository that git runs a hook for (`GIT_DIR` and `GIT_INDEX_FILE`, githooks(5)), or
    /// the one around the working directory.
    pub fn current() -> Result<Self, OpenError> {
        let here = Path::new(".");
        let mut found = match std::env::var_os("GIT_DIR") {
            Some(gitdir) => Self::open(Path::new(&gitdir))?,
            None => Self::find(here)?,
        };
        if let Some(index) = std::env::var_os("GIT_INDEX_FILE") {
            let absolute = std::path::absolute(PathBuf::from(index));
            found.index = Some(absolute.map_err(|e| OpenError::NotARepository {
                path: here.to_owned(),
                problem: e.to_string(),
            })?);
        }
        Ok(found)
    }

    fn open(gitdir: &Path) -> Result<Self, OpenError> {
        let broken = |problem: String| OpenError::NotARepository {
            path: gitdir.to_owned(),
            problem,
        };
        let absolute = gitdir.canonicalize().map_err(|e| broken(e.to_string()))?;
        // gitrepository-layout(5), "commondir".
        let common = match std::fs::read(absolute.join("commondir")) {
            Ok(text) => absolute.join(OsStr::from_bytes(text.trim_ascii_end())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => absolute.clone(),
            Err(error) => return Err(broken(error.to_string())),
        };
        Ok(Self {
            repository: Repository::open(&common)?,
            gitdir: absolute,
            index: None,
        })
    }

    /// Whether history ends somewhere because the rest was not fetched (git-clone(1), `--depth`).
    pub fn is_shallow(&self) -> bool {
        let file = std::fs::metadata(self.repository.gitdir.join("shallow"));
        file.is_ok_and(|file| file.len() > 0)
    }

    /// A plumbing command that sees this working tree's HEAD and index.
    pub fn git(&self, subcommand: &str) -> Git {
        let git = Git::new(&self.gitdir, &ObjectEnv::repository_only(), subcommand);
        match &self.index {
            Some(index) => git.env("GIT_INDEX_FILE", index),
            None => git,
        }
    }
}

fn is_gitdir(path: &Path) -> bool {
    let there = |name: &str| path.join(name).exists();
    there("HEAD") && (there("commondir") || (there("objects") && there("refs")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;
    use refwarden_model::ObjectFormat;

    #[test]
    fn found_from_above_below_and_beside() {
        let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
        sandbox.commit("refs/heads/main", &[("a", b"1")]);
        let gitdir = sandbox.gitdir();
        let linked = gitdir.with_file_name("linked");
        let add = sandbox.git("worktree").args(["add", "-q", "--detach"]);
        add.arg(&linked).arg("main").output(b"").unwrap();
        std::fs::create_dir(linked.join("deep")).unwrap();
        let gitdir = gitdir.canonicalize().unwrap();
        for (path, own) in [
            (gitdir.clone(), true),
            (gitdir.join("refs"), true),
            (linked.clone(), false),
            (linked.join("deep"), false),
        ] {
            let found = Checkout::find(&path).unwrap();
            assert_eq!(found.repository.gitdir, gitdir, "{}", path.display());
            assert_eq!(found.gitdir == gitdir, own, "{}", path.display());
        }
    }

    #[test]
    fn what_is_no_repository_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Checkout::find(&dir.path().join("missing")).is_err());
        std::fs::write(dir.path().join(".git"), "nonsense").unwrap();
        assert!(Checkout::find(dir.path()).is_err());
        std::fs::write(dir.path().join(".git"), "gitdir: nowhere\n").unwrap();
        assert!(Checkout::find(dir.path()).is_err());
    }
}
