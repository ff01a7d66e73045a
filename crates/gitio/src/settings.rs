//! A repository and what its own configuration says. Only `<gitdir>/config` is read: never the
//! environment, never a user's or the system's files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use refwarden_model::{ObjectFormat, RepositoryId};

/// How refs are stored (`extensions.refStorage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefStorage {
    /// Loose files and `packed-refs`.
    Files,
    /// Reftable, which only git itself reads.
    Reftable,
}

/// A repository, found and read.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The git directory, absolute.
    pub gitdir: PathBuf,
    /// Its hash function.
    pub object_format: ObjectFormat,
    /// How its refs are stored.
    pub ref_storage: RefStorage,
    /// `refwarden.repository`, where it is set.
    pub id: Option<RepositoryId>,
    /// `refwarden.name`, where it is set.
    pub name: Option<String>,
    /// `refwarden.hookConfig`, where it is set.
    pub hook_config: Option<PathBuf>,
    /// `refwarden.path`, where it is set: the git directory that was put under guard with this id.
    pub path: Option<PathBuf>,
    /// `core.hooksPath`, where it is set: git then runs the hooks there and not its own.
    pub hooks_path: Option<PathBuf>,
    /// What administrators say of it for policy: each `refwarden.property`, such as
    /// `tier=production`.
    pub properties: BTreeMap<String, String>,
}

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is no git directory, or cannot be read.
    #[error("{path} is not a git repository that can be read: {problem}")]
    NotARepository {
        /// The path.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// Its configuration holds a value that is not understood.
    #[error("{key} in the repository's configuration is {problem}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A linked worktree, whose refs stand in two places.
    #[error("a linked worktree is not supported")]
    LinkedWorktree,
}

impl Repository {
    /// Opens a git directory: a bare repository, or a `.git` directory.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let broken = |problem: String| OpenError::NotARepository {
            path: path.to_owned(),
            problem,
        };
        let gitdir = path.canonicalize().map_err(|e| broken(e.to_string()))?;
        if gitdir.join("commondir").exists() {
            return Err(OpenError::LinkedWorktree);
        }
        for part in ["objects", "HEAD", "config"] {
            if !gitdir.join(part).exists() {
                return Err(broken(format!("it has no {part}")));
            }
        }
        let config = git2::Config::open(&gitdir.join("config"))
            .and_then(|mut config| config.snapshot())
            .map_err(|e| broken(e.message().to_owned()))?;
        let object_format = match text(&config, "extensions.objectFormat")?.as_deref() {
            None | Some("sha1") => ObjectFormat::Sha1,
            Some("sha256") => ObjectFormat::Sha256,
            Some(other) => return Err(unknown("extensions.objectFormat", other)),
        };
        let ref_storage = match text(&config, "extensions.refStorage")?.as_deref() {
            None | Some("files") => RefStorage::Files,
            Some("reftable") => RefStorage::Reftable,
            Some(other) => return Err(unknown("extensions.refStorage", other)),
        };
        let id = match text(&config, "refwarden.repository")? {
            None => None,
            Some(id) => Some(
                id.parse()
                    .map_err(|_| unknown("refwarden.repository", &id))?,
            ),
        };
        Ok(Self {
            object_format,
            ref_storage,
            id,
            name: text(&config, "refwarden.name")?,
            hook_config: text(&config, "refwarden.hookConfig")?.map(Into::into),
            path: bytes(&config, "refwarden.path")?.map(|path| OsString::from_vec(path).into()),
            hooks_path: text(&config, "core.hooksPath")?.map(Into::into),
            properties: properties(&config)?,
            gitdir,
        })
    }

    /// The repository that this one is a copy of, id and all: it stands where this one says that it
    /// was put under guard. None for one that was moved, or that is reached by two paths.
    pub fn original(&self) -> Option<PathBuf> {
        let recorded = self.path.as_ref().filter(|path| **path != self.gitdir)?;
        let there = Self::open(recorded).ok()?;
        let is_copy = self.id.is_some()
            && there.id == self.id
            && there.gitdir != self.gitdir
            && !is_same_directory(&there.gitdir, &self.gitdir);
        is_copy.then_some(there.gitdir)
    }

    /// Finds the repository that git runs a hook for: `GIT_DIR`, or the working directory, or
    /// `.git` in it (githooks(5)).
    pub fn of_hook() -> Result<Self, OpenError> {
        if let Some(gitdir) = std::env::var_os("GIT_DIR") {
            return Self::open(Path::new(&gitdir));
        }
        match Self::open(Path::new(".")) {
            Err(OpenError::NotARepository { .. }) => Self::open(Path::new(".git")),
            opened => opened,
        }
    }
}

fn unknown(key: &'static str, value: &str) -> OpenError {
    let shown = refwarden_model::bytes::escape(value.as_bytes());
    OpenError::Setting {
        key,
        problem: format!("not understood: {shown}"),
    }
}

