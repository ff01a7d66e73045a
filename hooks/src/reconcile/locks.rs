//! What a killed receive-pack left in other people's way. Git itself never removes any of it.
//!
//! - The lock of a ref, `<ref>.lock`, without which nobody could move it.
//! - Locks that all refs share: `HEAD.lock`, which git takes with that of the branch that HEAD
//!   names; `packed-refs.lock` and `packed-refs.new`, for deletions; `reftable/tables.list.lock`.
//! - The `.keep` file of its pack, beside which git will not take the same pack again.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use refwarden_gitio::{RefStorage, Repository};
use refwarden_wire::reconcile::Prepared;

use super::idle::is_idle;

/// How far the time of a file may lie before the moment at which it was made: the kernel takes it from
/// a clock that goes on by ticks, of which there are a hundred in a second at least.
const TICK: Duration = Duration::from_millis(10);

/// Locks that refs share, of both backends.
const SHARED: [&str; 4] = [
    "HEAD.lock",
    "packed-refs.lock",
    "packed-refs.new",
    "reftable/tables.list.lock",
];

/// Removes what dead pushes left and what is theirs without doubt. `prepared` are updates that were
/// about to move, `released` such as never got as far.
///
/// A lock is taken, and its file written, before its update is prepared, and as long as it stands
/// nobody else can take it. So the lock of a ref that is not younger than the prepared update, and
/// holds the value that the update would set, is the update's. Of any other lock the time proves
/// less: it goes only where a dead push could have taken it, and while nobody who could have made it
/// works in the repository.
/// Everything else is left alone.
pub fn release(repository: &Repository, prepared: &[&Prepared], released: &[&Prepared]) {
    keeps(repository, &[prepared, released].concat());
    let gitdir = &repository.gitdir;
    let mut doubtful = Vec::new();
    if repository.ref_storage == RefStorage::Files {
        for one in prepared {
            let found = Found::at(lock_of(gitdir, one)).filter(|it| it.holds(one));
            if let Some(found) = found.filter(|it| it.is_before(one)) {
                found.remove();
            }
        }
        for one in released {
            // It may have been taken and not yet written.
            let found = Found::at(lock_of(gitdir, one));
            let found = found.filter(|it| it.metadata.len() == 0 || it.holds(one));
            doubtful.extend(found.filter(|it| it.may_be_after(one)));
        }
    }
    for name in SHARED {
        let found = Found::at(gitdir.join(name));
        doubtful.extend(found.filter(|it| {
            let was_about_to = prepared.iter().any(|one| it.is_before(one));
            was_about_to || released.iter().any(|one| it.may_be_after(one))
        }));
    }
    // Whoever made a file owns it.
    let owners = doubtful.iter().map(|it| it.metadata.uid()).collect();
    if !doubtful.is_empty() && is_idle(gitdir, &owners) {
        doubtful.iter().for_each(Found::remove);
    }
}

fn lock_of(gitdir: &Path, one: &Prepared) -> PathBuf {
    let mut name = one.target.as_bytes().to_vec();
    name.extend_from_slice(b".lock");
    gitdir.join(OsStr::from_bytes(&name))
}

/// A file that stands in the way.
struct Found {
    path: PathBuf,
    metadata: Metadata,
}

