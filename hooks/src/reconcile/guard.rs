//! What weakens the guard of a repository: where a hook is missing, git takes every push.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use refwarden_gitio::{Git, ObjectEnv};
use sha2::{Digest as _, Sha256};

use crate::host::Host;
use crate::spool::Spool;

/// The hooks that guard.
const HOOKS: [&str; 3] = ["pre-receive", "reference-transaction", "post-receive"];

/// Settings without which packs cannot be recorded as they came.
const SETTINGS: [(&str, &str); 1] = [("receive.unpackLimit", "1")];

/// Every defect, one sentence each, sorted. No paths: the sentences go into the records.
pub fn defects(host: &Host, spool: &Spool) -> Vec<String> {
    let gitdir = &host.repository.gitdir;
    let mut defects = Vec::new();
    // As git reads it when it serves: the host's and the account's configuration count.
    let redirected = config(
        Git::serving(gitdir, "config").env("GIT_DIR", gitdir),
        "core.hooksPath",
    );
    if redirected.is_some() {
        defects.push("core.hooksPath is set, so that git runs other hooks".to_owned());
    }
    let directory = redirected.map_or_else(
        || gitdir.join("hooks"),
        |path| gitdir.join(PathBuf::from(path)),
    );
    for hook in HOOKS {
        let key = format!("refwarden.{hook}.sha256");
        let recorded = config(plumbing(gitdir), &key);
        let problem = problem(&directory.join(hook), recorded.as_deref());
        defects.extend(problem.map(|problem| format!("the hook {hook} {problem}")));
    }
    for (key, wanted) in SETTINGS {
        if config(plumbing(gitdir), key).as_deref() != Some(wanted) {
            defects.push(format!("{key} is not {wanted}"));
        }
    }
    if spool.has_rejected() {
        defects.push("the service has rejected reports that waited in the spool".to_owned());
    }
    if crate::fetch::waiting(&host.config.spool_dir).1 > 0 {
        defects.push("the service has rejected records of fetches".to_owned());
    }
    defects.sort();
    defects
}

fn plumbing(gitdir: &Path) -> Git {
    Git::new(gitdir, &ObjectEnv::repository_only(), "config")
}

fn config(git: Git, key: &str) -> Option<String> {
    let value = git.args(["--get", key]).output(b"").ok()?;
    Some(String::from_utf8_lossy(&value).trim_end().to_owned())
}

fn problem(path: &Path, recorded: Option<&str>) -> Option<&'static str> {
    // Follows links: a dangling one is no hook.
    let Ok(metadata) = std::fs::metadata(path) else {
        return Some("is missing");
    };
    if !metadata.is_file() {
        return Some("is no file");
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Some("is not executable");
    }
    let bytes = std::fs::read(path).ok();
    let digest = bytes.map(|bytes| hex::encode(Sha256::digest(bytes)));
    (digest.as_deref() != recorded).then_some("is not the one that was installed")
}
