//! The repository's configuration: what the guard sets, and what stood there before.

use std::ffi::OsString;
use std::path::Path;

use crate::failure::Outcome;
use crate::git;

/// The repository's id. Stays when the guard is taken off, so that a later installation
/// continues the same record.
pub const REPOSITORY: &str = "refwarden.repository";
/// Where the hooks find their configuration.
pub const HOOK_CONFIG: &str = "refwarden.hookConfig";
/// The repository's name.
pub const NAME: &str = "refwarden.name";

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

/// Writes everything.
pub fn write(repository: &Path, id: &str, name: &str, hook_config: &Path) -> Outcome<()> {
    for (key, value, kept) in GIT {
        if git::config(repository, kept)?.is_none() {
            let old = git::config(repository, key)?;
            let old = OsString::from(old.as_deref().unwrap_or(ABSENT));
            git::set_config(repository, kept, Some(&old))?;
        }
        git::set_config(repository, key, Some(value.as_ref()))?;
    }
    git::set_config(repository, REPOSITORY, Some(id.as_ref()))?;
    git::set_config(repository, NAME, Some(name.as_ref()))?;
    git::set_config(repository, HOOK_CONFIG, Some(hook_config.as_os_str()))
}

/// Takes everything out again but the id.
pub fn restore(repository: &Path) -> Outcome<()> {
    for (key, _, kept) in GIT {
        match git::config(repository, kept)?.as_deref() {
            None => continue,
            Some(ABSENT) => git::set_config(repository, key, None)?,
            Some(old) => git::set_config(repository, key, Some(old.as_ref()))?,
        }
        git::set_config(repository, kept, None)?;
    }
    git::set_config(repository, HOOK_CONFIG, None)?;
    git::set_config(repository, NAME, None)
}
