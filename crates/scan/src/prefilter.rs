//! Which rules may match, and where: at their keywords, and under which paths.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use crate::condition::{Backwards, Conditions};
use crate::literals::Literals;
use crate::matcher::PathSet;
use crate::rule::Rule;

/// A keyword of a rule, as it stands in the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// All keywords of all rules, ASCII case folded.
#[derive(Debug, Default)]
pub(crate) struct Prefilter {
    keywords: Option<Literals<Use>>,
    /// Rules without keyword: they run everywhere that their path condition allows.
    always: Vec<usize>,
    /// Rules with a path condition.
    conditional: Vec<usize>,
    /// By rule: that it applies, where it does whatever the path.
    unconditional: Vec<Option<bool>>,
    /// The conditions of `conditional`, in this order, once all of them are asked for.
    conditions: OnceLock<Option<PathSet>>,
    /// The same, for names of files whose folder is not known.
    names: OnceLock<Option<Backwards>>,
}

impl Prefilter {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut by_keyword: BTreeMap<Vec<u8>, Vec<Use>> = BTreeMap::new();
        let mut always = Vec::new();
        for (rule, spec) in rules.iter().enumerate() {
            if spec.keywords.is_empty() {
                always.push(rule);
            }
            for keyword in &spec.keywords {
                let bytes = keyword.as_bytes();
                let exact = spec.keywords_exact.then(|| Box::from(bytes));
                let place = by_keyword.entry(bytes.to_ascii_lowercase()).or_default();
                let this = Use { rule, exact };
                if !place.contains(&this) {
                    place.push(this);
                }
            }
        }
        let conditional = (0..rules.len())
            .filter(|rule| rules.get(*rule).is_some_and(|rule| rule.path().is_some()))
            .collect();
        Self {
            keywords: (!by_keyword.is_empty()).then(|| Literals::new(by_keyword)),
            always,
            conditional,
            unconditional: (rules.iter())
                .map(|rule| rule.path().is_none().then_some(true))
                .collect(),
            conditions: OnceLock::new(),
            names: OnceLock::new(),
        }
    }

    /// Whether the condition of some rule with one holds for a path. One pass over the path
    /// answers for all rules; only if the set of conditions is too large is each asked for
    /// itself.
    pub(crate) fn any_condition_holds(&self, rules: &[Rule], path: &[u8]) -> bool {
        let set = self.conditions.get_or_init(|| {
            let rules = self.conditional.iter().filter_map(|rule| rules.get(*rule));
            PathSet::compile(rules.filter_map(Rule::path))
        });
        let mut conditional = self.conditional.iter().filter_map(|rule| rules.get(*rule));
        match set {
            Some(set) => set.is_match(path),
            None => conditional.any(|rule| rule.applies_to(Some(path))),
        }
    }

    /// The conditions of all rules, for who asks of many names.
    pub(crate) fn conditions(&self, rules: &[Rule]) -> Conditions<'_> {
        let set = self.names.get_or_init(|| {
            let rules = self.conditional.iter().filter_map(|rule| rules.get(*rule));
            Backwards::new(rules.filter_map(Rule::path))
        });
        Conditions::new(set.as_ref())
    }

    /// Length of the longest keyword.
    pub(crate) fn longest(&self) -> usize {
        self.keywords.as_ref().map_or(0, Literals::longest)
    }

    /// Rules that need no keyword.
    pub(crate) fn always(&self) -> &[usize] {
        &self.always
    }

    /// Calls `found` for every keyword in `bytes` that ends after `from`, in the order of
    /// [`Literals::hits`].
    pub(crate) fn hits(&self, bytes: &[u8], from: usize, mut found: impl FnMut(Hit)) {
        let Some(keywords) = &self.keywords else {
            return;
        };
        keywords.hits(bytes, from, |used: &Use, at: Range<usize>| {
            let is_meant = match (&used.exact, bytes.get(at.clone())) {
                (None, _) => true,
                (Some(exact), there) => there == Some(exact.as_ref()),
            };
            if is_meant {
                found(Hit {
                    rule: used.rule,
                    start: at.start,
                    end: at.end,
                });
            }
        });
    }
}

/// Which rules apply to a path. A condition is looked at when its rule is first asked for: most
/// texts hold no keyword of any rule that has one.
#[derive(Debug, Clone)]
pub(crate) struct Applies {
    path: Option<Box<[u8]>>,
    by_rule: Vec<Option<bool>>,
}

impl Applies {
    pub(crate) fn new(prefilter: &Prefilter, path: Option<&[u8]>) -> Self {
        Self {
            path: path.map(Box::from),
            by_rule: prefilter.unconditional.clone(),
        }
    }

    /// Says it by something else than the path.
    pub(crate) fn by(rules: &[Rule], wanted: impl Fn(&Rule) -> bool) -> Self {
        Self {
            path: None,
            by_rule: rules.iter().map(|rule| Some(wanted(rule))).collect(),
        }
    }

    pub(crate) fn holds(&mut self, rules: &[Rule], rule: usize) -> bool {
        let (Some(known), Some(spec)) = (self.by_rule.get_mut(rule), rules.get(rule)) else {
            return false;
        };
        *known.get_or_insert_with(|| spec.applies_to(self.path.as_deref()))
    }
}
