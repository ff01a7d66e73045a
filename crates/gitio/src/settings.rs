//! A repository and what its own configuration says. Only `<gitdir>/config` is read: never the
//! environment, never a user's or the system's files.

use std::collections::BTreeMap;
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
            properties: properties(&config)?,
            gitdir,
        })
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
    fn what_is_no_repository_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Repository::open(dir.path()).is_err());
        assert!(Repository::open(&dir.path().join("missing")).is_err());
    }
}
