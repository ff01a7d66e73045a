//! Compiled regular expressions with stated limits.
//!
//! Compilation of the whole default set costs many milliseconds, so each rule compiles when its
//! keyword first turns up. Rule files from outside are checked when loaded ([`check`]); the
//! default rules by a test.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// No match is longer than this, in bytes, whatever its rule says. A rule may ask for less.
pub const MATCH_MAX: usize = 64 * 1024;

/// Longest match of a rule whose pattern has no bound and which states none, in bytes.
pub const MATCH_DEFAULT_MAX: usize = 16 * 1024;

/// Limit of one compiled pattern, in bytes.
pub(crate) const SIZE_LIMIT: usize = 1024 * 1024;

/// A rule's pattern and how far a match of it can reach.
#[derive(Debug)]
pub(crate) struct Matcher {
    /// `None` if the pattern does not compile. That cannot happen to rules that were checked;
    /// if it did, each keyword counts as a match, so a fault never lets a secret pass.
    pub(crate) regex: Option<Regex>,
    /// Longest match in bytes.
    pub(crate) reach: usize,
    /// Whether the pattern itself cannot match more than `reach`.
    pub(crate) bounded: bool,
}

impl Matcher {
    pub(crate) fn compile(pattern: &str, max_length: Option<usize>) -> Self {
        let limit = max_length.unwrap_or(MATCH_DEFAULT_MAX).clamp(1, MATCH_MAX);
        let longest = longest_match(pattern).filter(|longest| *longest <= limit);
        Self {
            regex: builder(pattern).build().ok(),
            reach: longest.unwrap_or(limit).max(1),
            bounded: longest.is_some(),
        }
    }
}

/// Condition on a path. One that does not compile applies to every path: more is scanned.
#[derive(Debug)]
pub(crate) struct PathMatcher(Option<Regex>);

impl PathMatcher {
    pub(crate) fn compile(pattern: &str) -> Self {
        Self(builder(pattern).build().ok())
    }

    pub(crate) fn is_match(&self, path: &[u8]) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(path))
    }
}

/// The path conditions of many rules, of which one pass over a path says whether any holds.
#[derive(Debug)]
pub(crate) struct PathSet(RegexSet);

impl PathSet {
    /// `None` if they are too large together, or one does not compile.
    pub(crate) fn compile<'p>(patterns: impl Iterator<Item = &'p str>) -> Option<Self> {
        RegexSetBuilder::new(patterns)
            .unicode(false)
            .size_limit(4 * SIZE_LIMIT)
            .build()
            .ok()
            .map(Self)
    }

    pub(crate) fn is_match(&self, path: &[u8]) -> bool {
        self.0.is_match(path)
    }
}

/// A rule's allow-list. One that does not compile allows nothing.
#[derive(Debug)]
pub(crate) struct SecretPatterns(Option<RegexSet>);

impl SecretPatterns {
    pub(crate) fn compile(patterns: &[String]) -> Self {
        let set = RegexSetBuilder::new(patterns)
            .unicode(false)
            .size_limit(SIZE_LIMIT)
            .build();
        Self(set.ok())
    }

    pub(crate) fn is_match(&self, secret: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|set| set.is_match(secret))
    }
}

/// Compiles a pattern only to see whether it does; yields the number of its groups.
pub(crate) fn check(pattern: &str) -> Result<usize, regex::Error> {
    builder(pattern)
        .build()
        .map(|regex| regex.captures_len() - 1)
}

fn builder(pattern: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(pattern);
    builder
        .unicode(false)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(2 * SIZE_LIMIT);
    builder
}

/// The longest match in bytes, if the pattern has one.
fn longest_match(pattern: &str) -> Option<usize> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build();
    parser.parse(pattern).ok()?.properties().maximum_len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_reach(pattern: &str, max_length: Option<usize>, reach: usize, bounded: bool) {
        let matcher = Matcher::compile(pattern, max_length);
        assert_eq!(
            (matcher.reach, matcher.bounded),
            (reach, bounded),
            "{pattern}"
        );
    }

    #[test]
    fn reach_is_the_longest_match_or_the_limit() {
        check_reach(r"ab[0-9]{2,30}", None, 32, true);
        check_reach(r"ab[0-9]+", None, MATCH_DEFAULT_MAX, false);
        check_reach(r"ab[0-9]+", Some(100), 100, false);
        check_reach(r"ab[0-9]+", Some(1 << 30), MATCH_MAX, false);
        check_reach(r"ab[0-9]{50}", Some(20), 20, false);
    }
}
