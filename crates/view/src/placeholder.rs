//! What stands where a secret stood: `REFWARDEN-MASKED-<rule id>-<16 hexadecimal digits>`.
//!
//! Letters, digits and hyphens only, so that JSON, YAML, TOML, `.env` files and string literals
//! parse as before. The digits are the beginning of an HMAC-SHA-256 of the secret under the
//! repository's view key: equal secrets look equal, a rotated one differs, and without the key
//! nothing can be guessed from them.

use std::ops::Range;

use refwarden_scan::{Fingerprint, Ruleset};

use crate::mask::Opaque;

/// What every placeholder begins with.
pub const PREFIX: &str = "REFWARDEN-MASKED-";

/// Hexadecimal digits at the end of a placeholder.
pub const DIGITS: usize = 16;

/// The placeholder for a secret that a rule found.
pub fn placeholder(rule: &str, fingerprint: Fingerprint) -> String {
    let mut digits = fingerprint.to_string();
    digits.truncate(DIGITS);
    format!("{PREFIX}{rule}-{digits}")
}

/// Where the first thing stands that has the form of a placeholder, of whatever rule.
///
/// By form only: to ask whether it stands for a secret that exists would let one be guessed.
pub fn form(bytes: &[u8]) -> Option<Range<usize>> {
    for start in memchr::memmem::find_iter(bytes, PREFIX) {
        let from = start + PREFIX.len();
        let rest = bytes.get(from..).unwrap_or_default();
        let run = rest
            .iter()
            .take(FORM_MAX)
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-')
            .count();
        let run = rest.get(..run).unwrap_or_default();
        for hyphen in memchr::memchr_iter(b'-', run).filter(|at| *at > 0) {
            let digits = run.get(hyphen + 1..hyphen + 1 + DIGITS);
            if digits.is_some_and(|digits| digits.iter().copied().all(is_digit)) {
                return Some(start..from + hyphen + 1 + DIGITS);
            }
        }
    }
    None
}

/// Longest rule id and digits that are looked at behind [`PREFIX`], in bytes.
pub const FORM_MAX: usize = 256;

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Recognises placeholders of a ruleset.
///
/// Only ids of rules that exist count, and those of [`Opaque`]: otherwise a secret of lower-case letters could pass for
/// the middle of a placeholder.
#[derive(Debug)]
pub(crate) struct Known {
    /// Longest first, so that an id that continues another one is tried before it.
    ids: Vec<String>,
}

impl Known {
    pub(crate) fn new(ruleset: &Ruleset) -> Self {
        let rules = ruleset.rules().map(|rule| rule.id().to_owned());
        let opaque = Opaque::ALL.iter().map(|why| why.id().to_owned());
        let mut ids: Vec<String> = rules.chain(opaque).collect();
        ids.sort_by_key(|id| std::cmp::Reverse(id.len()));
        Self { ids }
    }

    /// Where placeholders stand in `bytes`, ascending and apart.
    pub(crate) fn spans(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for start in memchr::memmem::find_iter(bytes, PREFIX) {
            if spans.last().is_some_and(|last| start < last.end) {
                continue;
            }
            let rest = bytes.get(start..).unwrap_or_default();
            if let Some(length) = self.length(rest) {
                spans.push(start..start + length);
            }
        }
        spans
    }

    /// Length of the placeholder that `bytes` begins with.
    fn length(&self, bytes: &[u8]) -> Option<usize> {
        let rest = bytes.strip_prefix(PREFIX.as_bytes())?;
        let id = self.ids.iter().find(|id| {
            let digits = rest
                .strip_prefix(id.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"-"))
                .and_then(|rest| rest.get(..DIGITS));
            digits.is_some_and(|digits| digits.iter().copied().all(is_digit))
        })?;
        Some(PREFIX.len() + id.len() + 1 + DIGITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_one_whatever_its_rule() {
        let good = format!("{PREFIX}no-such-rule-0123456789abcdef");
        let found = PREFIX.len() + 30;
        assert_eq!(form(format!("z{good}z{good}").as_bytes()), Some(1..found));
        assert_eq!(
            form(format!("{PREFIX}{good}").as_bytes()).map(|it| it.end),
            Some(17 + found - 1)
        );
        for bad in [
            "<rule>-<digits>",
            "-0123456789abcdef",
            "x-0123456789abcde",
            "x-0123456789ABCDEF",
        ] {
            assert_eq!(form(format!("{PREFIX}{bad}").as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn only_placeholders_of_rules_that_exist_are_known() {
        let known = Known::new(&Ruleset::builtin().unwrap());
        let good = format!("{PREFIX}github-pat-0123456789abcdef");
        let glued = format!("x{good}{good}y");
        let (one, two) = (1..1 + good.len(), 1 + good.len()..1 + 2 * good.len());
        assert_eq!(known.spans(glued.as_bytes()), [one, two]);
        for bad in [
            format!("{PREFIX}no-such-rule-0123456789abcdef"),
            format!("{PREFIX}github-pat-0123456789abcdeF"),
            format!("{PREFIX}github-pat-0123456789abcde"),
            format!("{PREFIX}github-pat"),
        ] {
            assert!(known.spans(bad.as_bytes()).is_empty(), "{bad}");
        }
    }
}
