//! Whether anybody works in a repository, as far as this host can see.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use memchr::memmem;

/// Programs that may work in a repository although it cannot be seen where they work.
const SUSPECTS: [&str; 4] = ["git", "pre-receive", "reference-trans", "post-receive"];

/// Whether no process works in a repository: git goes there before it touches anything, and so do
/// its hooks. A git that was told the directory instead is known by its arguments. Where that
/// cannot be read, as of another account's processes, whoever is called like git or a hook is taken
/// to work there.
pub fn is_idle(gitdir: &Path) -> bool {
    let Ok(gitdir) = gitdir.canonicalize() else {
        return false;
    };
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return false;
    };
    let own = std::process::id();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut others = pids.filter(|pid| *pid != own);
    !others.any(|pid| works_in(pid, &gitdir))
}

fn works_in(pid: u32, gitdir: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    // Of a process that ended meanwhile there is no name.
    let Ok(name) = std::fs::read_to_string(process.join("comm")) else {
        return false;
    };
    let is_suspect = SUSPECTS.iter().any(|it| name.starts_with(it));
    match std::fs::read_link(process.join("cwd")) {
        Ok(directory) if directory.starts_with(gitdir) => true,
        Ok(directory) if is_suspect => is_told(&process, &directory, gitdir),
        Ok(_) => false,
        Err(error) => is_suspect && error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Whether the arguments or the environment name the repository. What is told relatively is told from
/// where the process works. Where that cannot be looked up, it may be this one.
fn is_told(process: &Path, works_in: &Path, gitdir: &Path) -> bool {
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let names = |file: &str, option: &[u8]| {
        let bytes = match std::fs::read(process.join(file)) {
            Ok(bytes) => bytes,
            Err(error) => return !gone(&error),
        };
        let is_here = |told: &[u8]| works_in.join(OsStr::from_bytes(told)).canonicalize();
        let words: Vec<&[u8]> = bytes.split(|&byte| byte == 0).collect();
        let mut told = words.iter().filter_map(|word| {
            let word = word.strip_prefix(option)?;
            word.strip_prefix(b"=")
        });
        memmem::find(&bytes, gitdir.as_os_str().as_bytes()).is_some()
            || told.any(|told| match is_here(told) {
                Ok(told) => told.starts_with(gitdir),
                Err(error) => !gone(&error),
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

    #[test]
    fn a_process_that_works_there_is_seen_until_it_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        assert!(is_idle(directory.path()));
        let mut child = Command::new("cat")
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert!(!is_idle(directory.path()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(is_idle(directory.path()));
        assert!(!is_idle(&directory.path().join("gone")));
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
            let is_idle = is_idle(here.path());
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
}
