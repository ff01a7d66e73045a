//! Locks that a killed receive-pack left: nobody else could move the ref until an administrator
//! came (`<ref>.lock`, files backend only).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use refwarden_gitio::{RefStorage, Repository};
use refwarden_wire::reconcile::Prepared;

/// Removes the locks of dead pushes that are theirs without doubt: a lock is taken, and its file
/// written, before its update is prepared, and as long as it stands nobody else can take it. So
/// one that is not younger than the update, and holds the value that the update would set, is the
/// update's. Everything else is left alone.
pub fn release(repository: &Repository, dead: &[&Prepared]) {
    if repository.ref_storage != RefStorage::Files {
        return;
    }
    for one in dead {
        let mut name = one.target.as_bytes().to_vec();
        name.extend_from_slice(b".lock");
        let path = repository.gitdir.join(OsStr::from_bytes(&name));
        let Some(since) = one.since.map(std::time::SystemTime::from) else {
            continue;
        };
        let (Ok(metadata), Ok(content)) = (std::fs::symlink_metadata(&path), std::fs::read(&path))
        else {
            continue;
        };
        let is_older = metadata.modified().is_ok_and(|modified| modified <= since);
        let holds = if one.new.is_zero() {
            content.is_empty()
        } else {
            content.trim_ascii_end() == one.new.to_string().as_bytes()
        };
        if metadata.is_file() && is_older && holds {
            let _ = std::fs::remove_file(path);
        }
    }
}
