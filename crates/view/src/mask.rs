//! Masks one object: bytes in, bytes out. No repository, no clock, no order of calls.
//!
//! What it deliberately does not do: it resolves no other object. Where a tree, a commit or a tag
//! names one, it asks its caller what that object is called in the view.

mod blob;
pub(crate) mod commit;
mod contents;
mod large;
mod mention;
pub(crate) mod pushed;
pub(crate) mod tree;

use std::borrow::Cow;

use refwarden_scan::{Finding, FingerprintKey, Ruleset, Scanner};

use crate::placeholder::Known;

pub(crate) use blob::Replaced;
pub use commit::{Links, links, message, target};
pub(crate) use contents::Opaque;
pub use large::{Large, ZIP_MAX};
pub use mention::{MENTION_MIN, Names, mentions};
pub use tree::{Entry, TreeError, entries};

/// What masks: the rules, and the key of a repository's placeholders.
pub struct Mask<'r> {
    at_path: Scanner<'r>,
    conditional: Scanner<'r>,
    key: FingerprintKey,
    known: Known,
}

/// How a blob's findings depend on its path. A function of its bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependence {
    /// Nothing is found under any path: the blob stays as it is.
    Clean,
    /// The same is found under every path.
    Anywhere,
    /// Something is found under every path, and more under some.
    ByPath,
    /// Something is found only where a rule with a path condition is meant for the path.
    OnlyByPath,
}

impl<'r> Mask<'r> {
    /// Pairs rules with the key of a repository's placeholders.
    ///
    /// # Errors
    ///
    /// [`UnsupportedRules`] where rules of a `gitleaks.toml` are among them: whether those find
    /// something regardless of the path cannot be asked yet.
    pub fn new(ruleset: &'r Ruleset, key: &FingerprintKey) -> Result<Self, UnsupportedRules> {
        if ruleset.gitleaks_rules().next().is_some() {
            return Err(UnsupportedRules);
        }
        let scanner = || Scanner::new(ruleset, key.clone());
        Ok(Self {
            at_path: scanner(),
            conditional: scanner().only_conditional(),
            key: key.clone(),
            known: Known::new(ruleset),
        })
    }

    fn depends(plain: bool, conditional: bool) -> Dependence {
        match (plain, conditional) {
            (false, false) => Dependence::Clean,
            (true, false) => Dependence::Anywhere,
            (true, true) => Dependence::ByPath,
            (false, true) => Dependence::OnlyByPath,
        }
    }

    /// What is written for a name that must not be told and has no counterpart: as many digits.
    pub fn stand_in(&self, digits: &str) -> String {
        let text = self.key.fingerprint(digits.as_bytes()).to_string();
        text.chars().cycle().take(digits.len()).collect()
    }

    /// Whether anything is found in these bytes, a name or a text without a path.
    pub fn is_affected(&self, bytes: &[u8]) -> bool {
        !self.findings(bytes).is_empty()
    }

    /// Masks text that is no blob: a message, a name. Borrows where there is nothing to mask.
    /// Nobody looks for containers in it.
    pub fn text<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let look = |bytes: &[u8]| contents::Look::Lines(self.findings(bytes));
        blob::mask(self, bytes, look)
    }

    /// Findings that are not placeholders themselves.
    fn findings(&self, bytes: &[u8]) -> Vec<Finding> {
        self.open(bytes, self.at_path.scan(bytes, None))
    }

    fn open(&self, bytes: &[u8], mut findings: Vec<Finding>) -> Vec<Finding> {
        if findings.is_empty() {
            return findings;
        }
        let placeholders = self.known.spans(bytes);
        findings.retain(|finding| !blob::within(&placeholders, &blob::span(finding)));
        findings
    }
}

/// Rules of a `gitleaks.toml` cannot be used for a view.
#[derive(Debug, thiserror::Error)]
#[error("a view cannot be masked with rules of a gitleaks.toml")]
pub struct UnsupportedRules;

/// Replaces ranges of bytes, ascending and apart; everything else is copied.
pub(crate) fn splice(bytes: &[u8], edits: &[(std::ops::Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for (range, with) in edits {
        out.extend_from_slice(bytes.get(done..range.start).unwrap_or_default());
        out.extend_from_slice(with);
        done = range.end;
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
    out
}
