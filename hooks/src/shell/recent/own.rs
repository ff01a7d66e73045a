//! A directory of files that nobody but this account can have written.
//!
//! What others could have written counts as not there. It is looked at where it is opened, and used through
//! what was opened, so it is nothing else by then. The directories above are not looked at: who may write
//! there can take this one away, and put none in its place that is owned by this account.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, openat, renameat, unlinkat};

/// The longest file that is read; what is written here is far shorter.
const LONGEST: u64 = 1 << 20;

/// Where a file is written before it takes its place; only who holds the lock does.
const NEW: &str = "new";

/// How long the lock is waited for: a session does not wait for one that was stopped.
const PATIENCE: Duration = Duration::from_millis(500);

/// Write permission of the group and of everybody.
const OTHERS_WRITE: u32 = 0o022;

/// The directory, open.
pub struct Own(File);

impl Own {
    /// Opens it, and makes it first where there is none.
    pub fn make(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Self::open(path),
        }
    }

    /// Opens it. `PermissionDenied` where it is another's, or others may write in it; another error
    /// where it is no directory, or a link to one.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(rustix::fs::CWD, path, flags, Mode::empty())?;
        ours(File::from(opened)).map(Self)
    }

    /// Waits until nobody else changes anything in it; holds until this is dropped.
    pub fn lock(&self) -> io::Result<()> {
        let begun = Instant::now();
        loop {
            match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                ended => return Ok(ended?),
            }
        }
    }

    /// What a file holds.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        // A pipe would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = ours(File::from(openat(&self.0, name, flags, Mode::empty())?))?;
        if !file.metadata()?.is_file() {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Puts a file in place of whatever stands there: whoever reads sees the old or the new. Under
    /// the lock.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.remove(NEW)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let new = openat(&self.0, NEW, flags, Mode::RUSR | Mode::WUSR)?;
        File::from(new).write_all(bytes)?;
        Ok(renameat(&self.0, NEW, &self.0, name)?)
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn ours(file: File) -> io::Result<File> {
    let found = file.metadata()?;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    if is_ours && found.mode() & OTHERS_WRITE == 0 {
        Ok(file)
    } else {
        Err(ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_others_could_have_written_is_not_there() {
        let spool = tempfile::tempdir().unwrap();
        let path = spool.path().join("own");
        let own = Own::make(&path).unwrap();
        own.lock().unwrap();
        own.replace("a", b"text").unwrap();
        assert_eq!(own.read("a").unwrap(), b"text");
        let allow = |path: &Path, mode| {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        let file = path.join("a");
        for mode in [0o620, 0o602, 0o666] {
            allow(&file, mode);
            let refused = own.read("a").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{mode:o}");
        }
        allow(&file, 0o644);
        assert_eq!(own.read("a").unwrap(), b"text");
        symlink(&file, path.join("link")).unwrap();
        own.read("link").unwrap_err();
        std::fs::create_dir(path.join("directory")).unwrap();
        own.read("directory").unwrap_err();
        // What somebody left where new files are written takes nothing along.
        symlink(&file, path.join(NEW)).unwrap();
        own.replace("b", b"other").unwrap();
        assert_eq!(own.read("a").unwrap(), b"text");
        own.remove("b").unwrap();
        own.remove("b").unwrap();

        for mode in [0o770, 0o707, 0o777] {
            allow(&path, mode);
            assert!(Own::open(&path).is_err(), "{mode:o}");
            assert!(Own::make(&path).is_err(), "{mode:o}");
        }
        allow(&path, 0o755);
        assert!(Own::open(&path).is_ok());
        let link = spool.path().join("elsewhere");
        symlink(&path, &link).unwrap();
        assert!(Own::open(&link).is_err());
        assert!(Own::make(&link).is_err());
    }

    #[test]
    fn what_is_another_s_is_not_there() {
        // Only root can give something away.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let spool = tempfile::tempdir().unwrap();
        let path = spool.path().join("own");
        let own = Own::make(&path).unwrap();
        own.replace("a", b"text").unwrap();
        std::os::unix::fs::chown(path.join("a"), Some(65534), None).unwrap();
        own.read("a").unwrap_err();
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert!(Own::open(&path).is_err());
    }
}
