//! How long what the service said of a reader may be gone by while it does not answer.
//!
//! Proxy and login shell remember answers, each in its own way; what may be remembered is said
//! here for both, and each keeps an older answer from the place of a newer one. It keeps nothing and
//! asks nobody. Nobody's right to push is ever remembered.

use std::time::Duration;

use refwarden_wire::hook::{AuthenticateOut, View};

/// The longest time that an answer may be used without asking again.
pub const KEPT: Duration = Duration::from_mins(1);

/// How long an answer to a fetch may be used, from when it was asked for: never past the end of its
/// token.
///
/// None where policy gives readers different views and this one reads the repository itself:
/// whoever was just moved to a masked view must not profit from a service that is away.
pub fn lasting(answer: &AuthenticateOut) -> Option<Duration> {
    if answer.distinguishes && answer.view == View::Whole {
        return None;
    }
    match (&answer.actor, answer.token_seconds) {
        (None, _) => Some(KEPT),
        (Some(_), left) => Some(Duration::from_secs(left?).min(KEPT)),
    }
}

#[cfg(test)]
mod tests {
    use refwarden_wire::hook::MaskedView;
    use serde_json::json;

    use super::*;

    fn check(known: bool, left: Option<u64>, view: View, distinguishes: bool) -> Option<u64> {
        let chain = json!({"pusher": {"issuer": "i", "subject": "ada", "kind": "human"}});
        let answer = AuthenticateOut {
            actor: known.then(|| serde_json::from_value(chain).unwrap()),
            view,
            policy: "p".to_owned(),
            distinguishes,
            keep: false,
            token_seconds: left,
            view_before: None,
        };
        lasting(&answer).map(|time| time.as_secs())
    }

    #[test]
    fn an_answer_lasts_a_minute_and_never_longer_than_its_token() {
        let masked = || View::Masked(MaskedView::default());
        assert_eq!(check(true, Some(600), View::Whole, false), Some(60));
        assert_eq!(check(true, Some(9), View::Whole, false), Some(9));
        // A service of before did not say how long.
        assert_eq!(check(true, None, View::Whole, false), None);
        assert_eq!(check(false, None, View::Whole, false), Some(60));
        assert_eq!(check(true, Some(600), View::Whole, true), None);
        assert_eq!(check(false, None, View::Whole, true), None);
        assert_eq!(check(true, Some(600), masked(), true), Some(60));
    }
}
