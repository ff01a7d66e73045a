//! Where things stand in the data directory of `refwarden up`.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use refwarden_config::Config;

use crate::failure::{Context as _, Failure, Outcome};
use crate::output::quoted;

/// A data directory, by its absolute path.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Names a directory, which need not exist.
    pub fn resolve(path: &Path) -> Outcome<Self> {
        let root = std::path::absolute(path)
            .context(|| format!("{} is no usable path", path.display()))?;
        // An existing directory is named without symbolic links, so that all agree on it.
        let root = root.canonicalize().unwrap_or(root);
        if root.to_str().is_none() {
            return Err(Failure::new(format!("{} is not UTF-8", root.display()))
                .why("configuration files are, and the directory is written into them")
                .next("choose another --data-dir"));
        }
        Ok(Self { root })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same as a word of a command.
    pub fn quoted(&self) -> String {
        quoted(&self.root.to_string_lossy())
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// `refwarden.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.join("refwarden.toml")
    }

    /// `hook.toml`.
    pub fn hook_file(&self) -> PathBuf {
        self.join("hook.toml")
    }

    /// `identities.toml`.
    pub fn identities_file(&self) -> PathBuf {
        self.join("identities.toml")
    }

    /// The bare repositories.
    pub fn repositories(&self) -> PathBuf {
        self.join("repositories")
    }

    /// The private Postgres cluster.
    pub fn cluster(&self) -> PathBuf {
        self.join("postgres")
    }

    /// The log of a part.
    pub fn log(&self, part: &str) -> PathBuf {
        self.join("log").join(format!("{part}.log"))
    }

    /// The file that says which process a part is.
    pub fn pid_file(&self, part: &str) -> PathBuf {
        self.join("run").join(format!("{part}.pid"))
    }

    /// Reads `refwarden.toml`.
    pub fn config(&self) -> Outcome<Config> {
        let path = self.config_file();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(format!("{} cannot be read", path.display()))
                .why(error)
                .next(format!(
                    "refwarden up --data-dir {} makes it",
                    self.quoted()
                ))
        })?;
        refwarden_config::parse(&path.display().to_string(), &text)
            .map_err(|error| Failure::new("the configuration is not accepted").why(error))
    }
}

/// Makes a directory with a mode, whatever the umask, unless it is there.
pub fn make_dir(path: &Path, mode: u32) -> Outcome<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .context(|| format!("{} cannot be made", path.display()))
}

/// Writes a file that is whole or absent, with a mode, whatever the umask.
pub fn write_file(path: &Path, mode: u32, text: &str) -> Outcome<()> {
    let temporary = path.with_extension(format!("new{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&temporary);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().context(|| format!("{} cannot be written", path.display()))
}
