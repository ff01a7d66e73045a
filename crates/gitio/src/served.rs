//! Finds a bare repository that a client names, below the root of what is served, and makes sure
//! that it is under guard: git takes every push where its hooks are not there. For the proxy and
//! the login shell.

use std::path::{Path, PathBuf};

use refwarden_model::{Code, RepositoryId};

use crate::command::OWN_HOOKS;
use crate::settings::{self, Repository};

/// Longest name, in bytes.
const NAME_MAX: usize = 1024;

/// A repository's place below the root: plain components, the last with `.git`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryPath(PathBuf);

impl RepositoryPath {
    /// Checks the components. None is ever empty, begins with a dot, or holds a slash, backslash
    /// or control character, so what is joined to the root stays below it, but for symbolic
    /// links, which [`Root::open`] checks. None where there is such a one.
    pub fn of<'c>(components: impl IntoIterator<Item = &'c str>) -> Option<Self> {
        let mut path = PathBuf::new();
        for component in components {
            let bad = |c: char| c == '/' || c == '\\' || c.is_control();
            if component.is_empty() || component.starts_with('.') || component.contains(bad) {
                return None;
            }
            path.push(component);
        }
        let named = path.extension().is_some_and(|extension| extension == "git");
        (named && path.as_os_str().len() <= NAME_MAX).then_some(Self(path))
    }

    /// The path, relative to the root.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

/// A repository that is or was under guard. Ask it whether it may be read or pushed to before git
/// is started in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its id, from its own configuration.
    pub id: RepositoryId,
    /// Its directory, with symbolic links resolved.
    pub directory: PathBuf,
    gap: Option<Gap>,
}

impl Served {
    /// Whether it may be read. A fetch cannot be recorded where the guard was taken off.
    ///
    /// # Errors
    /// What is wrong, for those who may know that the repository is there.
    pub fn may_be_read(&self) -> Result<(), Gap> {
        match self.gap {
            Some(gap @ Gap::TakenOff) => Err(gap),
            _ => Ok(()),
        }
    }

    /// Whether it may be pushed to: git would run the hooks that judge.
    ///
    /// # Errors
    /// What is wrong, for those who may know that the repository is there.
    pub fn may_be_pushed_to(&self) -> Result<(), Gap> {
        self.gap.map_or(Ok(()), Err)
    }
}

