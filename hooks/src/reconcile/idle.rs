//! Whether anybody works in a repository, as far as this host can see.

use std::path::Path;

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
        Ok(_) if is_suspect => is_told(&process, gitdir),
        Ok(_) => false,
        Err(error) => is_suspect && error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Whether the arguments or the environment name the repository, or may do so: a directory that is
/// told relatively is not looked for.
fn is_told(process: &Path, gitdir: &Path) -> bool {
    let gitdir = gitdir.to_string_lossy();
    let names = |file: &str, otherwise: &str| match std::fs::read(process.join(file)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.contains(gitdir.as_ref()) || text.contains(otherwise)
        }
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    names("cmdline", "--git-dir") || names("environ", "GIT_DIR=")
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
}
