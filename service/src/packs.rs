//! The pack store: packs exactly as received, named by their SHA-256, in a local directory.
//!
//! A pack is written to a temporary file while it is hashed, fsynced, and renamed into place, so
//! what has a name is whole and durable. Sealing and other stores come behind this type.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A directory of packs.
#[derive(Clone, Debug)]
pub struct PackStore {
    directory: PathBuf,
}

/// A pack that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPack {
    /// Hexadecimal SHA-256 of its bytes.
    pub digest: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Where it is, relative to the store.
    pub location: String,
}

/// A pack that is being received. Dropped unfinished, it leaves nothing behind.
pub struct PackWriter {
    store: PackStore,
    temporary: PathBuf,
    file: Option<File>,
    hasher: Sha256,
    bytes: u64,
}

impl PackStore {
    /// Opens the store, making its directory.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(directory: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(directory.join("incoming"))?;
        Ok(Self { directory })
    }

    /// Begins to receive a pack.
    ///
    /// # Errors
    /// When the temporary file cannot be made.
    pub fn writer(&self) -> std::io::Result<PackWriter> {
        let temporary = self
            .directory
            .join("incoming")
            .join(Uuid::new_v4().to_string());
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        Ok(PackWriter {
            store: self.clone(),
            temporary,
            file: Some(file),
            hasher: Sha256::new(),
            bytes: 0,
        })
    }

    /// The path of a stored pack.
    pub fn path(&self, location: &str) -> PathBuf {
        self.directory.join(location)
    }
}

impl PackWriter {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they cannot be written, for example because the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        self.hasher.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        Ok(())
    }

    /// Bytes taken so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the pack durable under its digest.
    ///
    /// # Errors
    /// When it cannot be synced or renamed.
    pub fn finish(mut self) -> std::io::Result<StoredPack> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        let digest = hex::encode(self.hasher.clone().finalize());
        let folder = digest.get(..2).unwrap_or("00").to_owned();
        let location = format!("{folder}/{digest}.pack");
        let directory = self.store.directory.join(&folder);
        if !directory.exists() {
            std::fs::create_dir_all(&directory)?;
            sync_directory(&self.store.directory)?;
        }
        std::fs::rename(&self.temporary, self.store.directory.join(&location))?;
        sync_directory(&directory)?;
        Ok(StoredPack {
            digest,
            bytes: self.bytes,
            location,
        })
    }
}

impl Drop for PackWriter {
    fn drop(&mut self) {
        // After `finish` the file has its final name and this removes nothing.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_has_a_name_only_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let store = PackStore::open(directory.path().to_owned()).unwrap();
        let mut writer = store.writer().unwrap();
        writer.write(b"PACK").unwrap();
        drop(writer);
        assert_eq!(
            std::fs::read_dir(directory.path().join("incoming"))
                .unwrap()
                .count(),
            0
        );
        let mut writer = store.writer().unwrap();
        writer.write(b"PA").unwrap();
        writer.write(b"CK").unwrap();
        let stored = writer.finish().unwrap();
        assert_eq!(stored.digest, hex::encode(Sha256::digest(b"PACK")));
        assert_eq!(
            std::fs::read(store.path(&stored.location)).unwrap(),
            b"PACK"
        );
    }
}
