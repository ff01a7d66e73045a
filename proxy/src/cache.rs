//! Who may go on reading while the approval service does not answer.
//!
//! A token that the service accepted for a fetch of a repository is remembered as long as
//! [`lasting`] says, in memory only, and asked for only when the service is unreachable. Pushes are
//! not remembered: they fail closed.
//!
//! An answer by another policy than before forgets everything: whoever was just moved to a masked
//! view must not profit from a service that is away. Those without a token are one reader like any
//! other.
//!
//! Answers may come in another order than they were asked for. One that was asked for before the token
//! was last refused, or before the policy was last seen to change, is not remembered; in doubt nobody is.

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
    /// The policy by which they were accepted; none while it is not known which of two is in force.
    policy: Option<String>,
    /// When its first answer came.
    policy_seen: Option<Instant>,
    /// When tokens were refused; what was asked before that is not remembered.
    refused: HashMap<Key, Instant>,
    /// The same for all tokens, once that were too many.
    all_refused: Option<Instant>,
}

struct Entry {
    asked: Instant,
    until: Instant,
    answer: AuthenticateOut,
}

impl Cache {
    /// Remembers that the service accepted `token` for a fetch of `repository`, as it was asked at
    /// `asked`, unless it said something since.
    pub fn remember(
        &mut self,
        token: Option<&SecretString>,
        repository: RepositoryId,
        answer: &AuthenticateOut,
        asked: Instant,
        now: Instant,
    ) {
        let is_before = |then: Option<Instant>| then.is_some_and(|then| asked <= then);
        if self.policy.as_ref() != Some(&answer.policy) {
            // Of two questions that were open at once nobody knows which was answered by the newer one.
            let is_late = is_before(self.policy_seen);
            self.entries.clear();
            self.policy = (!is_late).then(|| answer.policy.clone());
            self.policy_seen = Some(now);
            if is_late {
                return;
            }
        }
        let Some(kept) = lasting(answer) else {
            self.forget(token, repository, now);
            return;
        };
        let key = key(token, repository);
        let standing = self.entries.get(&key).map(|entry| entry.asked);
        let refused = self.refused.get(&key).copied().max(self.all_refused);
        if is_before(standing) || is_before(refused) {
            return;
        }
        if self.entries.len() >= CAPACITY {
            self.entries.retain(|_, entry| entry.until > now);
        }
        if self.entries.len() < CAPACITY {
            let entry = Entry {
                asked,
                until: asked + kept,
                answer: answer.clone(),
            };
            self.refused.remove(&key);
            self.entries.insert(key, entry);
        }
    }

    /// Forgets a token that the service refuses, and what it was asked of it before now.
    pub fn forget(&mut self, token: Option<&SecretString>, repository: RepositoryId, now: Instant) {
        let key = key(token, repository);
        self.entries.remove(&key);
        // Whoever sends many tokens that are no good keeps answers that are on their way from being
        // remembered, and nobody else.
        if self.refused.len() >= CAPACITY {
            self.refused.clear();
            self.all_refused = Some(now);
        }
        self.refused.insert(key, now);
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
        cache.remember(Some(&one), REPOSITORY, &answer, now, now);
        for (after, expected) in [(59, true), (60, false)] {
            let later = now + Duration::from_secs(after);
            let got = cache.recall(Some(&one), REPOSITORY, later).is_some();
            assert_eq!(got, expected, "after {after}");
            assert!(cache.recall(Some(&other), REPOSITORY, later).is_none());
            assert!(cache.recall(None, REPOSITORY, later).is_none());
        }
        cache.forget(Some(&one), REPOSITORY, now);
        assert!(cache.recall(Some(&one), REPOSITORY, now).is_none());
    }

    #[test]
    fn who_was_moved_to_a_masked_view_does_not_profit() {
        let now = Instant::now();
        let masked = View::Masked(MaskedView::default());
        let (one, other) = (token("one"), token("other"));
        let mut cache = Cache::default();
        let at = |second| now + Duration::from_secs(second);
        let recall = |cache: &Cache, token: &SecretString| {
            let recalled = cache.recall(Some(token), REPOSITORY, at(3));
            recalled.map(|answer| answer.view)
        };
        let open = answer(View::Whole, "p", false);
        cache.remember(Some(&one), REPOSITORY, &open, now, now);
        cache.remember(Some(&other), REPOSITORY, &open, now, now);
        // One answer by another policy, and nothing of before counts.
        let moved = answer(masked.clone(), "q", true);
        cache.remember(Some(&other), REPOSITORY, &moved, at(1), at(1));
        assert_eq!(recall(&cache, &one), None);
        assert_eq!(recall(&cache, &other), Some(masked));
        // Where readers are told apart, the whole repository is never remembered.
        let whole = answer(View::Whole, "q", true);
        cache.remember(Some(&other), REPOSITORY, &whole, at(2), at(2));
        assert_eq!(recall(&cache, &other), None);
    }

    #[test]
    fn an_older_answer_never_replaces_a_newer_one() {
        let now = Instant::now();
        let at = |second| now + Duration::from_secs(second);
        let good = |policy| answer(View::Whole, policy, false);
        let (one, other) = (token("one"), token("other"));
        let mut cache = Cache::default();
        let is_known = |cache: &Cache, token: &SecretString, second| {
            cache.recall(Some(token), REPOSITORY, at(second)).is_some()
        };
        // Two questions are open, and the refusal comes first.
        cache.forget(Some(&one), REPOSITORY, at(2));
        cache.remember(Some(&one), REPOSITORY, &good("p"), at(1), at(3));
        assert!(!is_known(&cache, &one, 3));
        cache.remember(Some(&one), REPOSITORY, &good("p"), at(4), at(5));
        assert!(is_known(&cache, &one, 5));
        // It lasts from when it was asked for, and an older one changes nothing of it.
        cache.remember(Some(&one), REPOSITORY, &good("p"), at(3), at(6));
        assert!(is_known(&cache, &one, 63) && !is_known(&cache, &one, 64));
        // A late answer by another policy makes all worthless, and brings none back.
        cache.remember(Some(&one), REPOSITORY, &good("q"), at(7), at(8));
        cache.remember(Some(&other), REPOSITORY, &good("p"), at(6), at(9));
        assert!(!is_known(&cache, &one, 9) && !is_known(&cache, &other, 9));
        cache.remember(Some(&one), REPOSITORY, &good("q"), at(10), at(10));
        assert!(is_known(&cache, &one, 10));
        // However many are refused.
        for number in 0..=CAPACITY {
            let refused = token(&number.to_string());
            cache.forget(Some(&refused), REPOSITORY, at(12));
        }
        assert!(is_known(&cache, &one, 12));
        assert!(cache.refused.len() <= CAPACITY);
        cache.remember(Some(&other), REPOSITORY, &good("q"), at(11), at(13));
        assert!(!is_known(&cache, &other, 13));
    }
}
