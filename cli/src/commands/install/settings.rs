//! The repository's configuration: what the guard sets, and what stood there before.

use std::ffi::OsString;
use std::path::Path;

use refwarden_model::RepositoryId;

use crate::failure::Outcome;
use crate::git;

/// The repository's id. Stays when the guard is taken off, so that a later installation
/// continues the same record.
pub const REPOSITORY: &str = "refwarden.repository";
/// Where the hooks find their configuration.
pub const HOOK_CONFIG: &str = "refwarden.hookConfig";
/// The repository's name. Stays with the id: the record has it.
pub const NAME: &str = "refwarden.name";
/// Where the repository stood when it was put under guard. Stays with the id: it tells a copy, which
/// has the id of another repository, from one that was moved.
pub const PATH: &str = "refwarden.path";

/// Settings of git's own that the guard needs: key, value, and where the old value is kept.
///
/// `unpackLimit=1` makes receive-pack keep each pack whole, so that it can be recorded as it
/// came; push options carry `wait=` and `reason=`; `keepAlive` lets a hook that waits for people
/// notice that its client has gone.
pub const GIT: [(&str, &str, &str); 3] = [
    ("receive.unpackLimit", "1", "refwarden.keptUnpackLimit"),
    (
        "receive.advertisePushOptions",
        "true",
        "refwarden.keptAdvertisePushOptions",
    ),
    ("receive.keepAlive", "5", "refwarden.keptKeepAlive"),
];

/// Stands for "was not set" where an old value is kept.
const ABSENT: &str = "absent";

/// Who the repository is.
#[derive(Clone, Copy)]
pub struct Own<'a> {
    /// Its id.
    pub id: RepositoryId,
    /// Its name.
    pub name: &'a str,
    /// The repository itself, by its canonical path.
    pub path: &'a Path,
}

impl Own<'_> {
    /// Writes it.
    pub fn write(self) -> Outcome<()> {
        let id = self.id.to_string();
        git::set_config(self.path, REPOSITORY, Some(id.as_ref()))?;
        git::set_config(self.path, NAME, Some(self.name.as_ref()))?;
        git::set_config(self.path, PATH, Some(self.path.as_os_str()))
    }
}

/// Writes everything.
pub fn write(own: Own<'_>, hook_config: &Path) -> Outcome<()> {
    let repository = own.path;
    for (key, value, kept) in GIT {
        if git::config(repository, kept)?.is_none() {
            let old = git::config(repository, key)?;
            let old = OsString::from(old.as_deref().unwrap_or(ABSENT));
            git::set_config(repository, kept, Some(&old))?;
        }
        git::set_config(repository, key, Some(value.as_ref()))?;
    }
    own.write()?;
    git::set_config(repository, HOOK_CONFIG, Some(hook_config.as_os_str()))
}

/// Takes everything out again but who the repository is.
pub fn restore(repository: &Path) -> Outcome<()> {
    for (key, _, kept) in GIT {
        match git::config(repository, kept)?.as_deref() {
            None => continue,
            Some(ABSENT) => git::set_config(repository, key, None)?,
            Some(old) => git::set_config(repository, key, Some(old.as_ref()))?,
        }
        git::set_config(repository, kept, None)?;
    }
    git::set_config(repository, HOOK_CONFIG, None)
}

/// What stood under each key that [`write`] sets.
pub struct Before(Vec<(&'static str, Option<OsString>)>);

impl Before {
    /// Reads it.
    pub fn read(repository: &Path) -> Outcome<Self> {
        let git = GIT.into_iter().flat_map(|(key, _, kept)| [key, kept]);
        let keys = git.chain([REPOSITORY, NAME, PATH, HOOK_CONFIG]);
        let read = |key| Ok((key, git::config_bytes(repository, key)?));
        keys.map(read).collect::<Outcome<_>>().map(Self)
    }

    /// Puts it back. Who the repository is stays where the service has or may have a record of it:
    /// the next installation goes on with that.
    pub fn put_back(&self, repository: &Path, is_recorded: bool) -> Outcome<()> {
        for (key, value) in &self.0 {
            if !is_recorded || ![REPOSITORY, NAME, PATH].contains(key) {
                git::set_config(repository, key, value.as_deref())?;
            }
        }
        Ok(())
    }
}
