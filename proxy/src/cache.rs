//! Who may go on reading while the approval service does not answer.
//!
//! A token that the service accepted for a fetch of a repository is remembered as long as
//! [`lasting`] says, in memory only, and asked for only when the service is unreachable. Pushes are
//! not remembered: they fail closed.
//!
//! An answer by another policy than before forgets everything: whoever was just moved to a masked
//! view must not profit from a service that is away. Those without a token are one reader like any
//! other.

use std::collections::HashMap;
use std::time::Instant;

use refwarden_model::RepositoryId;
use refwarden_view::lasting::lasting;
use refwarden_wire::hook::AuthenticateOut;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// The most entries that are kept; beyond it nothing new is remembered until some have expired.
const CAPACITY: usize = 10_000;

type Key = ([u8; 32], RepositoryId);

/// Accepted fetches.
#[derive(Default)]
pub struct Cache {
    entries: HashMap<Key, Entry>,
    /// The policy by which they were accepted.
    policy: String,
}

struct Entry {
    until: Instant,
    answer: AuthenticateOut,
}

impl Cache {
    /// Remembers that the service accepted `token` for a fetch of `repository`.
    pub fn remember(
        &mut self,
        token: Option<&SecretString>,
        repository: RepositoryId,
        answer: &AuthenticateOut,
        now: Instant,
    ) {
        if self.policy != answer.policy {
            self.entries.clear();
            self.policy.clone_from(&answer.policy);
        }
        let Some(kept) = lasting(answer) else {
            self.forget(token, repository);
            return;
        };
        if self.entries.len() >= CAPACITY {
            self.entries.retain(|_, entry| entry.until > now);
        }
        if self.entries.len() < CAPACITY {
            let entry = Entry {
                until: now + kept,
                answer: answer.clone(),
            };
            self.entries.insert(key(token, repository), entry);
        }
    }

    /// Forgets a token that the service refused.
    pub fn forget(&mut self, token: Option<&SecretString>, repository: RepositoryId) {
        self.entries.remove(&key(token, repository));
    }

    /// What the service said of `token`, if that was recently enough.
    pub fn recall(
        &self,
        token: Option<&SecretString>,
        repository: RepositoryId,
        now: Instant,
    ) -> Option<AuthenticateOut> {
        let entry = self.entries.get(&key(token, repository))?;
        (entry.until > now).then(|| entry.answer.clone())
    }
}

/// No token is empty, so an empty one stands for none.
fn key(token: Option<&SecretString>, repository: RepositoryId) -> Key {
    let token = token.map_or("", |token| token.expose_secret());
    (Sha256::digest(token).into(), repository)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use refwarden_wire::hook::{MaskedView, View};

    const REPOSITORY: RepositoryId = RepositoryId(uuid::Uuid::nil());

    fn token(text: &str) -> SecretString {
        SecretString::from(text)
    }

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

    #[test]
    fn an_answer_is_recalled_for_its_token_alone_and_for_a_minute() {
        let now = Instant::now();
        let answer = answer(View::Whole, "p", false);
        let (one, other) = (token("one"), token("other"));
        let mut cache = Cache::default();
        cache.remember(Some(&one), REPOSITORY, &answer, now);
        for (after, expected) in [(59, true), (60, false)] {
            let later = now + Duration::from_secs(after);
            let got = cache.recall(Some(&one), REPOSITORY, later).is_some();
            assert_eq!(got, expected, "after {after}");
            assert!(cache.recall(Some(&other), REPOSITORY, later).is_none());
            assert!(cache.recall(None, REPOSITORY, later).is_none());
        }
        cache.forget(Some(&one), REPOSITORY);
        assert!(cache.recall(Some(&one), REPOSITORY, now).is_none());
    }

    #[test]
    fn who_was_moved_to_a_masked_view_does_not_profit() {
        let now = Instant::now();
        let masked = View::Masked(MaskedView::default());
        let (one, other) = (token("one"), token("other"));
        let mut cache = Cache::default();
        let recall = |cache: &Cache, token: &SecretString| {
            let recalled = cache.recall(Some(token), REPOSITORY, now);
            recalled.map(|answer| answer.view)
        };
        let open = answer(View::Whole, "p", false);
        cache.remember(Some(&one), REPOSITORY, &open, now);
        cache.remember(Some(&other), REPOSITORY, &open, now);
        // One answer by another policy, and nothing of before counts.
        let moved = answer(masked.clone(), "q", true);
        cache.remember(Some(&other), REPOSITORY, &moved, now);
        assert_eq!(recall(&cache, &one), None);
        assert_eq!(recall(&cache, &other), Some(masked));
        // Where readers are told apart, the whole repository is never remembered.
        let whole = answer(View::Whole, "q", true);
        cache.remember(Some(&other), REPOSITORY, &whole, now);
        assert_eq!(recall(&cache, &other), None);
    }
}
