//! What a killed receive-pack left in other people's way: the lock of the ref (`<ref>.lock`,
//! files backend only), without which nobody could move it, and the `.keep` file of its pack,
//! beside which git will not take the same pack again.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::time::SystemTime;

use refwarden_gitio::{RefStorage, Repository};
use refwarden_wire::reconcile::Prepared;

/// Removes the locks of dead pushes that are theirs without doubt: a lock is taken, and its file
/// written, before its update is prepared, and as long as it stands nobody else can take it. So
/// one that is not younger than the update, and holds the value that the update would set, is the
/// update's. Everything else is left alone.
pub fn release(repository: &Repository, dead: &[&Prepared]) {
    keeps(repository, dead);
    if repository.ref_storage != RefStorage::Files {
        return;
    }
    for one in dead {
        let mut name = one.target.as_bytes().to_vec();
        name.extend_from_slice(b".lock");
        let path = repository.gitdir.join(OsStr::from_bytes(&name));
        let Some(since) = one.since.map(SystemTime::from) else {
            continue;
        };
        let (Ok(metadata), Ok(content)) = (std::fs::symlink_metadata(&path), std::fs::read(&path))
        else {
            continue;
        };
        let holds = if one.new.is_zero() {
            content.is_empty()
        } else {
            content.trim_ascii_end() == one.new.to_string().as_bytes()
        };
        if is_file_before(&metadata, since) && holds {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes `.keep` files that dead runs of receive-pack wrote: index-pack writes into them, before
/// any ref is locked, `receive-pack <pid> on <host>` (git's builtin/receive-pack.c).
fn keeps(repository: &Repository, dead: &[&Prepared]) {
    let Ok(entries) = std::fs::read_dir(repository.gitdir.join("objects/pack")) else {
        return;
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for path in paths.filter(|path| path.extension() == Some(OsStr::new("keep"))) {
        let (Ok(metadata), Ok(content)) = (std::fs::symlink_metadata(&path), std::fs::read(&path))
        else {
            continue;
        };
        let is_of = |one: &&Prepared| {
            let whose = format!("receive-pack {} on ", one.correlation.pid);
            let since = one.since.map(SystemTime::from);
            content.starts_with(whose.as_bytes())
                && since.is_some_and(|since| is_file_before(&metadata, since))
        };
        if dead.iter().any(is_of) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn is_file_before(metadata: &Metadata, time: SystemTime) -> bool {
    metadata.is_file() && metadata.modified().is_ok_and(|at| at <= time)
}
