//! Signatures of commits, checked by git itself: `git log --format='%G? %GF %GS'` (git-log(1),
//! "PRETTY FORMATS") with the signers that an administrator has configured, and nobody else's.

use std::collections::HashMap;
use std::path::PathBuf;

use refwarden_model::Oid;

use crate::command::{Git, GitError, ObjectEnv};
use crate::settings::Repository;

/// Whose signatures count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    /// An allowed-signers file (ssh-keygen(1), "ALLOWED SIGNERS").
    pub allowed_signers: Option<PathBuf>,
    /// A home directory of `GnuPG`; every key in its ring counts.
    pub gpg_home: Option<PathBuf>,
}

/// What git says of one signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Git's letter: `G` good, `U` good of unknown validity, `B` bad, `X`, `Y` expired, `R`
    /// revoked, `E` cannot be checked, `N` none.
    pub grade: u8,
    /// The key's fingerprint; empty where it is not known.
    pub key: String,
    /// Whose key it is; empty where it is not known.
    pub signer: String,
}

/// Checks the signatures of commits, in one process.
pub fn check(
    repository: &Repository,
    objects: &ObjectEnv,
    commits: &[Oid],
    signers: &Signers,
) -> Result<HashMap<Oid, Checked>, GitError> {
    if commits.is_empty() {
        return Ok(HashMap::new());
    }
    let mut git = Git::new(&repository.gitdir, objects, "log")
        .args(["--no-walk=unsorted", "--stdin", "--format=%H %G? %GF %GS"])
        .args(["--no-show-signature", "--no-notes", "--no-color"]);
    let none = PathBuf::from("/dev/null");
    let file = signers.allowed_signers.as_ref().unwrap_or(&none);
    git = git
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "gpg.ssh.allowedSignersFile")
        .env("GIT_CONFIG_VALUE_0", file);
    git = git.env("GNUPGHOME", signers.gpg_home.as_ref().unwrap_or(&none));
    let asked: Vec<String> = commits.iter().map(ToString::to_string).collect();
    let output = git.output(asked.join("\n").as_bytes())?;
    let text = String::from_utf8_lossy(&output);
    let parse = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let oid = words.next()?.parse().ok()?;
        let grade = words.next()?.bytes().next()?;
        let key = words.next().unwrap_or_default().to_owned();
        let signer = words.next().unwrap_or_default().trim().to_owned();
        Some((oid, Checked { grade, key, signer }))
    };
    Ok(text.lines().filter_map(parse).collect())
}
