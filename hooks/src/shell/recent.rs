//! Who may go on reading while the approval service does not answer, for the login shell.
//!
//! A session is a process of its own, so what the service said of its reader stands on disk beside the
//! spool, in a directory that only the account of the sessions writes in ([`own`]). It is asked for only when
//! the service is away, and gone by as long as [`lasting`] says; an answer by another policy than
//! before makes all earlier ones worthless. Pushes are not remembered: they fail closed. What cannot
//! be kept, or read, is not remembered.
//!
//! Answers may come in another order than they were asked for, from several sessions at once. One that
//! was asked for before the reader was last refused, or before the policy was last seen to change, is
//! not remembered; in doubt nobody is.
//!
//! A file is a slot that several readers share, so that there is a bound to them and nothing to
//! sweep: who comes later takes it.

mod own;

use std::io;
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
use own::Own;

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

/// What stands in a slot. Times are milliseconds since the epoch.
#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    /// When it was asked for; when it came, where the reader is not to be remembered.
    at: u64,
    answer: Option<AuthenticateOut>,
}

/// The policy that answers go by.
#[derive(Serialize, Deserialize)]
struct Policy {
    /// None while it is not known which of two is in force.
    name: Option<String>,
    /// When its first answer was asked for: nothing of before counts.
    since: u64,
    /// When that came.
    seen: u64,
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

    /// Remembers what the service says now to what it was asked at `asked`, unless it said something
    /// since.
    pub fn remember(&self, answer: &AuthenticateOut, asked: SystemTime, now: SystemTime) {
        self.change(|own| self.keep(own, answer, millis(asked)?, millis(now)?));
    }

    /// Forgets the reader, whom the service refuses, and what it was asked of them before now.
    pub fn forget(&self, now: SystemTime) {
        self.change(|own| self.put(own, None, millis(now)?, millis(now)?));
    }

    /// What the service said, if that was recently enough.
    pub fn recall(&self, now: SystemTime) -> Option<AuthenticateOut> {
        let own = Own::open(&self.directory).ok()?;
        let (policy, entry) = (policy(&own)?, self.entry(&own)?);
        let asked = UNIX_EPOCH.checked_add(Duration::from_millis(entry.at))?;
        // None where the clock was set back.
        let since = now.duration_since(asked).ok()?;
        let answer = entry.answer?;
        let holds = entry.key == self.key
            && entry.at >= policy.since
            && policy.name.as_ref() == Some(&answer.policy)
            && since < lasting(&answer)?;
        holds.then_some(answer)
    }

    fn change(&self, how: impl FnOnce(&Own) -> io::Result<()>) {
        let Ok(own) = Own::make(&self.directory) else {
            return;
        };
        if own.lock().and_then(|()| how(&own)).is_err() {
            // Better nobody is remembered than somebody who was refused, or by a policy that was changed.
            let _ = own.remove(POLICY);
        }
    }

    fn keep(&self, own: &Own, answer: &AuthenticateOut, asked: u64, now: u64) -> io::Result<()> {
        let policy = policy(own).filter(|it| it.seen <= now);
        let known = policy.as_ref().and_then(|it| it.name.as_ref());
        if known != Some(&answer.policy) {
            // Of two questions that were open at once nobody knows which was answered by the newer one.
            let is_late = policy.is_some_and(|it| asked <= it.seen);
            let new = Policy {
                name: (!is_late).then(|| answer.policy.clone()),
                since: asked,
                seen: now,
            };
            own.replace(POLICY, &serde_json::to_vec(&new)?)?;
            if is_late {
                return Ok(());
            }
        }
        if lasting(answer).is_some() {
            self.put(own, Some(answer.clone()), asked, now)
        } else {
            self.put(own, None, now, now)
        }
    }

    /// An older answer never takes the place of a newer one, whosever that is.
    fn put(&self, own: &Own, answer: Option<AuthenticateOut>, at: u64, now: u64) -> io::Result<()> {
        // What is of a time to come was written before the clock was set back.
        let standing = self.entry(own).filter(|it| it.at <= now);
        if answer.is_some() && standing.is_some_and(|it| it.at >= at) {
            return Ok(());
        }
        let key = self.key.clone();
        let entry = Entry { key, at, answer };
        own.replace(self.slot(), &serde_json::to_vec(&entry)?)
    }

    fn entry(&self, own: &Own) -> Option<Entry> {
        serde_json::from_slice(&own.read(self.slot()).ok()?).ok()
    }

    fn slot(&self) -> &str {
        self.key.get(..SLOT).unwrap_or_default()
    }
}

fn policy(own: &Own) -> Option<Policy> {
    serde_json::from_slice(&own.read(POLICY).ok()?).ok()
}