/// A repository may be mounted at two paths.
fn is_same_directory(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    identity(one).is_some_and(|it| identity(other) == Some(it))
}

/// A value that need not be UTF-8.
fn bytes(config: &git2::Config, key: &'static str) -> Result<Option<Vec<u8>>, OpenError> {
    match config.get_entry(key) {
        Ok(entry) => Ok(entry.has_value().then(|| entry.value_bytes().to_vec())),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(OpenError::Setting {
            key,
            problem: error.message().to_owned(),
        }),
    }
}

fn text(config: &git2::Config, key: &'static str) -> Result<Option<String>, OpenError> {
    match config.get_string(key) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(OpenError::Setting {
            key,
            problem: error.message().to_owned(),
        }),
    }
}

/// The properties; one without a name or a value, or said twice, is an error.
fn properties(config: &git2::Config) -> Result<BTreeMap<String, String>, OpenError> {
    const KEY: &str = "refwarden.property";
    let failed = |error: git2::Error| OpenError::Setting {
        key: KEY,
        problem: error.message().to_owned(),
    };
    let mut properties = BTreeMap::new();
    let listed = config.multivar(KEY, None).map_err(failed)?;
    let mut wrong = None;
    let read = listed.for_each(|entry| {
        let line = entry.value().unwrap_or_default();
        let known = line
            .split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .and_then(|(name, value)| {
                let before = properties.insert(name.to_owned(), value.to_owned());
                before.is_none().then_some(())
            });
        if known.is_none() {
            wrong = Some(line.to_owned());
        }
    });
    read.map_err(failed)?;
    wrong.map_or(Ok(properties), |line| Err(unknown(KEY, &line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Git, ObjectEnv};

    #[test]
    fn formats_and_own_keys_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for (format, expected) in [
            ("sha1", ObjectFormat::Sha1),
            ("sha256", ObjectFormat::Sha256),
        ] {
            let path = dir.path().join(format);
            let made = Git::new(&path, &ObjectEnv::repository_only(), "init");
            let option = format!("--object-format={format}");
            made.args(["-q", "--bare", &option]).output(b"").unwrap();
            let config = Git::new(&path, &ObjectEnv::repository_only(), "config");
            let name = ["refwarden.hookConfig", "/x y/hook.toml"];
            config.args(name).output(b"").unwrap();
            let repository = Repository::open(&path).unwrap();
            assert_eq!(repository.object_format, expected);
            assert_eq!(repository.ref_storage, RefStorage::Files);
            assert_eq!(repository.hook_config, Some("/x y/hook.toml".into()));
            assert_eq!((repository.id, repository.name), (None, None));
            assert!(repository.properties.is_empty());
            for (line, expected) in [
                ("tier=production", Some(1)),
                ("team=a=b", Some(2)),
                ("tier=test", None),
            ] {
                let config = Git::new(&path, &ObjectEnv::repository_only(), "config");
                let add = ["--add", "refwarden.property", line];
                config.args(add).output(b"").unwrap();
                let found = Repository::open(&path).map(|found| found.properties.len());
                assert_eq!(found.ok(), expected, "{line}");
            }
        }
    }

    #[test]
    fn a_copy_is_told_from_what_was_moved() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let make = |name: &str| {
            let path = root.join(name);
            let made = Git::new(&path, &ObjectEnv::repository_only(), "init");
            made.args(["-q", "--bare"]).output(b"").unwrap();
            path
        };
        let set = |path: &Path, key: &str, value: &str| {
            let config = Git::new(path, &ObjectEnv::repository_only(), "config");
            config.args([key, value]).output(b"").unwrap();
        };
        let (first, second) = (make("first é.git"), make("second.git"));
        let original = || Repository::open(&second).unwrap().original();
        for path in [&first, &second] {
            let id = "0198c1b2-7c3e-7a51-b1c5-0f5b9a2d6e11";
            set(path, "refwarden.repository", id);
        }
        assert_eq!(original(), None, "one without the key");
        set(&second, "refwarden.path", second.to_str().unwrap());
        assert_eq!(original(), None, "it stands where it was");
        set(&second, "refwarden.path", first.to_str().unwrap());
        assert_eq!(original(), Some(first.clone()));
        set(
            &first,
            "refwarden.repository",
            "0198c1b2-7c3e-7a51-b1c5-0f5b9a2d6e12",
        );
        assert_eq!(original(), None, "another one has come there");
        std::fs::remove_dir_all(&first).unwrap();
        assert_eq!(original(), None, "it was moved");
        std::os::unix::fs::symlink(&second, &first).unwrap();
        assert_eq!(original(), None, "it was moved, and a link leads there");
    }

    #[test]
    fn what_is_no_repository_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Repository::open(dir.path()).is_err());
        assert!(Repository::open(&dir.path().join("missing")).is_err());
    }
}
