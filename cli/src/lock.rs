//! A lock on a file: one process at a time. It ends with whoever holds it, however they end.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::failure::{Context as _, Outcome};

/// Takes it, for as long as the file is open; none while another has it. The file stays: one that is
/// removed could be locked by two.
pub fn take(path: &Path) -> Outcome<Option<File>> {
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .context(|| format!("{} cannot be opened", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).context(|| format!("{} cannot be locked", path.display())),
    }
}
