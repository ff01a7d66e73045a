//! A file system for each directory that may run full, each as small as what is on it when it is
//! filled: a tmpfs whose size is changed (tmpfs(5)).

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::statvfs;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use crate::plan::Disk;

/// Size of one that is not full, in bytes; of memory it takes what is on it.
const ROOM: u64 = 8 << 30;

/// How often it is tried to make one as small as what is on it, which grows meanwhile.
const TRIES: usize = 1000;

/// Mounted file systems. Whoever uses them has to end before they are dropped.
pub struct Disks(BTreeMap<Disk, PathBuf>);

impl Disks {
    /// Puts one below each directory. What is there is copied onto it, so nobody may be using it.
    pub fn mount(directories: impl IntoIterator<Item = (Disk, PathBuf)>) -> Self {
        let directories: BTreeMap<Disk, PathBuf> = directories.into_iter().collect();
        for directory in directories.values() {
            let before = directory.with_extension("before");
            std::fs::create_dir_all(directory).unwrap();
            std::fs::rename(directory, &before).unwrap();
            std::fs::create_dir(directory).unwrap();
            let none = MountFlags::empty();
            mount("none", directory, "tmpfs", none, size(ROOM).as_c_str()).unwrap();
            let copied = Command::new("cp")
                .arg("-a")
                .arg(before.join("."))
                .arg(directory)
                .status();
            assert!(copied.is_ok_and(|status| status.success()));
            std::fs::remove_dir_all(&before).unwrap();
            // A size of zero would be no limit.
            std::fs::write(directory.join(".begun"), "begun\n").unwrap();
        }
        Self(directories)
    }

    /// Leaves no byte.
    pub fn fill(&self, disk: Disk) {
        let directory = &self.0[&disk.mounted()];
        let filled = (0..TRIES).any(|_| {
            let now = statvfs(directory).unwrap();
            let used = (now.f_blocks - now.f_bfree) * now.f_frsize;
            resize(directory, used) && statvfs(directory).unwrap().f_bfree == 0
        });
        assert!(filled, "{} cannot be filled", directory.display());
    }

    /// Gives them their room back.
    pub fn free(&self) {
        for directory in self.0.values() {
            assert!(resize(directory, ROOM), "{}", directory.display());
        }
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for directory in self.0.values() {
            let _ = unmount(directory, UnmountFlags::DETACH);
        }
    }
}

fn size(bytes: u64) -> CString {
    CString::new(format!("size={bytes}")).unwrap()
}

/// Whether what is there fits.
fn resize(directory: &Path, bytes: u64) -> bool {
    mount_remount(directory, MountFlags::empty(), size(bytes).as_c_str()).is_ok()
}
