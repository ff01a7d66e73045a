//! One installation at a time in a repository.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::failure::{Context as _, Failure, Outcome};

/// The file that is locked. It stays: one that is removed could be locked by two.
const FILE: &str = "refwarden.install-lock";

/// Takes the lock, which lasts as long as the file is open. Refuses while another has it: a
/// baseline may take hours.
pub fn take(repository: &Path) -> Outcome<File> {
    let path = repository.join(FILE);
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .context(|| format!("{} cannot be opened", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Failure::refused(format!(
            "another refwarden install works on {}",
            repository.display()
        ))
        .next("wait until it has ended, then run this again")),
        Err(error) => Err(error).context(|| format!("{} cannot be locked", path.display())),
    }
}
