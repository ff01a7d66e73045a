//! A fetch in the spool: files that begin with its id.
//!
//! `<id>.fetch` is written durably before a byte of the pack goes out, and locked while the fetch
//! goes on: `flock(2)` ends with whoever holds it, however they end. `<id>.pack` is the copy,
//! `<id>.end` says that the whole pack was handed on. A fetch without an `.end` that nobody holds
//! was stopped.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use refwarden_model::FetchId;
use refwarden_wire::fetch::Errand;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// What is known when a pack begins to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Whom it is for.
    pub errand: Errand,
    /// The git directory that is served: of the repository, or of a shadow.
    pub served: PathBuf,
    /// When, microseconds since the epoch.
    pub at: i64,
    /// The version of the protocol.
    pub protocol: u8,
    /// The arguments of `git`, of which none was chosen by a client but a filter.
    pub arguments: Vec<String>,
}

/// What is known when all of it was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// When, microseconds since the epoch.
    pub at: i64,
    /// Bytes of the pack.
    pub bytes: u64,
    /// Whether the copy is whole.
    pub copied: bool,
}

/// The place of a fetch in the spool.
#[derive(Clone, Debug)]
pub struct Entry {
    directory: PathBuf,
    /// The fetch.
    pub id: FetchId,
}

/// A fetch that nobody else works on while this lives.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "holds the lock")] File);

impl Entry {
    /// Notes a fetch: on disk, and held, when this returns.
    pub fn begin(
        directory: &Path,
        id: FetchId,
        begun: &Begun,
        input: &[u8],
    ) -> io::Result<(Self, Held)> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let entry = Self {
            directory: directory.to_owned(),
            id,
        };
        // Under its final name only when it is whole and held.
        let making = entry.file("making");
        let file = private().create_new(true).open(&making)?;
        let noted = entry.note(&file, &making, begun, input);
        if let Err(error) = noted {
            let _ = std::fs::remove_file(&making);
            return Err(error);
        }
        Ok((entry, Held(file)))
    }

    fn note(&self, mut file: &File, making: &Path, begun: &Begun, input: &[u8]) -> io::Result<()> {
        flock(file, FlockOperation::LockExclusive)?;
        let mut bytes = serde_json::to_vec(begun)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(input);
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(making, self.file("fetch"))?;
        File::open(&self.directory)?.sync_all()
    }

    /// Opens the file of the copy.
    pub fn copy(&self) -> io::Result<File> {
        private().create_new(true).open(self.file("pack"))
    }

    /// Notes that all of it was handed on.
    pub fn finish(&self, finished: Finished) -> io::Result<()> {
        let making = self.file("ending");
        let mut file = private().create_new(true).open(&making)?;
        file.write_all(&serde_json::to_vec(&finished)?)?;
        std::fs::rename(making, self.file("end"))
    }

    /// All fetches that are noted in a directory, the oldest first.
    pub fn all(directory: &Path) -> io::Result<Vec<Self>> {
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for name in entries {
            let name = name?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".fetch"));
            if let Some(id) = id.and_then(|id| id.parse().ok()) {
                found.push(Self {
                    directory: directory.to_owned(),
                    id,
                });
            }
        }
        found.sort_by_key(|entry| entry.id);
        Ok(found)
    }

    /// Takes hold of it; none while it goes on, or where it is gone.
    pub fn hold(&self) -> io::Result<Option<Held>> {
        let file = match File::open(self.file("fetch")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            locked => {
                locked?;
                Ok(Some(Held(file)))
            }
        }
    }

    /// What was noted: how it began, what git was asked, and how it ended.
    pub fn read(&self) -> io::Result<(Begun, Vec<u8>, Option<Finished>)> {
        let mut bytes = Vec::new();
        File::open(self.file("fetch"))?.read_to_end(&mut bytes)?;
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or(ErrorKind::InvalidData)?;
        let input = bytes.split_off(end);
        let begun = serde_json::from_slice(&bytes)?;
        let finished = match std::fs::read(self.file("end")) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok((begun, input, finished))
    }

    /// The copy's path.
    pub fn pack(&self) -> PathBuf {
        self.file("pack")
    }

    /// Forgets the copy.
    pub fn drop_copy(&self) {
        let _ = std::fs::remove_file(self.pack());
    }

    /// The service has it, and it can go.
    pub fn remove(&self) -> io::Result<()> {
        self.drop_copy();
        let _ = std::fs::remove_file(self.file("end"));
        std::fs::remove_file(self.file("fetch"))
    }

    /// The service will never take it. It is kept under another name.
    pub fn reject(&self) -> io::Result<()> {
        std::fs::rename(self.file("fetch"), self.file("rejected"))
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.id))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
