//! What a push brought: the objects in receive-pack's quarantine (git-receive-pack(1)).
//!
//! Strict, because everything in here must be scanned: a file whose meaning is not known is an
//! error, and so is a pack without its index.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use refwarden_model::{ObjectFormat, Oid};

use crate::packidx::{self, IdxError};

/// A pack in the quarantine.
#[derive(Clone, Debug)]
pub struct QuarantinedPack {
    /// The pack file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The objects of a quarantine.
#[derive(Clone, Debug, Default)]
pub struct Quarantine {
    /// Packs; one at most where `receive.unpackLimit` is 1.
    pub packs: Vec<QuarantinedPack>,
    /// Objects of packs, in the order in which they stand in their pack, then loose ones.
    pub objects: Vec<Oid>,
    /// How many of them are loose.
    pub loose: usize,
}

/// Why a quarantine cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuarantineError {
    /// It could not be read.
    #[error("the quarantine cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It holds a file that git is not known to put there.
    #[error("the quarantine holds something unexpected: {0}")]
    Unexpected(String),
    /// A pack's index is not valid.
    #[error("a pack's index in the quarantine: {0}")]
    Index(#[from] IdxError),
}

impl Quarantine {
    /// The quarantine that the environment names, or none outside of a push that brings objects.
    pub fn from_env(format: ObjectFormat) -> Result<Option<Self>, QuarantineError> {
        match std::env::var_os("GIT_QUARANTINE_PATH") {
            None => Ok(None),
            Some(path) => Self::list(Path::new(&path), format).map(Some),
        }
    }

    /// Lists a quarantine directory.
    pub fn list(directory: &Path, format: ObjectFormat) -> Result<Self, QuarantineError> {
        let mut found = Self::default();
        let mut loose = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.as_bytes();
            if !entry.file_type()?.is_dir() {
                return Err(unexpected(&entry.path()));
            } else if name == b"pack" {
                found.list_packs(&entry.path(), format)?;
            } else if name == b"info" {
                // Alternates or grafts in here would bring objects from elsewhere.
                if std::fs::read_dir(entry.path())?.next().is_some() {
                    return Err(unexpected(&entry.path()));
                }
            } else {
                list_loose(&entry.path(), name, format, &mut loose)?;
            }
        }
        found.loose = loose.len();
        found.objects.append(&mut loose);
        Ok(found)
    }

    /// Bytes of all packs.
    pub fn pack_bytes(&self) -> u64 {
        self.packs.iter().map(|pack| pack.bytes).sum()
    }

    fn list_packs(&mut self, path: &Path, format: ObjectFormat) -> Result<(), QuarantineError> {
        let mut indexes = Vec::new();
        let mut packs = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let path = entry?.path();
            match path.extension().and_then(OsStr::to_str) {
                Some("pack") => packs.push(path),
                Some("idx") => indexes.push(path),
                Some("rev" | "keep") => {}
                _ => return Err(unexpected(&path)),
            }
        }
        for path in packs {
            let index = path.with_extension("idx");
            let at = indexes.iter().position(|found| *found == index);
            indexes.remove(at.ok_or_else(|| unexpected(&path))?);
            let mut entries = packidx::parse(&std::fs::read(index)?, format)?;
            entries.sort_unstable_by_key(|entry| entry.offset);
            self.objects.extend(entries.iter().map(|entry| entry.oid));
            let bytes = std::fs::metadata(&path)?.len();
            self.packs.push(QuarantinedPack { path, bytes });
        }
        match indexes.first() {
            Some(orphan) => Err(unexpected(orphan)),
            None => Ok(()),
        }
    }
}

fn list_loose(
    path: &Path,
    fan: &[u8],
    format: ObjectFormat,
    loose: &mut Vec<Oid>,
) -> Result<(), QuarantineError> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let digits = [fan, entry.file_name().as_bytes()].concat();
        match Oid::parse(&digits) {
            Ok(oid) if fan.len() == 2 && oid.format() == format => loose.push(oid),
            _ => return Err(unexpected(&entry.path())),
        }
    }
    Ok(())
}

fn unexpected(path: &Path) -> QuarantineError {
    let name = path.file_name().unwrap_or_default();
    QuarantineError::Unexpected(refwarden_model::bytes::escape(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn packed_and_loose_objects_are_listed_and_strangers_refused() {
        let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
        sandbox.commit("refs/heads/main", &[("a", b"1")]);
        sandbox
            .git("repack")
            .args(["-adq", "--no-write-bitmap-index"])
            .output(b"")
            .unwrap();
        sandbox.commit("refs/heads/main", &[("a", b"2")]);
        let objects = sandbox.gitdir().join("objects");
        std::fs::remove_dir_all(objects.join("info")).unwrap();
        let listed = Quarantine::list(&objects, ObjectFormat::Sha1).unwrap();
        assert_eq!((listed.packs.len(), listed.loose), (1, 3));
        assert_eq!(listed.objects.len(), 6);
        for stranger in ["x", "pack/tmp_pack_1", "00/zz"] {
            let path = objects.join(stranger);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            assert!(Quarantine::list(&objects, ObjectFormat::Sha1).is_err());
            std::fs::remove_file(path).unwrap();
        }
        std::fs::remove_file(listed.packs[0].path.with_extension("idx")).unwrap();
        assert!(Quarantine::list(&objects, ObjectFormat::Sha1).is_err());
        assert!(Quarantine::list(&objects.join("none"), ObjectFormat::Sha1).is_err());
    }
}
