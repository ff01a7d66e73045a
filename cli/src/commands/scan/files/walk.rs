//! Walks trees: everything but `.git`, hidden or ignored or not. Links are not followed, so
//! there is an end.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{FileType, ReadDir};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an entry is.
pub enum Kind {
    /// Standard input.
    Input,
    /// What a person has named, and is no directory: read whatever it is.
    Named,
    /// A regular file in a tree.
    File,
    /// A symbolic link in a tree.
    Link,
    /// A directory, of which only the name is of interest.
    Directory,
    /// A socket, a pipe, a device.
    Other,
    /// It cannot be read, and why.
    Unreadable(std::io::Error),
}

/// One entry.
pub struct Entry {
    /// Where to open it.
    pub path: PathBuf,
    /// Its path as shown and as rules see it.
    pub shown: Arc<[u8]>,
    /// How many bytes of `shown` come before its own name; all for what a person has named.
    pub named_by_person: usize,
    /// What it is.
    pub kind: Kind,
}

/// A walk in progress. Holds the names of directories yet to be read, one directory open at a
/// time.
pub struct Walk {
    roots: VecDeque<PathBuf>,
    open: Option<(PathBuf, ReadDir)>,
    ahead: Vec<PathBuf>,
}

impl Walk {
    /// A walk over files and trees; `-` is standard input.
    pub fn new(paths: &[PathBuf]) -> Self {
        Self {
            roots: paths.iter().cloned().collect(),
            open: None,
            ahead: Vec::new(),
        }
    }

    /// The next directory, opened; an entry if it cannot be.
    fn enter(&mut self, path: PathBuf) -> Option<Entry> {
        match std::fs::read_dir(&path) {
            Ok(entries) => {
                self.open = Some((path, entries));
                None
            }
            Err(error) => Some(named(path, Kind::Unreadable(error))),
        }
    }

    fn root(&mut self, path: PathBuf) -> Option<Entry> {
        if path.as_os_str() == "-" {
            return Some(named(path, Kind::Input));
        }
        // A link that a person names is followed.
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => self.enter(path),
            Ok(_) => Some(named(path, Kind::Named)),
            Err(error) => Some(named(path, Kind::Unreadable(error))),
        }
    }

    fn below(&mut self, directory: &Path, name: &OsStr, kind: std::io::Result<FileType>) -> Entry {
        let path = directory.join(name);
        let kind = match kind {
            Err(error) => Kind::Unreadable(error),
            Ok(kind) if kind.is_file() => Kind::File,
            Ok(kind) if kind.is_symlink() => Kind::Link,
            Ok(kind) if kind.is_dir() => {
                self.ahead.push(path.clone());
                Kind::Directory
            }
            Ok(_) => Kind::Other,
        };
        let shown = shown(&path);
        Entry {
            named_by_person: shown.len().saturating_sub(name.len()),
            shown,
            path,
            kind,
        }
    }
}

impl Iterator for Walk {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some((directory, entries)) = &mut self.open {
                let directory = directory.clone();
                match entries.next() {
                    None => self.open = None,
                    Some(Err(error)) => {
                        self.open = None;
                        return Some(named(directory, Kind::Unreadable(error)));
                    }
                    Some(Ok(entry)) if entry.file_name() == ".git" => {}
                    Some(Ok(entry)) => {
                        return Some(self.below(&directory, &entry.file_name(), entry.file_type()));
                    }
                }
            } else {
                let entry = match (self.ahead.pop(), self.roots.is_empty()) {
                    (Some(path), _) => self.enter(path),
                    (None, true) => return None,
                    (None, false) => self.roots.pop_front().and_then(|path| self.root(path)),
                };
                if entry.is_some() {
                    return entry;
                }
            }
        }
    }
}

fn named(path: PathBuf, kind: Kind) -> Entry {
    let shown = shown(&path);
    Entry {
        named_by_person: shown.len(),
        shown,
        path,
        kind,
    }
}

/// A path as typed, without a leading `./`.
fn shown(path: &Path) -> Arc<[u8]> {
    let path = path.strip_prefix(".").unwrap_or(path);
    path.as_os_str().as_bytes().into()
}
