//! Who may go on reading while the approval service does not answer.
//!
//! A token that the service accepted for a fetch of a repository is remembered for at most
//! [`KEPT`], never past its own expiry, in memory only, and asked for only when the service is
//! unreachable. Pushes are not remembered: they fail closed.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refwarden_model::RepositoryId;
use refwarden_wire::hook::AuthenticateOut;
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
}

struct Entry {
    until: Instant,
    answer: AuthenticateOut,
}

impl Cache {
    /// Remembers that the service accepted `token` for a fetch of `repository`.
    pub fn remember(
        &mut self,
        token: &SecretString,
        repository: RepositoryId,
        answer: &AuthenticateOut,
        now: (Instant, SystemTime),
    ) {
        let (instant, clock) = now;
        let Some(kept) = lifetime_left(token, clock).map(|left| left.min(KEPT)) else {
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
    pub fn forget(&mut self, token: &SecretString, repository: RepositoryId) {
        self.entries.remove(&key(token, repository));
    }

    /// What the service said of `token`, if that was recently enough.
    pub fn recall(
        &self,
        token: &SecretString,
        repository: RepositoryId,
        now: Instant,
    ) -> Option<AuthenticateOut> {
        let entry = self.entries.get(&key(token, repository))?;
        (entry.until > now).then(|| entry.answer.clone())
    }
}

fn key(token: &SecretString, repository: RepositoryId) -> Key {
    (Sha256::digest(token.expose_secret()).into(), repository)
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
    use refwarden_wire::hook::View;

    fn token(expiry: u64) -> SecretString {
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{expiry}}}"));
        SecretString::from(format!("h.{claims}.s"))
    }

    fn check(expiry: u64, after: u64, expected: bool) {
        let (instant, clock) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1000));
        let repository = RepositoryId(uuid::Uuid::nil());
        let answer = AuthenticateOut {
            actor: None,
            view: View::Whole,
        };
        let mut cache = Cache::default();
        cache.remember(&token(expiry), repository, &answer, (instant, clock));
        let later = instant + Duration::from_secs(after);
        let got = cache.recall(&token(expiry), repository, later).is_some();
        assert_eq!(got, expected, "expiry {expiry}, after {after}");
        assert!(
            cache
                .recall(&token(expiry + 1), repository, later)
                .is_none()
        );
        cache.forget(&token(expiry), repository);
        assert!(cache.recall(&token(expiry), repository, instant).is_none());
    }

    #[test]
    fn a_token_is_kept_a_minute_and_never_past_its_expiry() {
        check(5000, 59, true);
        check(5000, 60, false);
        check(1010, 9, true);
        check(1010, 10, false);
        check(999, 0, false);
    }
}
