//! A rule: what to look for, and how sure a match is.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::builtin;
use crate::matcher::{Matcher, PathMatcher, SecretPatterns};
use crate::structure::Structure;

/// How bad it is when a secret of this kind leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Little harm: test modes, tokens that read public data.
    Low,
    /// Harm to one service or user.
    Medium,
    /// Harm to an organisation's data.
    High,
    /// Control over infrastructure, code or money.
    Critical,
}

/// How likely a match is a real secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A guess from names and entropy.
    Low,
    /// A distinctive shape that other things share now and then.
    Medium,
    /// A shape that nothing else has.
    High,
}

impl Confidence {
    /// One step less sure.
    #[must_use]
    pub fn lowered(self) -> Self {
        match self {
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }
}

macro_rules! display {
    ($type:ty: $($variant:ident = $text:literal),+) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    };
}
display!(Severity: Low = "low", Medium = "medium", High = "high", Critical = "critical");
display!(Confidence: Low = "low", Medium = "medium", High = "high");

/// The checksum that a format has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChecksumKind {
    /// `<prefix>_<random><six base62 digits of the CRC32 of random>`.
    Crc32Base62,
    /// Forty bits of an AWS access key id are an account number.
    AwsAccount,
    /// `<prefix>_<random>_<crc32 of both in hexadecimal>`.
    Crc32Hex,
    /// The last six letters of a bech32 text.
    Bech32,
    /// The last four bytes of a base58 text are its double SHA-256.
    Base58check,
}

impl ChecksumKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32Base62 => "crc32-base62",
            Self::AwsAccount => "aws-account",
            Self::Crc32Hex => "crc32-hex",
            Self::Bech32 => "bech32",
            Self::Base58check => "base58check",
        }
    }
}

/// What people and tests read about a rule, and no scan does.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Notes {
    pub(crate) source: String,
    pub(crate) example_path: Option<String>,
    pub(crate) examples: Vec<String>,
    pub(crate) counter_examples: Vec<String>,
}

/// One rule. Its regular expressions compile on first use.
///
/// It is deserialised only from what the build script wrote; files from outside go through
/// `load`, which says what is wrong with them.
#[derive(Debug, Deserialize)]
pub struct Rule {
    pub(crate) id: Arc<str>,
    pub(crate) description: Arc<str>,
    pub(crate) provider: Arc<str>,
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    #[serde(default)]
    pub(crate) keywords_exact: bool,
    pub(crate) pattern: String,
    #[serde(default)]
    pub(crate) secret_group: usize,
    #[serde(default)]
    pub(crate) entropy: f32,
    pub(crate) path: Option<String>,
    /// What a path must end with to match `path`: one of these. Empty if nobody has found out.
    #[serde(default)]
    pub(crate) path_ends: Vec<String>,
    pub(crate) severity: Severity,
    pub(crate) confidence: Confidence,
    pub(crate) checksum: Option<ChecksumKind>,
    pub(crate) structure: Option<Structure>,
    #[serde(default)]
    pub(crate) stopwords: Vec<String>,
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    pub(crate) max_length: Option<usize>,
    #[serde(default)]
    pub(crate) supersedes: Vec<String>,
    #[serde(default)]
    pub(crate) generic: bool,
    /// `None` for a rule that ships with the crate: those are read when asked for.
    #[serde(skip)]
    pub(crate) notes: Option<Notes>,
    #[serde(skip)]
    pub(crate) matcher: OnceLock<Matcher>,
    #[serde(skip)]
    pub(crate) path_matcher: OnceLock<PathMatcher>,
    #[serde(skip)]
    pub(crate) allow_matcher: OnceLock<SecretPatterns>,
}

impl Rule {
    fn notes(&self) -> &Notes {
        match &self.notes {
            Some(notes) => notes,
            None => builtin::notes(&self.id),
        }
    }

    /// Stable name, such as `github-pat`: lower case, digits and hyphens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// One line that says what the rule finds.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Who issues such secrets.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Address of the provider's description of the format.
    pub fn source(&self) -> &str {
        &self.notes().source
    }

    /// Byte strings of which each match holds at least one; empty: the rule runs everywhere that
    /// its path condition allows.
    pub fn keywords(&self) -> &[String] {
        &self.keywords
    }

    /// The regular expression, on bytes, without Unicode classes.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The regular expression that the path must match, if there is such a condition.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Whether the rule guesses from a name beside a value rather than from a provider's format.
    ///
    /// A policy that names no mode for such a rule should record its findings, not refuse them.
    pub fn is_generic(&self) -> bool {
        self.generic
    }

    /// Name of the checksum or structure that the format has and the scanner verifies.
    pub fn verification(&self) -> Option<&'static str> {
        let checksum = self.checksum.map(ChecksumKind::name);
        checksum.or(self.structure.map(Structure::name))
    }

    /// How bad a leak is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// How sure a match is.
    pub fn confidence(&self) -> Confidence {
        self.confidence
    }

    /// The path at which the examples stand, for a rule with a path condition.
    pub fn example_path(&self) -> Option<&str> {
        self.notes().example_path.as_deref()
    }

    /// Templates (see [`crate::example`]) that the rule finds.
    pub fn examples(&self) -> &[String] {
        &self.notes().examples
    }

    /// Templates (see [`crate::example`]) that the rule does not find.
    pub fn counter_examples(&self) -> &[String] {
        &self.notes().counter_examples
    }

    /// Whether the rule is meant for this path. A rule with a path condition needs a path.
    pub(crate) fn applies_to(&self, path: Option<&[u8]>) -> bool {
        let Some(pattern) = &self.path else {
            return true;
        };
        let Some(path) = path else { return false };
        let mut ends = self.path_ends.iter();
        if !self.path_ends.is_empty() && !ends.any(|end| path.ends_with(end.as_bytes())) {
            return false;
        }
        self.path_matcher
            .get_or_init(|| PathMatcher::compile(pattern))
            .is_match(path)
    }

    pub(crate) fn matcher(&self) -> &Matcher {
        self.matcher
            .get_or_init(|| Matcher::compile(&self.pattern, self.max_length))
    }

    /// Whether the rule's own allow-list or stop-words acquit this secret.
    pub(crate) fn allows(&self, secret: &[u8]) -> bool {
        self.stopwords
            .iter()
            .any(|word| contains_ignore_case(secret, word.as_bytes()))
            || (!self.allow.is_empty()
                && self
                    .allow_matcher
                    .get_or_init(|| SecretPatterns::compile(&self.allow))
                    .is_match(secret))
    }
}

/// ASCII case-insensitive search; `needle` must not be empty to be found.
pub(crate) fn contains_ignore_case(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty()
        && haystack
            .windows(needle.len())
            .any(|window| window.eq_ignore_ascii_case(needle))
}
