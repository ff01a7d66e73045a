//! One pass over the bytes that says which rules may match, and where.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::nfa::noncontiguous;
use aho_corasick::{Input, dfa};

use crate::error::RuleError;
use crate::matcher::PathSet;
use crate::rule::Rule;

/// Only this many bytes of a keyword are looked for: more make the automaton larger and slower
/// to build, and spare few windows. A shorter keyword only widens the window.
const PREFIX: usize = 10;

/// Once this many bytes were searched, the DFA is built: about where the time that it saves has
/// paid for the 2 to 3 ms that 760 keywords take. Most pushes are smaller.
const LARGE: u64 = 512 * 1024;

/// A keyword of a rule, as it stands in the rule.
#[derive(Debug, PartialEq, Eq)]
struct Use {
    rule: usize,
    /// The bytes to compare with, if case matters.
    exact: Option<Box<[u8]>>,
}

/// Where a keyword of a rule stands, in the slice that was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) rule: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// All keywords of all rules in one automaton, ASCII case folded.
#[derive(Debug, Default)]
pub(crate) struct Prefilter {
    automaton: Option<noncontiguous::NFA>,
    /// The same, three times as fast to search; `None` inside if it cannot be built.
    fast: OnceLock<Option<dfa::DFA>>,
    /// Bytes searched so far.
    searched: AtomicU64,
    /// By pattern of the automaton.
    uses: Vec<Vec<Use>>,
    longest: usize,
    /// Rules without keyword: they run everywhere that their path condition allows.
    always: Vec<usize>,
    /// Rules with a path condition.
    conditional: Vec<usize>,
    /// The conditions of `conditional`, in this order, once a path turned up.
    conditions: OnceLock<Option<PathSet>>,
}

impl Prefilter {
    pub(crate) fn new(rules: &[Rule]) -> Result<Self, RuleError> {
        let mut by_keyword: BTreeMap<Vec<u8>, Vec<Use>> = BTreeMap::new();
        let mut always = Vec::new();
        for (rule, spec) in rules.iter().enumerate() {
            if spec.keywords.is_empty() {
                always.push(rule);
            }
            for keyword in &spec.keywords {
                let bytes = keyword.as_bytes();
                let bytes = bytes.get(..PREFIX).unwrap_or(bytes);
                let exact = spec.keywords_exact.then(|| Box::from(bytes));
                let place = by_keyword.entry(bytes.to_ascii_lowercase()).or_default();
                let this = Use { rule, exact };
                if !place.contains(&this) {
                    place.push(this);
                }
            }
        }
        let longest = by_keyword.keys().map(Vec::len).max().unwrap_or(0);
        let automaton = (!by_keyword.is_empty())
            .then(|| {
                noncontiguous::Builder::new()
                    .ascii_case_insensitive(true)
                    .build(by_keyword.keys())
            })
            .transpose()
            .map_err(|error| RuleError::Keywords(error.to_string()))?;
        Ok(Self {
            automaton,
            fast: OnceLock::new(),
            searched: AtomicU64::new(0),
            uses: by_keyword.into_values().collect(),
            longest,
            always,
            conditional: (0..rules.len())
                .filter(|rule| rules.get(*rule).is_some_and(|rule| rule.path().is_some()))
                .collect(),
            conditions: OnceLock::new(),
        })
    }

    /// By rule: whether its path condition holds. One pass over the path answers for all rules;
    /// only if the set of conditions is too large is each asked for itself.
    pub(crate) fn applicable(&self, rules: &[Rule], path: Option<&[u8]>) -> Vec<bool> {
        let mut applies = vec![true; rules.len()];
        let set = path.and_then(|_| self.conditions(rules));
        let matches = path.and_then(|path| set.map(|set| set.matches(path)));
        for (place, &rule) in self.conditional.iter().enumerate() {
            if let (Some(slot), Some(spec)) = (applies.get_mut(rule), rules.get(rule)) {
                *slot = match &matches {
                    Some(matches) => matches.matched(place),
                    None => spec.applies_to(path),
                };
            }
        }
        applies
    }

    /// All path conditions as one; compiled at first use, which takes 1 to 2 ms.
    pub(crate) fn conditions(&self, rules: &[Rule]) -> Option<&PathSet> {
        self.conditions
            .get_or_init(|| PathSet::compile(self.conditional_paths(rules)))
            .as_ref()
    }

    fn conditional_paths<'r>(&self, rules: &'r [Rule]) -> impl Iterator<Item = &'r str> {
        self.conditional
            .iter()
            .filter_map(|rule| rules.get(*rule).and_then(Rule::path))
    }

    /// Length of the longest keyword.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Rules that need no keyword.
    pub(crate) fn always(&self) -> &[usize] {
        &self.always
    }

    /// Calls `found` for every keyword in `bytes` that ends after `from`, in order of its end.
    pub(crate) fn hits(&self, bytes: &[u8], from: usize, found: impl FnMut(Hit)) {
        let Some(automaton) = &self.automaton else {
            return;
        };
        let before = self
            .searched
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let fast = (before + bytes.len() as u64 >= LARGE)
            .then(|| self.fast.get_or_init(|| determinize(automaton)).as_ref())
            .flatten();
        match fast {
            Some(fast) => self.search(fast, bytes, from, found),
            None => self.search(automaton, bytes, from, found),
        }
    }

    fn search(
        &self,
        automaton: &impl Automaton,
        bytes: &[u8],
        from: usize,
        mut found: impl FnMut(Hit),
    ) {
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
            let (Some(uses), Some(text)) = (
                self.uses.get(hit.pattern().as_usize()),
                bytes.get(hit.range()),
            ) else {
                continue;
            };
            for used in uses {
                if used.exact.as_deref().is_none_or(|exact| exact == text) {
                    found(Hit {
                        rule: used.rule,
                        start: hit.start(),
                        end: hit.end(),
                    });
                }
            }
        }
    }
}

fn determinize(automaton: &noncontiguous::NFA) -> Option<dfa::DFA> {
    dfa::Builder::new()
        .ascii_case_insensitive(true)
        .build_from_noncontiguous(automaton)
        .ok()
}
