//! Reads rule files: TOML with a fixed set of keys, where anything unexpected is an error.
//!
//! The default rules come ready from the build script (`builtin`), whose test holds them to this
//! reader.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use toml::Spanned;

use crate::error::RuleError;
use crate::matcher::{self, MATCH_MAX, SIZE_LIMIT};
use crate::rule::{ChecksumKind, Confidence, Notes, Rule, Severity};
use crate::structure::Structure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: String,
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: Spanned<String>,
    description: String,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    keywords_exact: bool,
    pattern: Spanned<String>,
    #[serde(default)]
    secret_group: usize,
    #[serde(default)]
    entropy: f32,
    path: Option<Spanned<String>>,
    severity: Severity,
    confidence: Confidence,
    checksum: Option<ChecksumKind>,
    structure: Option<Structure>,
    #[serde(default)]
    stopwords: Vec<String>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    max_length: Option<usize>,
    #[serde(default)]
    supersedes: Vec<String>,
    #[serde(default)]
    generic: bool,
    example_path: Option<String>,
    #[serde(default)]
    examples: Vec<String>,
    #[serde(default)]
    counter_examples: Vec<String>,
    #[serde(default)]
    source: String,
}

/// Reads all files; ids must differ from each other and from those of `others`.
pub(crate) fn load(files: &[(&str, &str)], others: &[Rule]) -> Result<Vec<Rule>, RuleError> {
    let mut rules = Vec::new();
    let mut seen: BTreeMap<Arc<str>, String> = others
        .iter()
        .map(|rule| (rule.id.clone(), "the default rules".to_owned()))
        .collect();
    for (name, text) in files {
        let file: File = toml::from_str(text).map_err(|error| RuleError::Syntax {
            file: (*name).to_owned(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            message: error.message().to_owned(),
        })?;
        let provider: Arc<str> = file.provider.into();
        let place = Place { file: name, text };
        for raw in file.rule {
            validate(&raw, &place)?;
            let id: Arc<str> = raw.id.get_ref().as_str().into();
            if let Some(first) = seen.insert(id.clone(), (*name).to_owned()) {
                return Err(RuleError::Duplicate {
                    file: (*name).to_owned(),
                    line: place.line(&raw.id),
                    rule: id.to_string(),
                    first,
                });
            }
            rules.push(rule(raw, id, provider.clone()));
        }
    }
    Ok(rules)
}

/// The file that is being read.
struct Place<'f> {
    file: &'f str,
    text: &'f str,
}

impl Place<'_> {
    fn line<T>(&self, value: &Spanned<T>) -> usize {
        line_of(self.text, value.span().start)
    }

    fn value(&self, raw: &RawRule, key: &'static str, expected: impl Into<String>) -> RuleError {
        RuleError::Value {
            file: self.file.to_owned(),
            line: self.line(&raw.id),
            rule: raw.id.get_ref().clone(),
            key,
            expected: expected.into(),
        }
    }

    /// Compiles a pattern; yields the number of its groups.
    fn pattern(
        &self,
        raw: &RawRule,
        key: &'static str,
        pattern: &Spanned<String>,
    ) -> Result<usize, RuleError> {
        matcher::check(pattern.get_ref()).map_err(|error| {
            let (file, line, rule) = (
                self.file.to_owned(),
                self.line(pattern),
                raw.id.get_ref().clone(),
            );
            match error {
                regex::Error::CompiledTooBig(_) => RuleError::TooLarge {
                    file,
                    line,
                    rule,
                    key,
                    limit: SIZE_LIMIT,
                },
                other => RuleError::Pattern {
                    file,
                    line,
                    rule,
                    key,
                    message: other.to_string(),
                },
            }
        })
    }
}

/// 1-based line of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

fn validate(raw: &RawRule, place: &Place<'_>) -> Result<(), RuleError> {
    let id = raw.id.get_ref();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if id.is_empty() || !id.chars().all(plain) {
        return Err(place.value(raw, "id", "expected lower-case letters, digits and hyphens"));
    }
    if raw.description.is_empty() || raw.description.contains('\n') {
        return Err(place.value(raw, "description", "expected one line of text"));
    }
    if raw.keywords.iter().any(String::is_empty) {
        return Err(place.value(raw, "keywords", "expected none to be empty"));
    }
    if !(0.0..=8.0).contains(&raw.entropy) {
        return Err(place.value(raw, "entropy", "expected 0 to 8 bits per byte"));
    }
    if raw
        .max_length
        .is_some_and(|length| !(1..=MATCH_MAX).contains(&length))
    {
        return Err(place.value(
            raw,
            "max_length",
            format!("expected 1 to {MATCH_MAX} bytes"),
        ));
    }
    let groups = place.pattern(raw, "pattern", &raw.pattern)?;
    if raw.secret_group > groups {
        return Err(place.value(raw, "secret_group", format!("expected 0 to {groups}")));
    }
    if let Some(path) = &raw.path {
        place.pattern(raw, "path", path)?;
    }
    for allow in &raw.allow {
        place.pattern(raw, "allow", allow)?;
    }
    Ok(())
}

fn rule(raw: RawRule, id: Arc<str>, provider: Arc<str>) -> Rule {
    Rule {
        id,
        description: raw.description.into(),
        provider,
        keywords: raw.keywords,
        keywords_exact: raw.keywords_exact,
        pattern: raw.pattern.into_inner(),
        secret_group: raw.secret_group,
        entropy: raw.entropy,
        path: raw.path.map(Spanned::into_inner),
        path_ends: Vec::new(),
        severity: raw.severity,
        confidence: raw.confidence,
        checksum: raw.checksum,
        structure: raw.structure,
        stopwords: raw.stopwords,
        allow: raw.allow.into_iter().map(Spanned::into_inner).collect(),
        max_length: raw.max_length,
        supersedes: raw.supersedes,
        generic: raw.generic,
        notes: Some(Notes {
            source: raw.source,
            example_path: raw.example_path,
            examples: raw.examples,
            counter_examples: raw.counter_examples,
        }),
        matcher: OnceLock::new(),
        path_matcher: OnceLock::new(),
        allow_matcher: OnceLock::new(),
    }
}
