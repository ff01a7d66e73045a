//! Who may go on reading while the approval service does not answer.
//!
//! A token that the service accepted for a fetch of a repository is remembered for at most
//! [`KEPT`], never past its own expiry, in memory only, and asked for only when the service is
//! unreachable. Pushes are not remembered: they fail closed.
//!
//! Where policy gives readers different views, nobody's right to the whole repository is
//! remembered, and an answer by another policy than before forgets everything: whoever was just
//! moved to a masked view must not profit from a service that is away. Those without a token are
//! one reader like any other.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refwarden_model::RepositoryId;
use refwarden_wire::hook::{AuthenticateOut, View};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// How long an accepted token may be used without asking.
pub const KEPT: Duration = Duration::from_mins(1);

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
        now: (Instant, SystemTime),
    ) {
        let (instant, clock) = now;
        if self.policy != answer.policy {
            self.entries.clear();
            self.policy.clone_from(&answer.policy);
        }
        if answer.distinguishes && answer.view == View::Whole {
            self.forget(token, repository);
            return;
        }
        let left = token.map_or(Some(KEPT), |token| lifetime_left(token, clock));
        let Some(kept) = left.map(|left| left.min(KEPT)) else {
            return;
        };
        if self.entries.len() >= CAPACITY {
            self.entries.retain(|_, entry| entry.until > instant);
        }
        if self.entries.len() < CAPACITY {
            let entry = Entry {
                until: instant + kept,
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

/// Time until `exp` of a JWT (RFC 7519, section 4.1.4). The signature is not looked at: the
/// service accepted this very token. None without a readable expiry.
fn lifetime_left(token: &SecretString, clock: SystemTime) -> Option<Duration> {
    let payload = token.expose_secret().split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let expiry = UNIX_EPOCH.checked_add(Duration::from_secs(claims.get("exp")?.as_u64()?))?;
    expiry.duration_since(clock).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use refwarden_wire::hook::MaskedView;

    const REPOSITORY: RepositoryId = RepositoryId(uuid::Uuid::nil());

    fn token(expiry: u64) -> SecretString {
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{expiry}}}"));
        SecretString::from(format!("h.{claims}.s"))
    }

    fn answer(view: View, policy: &str, distinguishes: bool) -> AuthenticateOut {
        AuthenticateOut {
            actor: None,
            view,
            policy: policy.to_owned(),
            distinguishes,
            keep: false,
        }
    }

    fn check(expiry: u64, after: u64, expected: bool) {
        let (instant, clock) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1000));
        let answer = answer(View::Whole, "p", false);
        let (one, other) = (token(expiry), token(expiry + 1));
        let mut cache = Cache::default();
        cache.remember(Some(&one), REPOSITORY, &answer, (instant, clock));
        let later = instant + Duration::from_secs(after);
        let got = cache.recall(Some(&one), REPOSITORY, later).is_some();
        assert_eq!(got, expected, "expiry {expiry}, after {after}");
        assert!(cache.recall(Some(&other), REPOSITORY, later).is_none());
        assert!(cache.recall(None, REPOSITORY, later).is_none());
        cache.forget(Some(&one), REPOSITORY);
        assert!(cache.recall(Some(&one), REPOSITORY, instant).is_none());
    }

    #[test]
    fn a_token_is_kept_a_minute_and_never_past_its_expiry() {
        check(5000, 59, true);
        check(5000, 60, false);
        check(1010, 9, true);
        check(1010, 10, false);
        check(999, 0, false);
    }

    #[test]
    fn who_was_moved_to_a_masked_view_does_not_profit() {
        let now = (Instant::now(), UNIX_EPOCH);
        let masked = View::Masked(MaskedView::default());
        let (one, other) = (token(5000), token(6000));
        let mut cache = Cache::default();
        let recall = |cache: &Cache, token: &SecretString| {
            let recalled = cache.recall(Some(token), REPOSITORY, now.0);
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
