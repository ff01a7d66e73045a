//! Whether anybody works in a repository, as far as this host can see.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use memchr::memmem;

/// Programs that may work in a repository although it cannot be seen where they work.
const SUSPECTS: [&str; 4] = ["git", "pre-receive", "reference-trans", "post-receive"];

/// How often a look is repeated that saw somebody, and how long it waits before.
const LOOKS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(20);

/// Whether no process of these accounts works in a repository: git goes there before it touches
/// anything, and so do its hooks. A git that was told the directory instead is known by its arguments
/// and environment; what is told relatively is told from where the process works. Where that cannot be
/// looked up, whoever is called like git or a hook is taken to work there.
///
/// A process that begins or ends just now cannot be told from one that hides: it is looked at again.
pub fn is_idle(gitdir: &Path, accounts: &BTreeSet<u32>) -> bool {
    let Ok(gitdir) = gitdir.canonicalize() else {
        return false;
    };
    (0..LOOKS).any(|look| {
        if look > 0 {
            std::thread::sleep(BETWEEN);
        }
        is_idle_now(&gitdir, accounts)
    })
}

fn is_idle_now(gitdir: &Path, accounts: &BTreeSet<u32>) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return false;
    };
    let own = std::process::id();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut others = pids.filter(|pid| *pid != own);
    !others.any(|pid| works_in(pid, gitdir, accounts))
}

fn works_in(pid: u32, gitdir: &Path, accounts: &BTreeSet<u32>) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    // Of a process that ended meanwhile there is no status.
    let Ok(status) = std::fs::read_to_string(process.join("status")) else {
        return false;
    };
    let Status {
        name,
        account,
        has_ended,
    } = Status::read(&status);
    if has_ended || account.is_some_and(|it| !accounts.contains(&it)) {
        return false;
    }
    let is_suspect = SUSPECTS.iter().any(|it| name.starts_with(it));
    match std::fs::read_link(process.join("cwd")) {
        Ok(directory) if directory.starts_with(gitdir) => true,
        Ok(directory) if is_suspect => is_told(&process, &directory, gitdir),
        Ok(_) => false,
        Err(error) => is_suspect && !is_gone(&error),
    }
}

/// What `/proc/PID/status` says (`proc_pid_status(5)`).
struct Status<'s> {
    name: &'s str,
    /// By which the kernel decides on files.
    account: Option<u32>,
    has_ended: bool,
}

impl<'s> Status<'s> {
    fn read(text: &'s str) -> Self {
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        };
        Self {
            name: value("Name").unwrap_or_default().trim(),
            account: value("Uid").and_then(|all| all.split_whitespace().nth(3)?.parse().ok()),
            has_ended: value("State").is_some_and(|it| it.trim_start().starts_with(['Z', 'X'])),
        }
    }
}

/// Whether an error says that the process has ended, or has given up its memory to end.
fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Whether a process has memory of its own, as all have until they end.
fn has_memory(process: &Path) -> bool {
    let status = std::fs::read_to_string(process.join("status"));
    status.is_ok_and(|text| text.contains("\nVmSize:"))
}

fn is_told(process: &Path, works_in: &Path, gitdir: &Path) -> bool {
    let names = |file: &str, option: &[u8]| {
        let bytes = match std::fs::read(process.join(file)) {
            Ok(bytes) => bytes,
            Err(error) => return !is_gone(&error),
        };
        let is_here = |told: &[u8]| works_in.join(OsStr::from_bytes(told)).canonicalize();
        let words: Vec<&[u8]> = bytes.split(|&byte| byte == 0).collect();
        let mut told = words.iter().filter_map(|word| {
            let word = word.strip_prefix(option)?;
            word.strip_prefix(b"=")
        });
        // It has begun and has no arguments yet, or ends and has none any more.
        bytes.is_empty() && has_memory(process)
            || memmem::find(&bytes, gitdir.as_os_str().as_bytes()).is_some()
            || told.any(|told| match is_here(told) {
                Ok(told) => told.starts_with(gitdir),
                Err(error) => error.kind() != ErrorKind::NotFound,
            })
            || words
                .iter()
                .any(|word| is_here(word).is_ok_and(|path| !word.is_empty() && path == gitdir))
    };
    names("cmdline", b"--git-dir") || names("environ", b"GIT_DIR")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn own() -> BTreeSet<u32> {
        [rustix::process::geteuid().as_raw()].into()
    }

    #[test]
    fn a_process_that_works_there_is_seen_until_it_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        assert!(is_idle(directory.path(), &own()));
        let mut child = Command::new("cat")
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert!(!is_idle(directory.path(), &own()));
        // Whoever has another account has not taken the lock.
        assert!(is_idle(directory.path(), &BTreeSet::from([u32::MAX])));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(is_idle(directory.path(), &own()));
        assert!(!is_idle(&directory.path().join("gone"), &own()));
    }

    #[test]
    fn a_git_that_was_told_another_directory_is_no_hindrance() {
        let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for directory in [&here, &elsewhere] {
            let mut init = Command::new("git");
            init.args(["init", "-q", "--bare"]).arg(directory.path());
            assert!(init.status().unwrap().success());
        }
        let beside = elsewhere.path().join("link");
        std::os::unix::fs::symlink(here.path(), &beside).unwrap();
        let is_idle_with = |option: &OsStr, variable: &OsStr| {
            // It waits for its input.
            let mut child = Command::new("git")
                .arg(option)
                .args(["hash-object", "--stdin"])
                .env("GIT_DIR", variable)
                .current_dir(elsewhere.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // It is there before its arguments are: exec(2) goes on when spawn returns.
            let pid = child.id();
            let told = |file: &str, what: &[u8]| {
                let bytes = std::fs::read(format!("/proc/{pid}/{file}"));
                memmem::find(&bytes.unwrap(), what).is_some()
            };
            while !told("cmdline", b"hash-object") || !told("environ", b"GIT_DIR=") {
                assert!(child.try_wait().unwrap().is_none());
                std::thread::yield_now();
            }
            let is_idle = is_idle(here.path(), &own());
            drop(child.stdin.take());
            let _ = child.wait();
            is_idle
        };
        let option = |path: &Path| {
            let mut option = std::ffi::OsString::from("--git-dir=");
            option.push(path);
            option
        };
        let other = elsewhere.path();
        assert!(is_idle_with(&option(other), other.as_os_str()));
        assert!(is_idle_with(&option(Path::new(".")), OsStr::new(".")));
        for path in [here.path(), &beside, Path::new("link")] {
            assert!(!is_idle_with(&option(path), other.as_os_str()), "{path:?}");
            assert!(
                !is_idle_with(OsStr::new("-P"), path.as_os_str()),
                "{path:?}"
            );
        }
    }

    #[test]
    fn a_git_that_ends_but_is_not_waited_for_is_no_hindrance() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new("git")
            .arg("--version")
            .env("GIT_DIR", directory.path())
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !is_idle(directory.path(), &own()) {
            std::thread::yield_now();
        }
        assert!(child.wait().unwrap().success());
    }
}