impl Found {
    fn at(path: PathBuf) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(&path).ok()?;
        metadata.is_file().then_some(Self { path, metadata })
    }

    /// Whether it holds the value that an update would set; nothing, for a deletion.
    fn holds(&self, one: &Prepared) -> bool {
        let content = std::fs::read(&self.path).unwrap_or_default();
        if one.new.is_zero() {
            content.is_empty()
        } else {
            content.trim_ascii_end() == one.new.to_string().as_bytes()
        }
    }

    fn is_before(&self, one: &Prepared) -> bool {
        one.since
            .is_some_and(|since| is_before(&self.metadata, since.into()))
    }

    /// Whether it may have been made after a time, as near as a file's time tells.
    fn may_be_after(&self, one: &Prepared) -> bool {
        one.since
            .is_none_or(|since| !is_before(&self.metadata, SystemTime::from(since) - TICK))
    }

    /// Removes it, unless it is another one by now.
    fn remove(&self) {
        let same = |now: &Metadata| {
            (now.ino(), now.mtime(), now.mtime_nsec())
                == (
                    self.metadata.ino(),
                    self.metadata.mtime(),
                    self.metadata.mtime_nsec(),
                )
        };
        if std::fs::symlink_metadata(&self.path).is_ok_and(|now| same(&now)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes `.keep` files that dead runs of receive-pack wrote: index-pack writes into them, before
/// the push is judged, `receive-pack <pid> on <host>` (git's builtin/receive-pack.c).
fn keeps(repository: &Repository, dead: &[&Prepared]) {
    let Ok(entries) = std::fs::read_dir(repository.gitdir.join("objects/pack")) else {
        return;
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let keeps = paths.filter(|path| path.extension() == Some(OsStr::new("keep")));
    for found in keeps.filter_map(Found::at) {
        let content = std::fs::read(&found.path).unwrap_or_default();
        let is_of = |one: &&Prepared| {
            let whose = format!("receive-pack {} on ", one.correlation.pid);
            content.starts_with(whose.as_bytes()) && found.is_before(one)
        };
        if dead.iter().any(is_of) {
            found.remove();
        }
    }
}

fn is_before(metadata: &Metadata, time: SystemTime) -> bool {
    metadata.modified().is_ok_and(|at| at <= time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use refwarden_model::{Oid, PushId, RefName};
    use refwarden_wire::hook::Correlation;

    const NEW: &str = "1111111111111111111111111111111111111111";

    fn repository(directory: &Path) -> Repository {
        let git = std::process::Command::new("git")
            .args(["init", "-q", "--bare", "."])
            .current_dir(directory)
            .status();
        assert!(git.unwrap().success());
        Repository::open(directory).unwrap()
    }

    fn update(name: &str, new: &str, since: DateTime<Utc>) -> Prepared {
        Prepared {
            push_id: PushId(uuid::Uuid::nil()),
            correlation: Correlation {
                boot_id: "none".to_owned(),
                pid_namespace: 1,
                pid: 4711,
                start_ticks: 1,
            },
            target: RefName::parse(name.as_bytes()).unwrap(),
            old: Oid::parse("0".repeat(40).as_bytes()).unwrap(),
            new: Oid::parse(new.as_bytes()).unwrap(),
            since: Some(since),
        }
    }

    /// Whether a file is still there once the locks of a dead push were released.
    fn stays(file: &str, content: &str, prepared: &[Prepared], released: &[Prepared]) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let repository = repository(directory.path());
        let path = directory.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let prepared: Vec<&Prepared> = prepared.iter().collect();
        let released: Vec<&Prepared> = released.iter().collect();
        release(&repository, &prepared, &released);
        path.exists()
    }

    #[test]
    fn only_what_a_dead_push_can_have_left_is_removed() {
        let hour = TimeDelta::hours(1);
        let (before, after) = (Utc::now() - hour, Utc::now() + hour);
        let topic = |since| [update("refs/heads/topic", NEW, since)];
        let lock = "refs/heads/topic.lock";
        // Taken before its update was prepared, or after its push was granted.
        assert!(!stays(lock, NEW, &topic(after), &[]));
        assert!(!stays(lock, NEW, &[], &topic(before)));
        assert!(!stays(lock, "", &[], &topic(before)));
        // Taken later than the update was prepared, or before the push was granted.
        assert!(stays(lock, NEW, &topic(before), &[]));
        assert!(stays(lock, NEW, &[], &topic(after)));
        // Of another value or another ref, or of nobody who is known.
        assert!(stays(lock, &"2".repeat(40), &topic(after), &topic(before)));
        assert!(stays(
            "refs/heads/x.lock",
            NEW,
            &topic(after),
            &topic(before)
        ));
        assert!(stays(lock, NEW, &[], &[]));
        for shared in SHARED {
            assert!(!stays(shared, "", &topic(after), &[]), "{shared}");
            assert!(!stays(shared, "", &[], &topic(before)), "{shared}");
            assert!(stays(shared, "", &topic(before), &topic(after)), "{shared}");
            assert!(stays(shared, "", &[], &[]), "{shared}");
        }
        let keep = "objects/pack/pack-1.keep";
        let whose = "receive-pack 4711 on host";
        assert!(!stays(keep, whose, &[], &topic(after)));
        assert!(stays(keep, whose, &[], &topic(before)));
        assert!(stays(keep, "receive-pack 47 on host", &[], &topic(after)));
    }

    #[test]
    fn a_lock_whose_time_is_a_tick_behind_is_still_the_pushs() {
        let directory = tempfile::tempdir().unwrap();
        let repository = repository(directory.path());
        let path = directory.path().join("refs/heads/topic.lock");
        let lock = std::fs::File::create(&path).unwrap();
        let granted = Utc::now();
        let one = update("refs/heads/topic", NEW, granted);
        let behind = |millis| SystemTime::from(granted) - Duration::from_millis(millis);
        lock.set_modified(behind(50)).unwrap();
        release(&repository, &[], &[&one]);
        assert!(path.exists());
        lock.set_modified(behind(4)).unwrap();
        release(&repository, &[], &[&one]);
        assert!(!path.exists());
    }

    #[test]
    fn while_somebody_works_there_doubtful_locks_stay() {
        let directory = tempfile::tempdir().unwrap();
        let repository = repository(directory.path());
        let path = directory.path().join("packed-refs.lock");
        std::fs::write(&path, "").unwrap();
        let mut child = std::process::Command::new("cat")
            .current_dir(directory.path())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let one = update("refs/heads/topic", NEW, Utc::now() - TimeDelta::hours(1));
        release(&repository, &[], &[&one]);
        assert!(path.exists());
        drop(child.stdin.take());
        child.wait().unwrap();
        release(&repository, &[], &[&one]);
        assert!(!path.exists());
    }
}
