//! One installation at a time in a repository.

use std::fs::File;
use std::path::Path;

use crate::failure::{Failure, Outcome};
use crate::lock;

/// The file that is locked.
const FILE: &str = "refwarden.install-lock";

/// Takes the lock, which lasts as long as the file is open. Refuses while another has it: a
/// baseline may take hours.
pub fn take(repository: &Path) -> Outcome<File> {
    lock::take(&repository.join(FILE))?.ok_or_else(|| {
        Failure::refused(format!(
            "another refwarden install works on {}",
            repository.display()
        ))
        .next("wait until it has ended, then run this again")
    })
}
