//! Finds a bare repository below the root and makes sure that it is under guard.

use std::path::{Path, PathBuf};

use refwarden_gitio::settings;
use refwarden_model::RepositoryId;

use crate::route::RepositoryPath;

/// A repository that may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
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
    pub fn new(directory: &Path) -> std::io::Result<Self> {
        std::fs::canonicalize(directory).map(Self)
    }

    /// Opens the repository at `path`. Blocks on the file system.
    pub fn open(&self, path: &RepositoryPath) -> Result<Repository, NotServed> {
        let directory = self.0.join(path.as_path());
        let directory = std::fs::canonicalize(directory).map_err(NotServed::Missing)?;
        if !directory.starts_with(&self.0) || directory == self.0 {
            return Err(NotServed::Outside);
        }
        let opened = settings::Repository::open(&directory)?;
        Ok(Repository {
            id: opened.id.ok_or(NotServed::Unguarded)?,
            directory,
        })
    }
}
