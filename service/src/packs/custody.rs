//! Who looks after a stored file until the ledger names it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file that is deleted with the last clone of this, unless it was kept: of a push that could
/// not be recorded, nothing stays behind.
#[derive(Clone, Debug)]
pub(super) struct Custody {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    kept: AtomicBool,
}

impl Custody {
    pub(super) fn of(path: PathBuf) -> Self {
        let kept = AtomicBool::new(false);
        Self {
            shared: Arc::new(Shared { path, kept }),
        }
    }

    pub(super) fn keep(&self) {
        self.shared.kept.store(true, Ordering::Release);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !*self.kept.get_mut() {
            // What cannot be deleted now is deleted with other files that nothing names.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
