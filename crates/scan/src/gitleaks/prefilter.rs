//! The anchors and keywords of the rules, and what an occurrence of each means.

use std::collections::BTreeMap;
use std::ops::Range;

use super::plan::Anchor;
use crate::literals::Literals;

/// What an occurrence of a literal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A keyword of this rule: it may report.
    Keyword { rule: usize },
    /// A match of this rule may start so many bytes before.
    Anchor {
        rule: usize,
        before_min: usize,
        before_max: usize,
    },
}

/// All anchors and the keywords that matter, ASCII case folded.
#[derive(Debug)]
pub(super) struct Prefilter {
    literals: Literals<Use>,
    reach: usize,
}

/// Collects literals.
#[derive(Debug, Default)]
pub(super) struct Collected {
    by_literal: BTreeMap<Vec<u8>, Vec<Use>>,
    reach: usize,
}

impl Collected {
    pub(super) fn anchor(&mut self, rule: usize, anchor: &Anchor) {
        self.reach = self.reach.max(anchor.before_max);
        self.by_literal
            .entry(anchor.literal.clone())
            .or_default()
            .push(Use::Anchor {
                rule,
                before_min: anchor.before_min,
                before_max: anchor.before_max,
            });
    }

    pub(super) fn keyword(&mut self, rule: usize, keyword: &str) {
        self.by_literal
            .entry(keyword.as_bytes().to_ascii_lowercase())
            .or_default()
            .push(Use::Keyword { rule });
    }

    pub(super) fn build(self) -> Prefilter {
        Prefilter {
            literals: Literals::new(self.by_literal),
            reach: self.reach,
        }
    }
}

impl Prefilter {
    /// How far before the end of a literal a match may start, in bytes.
    pub(super) fn reach(&self) -> usize {
        self.reach + self.literals.longest()
    }

    /// Calls `found` with each use of each literal that ends after `from`, and its start.
    pub(super) fn hits(&self, bytes: &[u8], from: usize, mut found: impl FnMut(Use, usize)) {
        let hit = |used: &Use, at: Range<usize>| found(*used, at.start);
        self.literals.hits(bytes, from, hit);
    }
}
