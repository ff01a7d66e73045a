//! Who may go on reading while the approval service does not answer, for the login shell.
//!
//! A session is a process of its own, so what the service said of its reader stands on disk beside the
//! spool, in a directory that only the account of the sessions looks into. It is asked for only when
//! the service is away, and gone by as long as [`lasting`] says; an answer by another policy than
//! before makes all earlier ones worthless. Pushes are not remembered: they fail closed. What cannot
//! be kept, or read, is not remembered.
//!
//! A file is a slot that several readers share, so that there is a bound to them and nothing to
//! sweep: who comes later takes it.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use refwarden_model::RepositoryId;
use refwarden_view::lasting::lasting;
use refwarden_wire::hook::AuthenticateOut;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::session::Session;
use crate::host::Host;

/// The directory, beside the spools of the host's repositories.
const DIRECTORY: &str = "readers";

/// The file with the policy of the last answer, which is no slot's name.
const POLICY: &str = "policy";

/// Hexadecimal digits of a slot's name: 4096 slots.
const SLOT: usize = 3;

/// What was said of one reader of one repository.
pub struct Recent {
    directory: PathBuf,
    key: String,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    /// When it was said, milliseconds since the epoch.
    at: u64,
    answer: AuthenticateOut,
}

impl Recent {
    /// Of the session and the host's repository.
    pub fn of(host: &Host, session: &Session) -> Self {
        // Anybody may know a certificate and send it as a token; sshd has seen its key used.
        let (kind, text) = match (&session.token, &session.certificate) {
            (Some(token), _) => ("token", token.expose_secret()),
            (None, Some(certificate)) => ("certificate", certificate.as_str()),
            (None, None) => ("nobody", ""),
        };
        Self::new(&host.config.spool_dir, host.id, kind, text)
    }

    fn new(spool: &Path, repository: RepositoryId, kind: &str, text: &str) -> Self {
        let mut key = Sha256::new();
        key.update(repository.0.as_bytes());
        key.update(kind);
        key.update([0]);
        key.update(text);
        Self {
            directory: spool.join(DIRECTORY),
            key: hex::encode(key.finalize()),
        }
    }

    /// Remembers what the service says now.
    pub fn remember(&self, answer: &AuthenticateOut, now: SystemTime) {
        if self.keep(answer, now).is_err() {
            // Better nobody is remembered than somebody by a policy that was changed.
            let _ = std::fs::remove_file(self.directory.join(POLICY));
        }
    }

    /// Forgets the reader, whom the service refuses.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.slot());
    }

    /// What the service said, if that was recently enough.
    pub fn recall(&self, now: SystemTime) -> Option<AuthenticateOut> {
        let policy = std::fs::read_to_string(self.directory.join(POLICY)).ok()?;
        let entry: Entry = serde_json::from_slice(&std::fs::read(self.slot()).ok()?).ok()?;
        let said = UNIX_EPOCH.checked_add(Duration::from_millis(entry.at))?;
        // None where the clock was set back.
        let since = now.duration_since(said).ok()?;
        let holds = entry.key == self.key
            && entry.answer.policy == policy
            && since < lasting(&entry.answer)?;
        holds.then_some(entry.answer)
    }

    fn keep(&self, answer: &AuthenticateOut, now: SystemTime) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let policy = self.directory.join(POLICY);
        if std::fs::read(&policy).ok().as_deref() != Some(answer.policy.as_bytes()) {
            self.replace(&policy, answer.policy.as_bytes())?;
        }
        if lasting(answer).is_none() {
            self.forget();
            return Ok(());
        }
        let at = now.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let entry = Entry {
            key: self.key.clone(),
            at: u64::try_from(at.as_millis()).map_err(io::Error::other)?,
            answer: answer.clone(),
        };
        self.replace(&self.slot(), &serde_json::to_vec(&entry)?)
    }

    /// Whoever reads sees the old or the new.
    fn replace(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(&self.directory)?;
        new.write_all(bytes)?;
        new.persist(file)?;
        Ok(())
    }

    fn slot(&self) -> PathBuf {
        self.directory
            .join(self.key.get(..SLOT).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use refwarden_wire::hook::{MaskedView, View};

    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId(uuid::Uuid::nil());

    fn answer(view: View, policy: &str, distinguishes: bool) -> AuthenticateOut {
        AuthenticateOut {
            actor: None,
            view,
            policy: policy.to_owned(),
            distinguishes,
            keep: false,
            token_seconds: None,
            view_before: None,
        }
    }

    fn seconds(after: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1000 + after)
    }

    #[test]
    fn an_answer_is_recalled_for_its_reader_alone_and_for_a_minute() {
        let spool = tempfile::tempdir().unwrap();
        let of = |repository, kind, text| Recent::new(spool.path(), repository, kind, text);
        let ada = of(REPOSITORY, "certificate", "c");
        assert!(ada.recall(seconds(0)).is_none());
        ada.remember(&answer(View::Whole, "p", false), seconds(0));
        for (at, expected) in [(0, true), (59, true), (60, false)] {
            assert_eq!(ada.recall(seconds(at)).is_some(), expected, "{at}");
        }
        // The clock was set back.
        assert!(ada.recall(UNIX_EPOCH).is_none());
        let elsewhere = RepositoryId(uuid::Uuid::max());
        for other in [
            of(REPOSITORY, "token", "c"),
            of(REPOSITORY, "certificate", "d"),
            of(elsewhere, "certificate", "c"),
            of(REPOSITORY, "nobody", ""),
        ] {
            assert!(other.recall(seconds(0)).is_none());
        }
        let directory = spool.path().join(DIRECTORY);
        let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        ada.forget();
        assert!(ada.recall(seconds(0)).is_none());
    }

    #[test]
    fn who_was_moved_to_a_masked_view_does_not_profit() {
        let spool = tempfile::tempdir().unwrap();
        let of = |text| Recent::new(spool.path(), REPOSITORY, "token", text);
        let (one, other) = (of("one"), of("other"));
        let masked = || View::Masked(MaskedView::default());
        one.remember(&answer(View::Whole, "p", false), seconds(0));
        // One answer by another policy, and nothing of before counts.
        other.remember(&answer(masked(), "q", true), seconds(0));
        assert!(one.recall(seconds(0)).is_none());
        let recalled = other.recall(seconds(0)).map(|answer| answer.view);
        assert_eq!(recalled, Some(masked()));
        // Where readers are told apart, the whole repository is never remembered.
        other.remember(&answer(View::Whole, "q", true), seconds(0));
        assert!(other.recall(seconds(0)).is_none());
    }

    #[test]
    fn what_is_torn_or_belongs_to_another_counts_for_nothing() {
        let spool = tempfile::tempdir().unwrap();
        let ada = Recent::new(spool.path(), REPOSITORY, "token", "ada");
        ada.remember(&answer(View::Whole, "p", false), seconds(0));
        let whole = std::fs::read(ada.slot()).unwrap();
        std::fs::write(ada.slot(), &whole[..whole.len() - 1]).unwrap();
        assert!(ada.recall(seconds(0)).is_none());
        let text = String::from_utf8(whole).unwrap();
        std::fs::write(ada.slot(), text.replace(&ada.key, "another")).unwrap();
        assert!(ada.recall(seconds(0)).is_none());
    }
}
