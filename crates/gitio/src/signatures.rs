//! Signatures of commits, tags and push certificates, checked by git itself with the signers
//! that an administrator has configured, and nobody else's: `git log --format='%G? %GF %GS'`
//! (git-log(1), "PRETTY FORMATS") for commits, `git verify-tag --raw` (git-verify-tag(1)) for tags.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

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

impl Signers {
    fn given_to(&self, git: Git) -> Git {
        let none = PathBuf::from("/dev/null");
        let file = self.allowed_signers.as_ref().unwrap_or(&none);
        git.env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "gpg.ssh.allowedSignersFile")
            .env("GIT_CONFIG_VALUE_0", file)
            .env("GNUPGHOME", self.gpg_home.as_ref().unwrap_or(&none))
    }
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
///
/// # Errors
/// When git cannot be asked.
pub fn check(
    repository: &Repository,
    objects: &ObjectEnv,
    commits: &[Oid],
    signers: &Signers,
) -> Result<HashMap<Oid, Checked>, GitError> {
    if commits.is_empty() {
        return Ok(HashMap::new());
    }
    let git = Git::new(&repository.gitdir, objects, "log")
        .args(["--no-walk=unsorted", "--stdin", "--format=%H %G? %GF %GS"])
        .args(["--no-show-signature", "--no-notes", "--no-color"]);
    let git = signers.given_to(git);
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

/// Checks the signature of one tag object.
///
/// # Errors
/// When git cannot be asked.
pub fn check_tag(
    repository: &Repository,
    objects: &ObjectEnv,
    tag: Oid,
    signers: &Signers,
) -> Result<Checked, GitError> {
    let git = Git::new(&repository.gitdir, objects, "verify-tag");
    let git = signers.given_to(git.args(["--raw", &tag.to_string()]));
    let (good, said) = git.judged()?;
    Ok(judgement(good, &String::from_utf8_lossy(&said)))
}

/// Checks the signature of a push certificate (gitprotocol-pack(5), "Push Certificate") the way
/// git does, by the programs that git calls. Git has no command for it: `verify-tag` wants a
/// `tagger` line, which a certificate has not.
///
/// # Errors
/// When a program cannot be run, or no temporary file be written.
pub fn check_certificate(
    certificate: &[u8],
    signature: &[u8],
    signers: &Signers,
) -> Result<Checked, GitError> {
    let io = |source| GitError::Io {
        command: "certificate".to_owned(),
        source,
    };
    let directory = tempfile::tempdir().map_err(io)?;
    let [text, sig] = ["text", "sig"].map(|name| directory.path().join(name));
    std::fs::write(&text, certificate).map_err(io)?;
    std::fs::write(&sig, signature).map_err(io)?;
    let run = |mut command: Command| -> Result<(bool, String), GitError> {
        let text = std::fs::File::open(&text).map_err(io)?;
        let output = command.stdin(text).output().map_err(io)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), said))
    };
    if !signature.starts_with(b"-----BEGIN SSH SIGNATURE-----") {
        let home = signers.gpg_home.as_deref();
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", home.unwrap_or(Path::new("/dev/null")));
        gpg.args(["--batch", "--no-tty", "--status-fd=1", "--verify"]);
        gpg.arg(&sig).arg("-");
        let (good, said) = run(gpg)?;
        return Ok(judgement(good, &said));
    }
    let file = signers.allowed_signers.as_deref();
    let file = file.unwrap_or(Path::new("/dev/null"));
    let keygen = |what: &str| {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-Y", what, "-s"]).arg(&sig);
        keygen
    };
    let mut find = keygen("find-principals");
    find.arg("-f").arg(file);
    let (_, principals) = run(find)?;
    let mut verify = match principals.lines().next() {
        Some(principal) => {
            let mut verify = keygen("verify");
            verify.arg("-f").arg(file).args(["-I", principal]);
            verify
        }
        // Nobody's key: whether it signed this at all is still worth telling.
        None => keygen("check-novalidate"),
    };
    verify.args(["-n", "git"]);
    let (good, said) = run(verify)?;
    Ok(judgement(good, &said))
}

/// Reads what `git verify-tag --raw` and the programs behind it say: lines of `GnuPG` (doc/DETAILS there, "Format of the
/// --status-fd output") or of ssh-keygen.
fn judgement(good: bool, said: &str) -> Checked {
    let mut checked = Checked {
        grade: b'B',
        key: String::new(),
        signer: String::new(),
    };
    for line in said.lines() {
        if let Some(status) = line.strip_prefix("[GNUPG:] ") {
            let (word, rest) = status.split_once(' ').unwrap_or((status, ""));
            match word {
                "GOODSIG" => {
                    checked.grade = if good { b'G' } else { b'B' };
                    let user = rest.split_once(' ').map_or("", |(_, user)| user);
                    user.trim().clone_into(&mut checked.signer);
                }
                "ERRSIG" | "NO_PUBKEY" => checked.grade = b'E',
                "EXPSIG" => checked.grade = b'X',
                "EXPKEYSIG" => checked.grade = b'Y',
                "REVKEYSIG" => checked.grade = b'R',
                "VALIDSIG" => {
                    let key = rest.split(' ').next().unwrap_or_default();
                    key.clone_into(&mut checked.key);
                }
                _ => {}
            }
        } else if let Some(rest) = line.strip_prefix("Good \"git\" signature") {
            let (before, key) = rest.rsplit_once(" key ").unwrap_or((rest, ""));
            key.clone_into(&mut checked.key);
            let signer = before.strip_prefix(" for ").and_then(|it| {
                let (signer, _) = it.rsplit_once(" with ")?;
                Some(signer)
            });
            match signer {
                Some(signer) if good => {
                    checked.grade = b'G';
                    signer.clone_into(&mut checked.signer);
                }
                // A good signature of somebody whom the file does not name.
                _ => checked.grade = b'E',
            }
        }
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_of_a_tag_is_read() {
        let fingerprint = "A".repeat(40);
        let gpg = format!(
            "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 0123456789ABCDEF Ada <ada@example.org>\n\
             [GNUPG:] VALIDSIG {fingerprint} 2026-01-01 1767225600 0 4 0 22 8 00 {fingerprint}\n\
             [GNUPG:] TRUST_UNDEFINED 0 pgp\n"
        );
        let ssh = "Good \"git\" signature for ada with x@example.org with ED25519 key SHA256:abc";
        let nobody = "Good \"git\" signature with ED25519 key SHA256:abc\nNo principal matched.";
        for (good, said, grade, signer, key) in [
            (true, &*gpg, b'G', "Ada <ada@example.org>", &*fingerprint),
            (false, &gpg, b'B', "Ada <ada@example.org>", &fingerprint),
            (true, ssh, b'G', "ada with x@example.org", "SHA256:abc"),
            (false, ssh, b'E', "", "SHA256:abc"),
            (false, nobody, b'E', "", "SHA256:abc"),
            (false, "[GNUPG:] BADSIG 01 Ada", b'B', "", ""),
            (false, "[GNUPG:] ERRSIG 01 1 8 00 1 9 -", b'E', "", ""),
            (false, "[GNUPG:] REVKEYSIG 01 Ada", b'R', "", ""),
            (false, "error: no signature found", b'B', "", ""),
            (true, "", b'B', "", ""),
        ] {
            let expected = Checked {
                grade,
                key: key.to_owned(),
                signer: signer.to_owned(),
            };
            assert_eq!(judgement(good, said), expected, "{good} {said}");
        }
    }
}
