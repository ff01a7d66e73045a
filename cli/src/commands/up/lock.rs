//! One `refwarden up` at a time in a data directory.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::{FlockOperation, flock};

use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::DataDir;
use crate::process::Part;

/// Takes the lock, which lasts as long as the file is open.
///
/// Refuses when another `up` has it, or when a detached one has left the parts running.
pub fn take(dir: &DataDir) -> Outcome<File> {
    let path = dir.join("run").join("up.lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .context(|| format!("{} cannot be opened", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(running(dir)),
        Err(error) => {
            return Err(error).context(|| format!("{} cannot be locked", path.display()));
        }
    }
    if Part::ALL.iter().all(|part| part.running(dir).is_some()) {
        return Err(running(dir));
    }
    Ok(file)
}

fn running(dir: &DataDir) -> Failure {
    let root = dir.root().display();
    Failure::refused(format!("Refwarden runs already in {root}")).next(format!(
        "refwarden status --data-dir {root} shows it; refwarden down --data-dir {root} stops it"
    ))
}
