//! Who looks after a stored file until the ledger names it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::s3::S3;

/// A file that is deleted with the last clone of this, unless it was kept: of a push that could
/// not be recorded, nothing stays behind.
#[derive(Clone, Debug)]
pub(super) struct Custody {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: Held,
    kept: AtomicBool,
}

#[derive(Debug)]
enum Held {
    /// In the directory.
    Here(PathBuf),
    /// Elsewhere, by this name; the note tells of it if this process cannot.
    There(S3, String, PathBuf),
}

impl Custody {
    pub(super) fn of(path: PathBuf) -> Self {
        Self::over(Held::Here(path))
    }

    pub(super) fn elsewhere(store: S3, name: String, note: PathBuf) -> Self {
        Self::over(Held::There(store, name, note))
    }

    fn over(file: Held) -> Self {
        let kept = AtomicBool::new(false);
        Self {
            shared: Arc::new(Shared { file, kept }),
        }
    }

    pub(super) fn keep(&self) {
        self.shared.kept.store(true, Ordering::Release);
        if let Held::There(_, _, note) = &self.shared.file {
            // One that stays is held against the ledger before anything is deleted by it.
            let _ = std::fs::remove_file(note);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if *self.kept.get_mut() {
            return;
        }
        match &self.file {
            // What cannot be deleted now is deleted with other files that nothing names.
            Held::Here(path) => {
                let _ = std::fs::remove_file(path);
            }
            Held::There(store, name, note) => {
                shorten(note);
                store.forget(name, Some(note.clone()));
            }
        }
    }
}

/// A note needs no bytes, and the disk may need them while the store is away.
pub(super) fn shorten(note: &Path) {
    if let Ok(file) = std::fs::File::options().write(true).open(note) {
        let _ = file.set_len(0);
    }
}
