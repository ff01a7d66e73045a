//! A pattern of the file, read, checked against the size limit, and compiled on first use.

use std::sync::OnceLock;

use regex_automata::meta;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::file::{At, Place};
use super::re2;
use crate::error::RuleError;
use crate::matcher::SIZE_LIMIT;

/// Of several patterns joined to one, such as all paths of an allow-list, in bytes.
const JOINED_LIMIT: usize = 4 * SIZE_LIMIT;

/// One pattern in the `regex` crate's syntax.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    hir: Hir,
    pub(super) place: Place,
}

impl Pattern {
    /// Reads what stands at `key` of `rule` (empty for the whole file's allow-lists).
    pub(super) fn new(at: &At<String>, rule: &str, key: &'static str) -> Result<Self, RuleError> {
        let fault = |message: String| RuleError::Pattern {
            file: at.place.file.to_string(),
            line: at.place.line,
            rule: rule.to_owned(),
            key,
            message,
        };
        let text = re2::translate(&at.value).map_err(fault)?;
        let hir = parse(&text).map_err(|error| fault(error.to_string()))?;
        check_size(&hir, SIZE_LIMIT, at, rule, key)?;
        Ok(Self {
            text,
            hir,
            place: at.place.clone(),
        })
    }

    /// All patterns as alternatives of one, as gitleaks joins them: a flag set in one of them,
    /// such as `(?i)`, holds for those after it as well.
    pub(super) fn joined(
        patterns: &[At<String>],
        rule: &str,
        key: &'static str,
    ) -> Result<Option<Self>, RuleError> {
        let (Some(first), rest) = (patterns.first(), patterns.len() > 1) else {
            return Ok(None);
        };
        let mut one = Self::new(first, rule, key)?;
        if !rest {
            return Ok(Some(one));
        }
        let mut texts = vec![one.text];
        for pattern in patterns.iter().skip(1) {
            texts.push(Self::new(pattern, rule, key)?.text);
        }
        one.text = format!("(?:{})", texts.join("|"));
        one.hir = parse(&one.text).map_err(|error| RuleError::Pattern {
            file: one.place.file.to_string(),
            line: one.place.line,
            rule: rule.to_owned(),
            key,
            message: error.to_string(),
        })?;
        check_size(&one.hir, JOINED_LIMIT, first, rule, key)?;
        Ok(Some(one))
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn hir(&self) -> &Hir {
        &self.hir
    }

    /// Number of groups, without the whole match.
    pub(super) fn groups(&self) -> usize {
        self.hir.properties().explicit_captures_len()
    }
}

/// A compiled pattern that is only asked whether it matches.
#[derive(Debug)]
pub(super) struct Test {
    pattern: Pattern,
    regex: OnceLock<Option<meta::Regex>>,
}

impl Test {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            regex: OnceLock::new(),
        }
    }

    pub(super) fn pattern(&self) -> &str {
        self.pattern.text()
    }

    /// `None` if it cannot be compiled, which loading has ruled out.
    pub(super) fn is_match(&self, text: &[u8]) -> Option<bool> {
        self.regex
            .get_or_init(|| compile(self.pattern.hir()))
            .as_ref()
            .map(|regex| regex.is_match(text))
    }
}

/// Compiles within the limits. `None` is impossible for what was checked.
pub(super) fn compile(hir: &Hir) -> Option<meta::Regex> {
    build(hir, JOINED_LIMIT).ok()
}

fn build(hir: &Hir, limit: usize) -> Result<meta::Regex, Box<meta::BuildError>> {
    meta::Builder::new()
        .configure(
            meta::Config::new()
                .nfa_size_limit(Some(limit))
                .hybrid_cache_capacity(2 * SIZE_LIMIT)
                .utf8_empty(false),
        )
        .build_from_hir(hir)
        .map_err(Box::new)
}

fn parse(text: &str) -> Result<Hir, Box<regex_syntax::Error>> {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(text)
        .map_err(Box::new)
}

/// Compiles only where the pattern could be near the limit: that is the slow part of loading.
fn check_size(
    hir: &Hir,
    limit: usize,
    at: &At<String>,
    rule: &str,
    key: &'static str,
) -> Result<(), RuleError> {
    if weight(hir) < limit || build(hir, limit).is_ok() {
        return Ok(());
    }
    Err(RuleError::TooLarge {
        file: at.place.file.to_string(),
        line: at.place.line,
        rule: rule.to_owned(),
        key,
        limit,
    })
}

/// An upper bound of the compiled size, in bytes: 64 for a state, 16 for a range of a class.
fn weight(hir: &Hir) -> usize {
    const STATE: usize = 64;
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => STATE,
        HirKind::Literal(literal) => literal.0.len() * STATE,
        HirKind::Class(Class::Bytes(class)) => STATE + class.ranges().len() * 16,
        HirKind::Class(Class::Unicode(class)) => 12 * STATE + class.ranges().len() * 8 * STATE,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1));
            weight(&repetition.sub)
                .saturating_add(2 * STATE)
                .saturating_mul(times.max(1) as usize)
        }
        HirKind::Capture(capture) => weight(&capture.sub).saturating_add(2 * STATE),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts
            .iter()
            .map(weight)
            .fold(2 * STATE, usize::saturating_add),
    }
}