/// What the guard of a repository lacks. No paths: it is told to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Gap {
    /// It was under guard, and is not any more.
    #[error("this repository is not under guard any more")]
    TakenOff,
    /// Git would run other hooks.
    #[error("this repository takes no push: core.hooksPath is set, so that git runs other hooks")]
    OtherHooks,
    /// Git would skip a hook.
    #[error("this repository takes no push: the hook {hook} {problem}")]
    Hook {
        /// Which.
        hook: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Gap {
    /// The code under which it is told.
    pub fn code(self) -> Code {
        match self {
            Self::TakenOff => Code::UnknownRepository,
            Self::OtherHooks | Self::Hook { .. } => Code::HookFault,
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        "an administrator runs `refwarden install` for it; `refwarden doctor` says more"
    }

    /// Looks for one. It starts no git and reads no hook: this is on the path of each push.
    /// Whether a hook is the one that was installed, `refwarden doctor` tells.
    fn of(repository: &Repository) -> Option<Self> {
        if repository.hook_config.is_none() {
            return Some(Self::TakenOff);
        }
        if repository.hooks_path.is_some() {
            return Some(Self::OtherHooks);
        }
        HOOKS.into_iter().find_map(|hook| {
            let problem = problem(&repository.gitdir.join(OWN_HOOKS).join(hook))?;
            Some(Self::Hook { hook, problem })
        })
    }
}

/// The hooks that guard.
const HOOKS: [&str; 3] = ["pre-receive", "reference-transaction", "post-receive"];

/// What git would skip a hook for.
fn problem(hook: &Path) -> Option<&'static str> {
    // Follows links: a dangling one is no hook.
    let Ok(metadata) = std::fs::metadata(hook) else {
        return Some("is missing");
    };
    if !metadata.is_file() {
        return Some("is no file");
    }
    // Git takes a program of no bytes for a script, one that lets everything pass.
    if metadata.len() == 0 {
        return Some("is empty");
    }
    // What git asks (its hook.c): whether whoever runs it, which is this process's user, may.
    let executable = rustix::fs::access(hook, rustix::fs::Access::EXEC_OK);
    executable.is_err().then_some("is not executable")
}

/// Why a repository is not served. All of it is "not found" to the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotServed {
    /// There is no such directory.
    #[error("there is no such directory: {0}")]
    Missing(std::io::Error),
    /// A symbolic link leads out of the root.
    #[error("it leads out of the directory of the repositories")]
    Outside,
    /// It is no repository, or its configuration cannot be read.
    #[error(transparent)]
    Unreadable(#[from] settings::OpenError),
    /// The hooks are not installed.
    #[error("it is not under guard: refwarden.repository is not set")]
    Unguarded,
}

/// The directory under which repositories stand.
pub struct Root(PathBuf);

impl Root {
    /// Resolves the directory, once, at start.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(directory: &Path) -> std::io::Result<Self> {
        std::fs::canonicalize(directory).map(Self)
    }

    /// Opens the repository at `path`. Blocks on the file system.
    ///
    /// # Errors
    /// Why it is not served; nothing of it is for the client to read.
    pub fn open(&self, path: &RepositoryPath) -> Result<Served, NotServed> {
        let directory = self.0.join(path.as_path());
        let directory = std::fs::canonicalize(directory).map_err(NotServed::Missing)?;
        if !directory.starts_with(&self.0) || directory == self.0 {
            return Err(NotServed::Outside);
        }
        let opened = Repository::open(&directory)?;
        Ok(Served {
            id: opened.id.ok_or(NotServed::Unguarded)?,
            gap: Gap::of(&opened),
            directory,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::command::{Git, ObjectEnv};

    #[test]
    fn only_what_git_would_run_guards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.git");
        let git = |subcommand: &str, arguments: &[&str]| {
            let git = Git::new(&path, &ObjectEnv::repository_only(), subcommand);
            git.args(arguments).output(b"").unwrap();
        };
        git("init", &["-q", "--bare"]);
        let root = Root::new(directory.path()).unwrap();
        let open = || root.open(&RepositoryPath::of(["a.git"]).unwrap());
        assert!(matches!(open(), Err(NotServed::Unguarded)));
        let id = "01890000-0000-7000-8000-000000000000";
        git("config", &["refwarden.repository", id]);
        let gap = || open().unwrap().may_be_pushed_to().err();
        assert_eq!(gap(), Some(Gap::TakenOff));
        assert_eq!(open().unwrap().may_be_read(), Err(Gap::TakenOff));
        git("config", &["refwarden.hookConfig", "/x/hook.toml"]);

        let missing = |hook| Gap::Hook {
            hook,
            problem: "is missing",
        };
        std::fs::create_dir_all(path.join("hooks")).unwrap();
        for hook in HOOKS {
            let file = path.join("hooks").join(hook);
            assert_eq!(gap(), Some(missing(hook)));
            assert_eq!(open().unwrap().may_be_read(), Ok(()));
            for (content, mode, problem) in [
                ("", 0o755, "is empty"),
                ("#!/bin/sh\n", 0o644, "is not executable"),
            ] {
                std::fs::write(&file, content).unwrap();
                let permissions = std::fs::Permissions::from_mode(mode);
                std::fs::set_permissions(&file, permissions).unwrap();
                assert_eq!(gap(), Some(Gap::Hook { hook, problem }));
            }
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(gap(), None);
        git("config", &["core.hooksPath", "/dev/null"]);
        assert_eq!(gap(), Some(Gap::OtherHooks));
    }
}
