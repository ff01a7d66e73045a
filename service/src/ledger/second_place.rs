//! A directory outside the database that remembers what was signed: a file of all leaf hashes,
//! 32 bytes each, and every checkpoint. Whoever changes the database has to change it too.
//!
//! Each service writes to a directory of its own.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use diesel::PgConnection;
use refwarden_merkle::{Checkpoint, PublicKey};

use crate::db::log;
use crate::error::AppError;

/// Hashes that are read from the database at once.
const CHUNK: u64 = 8192;

/// The directory.
pub struct SecondPlace {
    directory: PathBuf,
    key: PublicKey,
}

impl SecondPlace {
    /// Makes the directory where there is none.
    pub fn open(directory: PathBuf, key: &PublicKey) -> io::Result<Self> {
        std::fs::create_dir_all(directory.join("checkpoints"))?;
        Ok(Self {
            directory,
            key: key.clone(),
        })
    }

    /// The last checkpoint that was written here.
    ///
    /// # Errors
    /// When there is a file and it is no checkpoint of this log.
    pub fn last(&self) -> Result<Option<Checkpoint>, String> {
        let path = self.directory.join("checkpoint");
        let shown = path.display();
        match std::fs::read_to_string(&path) {
            Ok(note) => Checkpoint::parse(&note, &self.key)
                .map(Some)
                .map_err(|error| format!("{shown}: {error}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{shown}: {error}")),
        }
    }

    /// Writes what the database has and this place has not: hashes first, then checkpoints, so
    /// that a checkpoint is never without its hashes.
    ///
    /// # Errors
    /// What the database or the file system says.
    pub fn follow(&self, conn: &mut PgConnection, after: u64) -> Result<(), AppError> {
        let mut written = after;
        loop {
            let found = log::checkpoints(conn, written, 100)?;
            let Some((last, _)) = found.last() else {
                return Ok(());
            };
            let last = u64::try_from(*last).unwrap_or_default();
            self.write_hashes(conn, last)?;
            for (size, note) in &found {
                let name = format!("checkpoints/{size:020}");
                self.write(&name, note).map_err(AppError::internal)?;
            }
            if let Some((_, note)) = found.last() {
                self.write("checkpoint", note).map_err(AppError::internal)?;
            }
            written = last;
        }
    }

    fn write_hashes(&self, conn: &mut PgConnection, to: u64) -> Result<(), AppError> {
        let path = self.directory.join("leaves");
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(AppError::internal)?;
        let bytes = file.metadata().map_err(AppError::internal)?.len();
        // A crash may have left part of a hash.
        let mut size = bytes / 32;
        file.set_len(size * 32).map_err(AppError::internal)?;
        while size < to {
            let upto = to.min(size + CHUNK);
            let hashes = log::leaf_hashes(conn, size, upto)?;
            let bytes: Vec<u8> = hashes.iter().flat_map(|it| *it.as_bytes()).collect();
            file.write_all(&bytes).map_err(AppError::internal)?;
            if u64::try_from(hashes.len()).unwrap_or_default() != upto - size {
                return Err(AppError::internal("leaves are missing from the database"));
            }
            size = upto;
        }
        file.sync_data().map_err(AppError::internal)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.directory.join(name);
        let new = self.directory.join("checkpoint.new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}
