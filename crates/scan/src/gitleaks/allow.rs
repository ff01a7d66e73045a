//! Allow-lists: what acquits a whole file, or one match.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;

use super::file;
use super::pattern::{Pattern, Test};
use crate::error::RuleError;

/// What the patterns of an allow-list are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Secret,
    Match,
    Line,
}

/// One allow-list. At least one of its parts is there.
#[derive(Debug)]
pub(super) struct Allowlist {
    /// All parts that are there must hold, not just one.
    all: bool,
    commits: BTreeSet<String>,
    paths: Option<Test>,
    target: Target,
    regexes: Option<Test>,
    stopwords: BTreeSet<String>,
    stopword_automaton: OnceLock<Option<AhoCorasick>>,
}

/// Where the bytes come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'o> {
    pub(super) path: Option<&'o [u8]>,
    /// Lower case.
    pub(super) commit: Option<&'o str>,
}

/// What was matched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matched<'m> {
    pub(super) secret: &'m [u8],
    pub(super) text: &'m [u8],
    pub(super) line: &'m [u8],
}

impl Allowlist {
    /// `rule` is empty for an allow-list of the whole file.
    pub(super) fn new(raw: &file::Allowlist, rule: &str) -> Result<Self, RuleError> {
        let place = &raw.place;
        let all = match raw.condition.to_ascii_uppercase().as_str() {
            "" | "OR" | "||" => false,
            "AND" | "&&" => true,
            other => {
                return Err(place.fault(format!("condition: expected AND or OR, found {other:?}")));
            }
        };
        let target = match raw.regex_target.as_str() {
            "" | "secret" => Target::Secret,
            "match" => Target::Match,
            "line" => Target::Line,
            other => {
                return Err(place.fault(format!(
                    "regexTarget: expected secret, match or line, found {other:?}"
                )));
            }
        };
        let one = Self {
            all,
            commits: raw
                .commits
                .iter()
                .map(|commit| commit.trim().to_lowercase())
                .collect(),
            paths: Pattern::joined(&raw.paths, rule, "allowlist paths")?.map(Test::new),
            target,
            regexes: Pattern::joined(&raw.regexes, rule, "allowlist regexes")?.map(Test::new),
            stopwords: raw
                .stopwords
                .iter()
                .map(|word| word.to_lowercase())
                .collect(),
            stopword_automaton: OnceLock::new(),
        };
        if one.commits.is_empty()
            && one.paths.is_none()
            && one.regexes.is_none()
            && one.stopwords.is_empty()
        {
            return Err(place.fault(
                "an empty allow-list; expected commits, paths, regexes or stopwords".to_owned(),
            ));
        }
        Ok(one)
    }

    /// Whether everything from this origin is acquitted, before anything is matched.
    pub(super) fn allows_origin(&self, origin: Origin<'_>) -> bool {
        if !self.all {
            return self.commit(origin) || self.path(origin);
        }
        if self.regexes.is_some() || !self.stopwords.is_empty() {
            return false;
        }
        (self.commits.is_empty() || self.commit(origin))
            && (self.paths.is_none() || self.path(origin))
    }

    /// Whether the path alone acquits a whole folder.
    pub(super) fn allows_path(&self, path: &[u8]) -> bool {
        self.allows_origin(Origin {
            path: Some(path),
            commit: None,
        })
    }

    /// Whether it says anything of commits.
    pub(super) fn names_commits(&self) -> bool {
        !self.commits.is_empty()
    }

    /// Whether this match is acquitted.
    pub(super) fn allows(&self, origin: Origin<'_>, matched: Matched<'_>) -> bool {
        if !self.all {
            return self.regex(matched) || self.stopword(matched.secret);
        }
        (self.commits.is_empty() || self.commit(origin))
            && (self.paths.is_none() || self.path(origin))
            && (self.regexes.is_none() || self.regex(matched))
            && (self.stopwords.is_empty() || self.stopword(matched.secret))
    }

    fn commit(&self, origin: Origin<'_>) -> bool {
        origin
            .commit
            .is_some_and(|commit| self.commits.contains(commit))
    }

    fn path(&self, origin: Origin<'_>) -> bool {
        let (Some(paths), Some(path)) = (&self.paths, origin.path) else {
            return false;
        };
        paths.is_match(path).unwrap_or(false)
    }

    fn regex(&self, matched: Matched<'_>) -> bool {
        let text = match self.target {
            Target::Secret => matched.secret,
            Target::Match => matched.text,
            Target::Line => matched.line,
        };
        self.regexes
            .as_ref()
            .is_some_and(|regexes| !text.is_empty() && regexes.is_match(text).unwrap_or(false))
    }

    fn stopword(&self, secret: &[u8]) -> bool {
        if self.stopwords.is_empty() || secret.is_empty() {
            return false;
        }
        let lower = String::from_utf8_lossy(secret).to_lowercase();
        self.stopword_automaton
            .get_or_init(|| AhoCorasick::new(&self.stopwords).ok())
            .as_ref()
            .is_some_and(|words| words.is_match(&lower))
    }

    /// Everything that decides, for the ruleset's id.
    pub(super) fn identify(&self, part: &mut impl FnMut(&[u8])) {
        part(&[u8::from(self.all), self.target as u8]);
        for test in [&self.paths, &self.regexes] {
            part(test.as_ref().map_or("", Test::pattern).as_bytes());
        }
        for list in [&self.commits, &self.stopwords] {
            part(&(list.len() as u64).to_be_bytes());
            for item in list {
                part(item.as_bytes());
            }
        }
    }
}