fn millis(at: SystemTime) -> io::Result<u64> {
    let since = at.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    u64::try_from(since.as_millis()).map_err(io::Error::other)
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
        ada.remember(&answer(View::Whole, "p", false), seconds(0), seconds(0));
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
        ada.forget(seconds(1));
        assert!(ada.recall(seconds(1)).is_none());
    }

    #[test]
    fn who_was_moved_to_a_masked_view_does_not_profit() {
        let spool = tempfile::tempdir().unwrap();
        let of = |text| Recent::new(spool.path(), REPOSITORY, "token", text);
        let (one, other) = (of("one"), of("other"));
        let masked = || View::Masked(MaskedView::default());
        one.remember(&answer(View::Whole, "p", false), seconds(0), seconds(0));
        // One answer by another policy, and nothing of before counts.
        other.remember(&answer(masked(), "q", true), seconds(1), seconds(1));
        assert!(one.recall(seconds(1)).is_none());
        let recalled = other.recall(seconds(1)).map(|answer| answer.view);
        assert_eq!(recalled, Some(masked()));
        // Where readers are told apart, the whole repository is never remembered.
        other.remember(&answer(View::Whole, "q", true), seconds(2), seconds(2));
        assert!(other.recall(seconds(2)).is_none());
        // The policy of before comes back, and what was said by it then does not.
        other.remember(&answer(View::Whole, "p", false), seconds(3), seconds(3));
        assert!(one.recall(seconds(3)).is_none());
        assert!(other.recall(seconds(3)).is_some());
    }

    #[test]
    fn what_was_asked_before_a_refusal_is_not_remembered_after_it() {
        let spool = tempfile::tempdir().unwrap();
        let ada = Recent::new(spool.path(), REPOSITORY, "token", "ada");
        let good = answer(View::Whole, "p", false);
        // Two questions are open; the refusal comes first, also where nothing was remembered yet.
        ada.forget(seconds(2));
        ada.remember(&good, seconds(1), seconds(3));
        assert!(ada.recall(seconds(3)).is_none());
        // Whom the service lets read again is remembered again.
        ada.remember(&good, seconds(4), seconds(5));
        assert!(ada.recall(seconds(5)).is_some());
        // A refusal counts whenever it comes.
        ada.forget(seconds(6));
        assert!(ada.recall(seconds(6)).is_none());
        ada.remember(&good, seconds(5), seconds(7));
        assert!(ada.recall(seconds(7)).is_none());
        // So does an answer that is not to be remembered.
        ada.remember(&good, seconds(8), seconds(8));
        ada.remember(&answer(View::Whole, "p", true), seconds(7), seconds(9));
        ada.remember(&good, seconds(8), seconds(10));
        assert!(ada.recall(seconds(10)).is_none());
        // An older answer does not make a newer one last shorter.
        ada.remember(&good, seconds(20), seconds(21));
        ada.remember(&good, seconds(12), seconds(22));
        assert!(ada.recall(seconds(79)).is_some());
        // The clock is set back, and the time to come binds nobody.
        ada.remember(&good, seconds(11), seconds(11));
        assert!(ada.recall(seconds(12)).is_some());
    }

    #[test]
    fn a_late_answer_brings_no_policy_back() {
        let spool = tempfile::tempdir().unwrap();
        let of = |text| Recent::new(spool.path(), REPOSITORY, "token", text);
        let (ada, bob, cleo) = (of("ada"), of("bob"), of("cleo"));
        let by = |policy| answer(View::Whole, policy, false);
        ada.remember(&by("p"), seconds(0), seconds(0));
        bob.remember(&by("q"), seconds(2), seconds(3));
        assert!(bob.recall(seconds(3)).is_some());
        // It may be of before q, or of after it: nobody is remembered until there is another answer.
        cleo.remember(&by("p"), seconds(1), seconds(4));
        for reader in [&ada, &bob, &cleo] {
            assert!(reader.recall(seconds(4)).is_none());
        }
        bob.remember(&by("q"), seconds(3), seconds(5));
        assert!(bob.recall(seconds(5)).is_none());
        bob.remember(&by("q"), seconds(6), seconds(6));
        assert!(bob.recall(seconds(6)).is_some());
        assert!(ada.recall(seconds(6)).is_none());
    }

    #[test]
    fn nothing_is_remembered_where_others_may_write() {
        let spool = tempfile::tempdir().unwrap();
        let ada = Recent::new(spool.path(), REPOSITORY, "token", "ada");
        ada.remember(&answer(View::Whole, "p", false), seconds(0), seconds(0));
        for name in [".", POLICY, ada.slot()] {
            let path = spool.path().join(DIRECTORY).join(name);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            let allow = |mode| {
                let mode = std::fs::Permissions::from_mode(mode);
                std::fs::set_permissions(&path, mode).unwrap();
            };
            for more in [0o020, 0o002] {
                allow(mode | more);
                assert!(ada.recall(seconds(1)).is_none(), "{name} {more:o}");
            }
            allow(mode);
            assert!(ada.recall(seconds(1)).is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_torn_or_belongs_to_another_counts_for_nothing() {
        let spool = tempfile::tempdir().unwrap();
        let ada = Recent::new(spool.path(), REPOSITORY, "token", "ada");
        ada.remember(&answer(View::Whole, "p", false), seconds(0), seconds(0));
        let slot = spool.path().join(DIRECTORY).join(ada.slot());
        let whole = std::fs::read(&slot).unwrap();
        std::fs::write(&slot, &whole[..whole.len() - 1]).unwrap();
        assert!(ada.recall(seconds(0)).is_none());
        let text = String::from_utf8(whole).unwrap();
        std::fs::write(&slot, text.replace(&ada.key, "another")).unwrap();
        assert!(ada.recall(seconds(0)).is_none());
    }
}
