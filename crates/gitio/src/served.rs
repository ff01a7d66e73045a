//! Finds a bare repository that a client names, below the root of what is served, and makes sure
//! that it is under guard. For the proxy and the login shell.

use std::path::{Path, PathBuf};

use refwarden_model::RepositoryId;

use crate::settings;

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

/// A repository that may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its id, from its own configuration.
    pub id: RepositoryId,
    /// Its directory, with symbolic links resolved.
    pub directory: PathBuf,
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
        let opened = settings::Repository::open(&directory)?;
        Ok(Served {
            id: opened.id.ok_or(NotServed::Unguarded)?,
            directory,
        })
    }
}
