//! One pass over the bytes that says where anchors and keywords stand.

use std::collections::BTreeMap;

use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::{Input, dfa};

use super::plan::Anchor;
use crate::error::RuleError;

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
    automaton: Option<dfa::DFA>,
    /// By pattern of the automaton.
    uses: Vec<Vec<Use>>,
    longest: usize,
    reach: usize,
}

/// Collects literals.
#[derive(Debug, Default)]
pub(super) struct Literals {
    by_literal: BTreeMap<Vec<u8>, Vec<Use>>,
    reach: usize,
}

impl Literals {
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

    pub(super) fn build(self) -> Result<Prefilter, RuleError> {
        let automaton = (!self.by_literal.is_empty())
            .then(|| {
                dfa::Builder::new()
                    .ascii_case_insensitive(true)
                    .build(self.by_literal.keys())
            })
            .transpose()
            .map_err(|error| RuleError::Keywords(error.to_string()))?;
        Ok(Prefilter {
            automaton,
            longest: self.by_literal.keys().map(Vec::len).max().unwrap_or(0),
            uses: self.by_literal.into_values().collect(),
            reach: self.reach,
        })
    }
}

impl Prefilter {
    /// How far before the end of a literal a match may start, in bytes.
    pub(super) fn reach(&self) -> usize {
        self.reach + self.longest
    }

    /// Calls `found` with each use of each literal that ends after `from`, and its start.
    pub(super) fn hits(&self, bytes: &[u8], from: usize, mut found: impl FnMut(Use, usize)) {
        let Some(automaton) = &self.automaton else {
            return;
        };
        let begin = from.saturating_sub(self.longest.saturating_sub(1));
        let input = Input::new(bytes).range(begin..);
        let mut state = OverlappingState::start();
        loop {
            if automaton.try_find_overlapping(&input, &mut state).is_err() {
                return;
            }
            let Some(hit) = state.get_match() else { return };
            if hit.end() <= from {
                continue;
            }
            let uses = self.uses.get(hit.pattern().as_usize());
            for used in uses.into_iter().flatten() {
                found(*used, hit.start());
            }
        }
    }
}
